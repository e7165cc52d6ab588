/**
 * The state of a processor as text, in the layout of QEMU's `info registers` and `-d int` (x86_cpu_dump_state of
 * QEMU 7.2). Departure: CCS always holds the flags themselves, which QEMU has only after it has computed them.
 */
import type { StateAccess } from '../isa.ts';
import { readEflags } from './cpu.ts';
import { Attr, Cr0, Efer, Eflags, Seg, Shadow } from './state.ts';

const SYSTEM_TYPES = [
  ...['Reserved', 'TSS16-avl', 'LDT', 'TSS16-busy', 'CallGate16', 'TaskGate', 'IntGate16', 'TrapGate16'],
  ...['Reserved', 'TSS32-avl', 'Reserved', 'TSS32-busy', 'CallGate32', 'Reserved', 'IntGate32', 'TrapGate32'],
];
const LONG_SYSTEM_TYPES = [
  ...['<hiword>', 'Reserved', 'LDT', 'Reserved', 'Reserved', 'Reserved', 'Reserved', 'Reserved'],
  ...['Reserved', 'TSS64-avl', 'Reserved', 'TSS64-busy', 'CallGate64', 'Reserved', 'IntGate64', 'TrapGate64'],
];
const SEGMENTS = [
  ...([
    ['ES', Seg.es],
    ['CS', Seg.cs],
    ['SS', Seg.ss],
    ['DS', Seg.ds],
    ['FS', Seg.fs],
    ['GS', Seg.gs],
  ] as const),
  ...([
    ['LDT', Seg.ldtr],
    ['TR', Seg.tr],
  ] as const),
];
const FLAGS = [
  ...([
    ['D', Eflags.df],
    ['O', Eflags.of],
    ['S', Eflags.sf],
    ['Z', Eflags.zf],
  ] as const),
  ...([
    ['A', Eflags.af],
    ['P', Eflags.pf],
    ['C', Eflags.cf],
  ] as const),
];

export const hex = (value: bigint | number, digits: number): string =>
  BigInt.asUintN(4 * digits, BigInt(value))
    .toString(16)
    .padStart(digits, '0');

function segment(state: StateAccess, name: string, seg: number, digits: number): string {
  const attr = state.get32('segAttr', seg);
  const wholeLimit = state.get32('segLimit', seg);
  const stored = attr & Attr.granular ? wholeLimit >>> 12 : wholeLimit;
  const flags = attr & Attr.unusable ? 0 : ((attr & 0xf0ff) << 8) | (stored & 0xf_0000);
  const selector = hex(state.get32('segSelector', seg), 4);
  const limit = hex(wholeLimit, 8);
  const text = `${name.padEnd(3)}=${selector} ${hex(state.get64('segBase', seg), digits)} ${limit} ${hex(flags, 8)}`;
  const isProtected = (state.get64('cr0') & BigInt(Cr0.pe)) !== 0n;
  if (!isProtected || attr & Attr.unusable || !(attr & Attr.present)) return text;
  const long = (state.get64('efer') & BigInt(Efer.lma)) !== 0n;
  const dpl = `${text} DPL=${(attr & Attr.dpl) >> 5} `;
  if (!(attr & Attr.s)) return dpl + (long ? LONG_SYSTEM_TYPES : SYSTEM_TYPES)[attr & Attr.type];
  const isCode = (attr & Attr.code) !== 0;
  const size = attr & Attr.big ? '32' : '16';
  const kind = isCode ? `CS${attr & Attr.long ? '64' : size}` : attr & Attr.big || long ? 'DS  ' : 'DS16';
  const marks = [
    attr & Attr.conforming ? (isCode ? 'C' : 'E') : '-',
    attr & Attr.writable ? (isCode ? 'R' : 'W') : '-',
    attr & Attr.accessed ? 'A' : '-',
  ];
  return `${dpl}${kind} [${marks.join('')}]`;
}

/** Lines, each with its end. `pc`: linear, where it stands in the state is not up to date. */
export function stateText(state: StateAccess, pc: bigint = state.get64('pc')): string {
  const is64 = (state.get32('segAttr', Seg.cs) & Attr.long) !== 0 && (state.get64('efer') & BigInt(Efer.lma)) !== 0n;
  const digits = is64 ? 16 : 8;
  const gpr = (name: string, n: number) => `${name}=${hex(state.get64('gpr', n), digits)}`;
  const row = (names: readonly string[], from: readonly number[]) =>
    names.map((name, i) => gpr(name, from[i])).join(' ');
  const letter = is64 ? 'R' : 'E';
  const named = (...names: string[]) => names.map((name) => letter + name);
  const lines = [row(named('AX', 'BX', 'CX', 'DX'), [0, 3, 1, 2]), row(named('SI', 'DI', 'BP', 'SP'), [6, 7, 5, 4])];
  if (is64)
    for (const n of [8, 12])
      lines.push(
        row(
          [0, 1, 2, 3].map((i) => `R${n + i}`.padEnd(3)),
          [n, n + 1, n + 2, n + 3],
        ),
      );
  const eflags = Number(readEflags(state) & 0xffff_ffffn);
  const marks = FLAGS.map(([mark, bit]) => (eflags & bit ? mark : '-')).join('');
  const ip = is64 ? pc : pc - state.get64('segBase', Seg.cs);
  const modes = [
    `CPL=${state.get32('cpl')}`,
    `II=${state.get32('shadow') === Shadow.none ? 0 : 1}`,
    `A20=${(state.get64('a20') >> 20n) & 1n}`,
    `SMM=${state.get32('inSmm')}`,
    `HLT=${state.get32('waiting')}`,
  ];
  lines.push(`${letter}IP=${hex(ip, digits)} ${letter}FL=${hex(eflags, 8)} [${marks}] ${modes.join(' ')}`);
  for (const [name, seg] of SEGMENTS) lines.push(segment(state, name, seg, digits));
  lines.push(`GDT=     ${hex(state.get64('gdtBase'), digits)} ${hex(state.get32('gdtLimit'), 8)}`);
  lines.push(`IDT=     ${hex(state.get64('idtBase'), digits)} ${hex(state.get32('idtLimit'), 8)}`);
  const control = (n: 2 | 3 | 4) => `CR${n}=${hex(state.get64(`cr${n}`), n === 4 ? 8 : digits)}`;
  lines.push(`CR0=${hex(state.get64('cr0'), 8)} ${control(2)} ${control(3)} ${control(4)}`);
  lines.push([0, 1, 2, 3].map((n) => `DR${n}=${hex(state.get64('dr', n), 16)} `).join(''));
  lines.push(`DR6=${hex(state.get64('dr6'), 16)} DR7=${hex(state.get64('dr7'), 16)}`);
  lines.push(`CCS=${hex(eflags & Eflags.arithmetic, digits)} CCD=${hex(0, digits)} CCO=EFLAGS`);
  lines.push(`EFER=${hex(state.get64('efer'), 16)}`);
  return lines.map((line) => `${line}\n`).join('');
}
