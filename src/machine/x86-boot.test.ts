import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16, readU32, writeU16, writeU32 } from '../bits/endian.ts';
import { latin1, utf8 } from '../bits/text.ts';
import { FW_CFG } from '../devices/fw-cfg/fw-cfg.ts';
import { directRanges, splitMemory } from './pc-memory.ts';
import { directBoot, firmwareBoot } from './x86-boot.ts';
import { buildResetRom } from './x86-boot-rom.ts';

const MIB = 0x10_0000;

/** A bzImage of protocol 2.12 with one set-up sector. */
function bzImage(xloadflags = 0): Uint8Array {
  const file = new Uint8Array(1024 + 4096);
  file[0x1f1] = 1;
  file.set(utf8('HdrS'), 0x202);
  writeU16(file, 0x206, 0x20c);
  file[0x201] = 0x66;
  file[0x211] = 1;
  writeU32(file, 0x22c, 0x7fff_ffff);
  writeU16(file, 0x236, xloadflags);
  file.fill(0xcc, 1024);
  return file;
}

/** A Multiboot kernel by addresses: header at 0, loaded at 1 MiB, 256 bytes and as many zeros. */
function multiboot(): Uint8Array {
  const file = new Uint8Array(256).fill(0x90);
  const words = [0x1bad_b002, 0x1_0000, 0x1_0000_0000 * 2 - 0x1bad_b002 - 0x1_0000, MIB, MIB, 0, MIB + 512, MIB + 0x20];
  words.forEach((word, index) => {
    writeU32(file, 4 * index, word);
  });
  return file;
}

const item = (items: readonly (readonly [number, Uint8Array])[], key: number) => items.find(([k]) => k === key)?.[1];
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

test('a bzImage goes where QEMU puts it, with its header filled in', async () => {
  const initrd = new Uint8Array(5000);
  const boot = await firmwareBoot({ kernel: bzImage(), initrd, append: 'quiet vga=788', memory: 64 * MIB }, 60 * MIB);
  const setup = item(boot.items, FW_CFG.SETUP_DATA) as Uint8Array;
  assert.equal(setup.length, 1024);
  assert.equal(readU16(setup, 0x1fa), 788);
  assert.equal(setup[0x210], 0xb0);
  assert.equal(setup[0x211], 0x81);
  assert.equal(readU32(setup, 0x228), 0x2_0000);
  assert.equal(readU32(setup, 0x218), 60 * MIB - 8192);
  assert.equal(readU32(setup, 0x21c), 5000);
  assert.equal(latin1(item(boot.items, FW_CFG.CMDLINE_DATA) as Uint8Array), 'quiet vga=788\0');
  assert.equal((item(boot.items, FW_CFG.KERNEL_DATA) as Uint8Array).length, 4096);
  const { name, content } = boot.rom;
  assert.equal(name, 'linuxboot_dma.bin');
  assert.equal(readU16(content, 0), 0xaa55);
  assert.equal(content[2] * 512, content.length);
  assert.equal(sum(content), 0);
  assert.equal(latin1(content.subarray(readU16(content, 0x1a), readU16(content, 0x1a) + 4)), '$PnP');
});

test('a Multiboot kernel gets its modules and their command lines', async () => {
  const modules = [{ data: utf8('module'), commandLine: 'dom0 console=hvc0' }];
  const { items, rom } = await firmwareBoot(
    { kernel: multiboot(), kernelName: 'xen', append: 'x', modules, memory: 8 * MIB },
    7 * MIB,
  );
  const blob = latin1(item(items, FW_CFG.KERNEL_DATA) as Uint8Array);
  assert.equal(rom.name, 'multiboot_dma.bin');
  for (const text of ['module', 'dom0 console=hvc0\0', 'xen x\0']) assert.ok(blob.includes(text), text);
  assert.equal(sum(rom.content), 0);
});

test('what is no kernel, or does not fit, is said', async () => {
  const refused = async (kernel: Uint8Array, code: string, more = {}) =>
    assert.rejects(firmwareBoot({ kernel, memory: MIB, ...more }, MIB), { code });
  await refused(utf8('#!/bin/sh\n'.repeat(99)), 'kernel-not-a-kernel');
  await refused(new Uint8Array(0), 'kernel-empty');
  await refused(bzImage().subarray(0, 1000), 'kernel-truncated');
  await refused(bzImage(), 'memory-too-small', { initrd: new Uint8Array(4096) });
  await refused(multiboot(), 'memory-too-small');
  const elf = new Uint8Array(64);
  elf.set(utf8('\x7fELF\x01\x01'));
  await refused(elf, 'kernel-wrong-architecture');
  writeU16(elf, 18, 3);
  await refused(elf, 'kernel-not-bootable');
});

test('without firmware a kernel is entered in 64 bits where it can be, else in 32', async () => {
  const map = directRanges(splitMemory(64 * MIB, 0xc000_0000, 0xc000_0000), 0);
  const boot = await directBoot({ kernel: bzImage(1), memory: 64 * MIB }, map, 64 * MIB, 0xe_0000);
  assert.equal(boot.rom.length, 4096);
  assert.equal(boot.rom[4096 - 16], 0xe9); // the reset vector is a jump
  const page = boot.segments.find(({ address }) => address === 0x1_0000)?.data as Uint8Array;
  assert.equal(page[0x1e8], map.length);
  assert.equal(readU32(page, 0x70), 0xe_0000);
  assert.ok(boot.segments.some(({ address }) => address === 0x3_0000)); // page tables
  const narrow = await directBoot({ kernel: bzImage(), memory: 64 * MIB }, map, 64 * MIB, undefined);
  assert.ok(!narrow.segments.some(({ address }) => address === 0x3_0000));
  assert.deepEqual(narrow.rom, buildResetRom({ kind: 'protected', entry: MIB, ebx: 0, esi: 0x1_0000 }));
});

test('RAM is split around the hole for devices', () => {
  assert.deepEqual(splitMemory(0x8000_0000, 0xe000_0000, 0xc000_0000), { below: 0x8000_0000, above: 0 });
  assert.deepEqual(splitMemory(0x1_0000_0000, 0xe000_0000, 0xc000_0000), { below: 0xc000_0000, above: 0x4000_0000 });
});
