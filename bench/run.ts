/**
 * `npm run bench`: our emulator against Debian's QEMU (TCG), and for i386 npm's
 * v86, on the same files, in one run, turn by turn; medians and ratios.
 *
 *   --arch=x86_64,i386,riscv64    guests (default: x86_64)
 *   BENCH_KERNEL, BENCH_BUSYBOX   other files than the default guest's (`trapframe images fetch ARCH`)
 *   BENCH_QEMU, BENCH_OURS        other emulators than qemu-system-ARCH and ours in bin/
 *   COREMARK_DIR                  CoreMark's sources, if wanted
 *   --rounds=3 --only=integer,calls --scale=0.1 --no-ours --no-v86 --no-boot --no-suite
 *   --arguments="-accel reference"   for ours alone
 *   --time=cpu   compare CPU time instead of wall time, on a machine that others use too
 *
 * Writes bench/out/results-ARCH.json and, after a whole run, docs/bench-ARCH.svg (riscv64: docs/bench.svg).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { imageHost } from '../src/cli/start-images.ts';
import { file } from '../src/image/cpio.ts';
import { ensureGuest, storeName } from '../src/image/guest-files.ts';
import { buildInitrd } from '../src/image/initrd.ts';
import { type Architecture, architecture } from './architectures.ts';
import { buildPrograms, type Programs } from './build.ts';
import { busyShare, Emulator } from './emulator.ts';
import { toFirstInstruction, writeFirstInstructionRom } from './first-instruction.ts';
import { COREMARK, FIRST_RUNS, type Kernel, kernelsOf } from './kernels.ts';
import { plot } from './plot.ts';
import {
  clockWarnings,
  formatTable,
  geometricMean,
  type KernelResult,
  type MachineResult,
  median,
  parseSamples,
  type Results,
  type Sample,
} from './results.ts';
import { prepareV86 } from './v86.ts';

const ROOT = resolve(import.meta.dirname, '..');
const OUT = join(ROOT, 'bench', 'out');
/** The end of the default guest's prompt. */
const PROMPT = ':~# ';
/** A kernel that takes a second on QEMU may take this many on an emulator under work. */
const SUITE_LIMIT = 900;
const BOOT_LIMIT = 180;
/** What CoreMark's performance run computes; it calls a run under 10 seconds invalid, which it is not for us. */
const COREMARK_CRCS = [/crclist *: 0xe714/, /crcmatrix *: 0x1fd7/, /crcstate *: 0x8e3a/];
/** Starts of each emulator for the time to the first instruction; one more warms caches. */
const STARTS = 10;
/** A native run shorter than this is repeated with more work. */
const NATIVE_SECONDS = 0.25;

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: 'x86_64' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    scale: { type: 'string', default: '1' },
    time: { type: 'string', default: 'wall' },
    arguments: { type: 'string', default: '' },
    ours: { type: 'boolean', default: true },
    v86: { type: 'boolean', default: true },
    boot: { type: 'boolean', default: true },
    suite: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

type Name = 'qemu' | 'ours' | 'v86';

interface Contestant {
  readonly name: Name;
  readonly command: string;
  /** The command line that boots this. */
  args(files: Files, append: string): readonly string[];
}

interface Files {
  readonly kernel: string;
  readonly initrd: string;
}

