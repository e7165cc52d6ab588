/**
 * The monitor against qemu-system-x86_64: a small ROM brings the processor into a mode and halts, and what is asked then
 * is answered alike: code as text, dumps, registers, page tables, ports.
 *
 * Instructions are random encodings of every row; those that Capstone 4, which QEMU asks, is known to print wrongly or
 * not to know are left out. TRAPFRAME_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { Hmp } from '../../src/control/hmp.ts';
import { Control } from '../../src/control/hub.ts';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import type { Row } from '../../src/isa/x86/opcode.ts';
import { rows } from '../../src/isa/x86/rows/index.ts';
import type { DeviceConfig, MachineConfig } from '../../src/machine/config.ts';
import { Machine } from '../../src/machine/machine.ts';
import { Assembler, R, S } from '../../src/machine/x86-assembler.ts';
import { Random } from './random.ts';
import { encode, exists } from './x86/encode.ts';
import { NOTHING_ATTACHED } from '../nothing-attached.ts';

const QEMU = 'qemu-system-x86_64';
const skip = spawnSync(QEMU, ['--version']).status === 0 ? false : `${QEMU} is not installed`;
const seed = testSeed(process.env);
const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'trapframe-monitor-'));
after(() => rmSync(folder, { recursive: true, force: true }));

type Bits = 16 | 32 | 64;
type Mode = 'real' | 'paged' | 'pae' | 'long';
const BITS: Readonly<Record<Mode, Bits>> = { real: 16, paged: 32, pae: 32, long: 64 };
/** Where the ROM has instructions to look at, 16 bytes each, from its beginning; and where that is. */
const CODE = 0x2000;
const SLOTS = 0xc00;
const ROM = 0xf_0000;

/** Entries of page tables: place in RAM and value, low half. Code runs at the same address with and without them. */
const TABLES: Readonly<Record<Mode, readonly (readonly [at: number, value: number])[]>> = {
  real: [],
  // 4 MiB, a table with rights of all kinds, 4 MiB for all to write.
  paged: [
    [0x0000, 0x83],
    [0x0008, 0x1_1007],
    [0x000c, 0x80_0087],
    [0x1000, 0x5001],
    [0x1004, 0x6005],
    [0x1008, 0x7107],
    [0x100c, 0x801b],
    [0x1ffc, 0x9067],
  ],
  pae: [
    [0x0000, 0x1_1001],
    [0x0018, 0x1_2001],
    [0x1000, 0x83],
    [0x1008, 0x1_3003],
    [0x2ff8, 0x20_0087],
    [0x3000, 0x5105],
    [0x3008, 0x6007],
    [0x3018, 0x7003],
  ],
  long: [
    [0x0000, 0x1_1007],
    [0x0800, 0x1_1003],
    [0x0ff8, 0x1_1007],
    [0x1000, 0x1_2003],
    [0x1010, 0x87],
    [0x2000, 0x83],
    [0x2008, 0x1_3007],
    [0x3000, 0x5105],
    [0x3008, 0x6007],
    [0x3ff8, 0x7003],
  ],
};
const ROOT = 0x1_0000;

