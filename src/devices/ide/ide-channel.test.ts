import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { writeU32 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { AtaDisk } from '../../hw/ata/ata-disk.ts';
import { AtapiCdrom } from '../../hw/ata/atapi-cdrom.ts';
import type { Disk } from '../../hw/disk.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { FuzzRandom } from '../../hw/test-fuzz.ts';
import { load, save } from '../../state/codec.ts';
import { MemoryDisk } from '../../storage/memory.ts';
import { IdeChannel } from './ide-channel.ts';

const RAM = 0x10_0000;

function numbered(sectors: number): Uint8Array {
  return new Uint8Array(sectors * 512).map((_, i) => (i >> 9) + (i & 0xff));
}

function setUp(options: { bus?: 'isa'; disk?: Disk; cd?: Disk } = {}) {
  const bench = new TestBench(RAM, 0x4_0000);
  const irq = new TestLine();
  const channel = new IdeChannel('ide0', {
    log: bench.log,
    irq,
    dma: options.bus === 'isa' ? undefined : bench.dma,
  });
  const bytes = numbered(2048);
  const disk = new AtaDisk('hd0', bench.log, options.disk ?? new MemoryDisk(bytes));
  const cd = new AtapiCdrom('cd0', bench.log, options.cd ?? new MemoryDisk(numbered(400), { readOnly: true }));
  channel.attach(0, disk);
  channel.attach(1, cd);
  const io = new Probe(channel.commandBlock);
  const bm = new Probe(channel.busMaster);
  const w = (register: number, value: number) => io.w(register, value, 1);
  const r = (register: number) => io.r(register, 1);
  const idle = async () => {
    for (let i = 0; i < 50 && channel.controlBlock.read(0, 1) & 0x80; i++) await setImmediate();
  };
  const take = (length: number): Uint8Array => {
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i += 2) {
      const word = io.r(0, 2);
      data[i] = word;
      data[i + 1] = word >> 8;
    }
    return data;
  };
  const give = (data: Uint8Array) => {
    for (let i = 0; i < data.length; i += 2) io.w(0, data[i] | (data[i + 1] << 8), 2);
  };
  const lba28 = (lba: number, count: number, device = 0) => {
    for (const [register, value] of [
      [6, 0xe0 | device | (lba >>> 24)],
      [2, count & 0xff],
      [3, lba & 0xff],
      [4, (lba >> 8) & 0xff],
      [5, (lba >> 16) & 0xff],
    ])
      w(register, value);
  };
  const packet = async (bytesOf: number[], limit = 0xfffe, dma = 0) => {
    w(6, 0x10);
    w(1, dma);
    w(4, limit & 0xff);
    w(5, limit >> 8);
    w(7, 0xa0);
    give(Uint8Array.from({ length: 12 }, (_, i) => bytesOf[i] ?? 0));
    await idle();
  };
  /** A PRD table at the start of RAM. */
  const prds = (...entries: [number, number][]) => {
    entries.forEach(([address, length], i) => {
      writeU32(bench.ram, 8 * i, address);
      writeU32(bench.ram, 8 * i + 4, ((length & 0xffff) | (i === entries.length - 1 ? 0x8000_0000 : 0)) >>> 0);
    });
    bm.w(4, RAM);
  };
  const settle = async () => {
    for (let i = 0; i < 20; i++) await setImmediate();
  };
  return { bench, irq, channel, bytes, disk, cd, io, bm, w, r, idle, take, give, lba28, packet, prds, settle };
}

test('IDENTIFY DEVICE is what QEMU 7.2 answers, but for TRIM', () => {
  const { w, r, take } = setUp({ disk: new MemoryDisk(new Uint8Array(64 << 20)) });
  w(6, 0xa0);
  w(7, 0xec);
  assert.equal(r(7), 0x58);
  const data = take(512);
  const words: Record<number, string> = {};
  for (let i = 0; i < 256; i++) {
    const word = data[2 * i] | (data[2 * i + 1] << 8);
    if (word && word !== 0x2020) words[i] = word.toString(16);
  }
  // Dumped from qemu-system-x86_64 7.2 -drive if=ide of 64 MiB; without words 69 and 169.
  const qemu =
    '0:40 1:82 3:10 4:7e00 5:200 6:3f 10:514d 11:3030 12:3030 13:3120 20:3 21:200 22:4 23:322e 24:352b 27:5145 ' +
    '28:4d55 29:2048 30:4152 31:4444 32:4953 33:4b20 47:8010 48:1 49:b00 51:200 52:200 53:7 54:82 55:10 56:3f ' +
    '57:ffe0 58:1 59:110 61:2 62:7 63:7 64:3 65:78 66:78 67:78 68:78 80:f0 81:16 82:4021 83:7400 84:4000 ' +
    '85:4021 86:3400 87:4000 88:203f 93:6001 101:2 106:6000';
  assert.equal(
    Object.entries(words)
      .map(([word, value]) => `${word}:${value}`)
      .join(' '),
    qemu,
  );
  assert.equal(r(7), 0x50);
});

