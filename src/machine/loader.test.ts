import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { writeU16, writeU32, writeU64 } from '../bits/endian.ts';
import { utf8 } from '../bits/text.ts';
import { recognise } from './loader.ts';

const LIMIT = 0x100_0000;
const kernel = (file: Uint8Array) => recognise(file, 'kernel', LIMIT);

function image(length = 4096): Uint8Array {
  const file = new Uint8Array(length);
  file.set(utf8('MZ'));
  writeU64(file, 8, 0x20_0000);
  writeU64(file, 16, 0x8000);
  file.set(utf8('RISCV\0\0\0RSC\x05'), 0x30);
  return file;
}

function elf(change: (file: Uint8Array) => void = () => {}): Uint8Array {
  const file = new Uint8Array(64 + 56 + 16);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  writeU16(file, 18, 243);
  writeU64(file, 24, 0x1_0000_0000 + 8); // a virtual entry
  writeU64(file, 32, 64);
  writeU16(file, 54, 56);
  writeU16(file, 56, 1);
  writeU32(file, 64, 1);
  writeU64(file, 64 + 8, 120);
  writeU64(file, 64 + 16, 0x1_0000_0000);
  writeU64(file, 64 + 24, 0x8020_0000);
  writeU64(file, 64 + 32, 16);
  writeU64(file, 64 + 40, 100);
  file.fill(0x13, 120);
  change(file);
  return file;
}

test('a Linux Image is recognised, plain and in gzip', async () => {
  for (const file of [image(), new Uint8Array(gzipSync(image()))]) {
    const found = await kernel(file);
    assert.deepEqual(
      [found.kind, 'size' in found && found.size, 'textOffset' in found && found.textOffset],
      ['linux', 0x8000, 0x20_0000],
    );
  }
});

test('an ELF file brings segments and a physical entry', async () => {
  const found = await kernel(elf());
  assert.ok(found.kind === 'fixed');
  assert.equal(found.entry, 0x8020_0008);
  assert.deepEqual([found.segments.length, found.segments[0].address, found.segments[0].size], [1, 0x8020_0000, 100]);
  assert.equal(found.segments[0].data.length, 16);
});

test('anything unknown is a raw binary', async () => {
  assert.equal((await kernel(Uint8Array.of(0x13, 0, 0, 0, 0x6f, 0, 0, 0))).kind, 'raw');
});

test('what certainly is no kernel is refused with a code and a mend', async () => {
  const zboot = new Uint8Array(4096);
  zboot.set(utf8('MZ\0\0zimg'));
  zboot.set(utf8('zstd\0'), 24);
  const gz = new Uint8Array(gzipSync(image()));
  const arm = new Uint8Array(64);
  arm.set(utf8('ARM\x64'), 0x38);
  const refused: [Uint8Array, string][] = [
    [new Uint8Array(0), 'kernel-empty'],
    [utf8('#!/bin/sh\necho no kernel\n'), 'kernel-not-a-kernel'],
    [utf8('070701000000'), 'kernel-not-a-kernel'],
    [Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2), 'kernel-not-a-kernel'],
    [arm, 'kernel-not-a-kernel'],
    [gz.subarray(0, gz.length - 20), 'kernel-gzip-damaged'],
    [gz.subarray(0, 5), 'kernel-gzip-damaged'],
    [new Uint8Array(gzipSync(gz)), 'kernel-not-a-kernel'],
    [new Uint8Array(gzipSync(new Uint8Array(LIMIT + 1))), 'kernel-too-large'],
    [elf().subarray(0, 40), 'kernel-truncated'],
    [elf().subarray(0, 130), 'kernel-truncated'],
    [elf((file) => writeU16(file, 18, 62)), 'kernel-wrong-architecture'],
    [elf((file) => file.fill(1, 4, 5)), 'kernel-wrong-architecture'],
    [elf((file) => writeU32(file, 64, 6)), 'kernel-not-bootable'],
    [elf((file) => writeU32(file, 64 + 12, 0xffff_ffff)), 'kernel-truncated'],
    [image(60), 'kernel-truncated'],
    [zboot, 'kernel-zboot-compression'],
  ];
  for (const [file, code] of refused)
    await assert.rejects(
      kernel(file),
      (error: { code: string; mend: string }) => error.code === code && error.mend !== '',
      code,
    );
});

test('a zboot image with gzip is unpacked', async () => {
  const payload = gzipSync(image());
  const file = new Uint8Array(512 + payload.length);
  file.set(utf8('MZ\0\0zimg'));
  writeU32(file, 8, 512);
  writeU32(file, 12, payload.length);
  file.set(utf8('gzip\0'), 24);
  file.set(payload, 512);
  assert.equal((await kernel(file)).kind, 'linux');
  await assert.rejects(kernel(file.subarray(0, file.length - 10)), { code: 'kernel-truncated' });
});

test('an EFI Image whose sections are cut off is refused', async () => {
  const file = image(8192);
  writeU32(file, 0x3c, 0x40);
  file.set(utf8('PE\0\0'), 0x40);
  writeU16(file, 0x46, 1);
  writeU16(file, 0x54, 0);
  writeU32(file, 0x58 + 16, 0x1000);
  writeU32(file, 0x58 + 20, 0x1000);
  assert.equal((await kernel(file)).kind, 'linux');
  await assert.rejects(kernel(file.subarray(0, 8191)), { code: 'kernel-truncated' });
});
