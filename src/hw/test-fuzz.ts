/**
 * A hostile guest for one device: random accesses at its windows while time
 * passes. Nothing may throw or hang, reads stay within their width, and the
 * state always fits its layout (it saves and loads).
 *
 * TRAPFRAME_SEED repeats a run; FUZZ_ROUNDS makes it longer.
 */
import { fromBinary, load, type SavedState, save, toBinary } from '../state/codec.ts';
import type { AccessSize, Device, Mmio } from './device.ts';
import type { TestBench } from './test-bench.ts';

export interface FuzzWindow {
  readonly mmio: Mmio;
  readonly size: number;
}

export interface FuzzPlan {
  readonly seed: number;
  readonly bench: TestBench;
  readonly device: Device;
  readonly windows: readonly FuzzWindow[];
  /** Accesses; 20000 when absent. */
  readonly steps?: number;
  /** Something else that happens to the device now and then: a wire, a message. */
  readonly also?: (random: FuzzRandom) => void;
}

/** Mulberry32. */
export class FuzzRandom {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  next(): number {
    this.state = (this.state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)];
  }

  /** Small numbers, single bits, numbers just below zero, anything. */
  value(): number {
    const kind = this.below(5);
    if (kind === 0) return this.below(32);
    if (kind === 1) return (1 << this.below(32)) >>> 0;
    if (kind === 2) return (0 - this.below(16)) >>> 0;
    return kind === 3 ? this.below(0x1_0000) : this.next();
  }
}

/** The bits of a number that fit `size` bytes. */
function narrow(value: number, size: AccessSize): number {
  return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
}

/** Runs the plan. Throws an Error that says what went wrong. */
export function hammer(plan: FuzzPlan): void {
  const { bench, device, windows } = plan;
  const random = new FuzzRandom(plan.seed);
  for (let step = 0; step < (plan.steps ?? 20_000); step++) {
    const { mmio, size: span } = random.pick(windows);
    const size = random.pick([...(mmio.widths ?? [1, 2, 4]), 4] as AccessSize[]);
    if (span >= size) {
      const at = random.below(span - size + 1);
      const offset = random.below(16) ? at - (at % size) : at;
      if (random.below(2)) mmio.write(offset, size, narrow(random.value(), size));
      else {
        const got = mmio.read(offset, size);
        if (narrow(got, size) !== got) throw new Error(`${device.name}+0x${offset.toString(16)} reads ${got}`);
      }
    }
    if (random.below(16) === 0) bench.advance(random.below(50) ? random.pick([1, 1e3, 1e5, 1e6]) : 2e8);
    if (random.below(4) === 0) plan.also?.(random);
    if (step % 500 === 0) {
      // Loading refuses values that the layout does not allow.
      const saved = fromBinary(toBinary(save(device.layout, device.state))) as unknown as SavedState;
      load(device.layout, device.state, saved);
      device.resumed?.();
      bench.reports.length = 0;
    }
    if (random.below(5000) === 0) device.reset();
  }
}
