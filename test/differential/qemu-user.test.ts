/**
 * Random unprivileged programs on both accelerators against qemu-riscv64.
 * Every register and all data must be the same at the end.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import type { SpaceAccelerator } from '../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { elf } from './elf.ts';
import { RAM_BASE } from './firmware.ts';
import { hex, options, TestBoard } from './pair.ts';
import { listing } from './shrink.ts';
import { bareRam, makeUserProgram, STOP, USER, type UserProgram } from './user-programs.ts';

const QEMU = 'qemu-riscv64';
/** What its rv64 has but does not switch on by itself. */
const CPU = 'rv64,zbkb=on,zbkx=on,zknh=on';
const COUNT = Number(process.env.TRAPFRAME_COUNT ?? 40);
/** The reference is slow; it runs one program in so many. */
const REFERENCE_EVERY = 12;

const folder = mkdtempSync(join(tmpdir(), 'trapframe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function runQemu({ image }: UserProgram): Buffer | string {
  const file = join(folder, 'program');
  writeFileSync(file, elf(USER.code, image), { mode: 0o755 });
  const { status, signal, stdout } = spawnSync(QEMU, ['-cpu', CPU, file], { timeout: 200_000 });
  return status === 0 ? stdout : `ended with ${signal ?? status}`;
}

function runOurs(program: UserProgram, make: () => SpaceAccelerator): Buffer | string {
  const accelerator = make();
  accelerator.ram.set(bareRam(program));
  const vcpu = accelerator.vcpus[0];
  vcpu.writeRegister('mtvec', BigInt(STOP));
  vcpu.writeRegister('pc', BigInt(USER.code));
  // Floating point on: mstatus.FS, and what follows from it.
  vcpu.writeRegister('mstatus', vcpu.readRegister('mstatus') | (3n << 13n));
  vcpu.state.set32('fpOn', 1);
  vcpu.state.set32('fpDirty', 1);
  for (let n = 0; n < 3000; n++) {
    if (vcpu.run(1000).kind !== 'halt') continue;
    const from = USER.data - RAM_BASE;
    return Buffer.from(accelerator.ram.slice(from, USER.registers + USER.registerBytes - RAM_BASE));
  }
  return `comes to no end; pc ${hex(vcpu.readRegister('pc'))}`;
}

const NAMES = [
  ...Array.from({ length: 31 }, (_, n) => `x${n + 1}`),
  ...Array.from({ length: 32 }, (_, n) => `f${n}`),
  'fcsr',
];

function compare(ours: Buffer | string, theirs: Buffer | string): string[] {
  if (typeof ours === 'string' || typeof theirs === 'string')
    return [
      `ours: ${typeof ours === 'string' ? ours : 'to its end'}, QEMU: ${typeof theirs === 'string' ? theirs : 'to its end'}`,
    ];
  const lines: string[] = [];
  for (let at = 0; at < theirs.length && lines.length < 12; at += 8) {
    const [a, b] = [ours.readBigUInt64LE(at), theirs.readBigUInt64LE(at)];
    if (a === b) continue;
    const register = (at - (USER.registers - USER.data)) / 8;
    lines.push(`${register >= 0 ? NAMES[register] : `data at ${hex(USER.data + at)}`}: ours ${hex(a)}, QEMU ${hex(b)}`);
  }
  return lines;
}

const accelerators = {
  jit: () => new JitAccelerator(options(new TestBoard())),
  reference: () => ReferenceAccelerator.create(options(new TestBoard())),
};

/** How a run went, without numbers: shrinking must not find another failure. */
const ends = (line: string): string => (line.startsWith('ours:') ? line.replace(/0x[0-9a-f]+/, '') : 'differs');

/** Lines about the program where ours and QEMU's differ, with as few instructions as still differ. */
function check(program: UserProgram, kind: keyof typeof accelerators): string[] {
  const differ = (p: UserProgram) => compare(runOurs(p, accelerators[kind]), runQemu(p));
  const lines = differ(program);
  if (lines.length === 0) return [];
  const end = Date.now() + 60_000;
  const groups = [...Map.groupBy(program.units, ({ group }) => group).values()];
  let image = program.image;
  let kept = groups;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let from = 0; from < kept.length && Date.now() < end; ) {
      const chunk = kept.slice(from, from + size);
      const less = image.slice();
      const view = new DataView(less.buffer);
      for (const { at, length } of chunk.flat()) {
        if (length === 2) view.setUint16(at, 1, true);
        else view.setUint32(at, 0x13, true);
      }
      const still = differ({ ...program, image: less });
      if (still.length > 0 && ends(still[0]) === ends(lines[0])) {
        image = less;
        kept = kept.filter((group) => !chunk.includes(group));
      } else from += size;
    }
  }
  const ram = bareRam({ ...program, image });
  return [
    `seed ${program.seed}, ${kind}: ${lines[0]}; shrunk:`,
    ...differ({ ...program, image }),
    'instructions that matter:',
    ...listing({ seed: program.seed, flavour: 'user', ram, units: [] }, kept.flat()),
  ];
}

const installed = spawnSync(QEMU, ['--version']).status === 0;

test('random programs end as under qemu-riscv64', { skip: installed ? false : `${QEMU} is not installed` }, (t) => {
  const first = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  for (let n = 0; n < COUNT; n++) {
    const program = makeUserProgram((first + n) >>> 0);
    assert.deepEqual(check(program, 'jit'), []);
    if (n % REFERENCE_EVERY === 0) assert.deepEqual(check(program, 'reference'), []);
  }
});
