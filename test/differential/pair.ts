/**
 * Runs one program on the reference accelerator and on the JIT and compares
 * the whole state of the hart and RAM at places where both have retired the
 * same number of instructions.
 */
import type { Board } from '../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import type { CodeStore } from '../../src/accel/code-store.ts';
import type { CpuState } from '../../src/accel/cpu-state.ts';
import { isa } from '../../src/isa/riscv/isa.ts';
import { type AT, HART } from '../../src/isa/riscv/state.ts';
import { DEVICE, FINISHER, isDone, RAM_BASE, RAM_SIZE } from './firmware.ts';
import type { Program } from './programs.ts';
import { Random } from './random.ts';

export type FieldName = keyof typeof AT;

/**
 * Fields that belong to an accelerator or say how the last translation went,
 * which one that caches translations does not do again.
 */
const APART = new Set<string>(['faultTval', 'attention', 'interpret', 'lastGlobal', 'lastShift']);

/** RAM beside one device that keeps what is written to it. Time stands still between slices. */
export class TestBoard implements Board {
  time = 0;
  private readonly device = new DataView(new ArrayBuffer(4096));

  mmioRead(address: number, size: 1 | 2 | 4): number | undefined {
    const at = address - DEVICE;
    if (at < 0 || at + size > 4096) return undefined;
    if (size === 4) return this.device.getUint32(at, true);
    return size === 2 ? this.device.getUint16(at, true) : this.device.getUint8(at);
  }
  mmioWrite(address: number, size: 1 | 2 | 4, value: number): boolean {
    if (address === FINISHER) return true;
    const at = address - DEVICE;
    if (at < 0 || at + size > 4096) return false;
    if (size === 4) this.device.setUint32(at, value, true);
    else if (size === 2) this.device.setUint16(at, value, true);
    else this.device.setUint8(at, value);
    return true;
  }
  now(): number {
    return this.time;
  }
}

export const options = (board: Board) => ({
  isa,
  cpus: 1,
  ramBase: RAM_BASE,
  ramSize: RAM_SIZE,
  board,
  compileAfter: 200,
});

export function load(accelerator: { ram: Uint8Array; vcpus: readonly { state: CpuState }[] }, ram: Uint8Array): void {
  accelerator.ram.set(ram);
  accelerator.vcpus[0].state.set64('pc', BigInt(RAM_BASE));
}

export const hex = (x: bigint | number): string => `0x${x.toString(16)}`;

/** Where two harts differ: a line for each field. */
export function differences(ours: CpuState, right: CpuState): string[] {
  const found: string[] = [];
  for (const [name, field] of Object.entries(HART.fields)) {
    if (APART.has(name)) continue;
    const n = field.kind === 'array' ? field.length : 1;
    const wide = field.kind === 'array' || field.size === 8;
    for (let k = 0; k < n; k++) {
      const a = wide ? ours.get64(name as FieldName, k) : ours.get32(name as FieldName);
      const b = wide ? right.get64(name as FieldName, k) : right.get32(name as FieldName);
      if (a !== b) found.push(`${name}${n > 1 ? `[${k}]` : ''}: jit ${hex(a)}, reference ${hex(b)}`);
    }
  }
  return found;
}

export interface Mismatch {
  readonly lines: readonly string[];
  /** Instructions retired when the two last agreed, and when they were found to differ. */
  readonly agreed: number;
  readonly differed: number;
  /** Lengths of the slices up to there. */
  readonly slices: readonly number[];
}

export interface Outcome {
  readonly retired: number;
  readonly done: boolean;
  readonly mismatch: Mismatch | undefined;
  /** Regions of an earlier run that the JIT took. */
  readonly taken?: number;
}

export interface PairOptions {
  /** Instructions in all. */
  readonly limit: number;
  /** Lengths of the JIT's slices; random ones where absent. */
  readonly slices?: readonly number[];
  readonly board?: () => TestBoard;
  /** Where the JIT keeps what it compiles. */
  readonly codeStore?: CodeStore;
}

/** The two accelerators side by side. */
export class Pair {
  readonly jit: JitAccelerator;
  readonly reference: ReferenceAccelerator;
  readonly boards: readonly [TestBoard, TestBoard] = [new TestBoard(), new TestBoard()];

  constructor(program: Program, codeStore?: CodeStore) {
    this.jit = new JitAccelerator({ ...options(this.boards[0]), codeStore });
    this.reference = ReferenceAccelerator.create(options(this.boards[1]));
    load(this.jit, program.ram);
    load(this.reference, program.ram);
  }

  /** Runs the JIT for a slice, the reference until it has caught up; gives what differs. */
  slice(instructions: number): { readonly halted: boolean; readonly lines: string[] } {
    const jit = this.jit.vcpus[0];
    const reference = this.reference.vcpus[0];
    const exit = jit.run(instructions);
    const target = jit.instructions;
    let halted = false;
    while (reference.instructions < target && !halted) halted = reference.step().kind === 'halt';
    let lines = differences(jit.state, reference.state);
    // A trap retires nothing: the JIT may have entered one handler, or been about to, and the other not.
    for (let n = 0; n < 3 && lines.length > 0 && reference.instructions === target && !halted; n++) {
      const before = reference.state.get64('pc');
      halted = reference.step().kind === 'halt';
      if (reference.instructions !== target) {
        lines.push(`(after it, the reference went on from ${hex(before)})`);
        break;
      }
      lines = differences(jit.state, reference.state);
    }
    if (reference.instructions !== jit.instructions)
      lines.push(`retired: jit ${jit.instructions}, reference ${reference.instructions}`);
    if (lines.length === 0) lines = this.ramDifferences();
    return { halted: exit.kind === 'halt', lines };
  }

  private ramDifferences(): string[] {
    const a = this.jit.ram;
    const b = this.reference.ram;
    if (Buffer.compare(a, b) === 0) return [];
    const at = a.findIndex((byte, n) => byte !== b[n]);
    return [`RAM at ${hex(RAM_BASE + at)}: jit ${hex(a[at])}, reference ${hex(b[at])}`];
  }

  set time(ns: number) {
    for (const board of this.boards) board.time = ns;
  }
}

export function runPair(program: Program, { limit, slices, codeStore }: PairOptions): Outcome {
  const pair = new Pair(program, codeStore);
  const random = new Random(program.seed ^ 0x51ce5);
  const taken: number[] = [];
  let agreed = 0;
  const retired = () => pair.jit.vcpus[0].instructions;
  while (agreed < limit) {
    if (slices && taken.length >= slices.length) break;
    const length = slices
      ? slices[taken.length]
      : random.weighted([
          [1, 1],
          [3, random.between(2, 60)],
          [4, random.between(100, 3000)],
        ]);
    taken.push(length);
    pair.time = taken.length * 1000;
    const { halted, lines } = pair.slice(length);
    if (lines.length > 0)
      return { retired: retired(), done: false, mismatch: { lines, agreed, differed: retired(), slices: taken } };
    agreed = retired();
    if (halted) break;
  }
  pair.jit.close();
  return { retired: retired(), done: isDone(pair.jit.ram), mismatch: undefined, taken: pair.jit.regions.taken };
}
