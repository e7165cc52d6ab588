/** All registers: through KVM's structures, and through a vCPU of the kernel's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DebugRegs, Events, Regs, Sregs, Sregs2, Xcrs, XSAVE_BYTES } from '../../src/accel/kvm/x86/abi-x86.ts';
import { decodeDebugRegs, decodeXcrs, encodeDebugRegs, encodeXcrs } from '../../src/accel/kvm/x86/debug.ts';
import { decodeEvents, encodeEvents } from '../../src/accel/kvm/x86/events.ts';
import { decodeXsave, encodeXsave } from '../../src/accel/kvm/x86/fpu.ts';
import { decodeMsrs, encodeMsrs, MSR_FIELDS, msrBytes } from '../../src/accel/kvm/x86/msrs.ts';
import { decodeRegs, decodeSregs, encodeRegs, encodeSregs } from '../../src/accel/kvm/x86/registers.ts';
import type { CpuState } from '../../src/accel/cpu-state.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { Seg } from '../../src/isa/x86/state.ts';
import { Random } from '../differential/random.ts';
import { KINDS, makeStates, randomState, showDifferences, stateDifferences } from './x86-states.ts';

const seed = testSeed(process.env);
const PKRU_AT = 2688;

/** From one state to another by way of all structures. */
function throughStructures(from: CpuState, to: CpuState, second: boolean): void {
  const area = (size: number) => new DataView(new ArrayBuffer(size));
  const [sregs, regs, xsave, xcrs, debug, events, msrs] = [
    second ? Sregs2.size : Sregs.size,
    Regs.size,
    XSAVE_BYTES,
    Xcrs.size,
    DebugRegs.size,
    Events.size,
    msrBytes(MSR_FIELDS.length),
  ].map(area);
  const shape = { components: 7, pkru: PKRU_AT };
  encodeSregs(from, sregs, second);
  encodeRegs(from, regs);
  encodeXsave(from, xsave, shape);
  encodeXcrs(from, xcrs);
  encodeMsrs(from, MSR_FIELDS, msrs);
  encodeDebugRegs(from, debug);
  encodeEvents(from, events, true);
  decodeSregs(sregs, to, second);
  decodeRegs(regs, to);
  decodeXsave(xsave, to, shape);
  decodeXcrs(xcrs, to);
  decodeMsrs(msrs, MSR_FIELDS, to);
  decodeDebugRegs(debug, to);
  decodeEvents(events, to, true);
}

test(`states go through KVM's structures and come back (TRAPFRAME_SEED=${seed})`, () => {
  const random = new Random(seed);
  const { states } = makeStates(2);
  const [from, to] = states;
  for (let n = 0; n < 400; n++) {
    const kind = KINDS[n % KINDS.length];
    randomState(from, random, kind);
    // What was there before must not shine through.
    randomState(to, random, random.pick(KINDS));
    to.set32('lines', 0);
    const second = kind === 'pae' || random.chance(0.5);
    if (!second) for (let k = 0; k < 4; k++) to.set64('pdpte', from.get64('pdpte', k), k);
    throughStructures(from, to, second);
    if (kind !== 'pae') for (let k = 0; k < 4; k++) to.set64('pdpte', from.get64('pdpte', k), k);
    assert.equal(showDifferences(stateDifferences(from, to)), '', `case ${n}, ${kind}`);
    assert.equal(to.get32('pkru'), from.get32('pkru'));
    assert.equal(to.get64('pkrs'), from.get64('pkrs'));
  }
});

test('the selectors of the last x87 instruction stay as long as its pointers', () => {
  const { states } = makeStates(1);
  const [state] = states;
  state.reset();
  state.set64('fip', 0x1234n);
  state.set32('fcs', 0x23);
  const area = new DataView(new ArrayBuffer(XSAVE_BYTES));
  const shape = { components: 7, pkru: undefined };
  encodeXsave(state, area, shape);
  decodeXsave(area, state, shape);
  assert.equal(state.get32('fcs'), 0x23);
  area.setBigUint64(8, 0x5678n, true);
  decodeXsave(area, state, shape);
  assert.deepEqual([state.get64('fip'), state.get32('fcs')], [0x5678n, 0]);
});

test('components that are in their initial state have it, whatever the area holds', () => {
  const { states } = makeStates(1);
  const [state] = states;
  const random = new Random(seed);
  randomState(state, random, 'long');
  const area = new DataView(new ArrayBuffer(XSAVE_BYTES));
  const shape = { components: 7, pkru: PKRU_AT };
  encodeXsave(state, area, shape);
  area.setBigUint64(512, 0n, true);
  decodeXsave(area, state, shape);
  assert.deepEqual(
    [state.get32('fcw'), state.get32('ftag'), state.get32('mxcsr'), state.get32('pkru')],
    [0x37f, 0xffff, 0x1f80, 0],
  );
  for (let n = 0; n < 32; n++) assert.deepEqual([state.get64('xmm', n), state.get64('ymmh', n)], [0n, 0n]);
});

test('a fault that is being delivered is forgotten, a trap and an interrupt are not', () => {
  const { states } = makeStates(1);
  const [state] = states;
  state.reset();
  const events = new DataView(new ArrayBuffer(Events.size));
  const { exception, interrupt, nmi } = Events;
  events.setUint8(exception.pending, 1);
  events.setUint8(exception.nr, 14);
  events.setUint8(interrupt.injected, 1);
  events.setUint8(interrupt.soft, 1);
  events.setUint8(interrupt.nr, 0x80);
  decodeEvents(events, state, true);
  assert.deepEqual([state.get32('pendingDebug'), state.get32('accepted'), state.get32('attention')], [0, 0, 0]);
  events.setUint8(interrupt.soft, 0);
  events.setUint8(nmi.injected, 1);
  events.setUint8(nmi.masked, 1);
  events.setUint8(exception.nr, 1);
  state.set64('dr6', 0xffff_4ff0n);
  decodeEvents(events, state, true);
  assert.deepEqual([state.get32('pendingDebug'), state.get32('accepted')], [0x4000, 0x180]);
  assert.deepEqual([state.get32('nmiBlocked'), state.get32('lines') & 2, state.get32('attention')], [0, 2, 1]);
});

test('segments stand where the kernel has them', () => {
  const { states } = makeStates(1);
  const [state] = states;
  state.reset();
  const area = new DataView(new ArrayBuffer(Sregs.size));
  // struct kvm_sregs: cs, ds, es, fs, gs, ss, tr, ldt.
  const order = [Seg.cs, Seg.ds, Seg.es, Seg.fs, Seg.gs, Seg.ss, Seg.tr, Seg.ldtr];
  order.forEach((seg, n) => {
    state.set32('segSelector', 0x100 + n, seg);
  });
  encodeSregs(state, area, false);
  assert.deepEqual(
    order.map((_, n) => area.getUint16(n * 24 + 12, true)),
    order.map((_, n) => 0x100 + n),
  );
});
