/** Random states of an x86 CPU that a processor could be in, and their comparison in all that KVM holds. */
import { CpuState } from '../../src/accel/cpu-state.ts';
import { Space } from '../../src/accel/space.ts';
import { readEflags, writeEflags } from '../../src/isa/x86/cpu.ts';
import { isa } from '../../src/isa/x86/isa.ts';
import { ACCEPTED, Attr, Cr0, Cr4, Efer, Eflags, Line, Seg, X86_CPU } from '../../src/isa/x86/state.ts';
import type { Random } from '../differential/random.ts';

export const KINDS = ['real', 'v86', 'protected16', 'protected32', 'pae', 'compatibility', 'long', 'user'] as const;
export type Kind = (typeof KINDS)[number];

const STRIDE = 4096;
export const MEMORY = 0x10_0000;

/** CPU states beside each other on a space. */
export function makeStates(count: number): { readonly space: Space; readonly states: CpuState[] } {
  const space = new Space(STRIDE * (count + 1), { ramBase: 0, ramSize: MEMORY });
  return { space, states: Array.from({ length: count }, (_, n) => new CpuState(isa, space, n, STRIDE * (n + 1))) };
}

const canonical = (value: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(48, value));
/** Memory types that exist. */
const memoryType = (random: Random): bigint => random.pick([0n, 1n, 4n, 5n, 6n]);
const types = (random: Random): bigint =>
  Array.from({ length: 8 }, () => memoryType(random)).reduce((all, type) => (all << 8n) | type, 0n);

function segments(state: CpuState, random: Random, kind: Kind, cpl: number): void {
  const selectors = kind === 'real' || kind === 'v86';
  const long = kind === 'long' || kind === 'user';
  for (let seg = 0; seg < 8; seg++) {
    const selector = random.below(0x10000);
    state.set32('segSelector', selector, seg);
    if (selectors && seg < Seg.ldtr) {
      state.set64('segBase', BigInt(selector) << 4n, seg);
      state.set32('segLimit', 0xffff, seg);
      const code = seg === Seg.cs && kind === 'real' ? Attr.code : 0;
      const dpl = kind === 'v86' ? Attr.dpl : 0;
      state.set32('segAttr', Attr.s | Attr.present | Attr.writable | Attr.accessed | code | dpl, seg);
      continue;
    }
    const granular = random.chance(0.5);
    const limit = random.below(0x10_0000);
    state.set32('segLimit', granular ? ((limit << 12) | 0xfff) >>> 0 : limit, seg);
    const wide = (seg === Seg.fs || seg === Seg.gs || seg >= Seg.ldtr) && (long || kind === 'compatibility');
    state.set64('segBase', wide ? canonical(random.u64()) : BigInt(random.u32()), seg);
    let attr = (granular ? Attr.granular : 0) | (random.chance(0.5) ? Attr.avl : 0) | Attr.present;
    if (seg === Seg.ldtr) attr |= 2;
    else if (seg === Seg.tr) attr |= 11;
    else {
      const size = seg === Seg.cs && long ? Attr.long : kind === 'protected16' ? 0 : Attr.big;
      attr |= Attr.s | Attr.accessed | size | (seg === Seg.cs || seg === Seg.ss ? cpl << 5 : random.below(4) << 5);
      attr |= seg === Seg.cs ? Attr.code | Attr.writable : Attr.writable;
    }
    const none = seg === Seg.ldtr || (seg !== Seg.cs && seg < Seg.ldtr && (seg !== Seg.ss || (long && cpl < 3)));
    if (none && random.chance(0.2)) {
      attr = Attr.unusable | (seg === Seg.ss ? cpl << 5 : 0);
      state.set32('segLimit', 0, seg);
    }
    state.set32('segAttr', attr, seg);
  }
}

