import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readU32, readU64 } from '../bits/endian.ts';
import { latin1 } from '../bits/text.ts';
import { type AcpiFiles, loadTables } from './acpi-tables.ts';
import { hole64, microvmAcpi, pcAcpi, pciHoles } from './pc-acpi.ts';
import { E820 } from './pc-memory.ts';
import { smbios } from './smbios.ts';

const ISA = { serials: [true, false], parallels: [true], floppy: true, keyboard: true, rtc: true };
const PC = {
  kind: 'pc',
  sleeps: { s3: true, s4: true },
  apicIds: [0, 1],
  isa: ISA,
  hpet: true,
  below: 0x1000_0000,
  pmBase: 0x600,
} as const;
const BOARDS: Readonly<Record<string, AcpiFiles>> = {
  pc: pcAcpi({ ...PC, hole64: hole64(0, 2 ** 31) }),
  q35: pcAcpi({ ...PC, kind: 'q35', mmconfig: 0xb000_0000, hole64: hole64(0, 2 ** 35) }),
  microvm: microvmAcpi({
    apicIds: [0, 1, 2],
    isa: { ...ISA, parallels: [], floppy: false, keyboard: false },
    pic: true,
    virtio: [{ base: 0xfeb0_0000, size: 0x200, gsi: 5 }],
  }),
};
const hasIasl = spawnSync('iasl', ['-v']).error === undefined;
const AT = 0x0f00_0000;

/** Every table that the RSDP leads to, by signature. */
function follow(files: AcpiFiles): Map<string, Uint8Array> {
  const { tables, rsdp } = loadTables(files, AT, 0xf_0000);
  const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
  assert.equal(sum(rsdp.subarray(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const found = new Map<string, Uint8Array>();
  const visit = (address: number, checked = true) => {
    const at = address - AT;
    const bytes = tables.subarray(at, at + readU32(tables, at + 4));
    const signature = latin1(bytes.subarray(0, 4));
    if (checked) assert.equal(sum(bytes), 0, `checksum of ${signature}`);
    found.set(signature, bytes);
    return bytes;
  };
  const rsdt = visit(readU32(rsdp, 16));
  const xsdt = visit(readU64(rsdp, 24));
  for (let at = 36; at < rsdt.length; at += 4) visit(readU32(rsdt, at));
  assert.equal((xsdt.length - 36) / 8, (rsdt.length - 36) / 4);
  const fadt = found.get('FACP') as Uint8Array;
  visit(readU64(fadt, 140));
  assert.equal(readU32(fadt, 40), readU64(fadt, 140));
  if (readU32(fadt, 36)) visit(readU32(fadt, 36), false);
  return found;
}

test('the loader leads from the RSDP to every table, with right checksums', () => {
  assert.deepEqual([...follow(BOARDS['pc']).keys()].sort(), [
    'APIC',
    'DSDT',
    'FACP',
    'FACS',
    'HPET',
    'RSDT',
    'WAET',
    'XSDT',
  ]);
  assert.ok(follow(BOARDS['q35']).has('MCFG'));
  assert.ok(!follow(BOARDS['microvm']).has('FACS'));
});

test('sizes do not depend on what firmware sets up', () => {
  const late = pcAcpi({ ...PC, pmBase: 0xb000, hole64: hole64(0, 2 ** 35) });
  for (const name of ['tables', 'rsdp', 'loader'] as const) assert.equal(late[name].length, BOARDS['pc'][name].length);
});

test('configuration space is no hole', () => {
  assert.deepEqual(pciHoles(0x8000_0000, 0xb000_0000), [
    [0x8000_0000, 0xafff_ffff],
    [0xc000_0000, 0xfebf_ffff],
  ]);
  assert.deepEqual(pciHoles(0xb000_0000, 0xb000_0000), [[0xc000_0000, 0xfebf_ffff]]);
  assert.deepEqual(pciHoles(0x1000_0000, undefined), [[0x1000_0000, 0xfebf_ffff]]);
});

for (const [board, files] of Object.entries(BOARDS)) {
  test(`iasl reads the tables of ${board} and finds nothing wrong`, { skip: !hasIasl && 'no iasl' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'trapframe-acpi-'));
    try {
      for (const [signature, bytes] of follow(files)) {
        if (['RSDT', 'XSDT'].includes(signature)) continue;
        const base = join(folder, signature);
        writeFileSync(`${base}.aml`, bytes);
        const read = spawnSync('iasl', ['-d', `${base}.aml`], { encoding: 'utf8' });
        assert.equal(read.status, 0, read.stderr);
        const text = readFileSync(`${base}.dsl`, 'utf8');
        assert.doesNotMatch(text, /Invalid|Incorrect checksum|Error/, signature);
        const compiled = spawnSync('iasl', ['-p', `${base}.again`, `${base}.dsl`], { encoding: 'utf8' });
        assert.match(compiled.stdout, /0 Errors/, compiled.stdout + compiled.stderr);
        if (signature === 'DSDT')
          assert.match(compiled.stdout, /0 Errors, 0 Warnings/, compiled.stdout + compiled.stderr);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('SMBIOS structures follow each other and end', () => {
  const ranges = [{ base: 0, size: 2 ** 29, type: E820.RAM }];
  const { tables, anchor } = smbios({ product: 'P', version: 'V', cpus: 2, memory: 2 ** 29, ranges });
  const types: number[] = [];
  for (let at = 0; at < tables.length; ) {
    types.push(tables[at]);
    at += tables[at + 1];
    while (tables[at] || tables[at + 1]) at++;
    at += 2;
  }
  assert.deepEqual(types, [1, 3, 4, 4, 16, 17, 19, 32, 127]);
  assert.equal(anchor.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  assert.equal(anchor[0x1c], types.length);
});