function qemuLike(name: Name, command: string, machine: readonly string[], more: readonly string[]): Contestant {
  const args = ({ kernel, initrd }: Files, append: string) => [
    ...[...machine, '-m', '512', '-nographic', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', append, ...more],
  ];
  return { name, command, args };
}

async function contestantsFor({ name, machine, peers }: Architecture): Promise<Contestant[]> {
  const found = [qemuLike('qemu', process.env['BENCH_QEMU'] ?? `qemu-system-${name}`, machine, [])];
  const ours = process.env['BENCH_OURS'] ?? join(ROOT, 'bin', `trapframe-system-${name}`);
  const more = options.arguments.split(' ').filter((word) => word !== '');
  if (options.ours && existsSync(ours)) found.push(qemuLike('ours', ours, machine, more));
  else console.log(options.ours ? `ours is not run: ${ours} does not exist` : 'ours is not run: --no-ours');
  if (!peers.includes('v86')) return found;
  if (!options.v86) console.log('v86 is not run: --no-v86');
  else {
    const { command, args, note } = await prepareV86();
    if (note) console.log(note);
    else found.push({ name: 'v86', command, args: (files, append) => [...args, files.kernel, files.initrd, append] });
  }
  return found;
}

function start(contestant: Contestant, files: Files, append: string): Emulator {
  return new Emulator(contestant.command, contestant.args(files, `console=ttyS0 panic=-1 quiet ${append}`));
}

/** The suite as init of a guest; what was done before a failure counts. */
async function guestSuite(contestant: Contestant, files: Files, kernels: readonly Kernel[]): Promise<Sample[]> {
  const words = kernels.map(({ name, count }) => `${name}=${count}`).join(' ');
  const emulator = start(contestant, files, `rdinit=/suite -- ${words}`);
  try {
    await emulator.expect('suite done', SUITE_LIMIT);
  } catch (error) {
    console.error(`${contestant.name}: ${(error as Error).message}`);
  } finally {
    await emulator.stop();
  }
  const samples = parseSamples(emulator.lines);
  if (samples.some(({ name }) => name === 'coremark') && !COREMARK_CRCS.every((line) => line.test(emulator.output))) {
    throw new Error(`${contestant.name}: CoreMark's check sums are wrong:\n${emulator.output.slice(-2000)}`);
  }
  return samples;
}

/** Seconds for a kernel's work on the host itself; short ones are measured over more of the same work. */
function native(programs: Programs, { name, count }: Kernel): number {
  for (let times = 1; ; times *= 10) {
    const suite = spawnSync(join(programs.host, 'suite'), [`${name}=${count * times}`], { encoding: 'utf8' });
    const lines = suite.stdout.split('\n').map((text) => ({ text, at: 0, cpu: 0 }));
    const [sample] = parseSamples(lines);
    if (!sample) throw new Error(`the host's suite did not run ${name}: ${suite.stdout}${suite.stderr}`);
    if (sample.wall >= NATIVE_SECONDS || times >= 1000)
      return (options.time === 'cpu' ? sample.cpu : sample.wall) / times;
  }
}

/** Seconds at the prompt of the first boot. */
const SETTLE = 2;

interface Boot {
  readonly seconds: number;
  readonly cpu: number;
}

/** `wait`: seconds at the prompt before it ends, in which it may write down what it keeps for the next. */
async function boot(contestant: Contestant, files: Files, wait = 0): Promise<Boot> {
  const emulator = start(contestant, files, '');
  try {
    const seconds = await emulator.expect(PROMPT, BOOT_LIMIT);
    await sleep(wait);
    return { seconds, cpu: emulator.usage().cpuSeconds };
  } finally {
    await emulator.stop();
  }
}

const sleep = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1000));

/** Median seconds to a PC's first instruction, turn by turn; nothing for other boards and for v86. */
async function firstInstruction(
  { name, machine }: Architecture,
  contestants: readonly Contestant[],
): Promise<Partial<Record<Name, number>>> {
  if (name === 'riscv64') return {};
  const rom = join(OUT, 'first-instruction.rom');
  writeFirstInstructionRom(rom);
  const times: Record<Name, number[]> = { qemu: [], ours: [], v86: [] };
  for (let turn = 0; turn <= STARTS; turn++) {
    for (const { name, command } of contestants.filter(({ name }) => name !== 'v86')) {
      const seconds = await toFirstInstruction(command, machine, rom);
      if (turn > 0) times[name].push(seconds);
    }
  }
  const found = Object.entries(times).filter(([, seconds]) => seconds.length > 0);
  return Object.fromEntries(found.map(([name, seconds]) => [name, median(seconds)]));
}

