/**
 * Registers given to a vCPU of the kernel's and taken back: KVM keeps them, but
 * for what is listed here with its reason. And what a guest does is seen.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CpuState } from '../../src/accel/cpu-state.ts';
import { ExitReason, Run } from '../../src/accel/kvm/abi.ts';
import { CPUID_SIGNIFICANT_INDEX } from '../../src/accel/kvm/x86/abi-x86.ts';
import { kvmCpuOffer, shownCpuid } from '../../src/accel/kvm/x86/cpuid.ts';
import { readTsc } from '../../src/accel/kvm/x86/vcpu-registers.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { Eflags } from '../../src/isa/x86/state.ts';
import { rateBits, timeStamp } from '../../src/isa/x86/time-stamp.ts';
import { cpuid } from '../../src/isa/x86/cpuid/cpuid.ts';
import { EMULATED, WORDS } from '../../src/isa/x86/cpuid/features.ts';
import { cpuidOptions } from '../../src/machine/x86-cpu.ts';
import { Random } from '../differential/random.ts';
import { begin, environment, type ModeName } from '../differential/x86-system/environment.ts';
import { skip } from './real-mode.ts';
import { type Difference, KINDS, type Kind, makeStates, randomState, stateDifferences } from './x86-states.ts';
import { X86Vm } from './x86-vm.ts';

const seed = testSeed(process.env);
const CODE = 0x8000;
/** Leaves and how many subleaves. */
const LEAVES: readonly (readonly [number, number])[] = [
  ...[0, 1, 2, 5, 6, 7].map((leaf) => [leaf, 1] as const),
  [4, 5],
  [0xb, 3],
  [0xd, 3],
  [0x20, 1],
  ...[0, 1, 0x10, 0x20].map((leaf) => [0x4000_0000 + leaf, 1] as const),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 0x30].map((leaf) => [0x8000_0000 + leaf, 1] as const),
];

/** What some KVM changes, and why. Nothing else may differ. */
const CHANGES: readonly { readonly why: string; readonly is: (d: Difference, kind: Kind) => boolean }[] = [
  {
    why: 'kvm_pvm: there is no paging but that of long mode: CR0.PG is dropped',
    is: ({ field, wanted, found }, kind) =>
      field === 'cr0' && (wanted ^ found) === 0x8000_0000n && !['compatibility', 'long', 'user'].includes(kind),
  },
  {
    why: 'kvm_pvm: without PAE paging nobody keeps its page-directory-pointer table',
    is: ({ field }, kind) => field.startsWith('pdpte') && kind === 'pae',
  },
  {
    why: 'kvm_pvm: there is no virtual-8086 mode: EFLAGS.VM is dropped',
    is: ({ field, wanted, found }, kind) =>
      kind === 'v86' && field === 'eflags' && (wanted ^ found) === BigInt(Eflags.vm),
  },
];

function roundTrips(sync: boolean): Set<string> {
  const { space, states } = makeStates(2);
  const [from, to] = states;
  const vm = new X86Vm(space, from, sync);
  const found = new Set<string>();
  try {
    const random = new Random(seed);
    for (let n = 0; n < 160; n++) {
      const kind = KINDS[n % KINDS.length];
      randomState(from, random, kind);
      const lines = from.get32('lines');
      // What KVM does not keep is another state's.
      to.reset();
      vm.arch.load(vm.vcpu, from);
      from.set32('lines', lines);
      if (sync) assert.equal(vm.settle(), 4);
      vm.arch.store(vm.vcpu, to);
      for (const difference of stateDifferences(from, to)) {
        const { field, wanted, found: now } = difference;
        const known = CHANGES.find(({ is }) => is(difference, kind));
        assert.ok(known, `case ${n}, ${kind}: ${field}: 0x${wanted.toString(16)} became 0x${now.toString(16)}`);
        found.add(known.why);
      }
    }
    assert.deepEqual([...vm.arch.msrs(vm.vcpu).refused], []);
  } finally {
    vm.close();
  }
  return found;
}

test(`KVM keeps all registers that it is given (TRAPFRAME_SEED=${seed})`, { skip }, (t) => {
  for (const why of roundTrips(false)) t.diagnostic(why);
});

test(`the same through kvm_run (TRAPFRAME_SEED=${seed})`, { skip }, (t) => {
  for (const why of roundTrips(true)) t.diagnostic(why);
});

