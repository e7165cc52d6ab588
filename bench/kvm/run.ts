/**
 * What exits cost, and how soon a guest runs: Trapframe on KVM against a C
 * program that does the same (exits.c, compiled here), and QEMU.
 *
 *   node bench/kvm/run.ts [--count=N] [--rounds=N]
 *
 * Rounds are interleaved; medians are printed, and ratios of medians. On a
 * machine that others use too, CPU time says more than wall time: both are
 * there. Exits are those of a loop of two instructions in real mode:
 * `out 0x80, al`, and `mov [0xb8000], al` where no memory is.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '500000' }, rounds: { type: 'string', default: '5' } },
});
const count = Number(values.count);
const rounds = Number(values.rounds);
const here = (file: string) => new URL(file, import.meta.url).pathname;
const system = here('../../bin/trapframe-system-x86_64');

/** out 0x80, al; jmp back. mov cx, 0xb800; mov ds, cx; mov [0], al; jmp back. */
const LOOPS = {
  'port output': [0xe6, 0x80, 0xeb, 0xfc],
  'memory write': [0xb9, 0x00, 0xb8, 0x8e, 0xd9, 0xa2, 0, 0, 0xeb, 0xfb],
} as const;
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

/**
 * A firmware that makes `loops` x 65536 exits and ends the emulator: QEMU and we run the same. Exits cost the difference
 * between two of them.
 */
function firmware(kind: keyof typeof LOOPS, loops: number): Uint8Array {
  const rom = new Uint8Array(0x10000).fill(0xf4);
  const exit = kind === 'port output' ? [0xe6, 0x80] : [0xa2, 0, 0];
  rom.set(
    [
      ...[0xfa, 0xb8, 0x00, 0xb8, 0x8e, 0xd8, 0xbb, loops & 0xff, loops >> 8], // cli; ds = 0xb800; mov bx, loops
      ...[0x31, 0xc9, ...exit, 0x49, 0x75, 0xfd - exit.length, 0x4b, 0x75, 0xf8 - exit.length], // cx = 0; exit; loops
      ...[0xba, 0x01, 0x05, 0xb0, 0x00, 0xee, 0xf4], // mov dx, 0x501; out dx, al
    ],
    0,
  );
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

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
  for (const [kind, code] of Object.entries(LOOPS) as [keyof typeof LOOPS, readonly number[]][]) {
    const image = new Uint8Array(0x10000);
    image.set(code, 0x1000);
    const raw = join(directory, 'raw.img');
    writeFileSync(raw, image);
    const [one, many] = [1, 4].map((loops) => {
      const file = join(directory, `firmware-${loops}.bin`);
      writeFileSync(file, firmware(kind, loops));
      return file;
    });
    const wall: Record<string, number[]> = {};
    const cpu: Record<string, number[]> = {};
    const note = (name: string, a: number, b: number) => {
      wall[name] = [...(wall[name] ?? []), a];
      cpu[name] = [...(cpu[name] ?? []), b];
    };
    for (let round = 0; round < rounds; round++) {
      for (const [name, command, args] of [
        ['C', c, [raw]],
        ['Trapframe, a vCPU', process.execPath, [here('vcpu.ts'), raw]],
      ] as const) {
        const few = run(command, [...args, '1000']);
        const all = run(command, [...args, String(count)]);
        note(name, Number.parseFloat(all.text), ((all.cpu - few.cpu) / (count - 1000)) * 1e9);
      }
      for (const [name, command, args] of [
        ['Trapframe, a machine', system, ['-accel', 'kvm,x-trapframe-move=off']],
        ...(qemu ? ([['QEMU -enable-kvm', 'qemu-system-x86_64', ['-enable-kvm']]] as const) : []),
      ] as const) {
        const few = run(command, [...args, ...machineArgs(one)]);
        const all = run(command, [...args, ...machineArgs(many)]);
        if (few.status !== 1 || all.status !== 1) throw new Error(`${name} ended with ${few.status}, ${all.status}`);
        note(name, ((all.wall - few.wall) / (3 * 65536)) * 1e9, ((all.cpu - few.cpu) / (3 * 65536)) * 1e9);
      }
    }
    for (const name of Object.keys(wall)) {
      const own = median(wall[name]);
      const ratio = (base: string, of: Record<string, number[]>) => (median(of[base]) / median(of[name])).toFixed(2);
      const against = name.startsWith('QEMU') || name === 'C' ? [] : [`${ratio('C', wall)} | ${ratio('C', cpu)} x C`];
      if (name === 'Trapframe, a machine' && qemu)
        against.push(`${ratio('QEMU -enable-kvm', wall)} | ${ratio('QEMU -enable-kvm', cpu)} x QEMU`);
      console.log(
        `${kind.padEnd(14)} ${name.padEnd(22)} ${own.toFixed(0).padStart(7)} | ${median(cpu[name]).toFixed(0).padStart(6)}   ${against.join(', ')}`,
      );
    }
  }

  console.log('\nms from the start of the process to the guest’s end, which comes at once');
  const none = join(directory, 'end.bin');
  const rom = new Uint8Array(0x10000).fill(0xf4);
  rom.set([0xba, 0x01, 0x05, 0xb0, 0x00, 0xee, 0xf4], 0);
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  writeFileSync(none, rom);
  for (const [name, command, args] of [
    ['Node alone', process.execPath, ['-e', '0']],
    ['Trapframe', system, ['-accel', 'kvm', ...machineArgs(none)]],
    ...(qemu ? ([['QEMU', 'qemu-system-x86_64', ['-enable-kvm', ...machineArgs(none)]]] as const) : []),
  ] as const) {
    const times = Array.from({ length: rounds }, () => run(command, args).wall * 1000);
    console.log(`${name.padEnd(14)} ${median(times).toFixed(0)}`);
  }
  const inside = run(process.execPath, [here('start.ts'), none]);
  console.log(`in a process that runs: ${inside.text.trim()}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