test('PIO reads interrupt before each block, not after the last', async () => {
  const { irq, r, w, idle, take, lba28, bytes } = setUp();
  lba28(5, 3);
  w(7, 0x20);
  await idle();
  for (let sector = 5; sector < 8; sector++) {
    assert.equal(irq.level, true);
    assert.equal(r(7), 0x58);
    assert.equal(irq.level, false);
    assert.deepEqual(take(512), bytes.slice(sector * 512, sector * 512 + 512));
  }
  assert.deepEqual([r(7), irq.level, irq.rises], [0x50, false, 3]);
});

test('READ MULTIPLE takes blocks, 48-bit addresses and a chunk boundary', async () => {
  const { irq, r, w, idle, take, bytes } = setUp();
  w(6, 0xe0);
  w(2, 8);
  w(7, 0xc6);
  assert.equal(irq.rises, 1);
  for (const [register, high, low] of [
    [2, 1, 44],
    [3, 0, 2],
    [4, 0, 0],
    [5, 0, 0],
  ]) {
    w(register, high);
    w(register, low);
  }
  w(7, 0x29);
  const got: Uint8Array[] = [];
  for (let left = 300; left > 0; left -= 8) {
    await idle();
    assert.equal(r(7), 0x58);
    got.push(take(Math.min(8, left) * 512));
  }
  await idle();
  assert.equal(r(7), 0x50);
  assert.deepEqual(Buffer.concat(got), Buffer.from(bytes.slice(2 * 512, 302 * 512)));
});

test('PIO writes reach the disk; CHS addresses count as INITIALIZE says', async () => {
  const { r, w, idle, give, bytes } = setUp();
  w(6, 0xa3); // 4 heads
  w(2, 10); // of 10 sectors
  w(7, 0x91);
  for (const [register, value] of [
    [6, 0xa1],
    [2, 2],
    [3, 4],
    [4, 2],
    [5, 0],
  ])
    w(register, value);
  w(7, 0x30);
  assert.equal(r(7), 0x58);
  give(new Uint8Array(1024).fill(0xa5));
  await idle();
  assert.equal(r(7), 0x50);
  const at = ((2 * 4 + 1) * 10 + 3) * 512;
  assert.ok(bytes.subarray(at, at + 1024).every((byte) => byte === 0xa5));
  assert.notEqual(bytes[at - 1], 0xa5);
  assert.notEqual(bytes[at + 1025], 0xa5);
});

test('addresses beyond the end, unknown commands and busy drives are refused', async () => {
  const { r, w, lba28, idle, take, give, channel } = setUp();
  lba28(2047, 2);
  w(7, 0x20);
  assert.deepEqual([r(7), r(1)], [0x51, 0x10]);
  w(7, 0xf7);
  assert.deepEqual([r(7), r(1)], [0x51, 0x04]);
  lba28(0, 1);
  w(7, 0x20);
  w(7, 0xec); // while busy: ignored
  w(3, 77);
  await idle();
  assert.equal(r(3), 0);
  assert.equal(r(7), 0x58);
  take(512);
  assert.equal(r(7), 0x50);
  give(new Uint8Array(512)); // nobody asked for it
  channel.controlBlock.write(0, 1, 4);
  assert.equal(r(7), 0x80);
  channel.controlBlock.write(0, 1, 0);
  assert.deepEqual([r(7), r(1), r(2), r(3), r(4), r(5)], [0x50, 1, 1, 1, 0, 0]);
  w(6, 0x10);
  assert.deepEqual([r(7), r(4), r(5)], [0, 0x14, 0xeb]);
});

test('bus master DMA in both directions, through several PRDs', async () => {
  const { bench, irq, bm, r, w, lba28, prds, settle, bytes } = setUp();
  prds([RAM + 0x1000, 1000], [RAM + 0x2000, 1048 + 512 * 4]);
  lba28(9, 8);
  bm.w(0, 8, 1);
  w(7, 0xc8);
  assert.equal(irq.level, false);
  bm.w(0, 9, 1);
  assert.equal(bm.r(2, 1), 1);
  await settle();
  assert.deepEqual([irq.level, bm.r(2, 1), r(7)], [true, 4, 0x50]);
  const got = Buffer.concat([bench.ram.subarray(0x1000, 0x1000 + 1000), bench.ram.subarray(0x2000, 0x2000 + 3096)]);
  assert.deepEqual(got, Buffer.from(bytes.slice(9 * 512, 17 * 512)));
  bm.w(0, 0, 1);
  bm.w(2, 4, 1);
  assert.equal(bm.r(2, 1), 0);
  bench.ram.fill(0x77, 0x1000, 0x1200);
  prds([RAM + 0x1000, 1024]); // longer than needed: stays active
  lba28(100, 1);
  bm.w(0, 1, 1);
  w(7, 0xca);
  await settle();
  assert.deepEqual([irq.level, bm.r(2, 1)], [true, 5]);
  assert.ok(bytes.subarray(51200, 51712).every((byte) => byte === 0x77));
});

