/**
 * Random programs of a made-up instruction set (toy-isa.ts) on the reference
 * accelerator and the JIT: state and memory must be the same at every stop.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import type { CpuState } from '../../src/accel/cpu-state.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { Random } from '../differential/random.ts';
import { LIMIT, TOY } from './toy-isa.ts';
import { Assembler, Device, HIGH, mapAll, options, ROM } from './toy-machine.ts';

const VECTOR = 0x8f00;
const STACK = 0x9000;
const DATA = 0x5000;
const CODE_END = 0x3000;

const PLAIN = ['nop', 'add', 'li', 'xor', 'addi', 'cmp', 'test', 'inc', 'unit'];
const MEMORY = ['load1', 'load2', 'load4', 'load8', 'store1', 'store2', 'store4', 'store8', 'sti', 'addm'];
const RARE = ['fill', 'call', 'ret', 'off', 'mode', 'pop', 'hide', 'look', 'trap', 'jmp', 'bcc', 'bnz'];

/** Loops of random instructions; r5 counts rounds, r4 and r3 point at data. */
function program(random: Random): { readonly code: Uint8Array; readonly handler: number } {
  const a = new Assembler(CODE_END);
  const between = (low: number, high: number) => random.between(low, high);
  const targets: number[] = [];
  const pointers = [DATA, 0x5ff9, 0x0ff8, 0x1ff9, HIGH + 0x3ffa, ROM + 16, 0xb_0ffa, LIMIT - 6, 0x200, 0x2f00];
  // Where loops lie in the page matters: instructions across pages.
  while (a.at < CODE_END - 400) {
    if (between(0, 4) === 0 && (a.at & 0xfff) < 0xfc0 && a.at < CODE_END - 0x1100) {
      const to = (a.at & ~0xfff) + between(0xfc0, 0xfff);
      a.op('jmp', { t: to - a.at });
      a.at = to;
    }
    a.op('li', { a: 5, i: between(1, 40) * (between(0, 2) === 0 ? 60 : 1) });
    a.op('li', { a: 4, i: pointers[between(0, pointers.length - 1)] });
    a.op('li', { a: 3, i: DATA + between(0, 0x800) });
    const top = a.at;
    targets.push(top);
    const length = between(1, 14);
    for (let n = 0; n < length; n++) {
      const kind = between(0, 19);
      const r = () => between(0, 2);
      if (kind < 9) {
        const name = PLAIN[between(0, PLAIN.length - 1)];
        a.op(name, { a: r(), b: between(0, 4), i: between(-100, 100) });
      } else if (kind < 17) {
        const name = MEMORY[between(0, MEMORY.length - 1)];
        a.op(name, { a: r(), b: random.between(0, 3) === 0 ? 4 : 3, i: between(-3, 40), j: between(0, 0xffff) });
      } else {
        const name = RARE[between(0, RARE.length - 1)];
        if (name === 'fill') {
          a.op('li', { a: 1, i: between(0, 30) });
          a.op('fill', { a: 1, b: 3 });
        } else if (name === 'jmp') a.op('jmp', { t: 5 + between(0, 2) });
        else if (name === 'bcc' || name === 'bnz')
          a.op(name, { a: r(), t: (name === 'bcc' ? 5 : 6) + [0, 3, 6, 10][between(0, 3)] });
        else if (name === 'call') a.op('call', { t: 5 });
        else if (name !== 'ret' || between(0, 3) === 0) a.op(name, { a: r(), i: between(0, 99) });
      }
    }
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    if (between(0, 3) === 0) a.op('bcc', { t: targets[between(0, targets.length - 1)] - a.at });
  }
  a.op('jmp', { t: -a.at });
  return { code: a.bytes, handler: targets[between(0, targets.length - 1)] };
}

const APART = new Set(['attention', 'lastGlobal', 'lastShift']);

function differences(ours: CpuState, right: CpuState): string[] {
  const lines: string[] = [];
  for (const [name, field] of Object.entries(TOY.fields)) {
    if (APART.has(name)) continue;
    const count = field.kind === 'array' ? field.length : 1;
    for (let n = 0; n < count; n++) {
      const wide = field.kind === 'array' || field.size === 8;
      const [x, y] = [ours, right].map((state) => (wide ? state.get64(name, n) : BigInt(state.get32(name, n))));
      if (x !== y) lines.push(`${name}[${n}]: jit ${x.toString(16)}, reference ${y.toString(16)}`);
    }
  }
  return lines;
}

function compare(
  seed: number,
  limit: number,
): { readonly lines: string[]; readonly regions: number; readonly retired: number } {
  const random = new Random(seed);
  const boards = [new Device(), new Device()];
  const jit = new JitAccelerator(options(boards[0]));
  const reference = ReferenceAccelerator.create(options(boards[1]));
  const { code, handler } = program(random);
  const vectors = new Uint8Array(8);
  new DataView(vectors.buffer).setBigUint64(0, BigInt(handler), true);
  for (const accelerator of [jit, reference]) {
    const { space } = accelerator;
    mapAll(space);
    accelerator.ram.set(code);
    accelerator.ram.set(vectors, VECTOR);
    const { host, size } = space.area('rom');
    space.bytes.subarray(host, host + size).set(code.subarray(0x1000, 0x2000), 0);
    accelerator.written(0, LIMIT);
    const [{ state }] = accelerator.vcpus;
    state.set64('vector', BigInt(VECTOR));
    state.set64('r', BigInt(STACK), 6);
    state.set64('r', BigInt(seed & 1), 7);
  }
  const ours = jit.vcpus[0];
  const right = reference.vcpus[0];
  const done = (lines: string[]) => ({ lines, regions: jit.regions.compiled, retired: ours.instructions });
  while (ours.instructions < limit) {
    if (random.between(0, 9) === 0) for (const { state } of [ours, right]) state.setLine(0, true);
    const before = ours.instructions;
    const slice = random.weighted([
      [1, 1],
      [2, random.between(2, 60)],
      [4, random.between(100, 3000)],
    ]);
    const halted = ours.run(slice).kind === 'halt';
    let steps = 0;
    while (right.instructions < ours.instructions && steps++ < 20000) right.step();
    let lines = differences(ours.state, right.state);
    for (let n = 0; n < 4000 && lines.length > 0 && right.instructions === ours.instructions; n++) {
      right.step();
      if (right.instructions !== ours.instructions) break;
      lines = differences(ours.state, right.state);
    }
    if (lines.length === 0 && Buffer.compare(jit.ram, reference.ram) !== 0) {
      const at = jit.ram.findIndex((byte, n) => byte !== reference.ram[n]);
      lines = [`RAM at 0x${at.toString(16)}: jit ${jit.ram[at]}, reference ${reference.ram[at]}`];
    }
    if (
      lines.length === 0 &&
      Buffer.compare(Buffer.from(boards[0].bytes.buffer), Buffer.from(boards[1].bytes.buffer)) !== 0
    )
      lines = ['the device differs'];
    if (lines.length > 0)
      return done([`seed ${seed}, between instructions ${before} and ${ours.instructions}`, ...lines]);
    if (halted || ours.instructions === before) break;
  }
  return done([]);
}

test('random programs', (t) => {
  const seed = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${seed}`);
  let regions = 0;
  let retired = 0;
  const count = Number(process.env.TRAPFRAME_COUNT ?? 12);
  for (let n = 0; n < count; n++) {
    const result = compare(seed + n, 40_000);
    assert.deepEqual(result.lines, []);
    regions += result.regions;
    retired += result.retired;
  }
  t.diagnostic(`${regions} regions, ${retired} instructions`);
  assert.ok(regions > 0);
});
