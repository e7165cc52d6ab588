/** Exits of vCPUs by reason, and what was done elsewhere: for `info kvm` and query-stats. */
import { EXIT_NAMES } from './abi.ts';

export class ExitCounts {
  private readonly byReason = new Float64Array(64);
  /** Instructions or stretches that another accelerator executed, by why. */
  readonly emulated = new Map<string, number>();
  entries = 0;
  /** Entries that a kick or the end of a slice ended. */
  interrupted = 0;
  injections = 0;

  exit(reason: number): void {
    this.byReason[reason & 63]++;
  }

  emulate(why: string): void {
    // The guest chooses the instructions, so there is an end to their names.
    const key = this.emulated.has(why) || this.emulated.size < 256 ? why : 'other';
    this.emulated.set(key, (this.emulated.get(key) ?? 0) + 1);
  }

  get emulations(): number {
    let sum = 0;
    for (const count of this.emulated.values()) sum += count;
    return sum;
  }

  /** Reasons that occurred, by name. */
  reasons(): Map<string, number> {
    const found = new Map<string, number>();
    this.byReason.forEach((count, reason) => {
      if (count > 0) found.set(EXIT_NAMES[reason] ?? `reason-${reason}`, count);
    });
    return found;
  }
}