test('a PRD table that is too short ends without an interrupt; one outside RAM is an error', async () => {
  const { irq, bm, r, w, lba28, prds, settle } = setUp();
  prds([RAM + 0x1000, 512]);
  lba28(0, 2);
  w(7, 0xc8);
  bm.w(0, 9, 1);
  await settle();
  assert.deepEqual([irq.level, bm.r(2, 1), r(7)], [false, 0, 0x50]);
  bm.w(0, 0, 1);
  bm.w(4, 0xffff_fff8);
  w(7, 0xc8);
  bm.w(0, 9, 1);
  await settle();
  assert.deepEqual([irq.level, bm.r(2, 1), r(7)], [false, 2, 0x50]);
  bm.w(0, 0, 1);
  prds([0xffff_0000, 0]); // data outside RAM, towards the disk
  w(7, 0xca);
  bm.w(0, 1, 1);
  await settle();
  assert.deepEqual([irq.level, bm.r(2, 1) & 2, r(7), r(1)], [true, 2, 0x51, 4]);
});

test('a controller without a bus master refuses DMA', () => {
  const { r, w, lba28 } = setUp({ bus: 'isa' });
  lba28(0, 1);
  w(7, 0xc8);
  assert.deepEqual([r(7), r(1)], [0x51, 4]);
});

test('a request in flight starts over after a load, in another machine', async () => {
  const from = setUp();
  from.prds([RAM + 0x1000, 1024]);
  from.lba28(3, 2);
  from.w(7, 0xc8);
  from.bm.w(0, 9, 1);
  const to = setUp();
  to.bench.ram.set(from.bench.ram);
  load(to.channel.layout, to.channel.state, save(from.channel.layout, from.channel.state));
  load(to.disk.layout, to.disk.state, save(from.disk.layout, from.disk.state));
  load(to.cd.layout, to.cd.state, save(from.cd.layout, from.cd.state));
  for (const device of [to.channel, to.disk, to.cd]) device.resumed();
  await to.settle();
  assert.deepEqual([to.irq.level, to.bm.r(2, 1)], [true, 4]);
  assert.deepEqual(to.bench.ram.slice(0x1000, 0x1400), to.bytes.slice(1536, 2560));
});

test('a disk that fails is an error of the command', async () => {
  const broken: Disk = {
    size: 1 << 20,
    readOnly: false,
    read: () => Promise.reject(new Error('bad sector')),
    write: () => Promise.reject(new Error('bad sector')),
    flush: () => Promise.reject(new Error('bad sector')),
    close: async () => {},
  };
  const { bench, r, w, lba28, prds, bm, settle } = setUp({ disk: broken });
  lba28(0, 1);
  w(7, 0x20);
  await settle();
  assert.deepEqual([r(7), r(1)], [0x51, 0x40]);
  prds([RAM + 0x1000, 512]);
  w(7, 0xc8);
  bm.w(0, 9, 1);
  await settle();
  assert.deepEqual([r(7), r(1), bm.r(2, 1) & 1], [0x51, 0x40, 0]);
  w(7, 0xe7);
  await settle();
  assert.equal(r(7), 0x51);
  assert.equal(bench.reports.length, 3);
});

