/**
 * Random bare-metal programs in all modes, with page tables and PMP, on both
 * accelerators against qemu-system-riscv64's virt board. The first 4 MiB of
 * RAM must be the same at the end: data, page tables, every trap's cause, tval
 * and pc, all registers.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import type { SpaceAccelerator } from '../../src/accel/accelerator.ts';
import type { Unit } from './assembler.ts';
import { AREA, isDone, RAM_BASE } from './firmware.ts';
import { hex, load, options, TestBoard } from './pair.ts';
import { makeProgram, type Program } from './programs.ts';
import { listing } from './shrink.ts';

const QEMU = 'qemu-system-riscv64';
const COUNT = Number(process.env.TRAPFRAME_COUNT ?? 12);
const REFERENCE_EVERY = 8;
const QEMU_RAM = 128 << 20;
const CPU = 'rv64,h=false,svnapot=true,svpbmt=true,svinval=true,zbkb=true,zbkx=true,zknh=true';

const folder = mkdtempSync(join(tmpdir(), 'trapframe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** RAM at the end, or in words why there is none. */
function runQemu({ ram }: Program): Uint8Array | string {
  const path = join(folder, 'ram');
  const file = openSync(path, 'w+');
  try {
    ftruncateSync(file, QEMU_RAM);
    writeSync(file, ram, 0, ram.length, 0);
    const memory = `memory-backend-file,id=ram,mem-path=${path},size=${QEMU_RAM},share=on`;
    const args = ['-M', 'virt,memory-backend=ram', '-object', memory, '-m', '128M', '-cpu', CPU];
    args.push('-bios', 'none', '-display', 'none', '-serial', 'none', '-monitor', 'none', '-no-reboot');
    const { status, signal, stderr } = spawnSync(QEMU, args, { timeout: 100_000, encoding: 'utf8' });
    if (status !== 0) return `QEMU ended with ${signal ?? status} ${stderr}`;
    const out = new Uint8Array(ram.length);
    readSync(file, out, 0, out.length, 0);
    return out;
  } finally {
    closeSync(file);
  }
}

function runOurs(program: Program, accelerator: SpaceAccelerator): Uint8Array | string {
  load(accelerator, program.ram);
  const vcpu = accelerator.vcpus[0];
  for (let n = 0; n < 1000; n++) {
    if (vcpu.run(1000).kind === 'halt') break;
  }
  return isDone(accelerator.ram) ? accelerator.ram : `comes to no end; pc ${hex(vcpu.readRegister('pc'))}`;
}

const LOG = AREA.log - RAM_BASE;

function place(at: number): string {
  const address = RAM_BASE + at;
  if (address >= AREA.log)
    return `trap ${(at - LOG) >> 5}, ${['cause', 'tval', 'epc', 'status'][((at - LOG) >> 3) & 3]}`;
  if (address >= AREA.save) return `registers + ${hex(address - AREA.save)}`;
  return hex(address);
}

/** Differences, the first traps first; empty when there are none. */
function compare(ours: Uint8Array, theirs: Uint8Array): string[] {
  if (Buffer.compare(ours, theirs) === 0) return [];
  const [a, b] = [ours, theirs].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset));
  const lines: string[] = [];
  const look = (from: number, to: number) => {
    for (let at = from; at < to && lines.length < 12; at += 8) {
      // Of a breakpoint's tval the specification leaves open whether it is the address or 0.
      if (at > LOG && (at & 24) === 8 && a.getBigUint64(at - 8, true) === 3n) continue;
      const [x, y] = [a.getBigUint64(at, true), b.getBigUint64(at, true)];
      if (x !== y) lines.push(`${place(at)}: ours ${hex(x)}, QEMU ${hex(y)}`);
    }
  };
  look(LOG, ours.length);
  look(0, LOG);
  return lines;
}

const accelerators = {
  jit: () => new JitAccelerator(options(new TestBoard())),
  reference: () => ReferenceAccelerator.create(options(new TestBoard())),
};

/** undefined where QEMU or we come to no end. */
function differ(program: Program, kind: keyof typeof accelerators): string[] | undefined {
  const ours = runOurs(program, accelerators[kind]());
  if (typeof ours === 'string') return undefined;
  const theirs = runQemu(program);
  return typeof theirs === 'string' ? [theirs] : compare(ours, theirs);
}

function without(program: Program, units: readonly Unit[]): Program {
  const ram = program.ram.slice();
  const view = new DataView(ram.buffer, AREA.code - RAM_BASE);
  for (const { at, length } of units) {
    if (length === 2) view.setUint16(at, 1, true);
    else view.setUint32(at, 0x13, true);
  }
  return { ...program, ram };
}

function explain(program: Program, kind: keyof typeof accelerators, lines: readonly string[]): string {
  const end = Date.now() + 90_000;
  let kept = [...Map.groupBy(program.units, ({ group }) => group).values()];
  const removed: Unit[] = [];
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let from = 0; from < kept.length && Date.now() < end; ) {
      const chunk = kept.slice(from, from + size);
      const still = differ(without(program, [...removed, ...chunk.flat()]), kind);
      if (still !== undefined && still.length > 0 && !still[0].startsWith('QEMU ended')) {
        removed.push(...chunk.flat());
        kept = kept.filter((group) => !chunk.includes(group));
      } else from += size;
    }
  }
  const small = without(program, removed);
  return [
    `seed ${program.seed} (${program.flavour}), ${kind}`,
    ...lines,
    'with fewer instructions:',
    ...(differ(small, kind) ?? []),
    ...listing(small, kept.flat()),
  ].join('\n');
}

const installed = spawnSync(QEMU, ['--version']).status === 0;

test('random programs end as on QEMU', { skip: installed ? false : `${QEMU} is not installed` }, (t) => {
  const first = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  let compared = 0;
  for (let n = 0; n < COUNT; n++) {
    const program = makeProgram((first + n) >>> 0, 24, true);
    for (const kind of n % REFERENCE_EVERY === 0 ? (['jit', 'reference'] as const) : (['jit'] as const)) {
      const lines = differ(program, kind);
      if (lines === undefined) continue;
      compared++;
      if (lines.length > 0) assert.fail(explain(program, kind, lines));
    }
  }
  t.diagnostic(`${compared} runs compared`);
  assert.ok(compared >= COUNT / 3, 'programs come to their end');
});
