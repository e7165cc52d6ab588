/** From a program that fails to the few instructions that matter, in words. */
import { Decoder, disassemble } from '../../src/isa/riscv/decode.ts';
import { rows } from '../../src/isa/riscv/rows.ts';
import type { Unit } from './assembler.ts';
import { AREA, RAM_BASE } from './firmware.ts';
import { hex, type Mismatch, Pair, type PairOptions, runPair } from './pair.ts';
import type { Program } from './programs.ts';

const decoder = new Decoder(rows);
const CODE = AREA.code - RAM_BASE;

/** The program with some instructions made to do nothing. */
function without(program: Program, units: readonly Unit[]): Program {
  const ram = program.ram.slice();
  const view = new DataView(ram.buffer);
  for (const { at, length } of units) {
    if (length === 2) view.setUint16(CODE + at, 1, true);
    else view.setUint32(CODE + at, 0x13, true);
  }
  return { ...program, ram };
}

const fails = (program: Program, options: PairOptions): Mismatch | undefined => {
  try {
    return runPair(program, options).mismatch;
  } catch (error) {
    return { lines: [String(error)], agreed: 0, differed: 0, slices: [] };
  }
};

/** Takes away instructions while it still fails, for at most so many milliseconds. */
export function shrink(
  program: Program,
  options: PairOptions,
  milliseconds: number,
): { program: Program; kept: readonly Unit[] } {
  const end = Date.now() + milliseconds;
  let kept = [...Map.groupBy(program.units, ({ group }) => group).values()];
  const removed: Unit[] = [];
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    let progress = true;
    while (progress && Date.now() < end) {
      progress = false;
      for (let from = kept.length - (kept.length % size || size); from >= 0 && Date.now() < end; from -= size) {
        const chunk = kept.slice(from, from + size);
        if (chunk.length === 0) continue;
        if (!fails(without(program, [...removed, ...chunk.flat()]), options)) continue;
        removed.push(...chunk.flat());
        kept = kept.filter((group) => !chunk.includes(group));
        progress = true;
      }
      if (size > 4) break;
    }
  }
  return { program: without(program, removed), kept: kept.flat() };
}

export function listing(program: Program, units: readonly Unit[]): string[] {
  const view = new DataView(program.ram.buffer);
  return units.map(({ at, length }) => {
    const word = length === 2 ? view.getUint16(CODE + at, true) : view.getUint32(CODE + at, true);
    const decoded = decoder.decode(word);
    const text = decoded ? disassemble(decoded, BigInt(AREA.code + at)) : 'no instruction';
    return `  ${hex(AREA.code + at)}  ${word
      .toString(16)
      .padStart(length * 2, '0')
      .padEnd(8)}  ${text}`;
  });
}

/** The instructions that the reference retires from `from` to `to`; the last `count` of them. */
function trace(program: Program, slices: readonly number[], from: number, to: number, count: number): string[] {
  const pair = new Pair(program);
  const vcpu = pair.reference.vcpus[0];
  const lines: string[] = [];
  let steps = 0;
  pair.time = slices.length * 1000;
  while (vcpu.instructions < to && steps++ < to * 2 + 1000) {
    const pc = vcpu.state.get64('pc');
    const before = vcpu.instructions;
    let text = '';
    if (before >= from) {
      const pa = vcpu.state.get32('priv') === 3 ? Number(pc) : (vcpu.translate(pc) ?? 0);
      const at = pa - RAM_BASE;
      if (at >= 0 && at + 4 <= program.ram.length) {
        const decoded = decoder.decode(
          new DataView(pair.reference.ram.buffer, pair.reference.ram.byteOffset).getUint32(at, true),
        );
        text = decoded ? disassemble(decoded, pc) : 'no instruction';
      }
    }
    if (vcpu.step().kind === 'halt') break;
    if (before < from) continue;
    const trapped = vcpu.instructions === before ? ` (trap ${hex(vcpu.state.get64('mcause'))})` : '';
    lines.push(`  ${before}: ${hex(pc)} ${text}${trapped}`);
    if (lines.length > count) lines.shift();
  }
  return lines;
}

/** Everything about a failure that helps to find its cause. */
export function explain(program: Program, options: PairOptions, milliseconds = 60_000): string {
  // Without slices of its own if it fails so, too: simpler to think about.
  const whole = { ...options, slices: [options.limit] };
  const chosen = fails(program, whole) ? whole : options;
  const small = shrink(program, chosen, milliseconds);
  const found = fails(small.program, chosen);
  if (!found) return `seed ${program.seed} (${program.flavour}): differs no more when run again`;
  const slices = [...found.slices];
  let mismatch = found;
  // The shortest last slice that still differs.
  let [low, high] = [0, slices[slices.length - 1]];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const shorter = [...slices.slice(0, -1), middle];
    const again = fails(small.program, { ...options, slices: shorter });
    if (again) {
      mismatch = again;
      high = middle;
    } else low = middle;
  }
  return [
    `seed ${program.seed} (${program.flavour}): the JIT differs from the reference between instruction ${mismatch.agreed} and ${mismatch.differed}`,
    ...mismatch.lines.slice(0, 12).map((line) => `  ${line}`),
    `slices: ${mismatch.slices.slice(-6).join(', ')} (${mismatch.slices.length} in all)`,
    `instructions of the program that matter (${small.kept.length} of ${program.units.length}):`,
    ...listing(small.program, small.kept).slice(0, 80),
    'the last instructions of the reference:',
    ...trace(small.program, mismatch.slices, mismatch.agreed, mismatch.differed, 24),
  ].join('\n');
}
