/**
 * The kernels of bench/guest/suite.c and how much of each is done: about a
 * second each on Debian 12's QEMU (TCG) of the guest's architecture on a
 * machine of 2023, so that what is measured is speed and not warming up.
 *
 * Warming up has rows of its own (`FIRST_RUNS`).
 */
export interface Kernel {
  /** As suite.c calls it. */
  readonly name: string;
  readonly title: string;
  /** Turns; what a turn is stands in suite.c. */
  readonly count: number;
}

/** Turns by QEMU's names of architectures. */
type Counts = Readonly<Record<'x86_64' | 'i386' | 'riscv64', number>>;

const KERNELS: readonly (Omit<Kernel, 'count'> & { readonly counts: Counts })[] = [
  {
    name: 'integer',
    title: 'dependent integer loop',
    counts: { x86_64: 400_000_000, i386: 150_000_000, riscv64: 250_000_000 },
  },
  {
    name: 'branches',
    title: 'unpredictable branches',
    counts: { x86_64: 50_000_000, i386: 20_000_000, riscv64: 50_000_000 },
  },
  { name: 'calls', title: 'indirect calls', counts: { x86_64: 30_000_000, i386: 15_000_000, riscv64: 15_000_000 } },
  { name: 'sha256', title: 'SHA-256', counts: { x86_64: 20_000, i386: 20_000, riscv64: 40_000 } },
  { name: 'copy', title: 'word copy, 256 KiB', counts: { x86_64: 5_000, i386: 3_000, riscv64: 600 } },
  { name: 'memcpy', title: 'libc memcpy, 256 KiB', counts: { x86_64: 6_000, i386: 4_000, riscv64: 9_000 } },
  { name: 'chase', title: 'pointer chase, 8 MiB', counts: { x86_64: 3_000_000, i386: 3_000_000, riscv64: 2_000_000 } },
  { name: 'double', title: 'n-body, double', counts: { x86_64: 400_000, i386: 50_000, riscv64: 400_000 } },
  { name: 'single', title: 'n-body, single', counts: { x86_64: 400_000, i386: 50_000, riscv64: 200_000 } },
  { name: 'syscall', title: 'system calls', counts: { x86_64: 1_000_000, i386: 500_000, riscv64: 400_000 } },
  { name: 'fault', title: 'page faults', counts: { x86_64: 40_000, i386: 32_000, riscv64: 6_400 } },
  { name: 'fork', title: 'fork + exec', counts: { x86_64: 200, i386: 140, riscv64: 70 } },
];

/** Only when COREMARK_DIR names CoreMark's sources. */
export const COREMARK: Kernel = { name: 'coremark', title: 'CoreMark', count: 3_000 };

/** Throws RangeError. */
export function kernelsOf(architecture: string): Kernel[] {
  return KERNELS.map(({ name, title, counts }) => {
    const count = (counts as Readonly<Record<string, number | undefined>>)[architecture];
    if (count === undefined) throw new RangeError(`${name} has no count for ${architecture}`);
    return { name, title, count };
  });
}

/**
 * What programs do most that live shortly, from the first time on: each the
 * only work of a boot, the same for all architectures.
 */
export const FIRST_RUNS: readonly Kernel[] = [
  { name: 'fault', title: 'page faults, first 6,400', count: 6_400 },
  { name: 'fork', title: 'fork + exec, first 70', count: 70 },
];