/** What a guest that waits at its prompt costs. */
async function atPrompt(contestant: Contestant, files: Files): Promise<{ idle: number; resident: number }> {
  const emulator = start(contestant, files, '');
  try {
    await emulator.expect(PROMPT, BOOT_LIMIT);
    await sleep(3);
    const before = emulator.usage();
    const from = performance.now();
    await sleep(10);
    const after = emulator.usage();
    const idle = (after.cpuSeconds - before.cpuSeconds) / ((performance.now() - from) / 1000);
    return { idle, resident: after.resident };
  } finally {
    await emulator.stop();
  }
}

/** The default guest (fetched when it is missing) or the files given, with the suite in the ramdisk. */
async function prepare(arch: string, programs: Programs): Promise<Files> {
  const given = { kernel: process.env['BENCH_KERNEL'], busybox: process.env['BENCH_BUSYBOX'] };
  const host = imageHost(false);
  const guest = given.kernel && given.busybox ? undefined : await ensureGuest(host, arch, Date.now());
  const kernel = given.kernel ?? host.store.locate(storeName(arch, 'kernel'));
  const busybox = given.busybox ? readFileSync(given.busybox) : await guest?.read('busybox');
  if (!busybox) throw new Error('there is no busybox for the ramdisk');
  const names = programs.coremark ? ['suite', 'coremark'] : ['suite'];
  const extra = names.map((name) => file(name, readFileSync(join(programs.guest, name)), 0o755));
  mkdirSync(OUT, { recursive: true });
  const initrd = join(OUT, `initrd-${arch}.cpio`);
  writeFileSync(initrd, buildInitrd({ busybox, extra }));
  return { kernel, initrd };
}

function version(command: string, ...args: string[]): string {
  const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return (stdout ?? '').split('\n')[0] || 'not found';
}

/** Medians over the rounds of each emulator, with the ratios of the medians. */
function kernelResults(
  kernels: readonly Kernel[],
  natives: ReadonlyMap<string, readonly number[]>,
  rounds: Readonly<Record<Name, readonly Sample[][]>>,
  warnings: string[],
): KernelResult[] {
  return kernels.map(({ name, title, count }) => {
    const of = (who: Name): Sample[] => rounds[who].flat().filter((sample) => sample.name === name);
    const time = (samples: readonly Sample[]) =>
      samples.length > 0
        ? median(samples.map((sample) => (options.time === 'cpu' ? sample.hostCpu : sample.host)))
        : undefined;
    const sums = new Set([...of('qemu'), ...of('ours'), ...of('v86')].map(({ checksum }) => checksum));
    if (sums.size > 1) warnings.push(`${name}: the checksums differ: ${[...sums].join(', ')}`);
    const [qemu, ours, v86] = (['qemu', 'ours', 'v86'] as const).map((who) => time(of(who)));
    const host = natives.get(name);
    return {
      ...{ name, title, count, native: host && median(host), qemu, ours, v86 },
      ratio: qemu && ours && qemu / ours,
      ratioV86: v86 && ours && v86 / ours,
    };
  });
}

