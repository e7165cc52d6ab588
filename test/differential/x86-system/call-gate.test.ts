/** Call gates to an inner level whose stack cannot be had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Vector } from '../../../src/isa/x86/state.ts';
import { AT, environment } from './environment.ts';
import { Pair } from './pair.ts';

const GATE = 0x13;
const HANDLER = AT.code + 0x40;

/** The error code of the #TS that a call through a gate to level 0 gets, whose stack segment is `selector`. */
function errorOf(accelerator: 'jit' | 'reference', selector: number): number | undefined {
  const ram = environment('flat32', true);
  const view = new DataView(ram.buffer);
  // The gate takes the place of data for level 0.
  view.setUint32(AT.gdt + (GATE & ~7), (0x28 << 16) | AT.handler, true);
  view.setUint32(AT.gdt + (GATE & ~7) + 4, 0xec00, true);
  view.setUint16(AT.tss + 8, selector, true);
  // #TS is handled by code of level 3, which needs no other stack.
  view.setUint32(AT.idt + 8 * Vector.ts, (0x1b << 16) | HANDLER, true);
  ram.set([0x9a, 0, 0, 0, 0, GATE, 0], AT.code);
  const pair = new Pair('flat32', ram);
  const [vcpu] = pair[accelerator].vcpus;
  for (let n = 0; n < 100; n++) {
    if (vcpu.state.pc === BigInt(HANDLER)) {
      const sp = Number(vcpu.readRegister('rsp'));
      return new DataView(pair[accelerator].ram.buffer, pair[accelerator].ram.byteOffset).getUint32(sp, true);
    }
    vcpu.run(1);
  }
  return undefined;
}

for (const accelerator of ['reference', 'jit'] as const)
  test(`a gate's stack segment beyond its table, null or of another level is an invalid task state: ${accelerator}`, () => {
    assert.equal(errorOf(accelerator, 0x7f8), 0x7f8);
    assert.equal(errorOf(accelerator, 0x0c), 0x0c); // there is no local table
    assert.equal(errorOf(accelerator, 0), 0);
    assert.equal(errorOf(accelerator, 0x23), 0x20);
  });
