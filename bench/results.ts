/** What a benchmark run found, as bench/out/results.json holds it, and what follows from the numbers. */
import type { Line } from './emulator.ts';

/** One kernel in one run. */
export interface Sample {
  readonly name: string;
  readonly count: number;
  /** CPU seconds by the guest's clock. */
  readonly cpu: number;
  /** Wall seconds by the guest's clock. */
  readonly wall: number;
  /** Wall seconds by the host's clock between the lines before and after. */
  readonly host: number;
  /** CPU seconds of the emulator on the host, all threads, in steps of 0.01. */
  readonly hostCpu: number;
  readonly checksum: string;
}

export interface KernelResult {
  readonly name: string;
  readonly title: string;
  readonly count: number;
  /** Medians, seconds of `time`; undefined where it did not run. */
  readonly native?: number;
  readonly qemu?: number;
  readonly ours?: number;
  /** QEMU's time divided by ours: above 1 we are faster. */
  readonly ratio?: number;
  readonly v86?: number;
  /** v86's time divided by ours. */
  readonly ratioV86?: number;
}

export interface MachineResult {
  /** Seconds from start to the guest's first instruction, median; only for PCs. */
  readonly first?: number;
  /** Seconds from start to the shell's prompt: each run, and the median. */
  /** Seconds of the boot before all others, after which caches are full. */
  readonly cold?: number | undefined;
  readonly boots: readonly number[];
  readonly boot: number;
  /** CPU seconds until the prompt, median. */
  readonly bootCpu: number;
  /** Share of one core used at the prompt. */
  readonly idle: number;
  /** Resident bytes at the prompt. */
  readonly resident: number;
}

export interface Results {
  /** The guest's, by QEMU's name. */
  readonly architecture: string;
  readonly date: string;
  readonly host: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  /** What the kernels' seconds are: the host's clock, or CPU time of the emulator (all its threads). */
  readonly time: 'wall' | 'cpu';
  readonly kernels: readonly KernelResult[];
  /** The only work of a boot each; in no mean. */
  readonly firstRuns?: readonly KernelResult[];
  /** Geometric mean of the ratios. */
  readonly mean?: number;
  readonly meanV86?: number;
  readonly qemu?: MachineResult;
  readonly v86?: MachineResult;
  readonly ours?: MachineResult;
  /** What makes the numbers doubtful. */
  readonly warnings: readonly string[];
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no median of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no mean of no values');
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Reads the suite's lines; an unfinished kernel is left out. */
export function parseSamples(lines: readonly Line[]): Sample[] {
  const samples: Sample[] = [];
  let began: { name: string; at: number; cpu: number } | undefined;
  for (const { text, at, cpu: used } of lines) {
    const begin = /^begin (\w+)$/.exec(text);
    if (begin) began = { name: begin[1], at, cpu: used };
    const result = /^result (\w+) (\d+) ([\d.]+) ([\d.]+) ([0-9a-f]{16})$/.exec(text);
    if (!result || result[1] !== began?.name) continue;
    const [, name, count, cpu, wall, checksum] = result;
    samples.push({
      name,
      count: Number(count),
      cpu: Number(cpu),
      wall: Number(wall),
      host: at - began.at,
      hostCpu: used - began.cpu,
      checksum,
    });
    began = undefined;
  }
  return samples;
}

/** Complaints about a run: clocks that disagree (a guest whose clock runs slow looks fast). */
export function clockWarnings(who: string, samples: readonly Sample[]): string[] {
  const warnings: string[] = [];
  for (const { name, wall, cpu, host } of samples) {
    const slack = 0.05 * host + 0.05;
    if (Math.abs(wall - host) > slack) {
      warnings.push(`${who}, ${name}: ${wall.toFixed(2)} s by the guest's clock, ${host.toFixed(2)} s by the host's`);
    } else if (cpu > wall + slack) {
      warnings.push(`${who}, ${name}: ${cpu.toFixed(2)} CPU seconds in ${wall.toFixed(2)} s`);
    }
  }
  return warnings;
}

const cell = (value: number | undefined, digits: number): string => (value === undefined ? '-' : value.toFixed(digits));

/** The table for a terminal. `native = 1.00` columns are speeds relative to the host's own. */
export function formatTable(results: Results): string {
  const relative = (native?: number, time?: number) => (native && time ? native / time : undefined);
  const withV86 = results.kernels.some(({ v86 }) => v86 !== undefined);
  const rows = [
    [
      ...['kernel', 'native s', 'QEMU s', 'ours s', 'QEMU, native=1', 'ours, native=1', 'ours/QEMU'],
      ...(withV86 ? ['v86 s', 'ours/v86'] : []),
    ],
    ...results.kernels.map((kernel) => [
      kernel.title,
      cell(kernel.native, 3),
      cell(kernel.qemu, 3),
      cell(kernel.ours, 3),
      cell(relative(kernel.native, kernel.qemu), 3),
      cell(relative(kernel.native, kernel.ours), 3),
      cell(kernel.ratio, 2),
      ...(withV86 ? [cell(kernel.v86, 3), cell(kernel.ratioV86, 2)] : []),
    ]),
    [
      ...['geometric mean', '', '', '', '', '', cell(results.mean, 2)],
      ...(withV86 ? ['', cell(results.meanV86, 2)] : []),
    ],
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row.map((text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column]))).join('  '),
  );
  for (const { title, qemu, ours, ratio, v86, ratioV86 } of results.firstRuns ?? []) {
    const other = v86 === undefined ? '' : `; v86 ${cell(v86, 3)} s, ratio ${cell(ratioV86, 2)}`;
    lines.push(
      `${title}: QEMU ${cell(qemu, 3)} s, ours ${cell(ours, 3)} s, ratio ${cell(ratio, 2)}${other}; not in the mean`,
    );
  }
  for (const [name, machine] of [
    ['QEMU', results.qemu],
    ['ours', results.ours],
    ['v86', results.v86],
  ] as const) {
    if (!machine) continue;
    const first = machine.first === undefined ? '' : `first instruction after ${machine.first.toFixed(3)} s, `;
    const cold = machine.cold === undefined ? '' : `before that ${machine.cold.toFixed(2)}; `;
    lines.push(
      `${name}: ${first}prompt after ${machine.boot.toFixed(2)} s (${machine.bootCpu.toFixed(2)} CPU s; ${cold}runs ` +
        `${machine.boots.map((boot) => boot.toFixed(2)).join(', ')}), idle ${(machine.idle * 100).toFixed(1)} % ` +
        `of a core, resident ${(machine.resident / 2 ** 20).toFixed(0)} MiB`,
    );
  }
  return lines.join('\n');
}