/** Runs code at CODE in a mode, from what `prepare` makes of the state, to its HLT; gives the state then. */
function run(mode: ModeName, code: readonly number[], prepare: (state: CpuState) => void = () => {}): CpuState {
  const { space, states } = makeStates(2);
  const [state, after] = states;
  const vm = new X86Vm(space, state, true);
  try {
    space.ramBytes().set(environment(mode, false));
    space.ramBytes().set(code, CODE);
    begin(state, mode);
    state.pc = BigInt(CODE);
    state.set64('gpr', 0x7000n, 4);
    prepare(state);
    assert.equal(vm.arch.cannotRun(state), undefined);
    vm.arch.load(vm.vcpu, state);
    vm.vcpu.alarm(2000);
    const errno = vm.vcpu.enter();
    vm.vcpu.alarm(Infinity);
    const reason = vm.vcpu.run.getUint32(Run.exitReason, true);
    assert.deepEqual([errno, reason], [0, ExitReason.hlt], `${mode}: exit ${reason}`);
    vm.arch.store(vm.vcpu, after);
    return after;
  } finally {
    vm.close();
  }
}

test('a guest runs from a state, in each mode that KVM here has', { skip }, () => {
  const HLT = 0xf4;
  // mov si, cs; inc ax; hlt
  const real = run('real', [0x8c, 0xce, 0x40, HLT], (state) => state.set64('gpr', 0x1234n, 0));
  assert.deepEqual([real.get64('gpr', 0) & 0xffffn, real.pc], [0x1235n, BigInt(CODE + 4)]);
  // mov esi, cs; inc eax; hlt
  const flat = run('flat32', [0x8c, 0xce, 0x40, HLT], (state) => state.set64('gpr', 0xffff_ffffn, 0));
  assert.deepEqual([flat.get64('gpr', 0), flat.get64('gpr', 6), flat.get32('cpl')], [0n, 0x28n, 0]);
  // mov rsi, cs; inc rax; hlt
  const long = run('long', [0x48, 0x8c, 0xce, 0x48, 0xff, 0xc0, HLT], (state) => state.set64('gpr', 1n << 40n, 0));
  assert.deepEqual([long.get64('gpr', 0), long.get64('gpr', 6), long.pc], [(1n << 40n) + 1n, 0x28n, BigInt(CODE + 7)]);
});

test('an interrupt that was accepted, and a trap that waits, are delivered by KVM', { skip }, () => {
  const accepted = run('long', [0x90, 0xf4], (state) => {
    state.set32('accepted', 0x100 | 0x40);
    state.set32('eflags', state.get32('eflags') | Eflags.if);
    // Where the handler of `environment` stands, HLT.
    state.space.ramBytes().set([0xf4], 0x4000);
  });
  assert.deepEqual([accepted.pc, accepted.get32('accepted')], [0x4001n, 0]);
  const trapped = run('long', [0x90, 0xf4], (state) => {
    state.set32('pendingDebug', 0x4000);
    state.space.ramBytes().set([0xf4], 0x4000);
  });
  assert.deepEqual([trapped.pc, trapped.get64('dr6'), trapped.get32('pendingDebug')], [0x4001n, 0xffff_4ff0n, 0]);
});

test('the processor that KVM shows is the one that was asked for, but for what KVM adds', { skip }, () => {
  const { space, states } = makeStates(1);
  const [state] = states;
  state.reset();
  const vm = new X86Vm(space, state, false);
  const kvm = openKvm();
  try {
    const offer = kvmCpuOffer(kvm);
    for (const name of offer.features) assert.ok(EMULATED.has(name), name);
    for (const name of offer.forced) assert.ok(offer.features.has(name) && vm.cpu.features.has(name), name);
    const beyond = new Set(offer.beyond.map((name) => `+${name}`));
    for (const change of vm.arch.changes) assert.ok(beyond.has(change) || change === '+ht', change);
    const shown = shownCpuid(vm.vcpu);
    const { family, model, stepping } = vm.cpu.model;
    const leaf1 = shown.find(({ leaf }) => leaf === 1)?.registers[0] ?? 0;
    assert.deepEqual([(leaf1 >> 8) & 15, leaf1 & 15], [Math.min(15, family), stepping], `model ${model}`);
    assert.ok(
      CPUID_SIGNIFICANT_INDEX === 1 && shown.filter(({ leaf }) => leaf === 0xd).every(({ indexed }) => indexed),
    );
  } finally {
    kvm.close();
    vm.close();
  }
});

