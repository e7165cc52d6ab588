/** Runs one bare x86 program on the reference accelerator and on the JIT, and compares all that software could see. */
import type { Board } from '../../../src/accel/accelerator.ts';
import type { CodeStore } from '../../../src/accel/code-store.ts';
import type { CpuState } from '../../../src/accel/cpu-state.ts';
import { JitAccelerator } from '../../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { readEflags } from '../../../src/isa/x86/cpu.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { HostCall } from '../../../src/isa/x86/msr.ts';
import { Eflags, type FieldName, X86_CPU } from '../../../src/isa/x86/state.ts';
import type { Random } from '../random.ts';
import { begin, type ModeName, RAM } from './environment.ts';

/**
 * Fields that belong to an accelerator, or hold what is passed between functions; and the lazy flags, of which only
 * the outcome counts.
 */
const APART = new Set<string>([
  ...['faultAddress', 'attention', 'lastGlobal', 'lastShift', 'result', 'result2', 'x87Scratch', 'shadow', 'heldPc'],
  ...['ccA', 'ccB', 'ccC', 'ccOp', 'eflags', 'fxReserved', 'waiting'],
]);
/** RF is cleared when the engine looks up; nothing shows it before. */
const FLAGS = ~BigInt(Eflags.rf);

const board = (): Board => ({
  mmioRead: () => undefined,
  mmioWrite: () => false,
  now: () => 0,
  portRead: (port, size) => ((port * 0x9e37) >>> 0) & (2 ** (8 * size) - 1),
  portWrite: () => {},
  acknowledge: () => -1,
  hostCall: (_, number) => (number === HostCall.readMsr || number === HostCall.writeMsr ? 1 : 0),
});

const hex = (x: bigint | number): string => `0x${x.toString(16)}`;

function differences(ours: CpuState, right: CpuState): string[] {
  const found: string[] = [];
  const compare = (name: string, a: bigint | number, b: bigint | number) => {
    if (a !== b) found.push(`${name}: jit ${hex(a)}, reference ${hex(b)}`);
  };
  for (const [name, field] of Object.entries(X86_CPU.fields)) {
    if (APART.has(name) || field.kind === 'bytes') continue;
    const n = field.kind === 'array' ? field.length : 1;
    const wide = (field.kind === 'array' ? field.of.size : field.kind === 'scalar' ? field.size : 0) === 8;
    const f = name as FieldName;
    for (let k = 0; k < n; k++) {
      const place = n > 1 ? `${name}[${k}]` : name;
      if (wide) compare(place, ours.get64(f, k), right.get64(f, k));
      else compare(place, ours.get32(f, k), right.get32(f, k));
    }
  }
  compare('eflags', readEflags(ours) & FLAGS, readEflags(right) & FLAGS);
  return found;
}

export class Pair {
  readonly jit: JitAccelerator;
  readonly reference: ReferenceAccelerator;

  constructor(mode: ModeName, ram: Uint8Array, codeStore?: CodeStore) {
    const options = () => ({ isa, cpus: 1, ramBase: 0, ramSize: RAM, board: board(), compileAfter: 100 });
    this.jit = new JitAccelerator({ ...options(), codeStore });
    this.reference = ReferenceAccelerator.create(options());
    for (const accelerator of [this.jit, this.reference]) {
      accelerator.ram.set(ram);
      const [vcpu] = accelerator.vcpus;
      vcpu.reset();
      begin(vcpu.state, mode);
      vcpu.refresh();
    }
  }

  /** Instructions that the reference has retired more: the JIT counts elements of MOVS and STOS that it does at once as one. */
  private more = 0;

  private differences(): string[] {
    const lines = differences(this.jit.vcpus[0].state, this.reference.vcpus[0].state);
    return this.more > 0 ? lines.filter((line) => !line.startsWith('instret')) : lines;
  }

  /** Runs the JIT for a slice, the reference until it has caught up; gives what differs. */
  slice(instructions: number): { readonly ended: boolean; readonly lines: string[] } {
    const [jit] = this.jit.vcpus;
    const [reference] = this.reference.vcpus;
    const exit = jit.run(instructions);
    const target = jit.instructions + this.more;
    let ended = false;
    let repeated = 0;
    const step = () => {
      const { pc } = reference.state;
      ended = reference.step().kind !== 'budget';
      if (reference.state.pc === pc) repeated++;
    };
    while (reference.instructions < target && !ended) step();
    // With a shutdown the JIT loses count of what its slice did before.
    for (let n = 0; exit.kind === 'stopped' && !ended && n < 20_000; n++) step();
    let lines = this.differences();
    // An exception retires nothing: the JIT may have entered handlers that the other has not.
    for (let n = 0; n < 4 && lines.length > 0 && reference.instructions === target && !ended; n++) {
      step();
      if (reference.instructions !== target) break;
      lines = this.differences();
    }
    // What repeats itself may have been done at once; behind it stands an instruction or an exception. Loops bring the
    // same registers again, so RAM must agree too.
    const differs = () => lines.length > 0 || this.ramDifferences().length > 0;
    for (let n = 0; repeated > 0 && n < repeated + 8 && exit.kind !== 'stopped' && !ended && differs(); n++) {
      const ahead = reference.instructions - jit.instructions;
      lines = differences(jit.state, reference.state).filter((line) => !line.startsWith('instret'));
      if (lines.length === 0) lines = this.ramDifferences();
      if (lines.length === 0) this.more = ahead;
      else step();
    }
    if (exit.kind === 'stopped') lines = lines.filter((line) => !line.startsWith('instret'));
    else if (reference.instructions !== jit.instructions + this.more)
      lines.push(`retired: jit ${jit.instructions} and ${this.more}, reference ${reference.instructions}`);
    if (lines.length === 0) lines = this.ramDifferences();
    return { ended: exit.kind !== 'budget', lines };
  }

  private ramDifferences(): string[] {
    const [a, b] = [this.jit.ram, this.reference.ram];
    if (Buffer.compare(a, b) === 0) return [];
    const at = a.findIndex((byte, n) => byte !== b[n]);
    return [`RAM at ${hex(at)}: jit ${hex(a[at])}, reference ${hex(b[at])}`];
  }
}

export interface Mismatch {
  readonly lines: readonly string[];
  /** Instructions retired when the two last agreed, and when they differed. */
  readonly agreed: number;
  readonly differed: number;
  readonly pc: string;
}

export function runPair(pair: Pair, random: Random, limit: number, slices?: () => number): Mismatch | undefined {
  let agreed = 0;
  let pc = 0n;
  for (let n = 0; agreed < limit && n < 2000; n++) {
    const length =
      slices?.() ??
      random.weighted([
        [1, 1],
        [3, random.between(2, 60)],
        [4, random.between(100, 3000)],
      ]);
    const { ended, lines } = pair.slice(length);
    const differed = pair.jit.vcpus[0].instructions;
    if (lines.length > 0) return { lines, agreed, differed, pc: hex(pc) };
    agreed = differed;
    pc = pair.reference.vcpus[0].state.pc;
    if (ended) break;
  }
  return undefined;
}