test('packets: INQUIRY, READ CAPACITY, READ (10) in blocks of the limit, and by DMA', async () => {
  const { bench, irq, r, w, idle, take, packet, prds, bm, settle } = setUp();
  const bytes = numbered(400);
  await packet([0x12, 0, 0, 0, 36]);
  assert.deepEqual([r(7), r(2), r(4), r(5)], [0x58, 2, 36, 0]);
  assert.equal(String.fromCharCode(...take(36).subarray(8, 28)), 'QEMU    QEMU DVD-ROM');
  assert.deepEqual([r(7), r(2)], [0x50, 3]);
  await packet([0x25]);
  assert.deepEqual([...take(8)], [0, 0, 0, 99, 0, 0, 8, 0]);
  await packet([0x28, 0, 0, 0, 0, 10, 0, 0, 3], 0x1001);
  assert.deepEqual([r(4), r(5)], [0, 0x10]);
  const first = take(0x1000);
  await idle();
  assert.deepEqual([r(2), r(4), r(5), irq.level], [2, 0, 8, true]);
  assert.deepEqual(Buffer.concat([first, take(0x800)]), Buffer.from(bytes.slice(20480, 26624)));
  assert.deepEqual([irq.level, r(7), r(2)], [true, 0x50, 3]);
  prds([RAM + 0x1000, 2048]);
  bm.w(0, 9, 1);
  await packet([0x28, 0, 0, 0, 0, 7, 0, 0, 1], 0, 1);
  await settle();
  assert.deepEqual([bm.r(2, 1), r(7), r(2)], [4, 0x50, 3]);
  assert.deepEqual(bench.ram.slice(0x1000, 0x1800), bytes.slice(14336, 16384));
  await packet([0x28, 0, 0, 0, 0, 99, 0, 0, 2]);
  assert.deepEqual([r(7), r(1)], [0x51, 0x50]);
  await packet([0x03, 0, 0, 0, 18]);
  const sense = take(18);
  assert.deepEqual([sense[2], sense[12]], [5, 0x21]);
  await packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1], 0); // PIO without a limit
  assert.deepEqual([r(7), r(1)], [0x51, 4]);
  await packet([0x43, 2, 0, 0, 0, 0, 0, 0, 100]);
  assert.deepEqual([...take(20)], [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x16, 0xaa, 0, 0, 0, 3, 25]);
  await packet([0xbe, 0, 0, 0, 0, 1, 0, 0, 1, 0xf8]);
  const frame = take(2352);
  assert.deepEqual([...frame.subarray(0, 16)], [0, ...new Array(10).fill(255), 0, 0, 2, 1, 1]);
  assert.deepEqual(frame.subarray(16, 2064), bytes.subarray(2048, 4096));
  w(6, 0x10);
  w(7, 0xec);
  assert.deepEqual([r(7), r(4), r(5)], [0x51, 0x14, 0xeb]);
});

test('a new medium is told as absent, then as changed; a locked tray does not open', async () => {
  const { r, cd, take, packet } = setUp();
  const key = async () => {
    await packet([0]);
    return r(7) & 1 ? r(1) >> 4 : 0;
  };
  assert.equal(await key(), 0);
  cd.change(undefined);
  assert.equal(await key(), 2);
  cd.change(new MemoryDisk(new Uint8Array(4096)));
  await packet([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]);
  assert.deepEqual([...take(8)], [0, 6, 4, 16, 2, 2, 0, 0]);
  assert.deepEqual([await key(), await key(), await key()], [2, 6, 0]);
  await packet([0x1e, 0, 0, 0, 1]);
  assert.equal(cd.requestEject(), false);
  await packet([0x1b, 0, 0, 0, 2]);
  assert.equal(r(1) >> 4, 2);
  await packet([0x1e, 0, 0, 0, 0]);
  await packet([0x1b, 0, 0, 0, 2]);
  assert.equal(r(7), 0x50);
  assert.equal(await key(), 2);
  await packet([0x1b, 0, 0, 0, 3]);
  assert.equal(await key(), 0);
});

test('random accesses never throw, and leave a state that loads', async () => {
  const seed = testSeed(process.env);
  const random = new FuzzRandom(seed);
  const next = (below: number) => random.below(below);
  const { bench, channel, disk, cd } = setUp();
  const commands = [0x20, 0x30, 0xc4, 0xc5, 0xc8, 0xca, 0x24, 0x25, 0x35, 0xa0, 0xec, 0xb0, 0xef, 0xe7, 0x90, 0x42];
  let moved = 0;
  for (let step = 0; step < 60_000; step++) {
    const window = [channel.commandBlock, channel.commandBlock, channel.commandBlock, channel.busMaster][next(4)];
    const offset = next(8);
    const kind = next(9);
    if (kind < 3) assert.ok(window.read(offset, 1) >= 0);
    else if (kind < 5 && window === channel.commandBlock) window.write(7, 1, commands[next(commands.length)]);
    else if (kind === 5) {
      for (let i = next(600); i >= 0; i--) next(2) ? window.write(0, 2, next(65536)) : (moved += window.read(0, 2));
    } else window.write(offset, 1, next(3) ? next(4) : next(256));
    if (next(200) === 0) channel.controlBlock.write(0, 1, next(256));
    if (next(50) === 0) bench.ram.fill(next(256), next(4096), 4096 + next(4096));
    if (next(500) === 0) channel.busMaster.write(4, 4, RAM + 4 * next(1000));
    if (next(300) === 0) await setImmediate();
    if (next(5000) === 0) cd.change(next(2) ? undefined : new MemoryDisk(new Uint8Array(8192)));
    if (next(2000) === 0)
      for (const device of [channel, disk, cd]) {
        load(device.layout, device.state, save(device.layout, device.state));
        device.resumed();
      }
  }
  assert.ok(moved > 0, `TRAPFRAME_SEED=${seed}: ${moved}`);
});