/** Control registers in which a processor of ours, and every KVM, can be in this kind of mode. */
function control(state: CpuState, random: Random, kind: Kind): void {
  const some = (bits: number): number => bits & random.u32();
  const long = kind === 'long' || kind === 'user' || kind === 'compatibility';
  let cr0 = Cr0.et | Cr0.ne | some(Cr0.mp | Cr0.ts | Cr0.wp | Cr0.am);
  if (kind !== 'real') cr0 |= Cr0.pe;
  const paging = kind !== 'real' && (long || kind === 'pae' || random.chance(0.5));
  let cr4 = some(Cr4.tsd | Cr4.de | Cr4.pse | Cr4.mce | Cr4.pge | Cr4.osxmmexcpt) | Cr4.osfxsr | Cr4.osxsave;
  if (long || kind === 'pae') cr4 |= Cr4.pae;
  state.set64('cr0', BigInt(cr0) | (paging ? BigInt(Cr0.pg) : 0n));
  state.set64('cr2', long ? random.u64() : BigInt(random.u32()));
  // Tables in memory, which is empty there.
  state.set64('cr3', BigInt(random.below(MEMORY / 4096)) << 12n);
  state.set64('cr4', BigInt(cr4));
  state.set64('efer', BigInt(some(Efer.sce) | (long ? Efer.lme | Efer.lma | some(Efer.nxe) : some(Efer.nxe))));
  for (let n = 0; n < 4; n++)
    state.set64('pdpte', kind === 'pae' ? (BigInt(random.below(0x80)) << 12n) | BigInt(random.below(2)) : 0n, n);
  state.set64('xcr0', random.pick([1n, 3n, 7n]));
}

function units(state: CpuState, random: Random): void {
  for (let n = 0; n < 32; n++) {
    state.set64('xmm', random.float(), n);
    state.set64('ymmh', random.float(), n);
  }
  for (let n = 0; n < 8; n++) {
    state.set64('fpr', random.u64(), 2 * n);
    state.set64('fpr', BigInt(random.below(0x10000)), 2 * n + 1);
    const tag = random.chance(0.5) ? 3 : 0;
    state.set32('ftag', (state.get32('ftag') & ~(3 << (2 * n))) | (tag << (2 * n)));
  }
  state.set32('mxcsr', random.below(0x10000));
  state.set32('fcw', 0x40 | (random.u32() & 0x1f3f));
  // An exception that waits is summed up.
  const raised = random.below(0x40);
  const waits = raised & ~state.get32('fcw') & 0x3f ? 0x8080 : 0;
  state.set32('fsw', raised | waits | (random.u32() & 0x4740));
  state.set32('ftop', random.below(8));
  state.set32('fop', random.below(0x800));
  state.set64('fip', canonical(random.u64()));
  state.set64('fdp', canonical(random.u64()));
  state.set32('pkru', random.u32());
}

function modelSpecific(state: CpuState, random: Random): void {
  for (const name of ['lstar', 'cstar', 'kernelGsBase', 'sysenterEsp', 'sysenterEip'])
    state.set64(name, canonical(random.u64()));
  state.set64('star', random.u64());
  state.set64('fmask', BigInt(random.u32()));
  state.set64('sysenterCs', BigInt(random.below(0x10000)));
  state.set64('tscAux', BigInt(random.u32()));
  state.set64('pkrs', BigInt(random.u32()));
  state.set64('tscOffset', random.u64());
  state.set64('pat', types(random));
  state.set64('mtrrDefType', memoryType(random) | BigInt(random.below(4) << 10));
  for (let n = 0; n < 11; n++) state.set64('mtrrFixed', types(random), n);
  for (let n = 0; n < 8; n++) {
    state.set64('mtrrBase', (BigInt(random.u32() & 0xf_ffff) << 12n) | memoryType(random), n);
    state.set64('mtrrMask', (BigInt(random.u32() & 0xf_ffff) << 12n) | BigInt(random.below(2) << 11), n);
  }
}

function underWay(state: CpuState, random: Random): void {
  for (let n = 0; n < 4; n++) state.set64('dr', canonical(random.u64()), n);
  state.set64('dr6', BigInt(0xffff_0ff0) | BigInt(random.u32() & 0xe00f));
  state.set64('dr7', 0x400n | BigInt(random.u32() & 0x3ff));
  state.set32('shadow', random.pick([0, 0, 1, 2]));
  state.set32('nmiBlocked', random.below(2));
  state.set32('lines', random.chance(0.2) ? Line.nmi : 0);
  const event = random.below(5);
  if (event === 0) state.set32('pendingDebug', random.pick([1, 8, 0x4000, 0x4002, 0x8000]));
  else if (event === 1) state.set32('accepted', ACCEPTED | random.between(0x20, 0xff));
}

