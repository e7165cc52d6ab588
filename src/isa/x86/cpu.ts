/**
 * A CPU from outside: its registers by name, reset, start-up and interrupt
 * inputs.
 *
 * Spec: SDM volume 3, "Processor State After Reset", "INIT", "Typical BSP
 * Initialization Sequence" (the start-up message).
 */
import { Evaluator, type World } from '../../ir/evaluate.ts';
import type { IsaCpu, StateAccess } from '../isa.ts';
import { ccOp, flagsImage } from './flags.ts';
import { create } from '../../state/layout.ts';
import { Attr, Eflags, Seg, SEG_NAMES, X86_CPU } from './state.ts';

const GPR_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const WIDE = ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'dr6', 'dr7', 'star', 'lstar', 'cstar', 'fmask', 'xcr0'] as const;
const WIDE_ALIASES: Readonly<Record<string, string>> = { kernel_gs_base: 'kernelGsBase' };
const NARROW = ['cpl', 'mxcsr'] as const;

const NAMES: readonly string[] = [
  'rip',
  ...GPR_NAMES,
  'eflags',
  ...SEG_NAMES,
  ...SEG_NAMES.map((name) => `${name}_base`),
  ...WIDE,
  ...Object.keys(WIDE_ALIASES),
  ...NARROW,
];

const data = Attr.s | Attr.present | Attr.writable | Attr.accessed;

/** Evaluates functions that touch no memory. */
const evaluator = new Evaluator({ memory: new DataView(new ArrayBuffer(8)), cpu: 0 } as unknown as World);

/** EFLAGS as software sees it. */
export function readEflags(state: StateAccess): bigint {
  const args = [state.get32('ccOp') | 0, state.get64('ccA'), state.get64('ccB'), state.get64('ccC')];
  return (evaluator.call(flagsImage, args) as bigint) | BigInt(state.get32('eflags'));
}
export function writeEflags(state: StateAccess, value: bigint): void {
  state.set32('ccOp', ccOp('flags'));
  state.set64('ccA', value & BigInt(Eflags.arithmetic));
  state.set32('eflags', (Number(value & 0x3fffffn) & ~Eflags.arithmetic) | Eflags.fixed);
}

function setSegment(state: StateAccess, seg: number, selector: number, base: bigint, limit: number, attr: number) {
  state.set32('segSelector', selector, seg);
  state.set64('segBase', base, seg);
  state.set32('segLimit', limit, seg);
  state.set32('segAttr', attr, seg);
}

/** CS and pc as an address in real-address mode. */
function enterReal(state: StateAccess, selector: number, base: bigint, ip: bigint): void {
  setSegment(state, Seg.cs, selector, base, 0xffff, data | Attr.code);
  state.set64('pc', base + ip);
}

function resetSegments(state: StateAccess): void {
  for (const seg of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs]) setSegment(state, seg, 0, 0n, 0xffff, data);
  setSegment(state, Seg.ldtr, 0, 0n, 0xffff, Attr.present | 2);
  setSegment(state, Seg.tr, 0, 0n, 0xffff, Attr.present | 11);
}

/** What INIT leaves alone: the units' registers, MTRRs, the time-stamp counter. */
const KEPT_BY_INIT =
  /^(xmm|ymmh|fpr|fcw|fsw|ftop|ftag|fop|fip|fdp|fcs|fds|mxcsr|mtrr|pat|tsc|miscEnable|smbase|instret|physicalBits|linearBits|cr4Missing|a20|lines|attention|xcr0)/;

/** INIT: power-on but for what is kept; the processor then waits for a start-up message, or goes on at the reset vector. */
export function init(state: StateAccess, waits: boolean): void {
  const initial = create(X86_CPU) as Record<string, unknown>;
  for (const [name, field] of Object.entries(X86_CPU.fields)) {
    if (KEPT_BY_INIT.test(name) || field.kind === 'bytes') continue;
    const values = field.kind === 'array' ? (initial[name] as unknown[]) : [initial[name]];
    values.forEach((value, n) => {
      if (typeof value === 'bigint') state.set64(name, value, n);
      else state.set32(name, value as number, n);
    });
  }
  x86Cpu.reset(state, 0);
  state.set32('stopped', waits ? 1 : 0);
}

/** The start-up message: a stopped processor begins at a page of the first MiB. */
export function startUp(state: StateAccess, vector: number): void {
  if (!state.get32('stopped')) return;
  enterReal(state, vector << 8, BigInt(vector << 12), 0n);
  state.set32('stopped', 0);
  state.set32('attention', 1);
}

export const x86Cpu: IsaCpu = {
  reset(state) {
    resetSegments(state);
    enterReal(state, 0xf000, 0xffff_0000n, 0xfff0n);
    // Family 6 or 15 stands in EDX.
    state.set64('gpr', 0x600n, 2);
  },
  registerNames: () => NAMES,
  readRegister(state, name) {
    if (name === 'rip') return state.get64('pc') - (state.get32('mode') < 3 ? 0n : state.get64('segBase', Seg.cs));
    if (name === 'eflags') return readEflags(state);
    const gpr = GPR_NAMES.indexOf(name);
    if (gpr >= 0) return state.get64('gpr', gpr);
    const seg = SEG_NAMES.indexOf(name.replace(/_base$/, '') as 'cs');
    if (seg >= 0) return name.endsWith('_base') ? state.get64('segBase', seg) : BigInt(state.get32('segSelector', seg));
    if ((WIDE as readonly string[]).includes(name)) return state.get64(name);
    if (name in WIDE_ALIASES) return state.get64(WIDE_ALIASES[name]);
    if ((NARROW as readonly string[]).includes(name)) return BigInt(state.get32(name));
    return undefined;
  },
  writeRegister(state, name, value) {
    const gpr = GPR_NAMES.indexOf(name);
    const seg = SEG_NAMES.indexOf(name.replace(/_base$/, '') as 'cs');
    if (name === 'rip') state.set64('pc', value + (state.get32('mode') < 3 ? 0n : state.get64('segBase', Seg.cs)));
    else if (name === 'eflags') writeEflags(state, value);
    else if (gpr >= 0) state.set64('gpr', value, gpr);
    else if (seg >= 0 && name.endsWith('_base')) state.set64('segBase', value, seg);
    else if (seg >= 0) state.set32('segSelector', Number(value & 0xffffn), seg);
    else if ((WIDE as readonly string[]).includes(name)) state.set64(name, value);
    else if (name in WIDE_ALIASES) state.set64(WIDE_ALIASES[name], value);
    else if ((NARROW as readonly string[]).includes(name)) state.set32(name, Number(value & 0xffffffffn));
    else return false;
    return true;
  },
  setLine(state, input, level) {
    const bit = 1 << input;
    const lines = state.get32('lines');
    const next = level ? lines | bit : lines & ~bit;
    if (next === lines) return;
    state.set32('lines', next);
    if (level) state.set32('attention', 1);
  },
  /** The local APIC's timer is the board's. */
  compareTime: () => Infinity,
};