async function compare(guest: Architecture): Promise<void> {
  const rounds = Number(options.rounds);
  const scale = Number(options.scale);
  const quiet = busyShare().now;
  await sleep(2);
  const { share } = busyShare(quiet);
  const coremark = process.env['COREMARK_DIR'];
  const programs = buildPrograms(guest, coremark);
  const files = await prepare(guest.name, programs);
  const only = options.only?.split(',');
  const wanted = ({ name }: Kernel): boolean => !only || only.includes(name);
  const firstRuns = FIRST_RUNS.filter(wanted);
  const kernels = [...kernelsOf(guest.name), ...(coremark ? [COREMARK] : [])]
    .filter(wanted)
    .map((kernel) => ({ ...kernel, count: Math.max(1, Math.round(kernel.count * scale)) }));

  const contestants = await contestantsFor(guest);
  const warnings: string[] = [];
  if (share > 0.1) warnings.push(`the machine was ${(share * 100).toFixed(0)} % busy before the run began`);
  const natives = new Map<string, number[]>();
  const samples: Record<Name, Sample[][]> = { qemu: [], ours: [], v86: [] };
  const firstSamples: Record<Name, Sample[][]> = { qemu: [], ours: [], v86: [] };
  const boots: Record<Name, Boot[]> = { qemu: [], ours: [], v86: [] };
  const cold: Partial<Record<Name, number>> = {};
  if (options.boot) {
    for (const contestant of contestants.filter(({ name }) => name !== 'v86')) {
      console.log(`${guest.name}, a boot that does not count: ${contestant.name}`);
      cold[contestant.name] = (await boot(contestant, files, SETTLE)).seconds;
    }
  }
  for (let round = 1; round <= rounds; round++) {
    if (options.suite) {
      for (const kernel of kernels) {
        natives.set(kernel.name, [...(natives.get(kernel.name) ?? []), native(programs, kernel)]);
      }
    }
    for (const contestant of contestants) {
      console.log(`${guest.name}, round ${round} of ${rounds}: ${contestant.name}`);
      if (options.boot) boots[contestant.name].push(await boot(contestant, files));
      if (!options.suite) continue;
      for (const kernel of firstRuns) firstSamples[contestant.name].push(await guestSuite(contestant, files, [kernel]));
      const found = await guestSuite(contestant, files, kernels);
      warnings.push(...clockWarnings(`${contestant.name}, round ${round}`, found));
      samples[contestant.name].push(found);
    }
  }

  const machines: Partial<Record<Name, MachineResult>> = {};
  if (options.boot) {
    const first = await firstInstruction(guest, contestants);
    for (const contestant of contestants) {
      const times = boots[contestant.name].map(({ seconds }) => seconds);
      const bootCpu = median(boots[contestant.name].map(({ cpu }) => cpu));
      machines[contestant.name] = {
        first: first[contestant.name],
        cold: cold[contestant.name],
        boots: times,
        boot: median(times),
        bootCpu,
        ...(await atPrompt(contestant, files)),
      };
    }
  }

  const table = options.suite ? kernelResults(kernels, natives, samples, warnings) : [];
  const ratios = table.flatMap(({ ratio }) => ratio ?? []);
  const ratiosV86 = table.flatMap(({ ratioV86 }) => ratioV86 ?? []);
  const results: Results = {
    architecture: guest.name,
    date: new Date().toISOString(),
    host: `${cpus()[0].model.trim()} x ${cpus().length}`,
    versions: { qemu: version(contestants[0].command, '--version'), node: process.version },
    rounds,
    time: options.time === 'cpu' ? 'cpu' : 'wall',
    kernels: table,
    firstRuns: options.suite ? kernelResults(firstRuns, new Map(), firstSamples, warnings) : [],
    mean: ratios.length > 0 ? geometricMean(ratios) : undefined,
    meanV86: ratiosV86.length > 0 ? geometricMean(ratiosV86) : undefined,
    ...machines,
    warnings,
  };
  writeFileSync(join(OUT, `results-${guest.name}.json`), `${JSON.stringify(results, undefined, 2)}\n`);
  console.log(
    `\n${guest.name} guest; ${results.host}; ${results.versions['qemu']}; Node ${results.versions['node']}\n${formatTable(results)}`,
  );
  for (const warning of warnings) console.log(`warning: ${warning}`);
  const whole = !only && scale === 1 && ratios.length === kernels.length;
  const picture = guest.name === 'riscv64' ? 'bench.svg' : `bench-${guest.name}.svg`;
  if (whole) writeFileSync(join(ROOT, 'docs', picture), plot(results));
}

if (!(Number(options.rounds) >= 1) || !(Number(options.scale) > 0))
  throw new Error('--rounds and --scale take positive numbers');
if (options.time !== 'wall' && options.time !== 'cpu') throw new Error('--time is wall or cpu');
for (const guest of options.arch.split(',').map(architecture)) await compare(guest);