function rom(mode: Mode, code: Uint8Array): Uint8Array {
  const a = new Assembler();
  a.cli().cld();
  if (mode === 'real') a.movImm(R.bp, 0x1234_5678).db(0xdb, 0xe3);
  else {
    a.movImm16(R.ax, ROOT >> 4).movToSegment(S.es, R.ax);
    for (const [at, value] of TABLES[mode]) a.movImm(R.ax, value).storeEs(at, R.ax);
    // mov cr4: PSE, PAE, with OSFXSR
    a.movImm(R.ax, mode === 'paged' ? 0x210 : 0x220).movToControl(4, R.ax);
    a.movImm(R.ax, ROOT).movToControl(3, R.ax);
    // wrmsr: EFER.LME, NXE
    if (mode === 'long') a.movImm(R.cx, 0xc000_0080).movImm(R.ax, 0x900).movImm(R.dx, 0).db(0x0f, 0x30);
    a.db(0x2e, 0x66, 0x0f, 0x01, 0x16).ref16('gdtr'); // lgdt cs:[gdtr]
    a.movImm(R.ax, 0x8000_0011).movToControl(0, R.ax);
    a.jmpFar32(mode === 'long' ? 0x18 : 8, 'inside', ROM).label('inside');
    a.bits(mode === 'long' ? 64 : 32);
    a.db(0xb8).dd(0x10).movToSegment(S.ss, R.ax).movToSegment(S.ds, R.ax);
    a.db(0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb, 0xd9, 0xe0); // fninit; fld1; fldpi; fchs
    a.db(0xb8).dd(0x1234_5678).db(0x66, 0x0f, 0x6e, 0xd8, 0xf3, 0x0f, 0x70, 0xe3, 0x1b); // movd xmm3, eax; pshufhw xmm4, xmm3
    if (mode === 'long') a.db(0x66, 0x44, 0x0f, 0x6e, 0xf8, 0x49, 0xbb).dd(0x89ab_cdef).dd(0x0123_4567); // xmm15; mov r11
  }
  a.label('halt').db(0xf4).jmp('halt');
  a.label('gdtr').dw(0x1f).ref32('gdt', ROM);
  a.label('gdt').dd(0).dd(0);
  for (const high of [0xcf_9b00, 0xcf_9300, 0xaf_9b00]) a.dd(0xffff).dd(high);
  const image = new Uint8Array(0x1_0000);
  image.set(a.finish());
  image.set(code, CODE);
  image.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return image;
}

/** What Capstone 4 does not know, takes for another instruction, or calls by an assembler's second name. */
const UNTRUSTED = new Set(
  (
    'ud0 ud1 nop prefetchw rdpkru wrpkru rdpid invpcid lar lsl lgs lfs lss fcom2 fcomp3 fcomp5 fstpnce fstp8 fstp9 ' +
    'fxch4 fxch7 vbroadcasti128 rorx lfence mfence sfence aam aad pause tzcnt lzcnt popcnt bswap movzx movsx movsxd cbw ' +
    'cwd rol sldt'
  ).split(' '),
);
const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x3e, 0xf0];

function trusted(row: Row, bytes: Uint8Array, bits: Bits): boolean {
  const { opcode, operands, mnemonic } = row;
  if (UNTRUSTED.has(mnemonic) || (mnemonic === 'shl' && opcode.digit === 6)) return false;
  const count = bytes.findIndex((byte) => !PREFIXES.includes(byte));
  // A repetition that means nothing is left out now and then.
  if (row.traits.string && bytes[0] === 0xf2 && !/^(cmps|scas)/.test(mnemonic)) return false;
  // Of several prefixes it sees one; of one that is part of an opcode none in 16-bit code.
  if (count > 1) return false;
  // Indices that are vectors need an address of 32 bits at least.
  if (opcode.vex) return bits !== 16 || !row.traits.vsib;
  if (bits === 16 && opcode.map > 0 && (count > 0 || opcode.prefix !== 'any')) return false;
  if (bits === 64 && bytes[0] === 0x66 && (bytes[count] & 0xf0) === 0x40) return false;
  const rexW = bits === 64 && (bytes[count] & 0xf8) === 0x48;
  if (rexW && (count > 0 || operands.some((code) => /^[VWUPQN]/.test(code)))) return false;
  return !(count > 0 && opcode.prefix === 'any' && opcode.map > 0 && bytes[0] >= 0xf0);
}

interface Piece {
  readonly at: number;
  readonly row: Row;
}

