/**
 * The kernels of bench/guest/suite.c and how much of each is done: about a
 * second each on Debian 12's qemu-system-riscv64 on a machine of 2023.
 */
export interface Kernel {
  /** As suite.c calls it. */
  readonly name: string;
  readonly title: string;
  /** Turns; what a turn is stands in suite.c. */
  readonly count: number;
}

export const KERNELS: readonly Kernel[] = [
  { name: 'integer', title: 'dependent integer loop', count: 250_000_000 },
  { name: 'branches', title: 'unpredictable branches', count: 50_000_000 },
  { name: 'calls', title: 'indirect calls', count: 15_000_000 },
  { name: 'sha256', title: 'SHA-256', count: 40_000 },
  { name: 'copy', title: 'word copy, 256 KiB', count: 600 },
  { name: 'memcpy', title: 'libc memcpy, 256 KiB', count: 9_000 },
  { name: 'chase', title: 'pointer chase, 8 MiB', count: 2_000_000 },
  { name: 'double', title: 'n-body, double', count: 400_000 },
  { name: 'single', title: 'n-body, single', count: 200_000 },
  { name: 'syscall', title: 'system calls', count: 400_000 },
  { name: 'fault', title: 'page faults', count: 6_400 },
  { name: 'fork', title: 'fork + exec', count: 70 },
];

/** Only when COREMARK_DIR names CoreMark's sources. */
export const COREMARK: Kernel = { name: 'coremark', title: 'CoreMark', count: 3_000 };