test('CPUID in a guest of KVM is CPUID in the emulator, leaf by leaf, but for what KVM adds', { skip }, (t) => {
  const { space, states } = makeStates(1);
  const [state] = states;
  for (const model of ['max', 'Nehalem', 'EPYC']) {
    const vm = new X86Vm(space, state, false, model);
    try {
      const options = cpuidOptions(vm.cpu, 0, 1);
      const differ: string[] = [];
      space.ramBytes().set([0x0f, 0xa2, 0xf4], CODE); // cpuid; hlt
      for (const [leaf, subleaves] of LEAVES)
        for (let subleaf = 0; subleaf < subleaves; subleaf++) {
          begin(state, 'real');
          state.pc = BigInt(CODE);
          state.set64('gpr', BigInt(leaf), 0);
          state.set64('gpr', BigInt(subleaf), 1);
          const ours = cpuid(options, state, leaf, subleaf).map((word) => word >>> 0);
          vm.arch.load(vm.vcpu, state);
          assert.equal(vm.vcpu.enter(), 0);
          vm.arch.store(vm.vcpu, state);
          const kvms = [0, 3, 1, 2].map((n) => Number(state.get64('gpr', n)));
          ours.forEach((word, n) => {
            // What an area of all components takes, and no more features than KVM adds.
            if (leaf === 1 && n > 1) compareFeatures(leaf, subleaf, n as 2 | 3, word, kvms[n]);
            else if (leaf === 7 && n > 0) compareFeatures(leaf, subleaf, n as 1 | 2 | 3, word, kvms[n]);
            else if (leaf === 0xd && subleaf === 1 && n === 0) compareFeatures(leaf, 1, 0, word, kvms[n]);
            else if (word !== kvms[n] && !(leaf === 0xd && subleaf < 2 && n > 0))
              differ.push(`${leaf.toString(16)}/${subleaf} ${'abcd'[n]}: ${word.toString(16)} ${kvms[n].toString(16)}`);
          });
        }
      assert.deepEqual(differ, [], model);

      function compareFeatures(leaf: number, subleaf: number, register: 0 | 1 | 2 | 3, word: number, kvms: number) {
        const names = WORDS.find((w) => w.leaf === leaf && w.subleaf === subleaf && w.register === register)?.names;
        for (let bit = 0; bit < 32; bit++) {
          if (((word ^ kvms) & (1 << bit)) === 0) continue;
          const name = names?.[bit] ?? '-';
          const why = `${model} ${leaf.toString(16)} ${'abcd'[register]} bit ${bit} ${name}`;
          assert.ok(kvms & (1 << bit) && vm.arch.changes.includes(`+${name}`), why);
          t.diagnostic(`KVM adds: ${why}`);
        }
      }
    } finally {
      vm.close();
    }
  }
});

test('time-stamp counters go on from the machine’s clock and back, and never back in time', { skip }, (t) => {
  const { space, states } = makeStates(2);
  const [state] = states;
  const vm = new X86Vm(space, state, false);
  try {
    state.reset();
    state.set64('tscRate', rateBits(vm.cpu.tscHz));
    state.set64('tscOffset', 0x1_0000_0000n);
    vm.arch.load(vm.vcpu, state);
    let passed = 5e9;
    let last = performance.now();
    const now = () => {
      const ms = performance.now();
      passed += (ms - last) * 1e6;
      last = ms;
      return passed;
    };
    const pairs = [{ vcpu: vm.vcpu, state }];
    const settable = vm.arch.loadTime(pairs, now);
    if (!settable) t.diagnostic('kvm_pvm: the counter is the host’s and cannot be set; the machine’s follows it');
    let before = 0n;
    for (let n = 0; n < 6; n++) {
      const emulated = timeStamp(state, now());
      assert.ok(emulated >= before, `leaving KVM: ${emulated - before}`);
      assert.equal(vm.arch.loadTime(pairs, now), settable || n !== 4);
      const first = readTsc(vm.vcpu);
      assert.ok(settable ? first >= emulated : n === 4 || first >= emulated, `entering KVM: ${first - emulated}`);
      // No more than a slow host's delay.
      if (settable || n !== 4) assert.ok(first - emulated < BigInt(vm.cpu.tscHz) / 20n, `${first - emulated} ticks`);
      vm.settle();
      before = readTsc(vm.vcpu);
      vm.arch.storeTime(pairs, now);
      if (n === 3) passed += 60e9; // a minute elsewhere
    }
  } finally {
    vm.close();
  }
});

test('what is asked of KVM before a state is given to it', { skip }, () => {
  const { space, states } = makeStates(1);
  const [state] = states;
  const vm = new X86Vm(space, state, false);
  try {
    begin(state, 'paged32');
    const { limits } = vm.arch;
    assert.equal(vm.arch.cannotRun(state), limits.paging ? 'paging-outside-long-mode' : undefined);
    begin(state, 'long');
    assert.equal(vm.arch.cannotRun(state), undefined);
    state.set32('shadow', 2);
    state.set32('pendingDebug', 0x4000);
    assert.equal(vm.arch.cannotRun(state), 'trap-behind-stack-load');
  } finally {
    vm.close();
  }
});