function instructions(bits: Bits, random: Random): { code: Uint8Array; pieces: Piece[] } {
  const code = new Uint8Array(SLOTS * 16).fill(0x90);
  const pieces: Piece[] = [];
  for (const row of rows()) {
    if (!exists(row, bits) || pieces.length === SLOTS) continue;
    const place = { bits, ip: 0, target: random.below(0x8000), jump: random.below(200), dataBase: 0, fsBase: 0 };
    const { bytes } = encode(row, random, { ...place, gsBase: 0, wrong: false });
    if (!trusted(row, bytes, bits)) continue;
    code.set(bytes, pieces.length * 16);
    pieces.push({ at: CODE + pieces.length * 16, row });
  }
  return { code, pieces };
}

interface Monitor {
  ask(line: string): Promise<string>;
  close(): Promise<void>;
}

async function qemu(image: Uint8Array, board: string, more: readonly string[] = []): Promise<Monitor> {
  const file = join(folder, 'rom.bin');
  writeFileSync(file, image);
  const args = ['-M', board, '-cpu', 'qemu64', '-m', '4', '-bios', file, '-nodefaults', '-display', 'none', ...more];
  const child = spawn(QEMU, [...args, '-qmp', 'stdio'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const command = async (execute: string, given: object = {}): Promise<string> => {
    child.stdin.write(`${JSON.stringify({ execute, arguments: given })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error('QEMU has ended');
      const answer = JSON.parse(value) as { return?: unknown; error?: unknown };
      if (answer.error) throw new Error(JSON.stringify(answer.error));
      if (answer.return !== undefined) return answer.return as string;
    }
  };
  await command('qmp_capabilities');
  const ask = async (line: string) =>
    (await command('human-monitor-command', { 'command-line': line })).replaceAll('\r\n', '\n');
  return {
    ask,
    async close() {
      child.kill();
      await ended;
    },
  };
}

async function ours(image: Uint8Array, board: string, more: Partial<MachineConfig> = {}): Promise<Monitor> {
  const machine = await Machine.create(
    {
      machine: board,
      accel: 'jit',
      cpu: { model: 'qemu64', features: {} },
      cpus: 1,
      memory: 4 * MIB,
      bios: image,
      ...NOTHING_ATTACHED,
      defaults: false,
      ...more,
    },
    new NodeMachineHost(),
  );
  machine.start();
  const control = new Control(
    machine,
    { now: () => 0, save: () => Promise.reject(new Error('nothing is saved')) },
    {
      ...{ target: 'x86_64', board: 'pc', memory: 4 * MIB, process: 0, version: '' },
      ...{ chardevs: () => [], blocks: () => [] },
    },
  );
  const hmp = new Hmp(control);
  return { ask: (line) => hmp.execute(line), close: () => machine.stop() };
}

async function halted({ ask }: Monitor): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (/HLT=1/.test(await ask('info registers'))) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`the processor does not halt: ${await ask('info registers')}`);
}

const QUESTIONS = [
  ...['info registers', 'info mem', 'info tlb', 'info status', 'x/3i $pc', 'p $pc', 'p $eip', 'p/x $esp', 'p $cs'],
  ...[
    'x/6xb 0xf0000',
    'x/5xh 0xf0000',
    'x/3xw 0xf0000',
    'x/2xg 0xf0000',
    'x/20c 0xf0000',
    'x/9cb 0xf0000',
    'x 0xf0000',
  ],
  ...[
    'xp/4dh 0xf2000',
    'xp/4uw 0xf2000',
    'xp/3ob 0xf2000',
    'xp/2xg 0xf2001',
    'xp/3i 0xf2000',
    'x/i 0xf0000',
    'xp 0xf2000',
  ],
  ...['gva2gpa 0x1000', 'gva2gpa 0x90000000', 'sum 0xf0000 0x4000'],
  ...['o/b 0x70 0xf', 'o/b 0x71 0x5a', 'i/b 0x71', 'i/b 0x70.15', 'i/h 0x70.15', 'o/w 0xcf8 0x80000000', 'i/w 0xcfc'],
  ...['i/h 0xcfc', 'i 0xcfc', 'i', 'o 0x80', 'i 0x80 1', 'info registers 1', 'info mtree -x'],
];

/** Addresses of more than 32 bits; outside long mode ours wrap as the processor's do. */
const BEYOND = ['x/2xg 0xffffffffff', 'x/2i 0x7fffff0000'];

for (const mode of ['real', 'paged', 'pae', 'long'] as const) {
  test(`the monitor answers as QEMU's, ${mode} mode`, { skip }, async (t) => {
    t.diagnostic(`TRAPFRAME_SEED=${seed}`);
    const { code, pieces } = instructions(BITS[mode], new Random(seed));
    const image = rom(mode, code);
    const theirs = await qemu(image, 'pc');
    const mine = await ours(image, 'pc');
    try {
      await halted(theirs);
      await halted(mine);
      const different: string[] = [];
      const compare = async (line: string, about = '') => {
        const [ours, qemus] = [await mine.ask(line), await theirs.ask(line)];
        if (ours !== qemus) different.push(`${line} ${about}\n${ours}instead of\n${qemus}`);
      };
      for (const line of QUESTIONS) await compare(line);
      if (mode !== 'real') for (const line of BEYOND) await compare(line);
      for (const { at, row } of pieces)
        await compare(`x/i 0x${(ROM + at).toString(16)}`, `${row.text} ${row.mnemonic} ${row.operands}`);
      assert.equal(different.slice(0, 20).join('\n'), '', `${different.length} answers differ`);
    } finally {
      await mine.close();
      await theirs.close();
    }
  });
}

const DEVICES: readonly DeviceConfig[] = [
  { driver: 'VGA', properties: {} },
  { driver: 'rtl8139', id: 'net', properties: {} },
  { driver: 'virtio-rng-pci', id: 'dice', properties: { addr: '9' } },
  { driver: 'isa-debug-exit', properties: {} },
];
const named = ({ driver, id, properties }: DeviceConfig): string =>
  [
    driver,
    ...(id ? [`id=${id}`] : []),
    ...Object.entries(properties).map(([name, value]) => `${name}=${value}`),
  ].join();

for (const board of ['pc', 'q35']) {
  test(`info qtree, info pci and info mtree of ${board} say nothing that QEMU's do not say`, { skip }, async () => {
    const image = rom('real', new Uint8Array(0));
    const theirs = await qemu(
      image,
      board,
      DEVICES.flatMap((device) => ['-device', named(device)]),
    );
    const mine = await ours(image, board, { devices: DEVICES });
    try {
      await halted(theirs);
      await halted(mine);
      for (const line of ['info qtree', 'info pci', 'info network']) {
        const known = new Set((await theirs.ask(line)).split('\n'));
        const said = (await mine.ask(line)).split('\n');
        const extra = said.filter((text) => !known.has(text));
        assert.deepEqual(extra, [], line);
        assert.ok(said.length > (line === 'info network' ? 1 : 20));
      }
      // Windows that both have are at the same places.
      const flat = (text: string) =>
        new Set([...text.matchAll(/^ +([0-9a-f]{16}-[0-9a-f]{16}) .*?: (\S+)/gm)].map(String));
      const places = flat(await theirs.ask('info mtree -f'));
      const shared = [...flat(await mine.ask('info mtree -f'))];
      for (const name of ['hpet', 'ioapic', 'vga-lowmem', 'fwcfg', 'fwcfg.dma', 'rtc', 'pit', 'port92', 'pc.bios']) {
        const own = shared.filter((place) => place.endsWith(`,${name}`)).map((place) => place.split(',')[1]);
        const other = [...places].filter((place) => place.endsWith(`,${name}`)).map((place) => place.split(',')[1]);
        if (name !== 'rtc') assert.deepEqual(own, other, name);
        assert.ok(own.length > 0, name);
      }
    } finally {
      await mine.close();
      await theirs.close();
    }
  });
}
