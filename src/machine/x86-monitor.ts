/** What a monitor shows of an x86 processor: registers, page tables, its code as text. */
import type { StateVcpu } from '../accel/accelerator.ts';
import type { StateAccess } from '../isa/isa.ts';
import { Decoder, SHORT } from '../isa/x86/decode.ts';
import { hex, stateText } from '../isa/x86/dump.ts';
import { rows } from '../isa/x86/rows/index.ts';
import { Attr, Efer, Mode, Seg } from '../isa/x86/state.ts';
import type { CodeText, ProcessorText } from './api.ts';
import { disassemble } from './x86-disassembler.ts';
import { mappedPages, mappedStretches, type ReadPhysical } from './x86-page-listing.ts';

let decoder: Decoder | undefined;
/** Bits of XCR0. */
const XCR0_AVX = 4n;

/** As code at CS:RIP is decoded. */
function modeOf(state: StateAccess): number {
  const attr = state.get32('segAttr', Seg.cs);
  if (attr & Attr.long && state.get64('efer') & BigInt(Efer.lma)) return Mode.long;
  return attr & Attr.big ? Mode.flat : Mode.small;
}

/** The units' registers as `info registers` of QEMU 7.2 has them: physical x87 registers, tags as one bit each. */
function unitsText(state: StateAccess): string {
  const tags = state.get32('ftag');
  let valid = 0;
  for (let n = 0; n < 8; n++) if (((tags >>> (2 * n)) & 3) !== 3) valid |= 1 << n;
  const top = state.get32('ftop');
  const words = [
    `FCW=${hex(state.get32('fcw'), 4)}`,
    `FSW=${hex((state.get32('fsw') & ~0x3800) | (top << 11), 4)}`,
    `[ST=${top}]`,
    `FTW=${hex(valid, 2)}`,
    `MXCSR=${hex(state.get32('mxcsr'), 8)}`,
  ];
  const cells: string[] = [];
  for (let n = 0; n < 8; n++)
    cells.push(`FPR${n}=${hex(state.get64('fpr', 2 * n), 16)} ${hex(state.get64('fpr', 2 * n + 1), 4)}`);
  const lines = [words.join(' '), ...pairs(cells)];
  const count = modeOf(state) === Mode.long ? 16 : 8;
  const vector = (n: number) => {
    const name = `${n}`.padStart(2, '0');
    const low = `${hex(state.get64('xmm', 2 * n + 1), 16)} ${hex(state.get64('xmm', 2 * n), 16)}`;
    if (!(state.get64('xcr0') & XCR0_AVX)) return `XMM${name}=${low}`;
    return `YMM${name}=${hex(state.get64('ymmh', 2 * n + 1), 16)} ${hex(state.get64('ymmh', 2 * n), 16)} ${low}`;
  };
  const vectors = Array.from({ length: count }, (_, n) => vector(n));
  lines.push(...(state.get64('xcr0') & XCR0_AVX ? vectors : pairs(vectors)));
  return lines.map((line) => `${line}\n`).join('');
}

/** Where the flags come from is for logs. */
const withoutFlagsSource = (text: string): string => text.replace(/^CCS=.*\n/m, '');

const pairs = (cells: readonly string[]): string[] =>
  cells.flatMap((cell, n) => (n % 2 === 0 ? [`${cell} ${cells[n + 1]}`] : []));

export function x86Monitor(vcpu: StateVcpu, read: ReadPhysical): ProcessorText {
  const state = () => {
    vcpu.sync?.();
    return vcpu.state;
  };
  return {
    registers: () => `\nCPU#${vcpu.index}\n${withoutFlagsSource(stateText(state()))}${unitsText(state())}`,
    mem: () => mappedStretches(state(), read),
    tlb: () => mappedPages(state(), read),
    code(bytes, pc): CodeText | undefined {
      decoder ??= new Decoder(rows());
      const decoded = decoder.decode((at) => bytes[at], modeOf(state()));
      if (decoded === SHORT || 'illegal' in decoded) return undefined;
      return { length: decoded.length, ...disassemble(decoded, pc) };
    },
  };
}
