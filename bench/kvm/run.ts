/**
 * What exits cost, and how soon a guest runs: Trapframe on KVM against a C
 * program that does the same (exits.c, compiled here), and QEMU.
 *
 *   node bench/kvm/run.ts [--rounds=N] [--starts=N] [--only=WORD]
 *
 * Exits are measured in turns (turns.ts); medians are printed, and the medians
 * of each round's ratios. See guest.ts for what is exited for: QEMU leaves KVM
 * for each of these, too (at 0xb8000, without a graphics card, it does not).
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { BATCH, firmware, KINDS, type Kind, rawImage, shortFirmware } from './guest.ts';
import { type Cost, Turns } from './turns.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    starts: { type: 'string', default: '15' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const here = (file: string) => new URL(file, import.meta.url).pathname;
const system = here('../../bin/trapframe-system-x86_64');

const WHICH = ['wall', 'cpu'] as const;
/** Batches of a turn. */
const TURN = 8;

const median = (list: readonly number[]): number => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length === 0 ? Number.NaN : sorted[sorted.length >> 1];
};

const machineArgs = (bios: string): string[] => [
  ...['-M', 'pc', '-m', '16M', '-bios', bios, '-nodefaults', '-vga', 'none', '-display', 'none'],
  ...['-device', 'isa-debug-exit,iobase=0x501,iosize=1', '-serial', 'stdio'],
];

/** A process's first output, which is later than its first entry into KVM, and its end: ms after it was started. */
function timed(command: string, args: readonly string[]): Promise<{ first: number; end: number }> {
  const begin = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let first = Number.NaN;
  child.stdout.once('data', () => {
    first = performance.now() - begin;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve({ first, end: performance.now() - begin }));
  });
}

openKvm().close();
const directory = mkdtempSync(join(tmpdir(), 'trapframe-bench-kvm-'));
try {
  const c = join(directory, 'exits');
  const built = spawnSync('cc', ['-O2', '-o', c, here('exits.c')], { stdio: 'inherit' });
  if (built.status !== 0) throw new Error('cc does not compile exits.c');
  const qemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0;
  if (!qemu) console.log('no qemu-system-x86_64 here: its columns are left out');

  console.log(`ns an exit, median of ${rounds} rounds (wall | CPU)`);
  for (const kind of Object.keys(KINDS) as Kind[]) {
    if (values.only && !kind.includes(values.only)) continue;
    const raw = join(directory, 'raw.img');
    writeFileSync(raw, rawImage(kind));
    const bios = join(directory, 'firmware.bin');
    writeFileSync(bios, firmware(kind));
    const programs = {
      C: new Turns(c, [raw]),
      'Trapframe, a vCPU': new Turns(process.execPath, [here('vcpu.ts'), raw]),
      'Trapframe, a machine': new Turns(system, ['-accel', 'kvm,x-trapframe-move=off', ...machineArgs(bios)]),
      ...(qemu ? { 'QEMU -enable-kvm': new Turns('qemu-system-x86_64', ['-enable-kvm', ...machineArgs(bios)]) } : {}),
    };
    const costs: Record<string, Cost[]> = {};
    try {
      for (let round = -1; round < rounds; round++)
        for (const [name, program] of Object.entries(programs)) {
          const cost = await program.turn(TURN);
          costs[name] ??= [];
          if (round >= 0) costs[name].push(cost);
        }
    } finally {
      for (const program of Object.values(programs)) program.end();
    }
    for (const [name, own] of Object.entries(costs)) {
      const against = (base: string, label: string) => {
        const ratios = WHICH.map((which) => median(own.map((cost, n) => costs[base][n][which] / cost[which])));
        return `${ratios.map((ratio) => ratio.toFixed(2)).join(' | ')} x ${label}`;
      };
      const texts: string[] = [];
      if (name.startsWith('Trapframe')) texts.push(against('C', 'C'));
      if (name === 'Trapframe, a machine' && qemu) texts.push(against('QEMU -enable-kvm', 'QEMU'));
      const [wall, cpu] = WHICH.map((which) => (median(own.map((cost) => cost[which])) / BATCH).toFixed(0));
      console.log(
        `${kind.padEnd(14)} ${name.padEnd(22)} ${wall.padStart(7)} | ${cpu.padStart(6)}   ${texts.join(', ')}`,
      );
    }
  }

  console.log(
    '\nms from the start of the process, by turns: to the byte that the guest’s first instructions write | to its end',
  );
  const bios = join(directory, 'short.bin');
  writeFileSync(bios, shortFirmware());
  const starts = {
    'Node alone': [process.execPath, '-e', 'process.stdout.write("!")'],
    Trapframe: [system, '-accel', 'kvm', ...machineArgs(bios)],
    ...(qemu ? { QEMU: ['qemu-system-x86_64', '-enable-kvm', ...machineArgs(bios)] } : {}),
  };
  const times = Object.fromEntries(Object.keys(starts).map((name) => [name, [] as { first: number; end: number }[]]));
  for (let n = -1; n < Number(values.starts); n++)
    for (const [name, [command, ...args]] of Object.entries(starts)) {
      const time = await timed(command, args);
      if (n >= 0) times[name].push(time); // the first of a new state of the sources makes their bundle
    }
  for (const [name, list] of Object.entries(times)) {
    const text = (['first', 'end'] as const).map((which) => {
      const all = list.map((time) => time[which]);
      return `${median(all).toFixed(0)} (least ${Math.min(...all).toFixed(0)})`;
    });
    console.log(`${name.padEnd(14)} ${text.join(' | ')}`);
  }
  const inside = spawnSync(process.execPath, [here('start.ts'), bios], { encoding: 'utf8' });
  console.log(`in a process that runs: ${inside.stdout.trim()}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