export function randomState(state: CpuState, random: Random, kind: Kind): void {
  state.reset();
  const cpl = kind === 'user' || kind === 'v86' ? 3 : kind === 'real' ? 0 : random.below(4);
  const wide = kind === 'long' || kind === 'user';
  for (let n = 0; n < 16; n++) state.set64('gpr', random.integer(), n);
  control(state, random, kind);
  segments(state, random, kind, cpl);
  state.set32('cpl', cpl);
  const ip = wide ? canonical(random.u64()) : BigInt(random.u32() & (kind === 'protected16' ? 0xffff : 0x7fff_ffff));
  const offset = kind === 'real' || kind === 'v86' ? ip & 0xffffn : ip;
  state.set64('pc', wide ? ip : (state.get64('segBase', Seg.cs) + offset) & 0xffff_ffffn);
  let flags = BigInt(random.u32() & (Eflags.arithmetic | Eflags.tf | Eflags.if | Eflags.df | Eflags.nt | Eflags.ac));
  flags |= BigInt(Eflags.fixed | (random.u32() & (Eflags.iopl | Eflags.id | Eflags.rf)));
  writeEflags(state, kind === 'v86' ? flags | BigInt(Eflags.vm) : flags);
  for (const name of ['gdt', 'idt']) {
    state.set64(`${name}Base`, wide ? canonical(random.u64()) : BigInt(random.u32()));
    state.set32(`${name}Limit`, random.below(0x10000));
  }
  units(state, random);
  modelSpecific(state, random);
  underWay(state, random);
}

/** Fields that KVM has no place for: derived ones, an accelerator's own, and the machine's. */
const NOT_HELD = new Set<string>(
  `ccA ccB ccC ccOp eflags mode stackMask x87On sseOn avxOn sseFast lines waiting stopped shutdown inSmm attention
   delivering lastGlobal lastShift faultAddress result result2 physicalBits cr4Missing linearBits monitor monitorArmed
   fxReserved x87Scratch a20 instret smbase xss fcs fds ftag tscRate tscSkew pkru pkrs`
    .trim()
    .split(/\s+/),
);

export interface Difference {
  readonly field: string;
  readonly wanted: bigint;
  readonly found: bigint;
}

const notEmpty = (tags: number): number =>
  [0, 1, 2, 3, 4, 5, 6, 7].filter((n) => ((tags >> (2 * n)) & 3) !== 3).reduce((all, n) => all | (1 << n), 0);

/** What differs of all that KVM holds. */
export function stateDifferences(wanted: CpuState, found: CpuState): Difference[] {
  const list: Difference[] = [];
  const compare = (field: string, a: bigint | number, b: bigint | number) => {
    if (a !== b) list.push({ field, wanted: BigInt(a), found: BigInt(b) });
  };
  for (const [name, field] of Object.entries(X86_CPU.fields)) {
    if (NOT_HELD.has(name) || field.kind === 'bytes') continue;
    const count = field.kind === 'array' ? field.length : 1;
    const wide = (field.kind === 'array' ? field.of.size : field.size) === 8;
    for (let n = 0; n < count; n++) {
      const place = count > 1 ? `${name}[${n}]` : name;
      if (wide) compare(place, wanted.get64(name, n), found.get64(name, n));
      else compare(place, wanted.get32(name, n), found.get32(name, n));
    }
  }
  compare('eflags', readEflags(wanted), readEflags(found));
  compare('ftag', notEmpty(wanted.get32('ftag')), notEmpty(found.get32('ftag')));
  compare('nmi', wanted.get32('lines') & Line.nmi, found.get32('lines') & Line.nmi);
  return list;
}

export const showDifferences = (list: readonly Difference[]): string =>
  list
    .map(({ field, wanted, found }) => `${field}: 0x${wanted.toString(16)} became 0x${found.toString(16)}`)
    .join('\n');
