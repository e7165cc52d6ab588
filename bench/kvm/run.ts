/**
 * What exits cost, and how soon a guest runs: Trapframe on KVM against a C
 * program that does the same (exits.c, compiled here), and QEMU.
 *
 *   node bench/kvm/run.ts [--count=N] [--rounds=N]
 *
 * Rounds are interleaved; medians are printed, and the medians of each round's
 * ratios. On a machine that others use too, CPU time says more than wall time:
 * both are there. See guest.ts for what is exited for: QEMU leaves KVM for each
 * of these, too (0xb8000 is RAM of its own without a graphics card).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { firmware, KINDS, type Kind, rawImage } from './guest.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
  },
});
const count = Number(values.count);
const rounds = Number(values.rounds);
const here = (file: string) => new URL(file, import.meta.url).pathname;
const system = here('../../bin/trapframe-system-x86_64');

/** Seconds of wall and of CPU time, and what was printed. */
interface Ran {
  readonly wall: number;
  readonly cpu: number;
  readonly text: string;
  readonly status: number | null;
}

function run(command: string, args: readonly string[]): Ran {
  const start = performance.now();
  // The children's times are the shell's to tell.
  const child = spawnSync('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; time "$@"', 'bash', command, ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  const [, user, sys] = /cpu ([\d.]+) ([\d.]+)/.exec(child.stderr) ?? [];
  return {
    wall: (performance.now() - start) / 1000,
    cpu: Number(user) + Number(sys),
    text: child.stdout,
    status: child.status,
  };
}

const median = (list: readonly number[]): number => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length === 0 ? Number.NaN : sorted[sorted.length >> 1];
};

const machineArgs = (bios: string): string[] => [
  ...['-M', 'pc', '-m', '16M', '-bios', bios, '-nodefaults', '-vga', 'none', '-display', 'none'],
  ...['-device', 'isa-debug-exit,iobase=0x501,iosize=1'],
];

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
    const [one, many] = [1000, 1000 + count].map((loops) => {
      const file = join(directory, `firmware-${loops}.bin`);
      writeFileSync(file, firmware(kind, loops));
      return file;
    });
    /** Of each round: wall, CPU. */
    const costs: Record<string, [number, number][]> = {};
    const note = (name: string, wall: number, cpu: number) => {
      costs[name] ??= [];
      costs[name].push([wall, cpu]);
    };
    for (let round = 0; round < rounds; round++) {
      for (const [name, command, args] of [
        ['C', c, [raw]],
        ['Trapframe, a vCPU', process.execPath, [here('vcpu.ts'), raw]],
      ] as const) {
        const [wall, cpu] = run(command, [...args, String(count)])
          .text.split(' ')
          .map(Number);
        note(name, wall, cpu);
      }
      for (const [name, command, args] of [
        ['Trapframe, a machine', system, ['-accel', 'kvm,x-trapframe-move=off']],
        ...(qemu ? ([['QEMU -enable-kvm', 'qemu-system-x86_64', ['-enable-kvm']]] as const) : []),
      ] as const) {
        const few = run(command, [...args, ...machineArgs(one)]);
        const all = run(command, [...args, ...machineArgs(many)]);
        if (few.status !== 1 || all.status !== 1) throw new Error(`${name} ended with ${few.status}, ${all.status}`);
        note(name, ((all.wall - few.wall) / count) * 1e9, ((all.cpu - few.cpu) / count) * 1e9);
      }
    }
    for (const [name, own] of Object.entries(costs)) {
      const against = (base: string, label: string) => {
        const ratios = [0, 1].map((which) => median(own.map((cost, n) => costs[base][n][which] / cost[which])));
        return `${ratios.map((ratio) => ratio.toFixed(2)).join(' | ')} x ${label}`;
      };
      const texts: string[] = [];
      if (name.startsWith('Trapframe')) texts.push(against('C', 'C'));
      if (name === 'Trapframe, a machine' && qemu) texts.push(against('QEMU -enable-kvm', 'QEMU'));
      const [wall, cpu] = [0, 1].map((which) => median(own.map((cost) => cost[which])).toFixed(0));
      console.log(
        `${kind.padEnd(14)} ${name.padEnd(22)} ${wall.padStart(7)} | ${cpu.padStart(6)}   ${texts.join(', ')}`,
      );
    }
  }

  console.log('\nms from the start of the process to the guest’s end, which comes at once');
  const none = join(directory, 'end.bin');
  writeFileSync(none, firmware('port output', 0));
  for (const [name, command, args] of [
    ['Node alone', process.execPath, ['-e', '0']],
    ['Trapframe', system, ['-accel', 'kvm', ...machineArgs(none)]],
    ...(qemu ? ([['QEMU', 'qemu-system-x86_64', ['-enable-kvm', ...machineArgs(none)]]] as const) : []),
  ] as const) {
    const times = Array.from({ length: rounds }, () => run(command, args).wall * 1000);
    console.log(`${name.padEnd(14)} ${median(times).toFixed(0)} (least ${Math.min(...times).toFixed(0)})`);
  }
  const inside = run(process.execPath, [here('start.ts'), none]);
  console.log(`in a process that runs: ${inside.text.trim()}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
