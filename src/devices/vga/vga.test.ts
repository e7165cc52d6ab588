import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { PortBus } from '../../hw/ports.ts';
import { TestBench } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { edid } from './edid.ts';
import { Vga } from './vga.ts';
import { cardRegisters, vgaPci } from './vga-pci.ts';

const MIB = 0x10_0000;
const INK = 0xffa8_a8a8;
const BLACK = 0xff00_0000;

function setUp(size = 16 * MIB) {
  const bench = new TestBench();
  const vram = { bytes: new Uint8Array(size), readOnly: false, place() {} };
  const vga = new Vga('vga', bench, vram);
  const bus = new PortBus();
  for (const { name, base, size, mmio, priority } of vga.ports) bus.add(name, base, size, mmio, priority);
  const out = (port: number, value: number) => bus.write(port, 1, value);
  const set = (index: number, values: readonly number[]) =>
    values.forEach((value, i) => {
      bus.write(index, 2, i | (value << 8));
    });
  /** Loads a mode as a BIOS does: miscellaneous, sequencer, CRTC, graphics, attributes. */
  const mode = ({ misc, seq, crtc, gfx, attr }: ModeTable) => {
    out(0x3c2, misc);
    set(0x3c4, seq);
    bus.write(0x3d4, 2, 0x0011);
    set(0x3d4, crtc);
    set(0x3ce, gfx);
    bus.read(0x3da, 1);
    [...attr.keys()].forEach((i) => {
      out(0x3c0, i);
      out(0x3c0, attr[i]);
    });
    out(0x3c0, 0x20);
  };
  const dac = (index: number, ...rgb: number[]) => {
    out(0x3c8, index);
    for (const level of rgb) out(0x3c9, level);
  };
  const vbe = (index: number, value: number) => {
    bus.write(0x1ce, 2, index);
    bus.write(0x1d0, 2, value);
  };
  const picture = () => {
    const { width, height } = vga.size();
    const bytes = new Uint8Array(width * height * 4);
    const rows = vga.render(bytes);
    const pixels = new Uint32Array(bytes.buffer);
    return { width, height, rows, at: (x: number, y: number) => pixels[y * width + x], bytes };
  };
  const poke = (at: number, value: number) => vga.window.write(at - 0xa_0000, 1, value);
  const peek = (at: number) => vga.window.read(at - 0xa_0000, 1);
  return { bench, vga, vram, bus, out, mode, dac, vbe, picture, poke, peek };
}

interface ModeTable {
  readonly misc: number;
  readonly seq: readonly number[];
  readonly crtc: readonly number[];
  readonly gfx: readonly number[];
  readonly attr: readonly number[];
}
const hex = (text: string) => text.split(' ').map((byte) => parseInt(byte, 16));
const EGA_PALETTE = '00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f';
const LINEAR = '00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f';
// The parameters of the VGA's own modes, from the IBM reference.
const TEXT_80: ModeTable = {
  misc: 0x67,
  seq: hex('03 00 03 00 02'),
  crtc: hex('5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff'),
  gfx: hex('00 00 00 00 00 10 0e 0f ff'),
  attr: hex(`${EGA_PALETTE} 0c 00 0f 08 00`),
};
const MODE_13: ModeTable = {
  misc: 0x63,
  seq: hex('03 01 0f 00 0e'),
  crtc: hex('5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff'),
  gfx: hex('00 00 00 00 00 40 05 0f ff'),
  attr: hex(`${LINEAR} 41 00 0f 00 00`),
};
const MODE_12: ModeTable = {
  misc: 0xe3,
  seq: hex('03 01 0f 00 06'),
  crtc: hex('5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff'),
  gfx: hex('00 00 00 00 00 00 05 0f ff'),
  attr: hex(`${LINEAR} 01 00 0f 00 00`),
};
const MODE_4: ModeTable = {
  misc: 0x63,
  seq: hex('03 09 03 00 02'),
  crtc: hex('2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff'),
  gfx: hex('00 00 00 00 00 30 0f 0f ff'),
  attr: hex(`${LINEAR} 01 00 03 00 00`),
};

test('text: odd/even memory, nine dots, font of plane 2, cursor, blinking', () => {
  const { bench, vga, vram, mode, dac, picture, poke } = setUp();
  mode(TEXT_80);
  dac(7, 0x2a, 0x2a, 0x2a);
  dac(0, 0, 0, 0);
  for (let i = 0; i < 2000; i++) {
    poke(0xb_8000 + 2 * i, 0x20);
    poke(0xb_8001 + 2 * i, 0x07);
  }
  // Font: 0x41 has its left half and rightmost dot, 0xc4 (a line) all dots, in scan line 3.
  vram.bytes[4 * (0x41 * 32 + 3) + 2] = 0xf1;
  vram.bytes[4 * (0xc4 * 32 + 3) + 2] = 0xff;
  poke(0xb_8000 + 2 * (80 + 2), 0x41);
  poke(0xb_8000 + 2 * (80 + 3), 0xc4);
  poke(0xb_8000 + 2 * 5 + 1, 0x87); // blinks
  const shown = picture();
  assert.deepEqual([shown.width, shown.height], [720, 400]);
  const dots = (from: number, y: number, count: number) =>
    Array.from({ length: count }, (_, i) => (shown.at(from + i, y) === INK ? '#' : '.')).join('');
  assert.equal(dots(18, 16 + 3, 19), '####...#.#########.');
  assert.equal(dots(0, 13, 10), '#########.', 'the cursor, lines 13 and 14');
  assert.equal(dots(0, 12, 10), '..........');
  assert.deepEqual([...new Uint8Array(vga.window.peek?.(0x1_8000 + 164, 4) ?? [])], [0x41, 7, 0xc4, 7]);
  bench.advance(300e6); // the cursor's other half
  const later = new Uint8Array(shown.bytes);
  assert.deepEqual(vga.render(later), { first: 13, end: 15 });
  assert.deepEqual(vga.render(later), { first: 0, end: 0 }, 'nothing changed since');
});

test('text: attribute bit 7 blinks or is the fourth bit of the background', () => {
  const { bench, vram, mode, dac, picture, poke, out, bus } = setUp();
  mode(TEXT_80);
  dac(7, 63, 63, 63);
  dac(0x39, 0, 0, 63);
  dac(0x01, 0, 63, 0);
  vram.bytes[4 * (0x41 * 32 + 3) + 2] = 0xff;
  poke(0xb_8000, 0x41);
  poke(0xb_8001, 0x97);
  assert.deepEqual([picture().at(0, 3), picture().at(0, 4)], [0xffff_ffff, 0xff00_ff00]);
  bench.advance(600e6);
  assert.equal(picture().at(0, 3), 0xff00_ff00, 'hidden half a second later');
  bus.read(0x3da, 1);
  out(0x3c0, 0x30);
  out(0x3c0, 0x04);
  assert.deepEqual([picture().at(0, 3), picture().at(0, 4)], [0xffff_ffff, 0xffff_0000]);
});

test('mode 13h: linear bytes, each pixel twice in both directions', () => {
  const { mode, dac, picture, poke } = setUp();
  mode(MODE_13);
  dac(0xc5, 63, 0, 1);
  dac(0, 0, 0, 0);
  poke(0xa_0000 + 320 * 7 + 11, 0xc5);
  const shown = picture();
  assert.deepEqual([shown.width, shown.height], [640, 400]);
  const red = 0xff07_00ff;
  for (const [x, y] of [
    [22, 14],
    [23, 14],
    [22, 15],
    [23, 15],
  ])
    assert.equal(shown.at(x, y), red);
  assert.deepEqual(
    [shown.at(24, 14), shown.at(21, 14), shown.at(22, 16), shown.at(22, 13)],
    [BLACK, BLACK, BLACK, BLACK],
  );
});

test('mode X: without chain 4 the map mask chooses one of four pixels; page flips', () => {
  const { mode, dac, picture, poke, bus } = setUp();
  mode({
    ...MODE_13,
    seq: hex('03 01 0f 00 06'),
    crtc: MODE_13.crtc.map((v, i) => (i === 0x14 ? 0 : i === 0x17 ? 0xe3 : v)),
  });
  dac(9, 0, 63, 0);
  bus.write(0x3c4, 2, 0x0402); // plane 2
  poke(0xa_0000 + 0x4000 + 80 * 3 + 5, 9);
  assert.equal(picture().at(2 * 22, 6), BLACK);
  bus.write(0x3d4, 2, 0x400c); // start at 0x4000
  assert.equal(picture().at(2 * 22, 6), 0xff00_ff00);
  assert.equal(picture().at(2 * 21, 6), BLACK);
});

test('mode 12h: write modes 0 to 3 and read modes', () => {
  const { mode, dac, picture, poke, peek, bus } = setUp();
  mode(MODE_12);
  for (let i = 0; i < 16; i++) dac(i, i * 4, i * 4, i * 4);
  const gfx = (index: number, value: number) => bus.write(0x3ce, 2, index | (value << 8));
  const grey = (i: number) => 0xff00_0000 + (((i * 4) << 2) | 0) * 0x01_0101;
  const rows = (shown: ReturnType<typeof picture>, y: number) =>
    Array.from({ length: 8 }, (_, x) => shown.at(x, y)).map((pixel) => (pixel & 0xff) / 16);
  // Write mode 0 with set/reset and bit mask.
  gfx(0, 0x0a);
  gfx(1, 0x0f);
  gfx(8, 0x81);
  peek(0xa_0000);
  poke(0xa_0000, 0xff);
  assert.deepEqual(rows(picture(), 0), [10, 0, 0, 0, 0, 0, 0, 10]);
  assert.equal(picture().at(0, 0), grey(10));
  // Rotation and XOR with the latches, planes 0 and 1 alone.
  gfx(1, 0);
  gfx(8, 0xff);
  gfx(3, 0x18 | 1);
  bus.write(0x3c4, 2, 0x0302);
  peek(0xa_0000);
  poke(0xa_0000, 0x06);
  assert.deepEqual(rows(picture(), 0), [10, 0, 0, 0, 0, 0, 3, 9]);
  gfx(3, 0);
  bus.write(0x3c4, 2, 0x0f02);
  // Write mode 1 copies the latches.
  gfx(5, 1);
  peek(0xa_0000);
  poke(0xa_0000 + 80, 0);
  assert.deepEqual(rows(picture(), 1), [10, 0, 0, 0, 0, 0, 3, 9]);
  // Write mode 2: the byte is a colour.
  gfx(5, 2);
  gfx(8, 0xf0);
  peek(0xa_0000 + 160);
  poke(0xa_0000 + 160, 0x05);
  assert.deepEqual(rows(picture(), 2), [5, 5, 5, 5, 0, 0, 0, 0]);
  // Write mode 3: the byte is a further bit mask for the set/reset colour.
  gfx(5, 3);
  gfx(0, 0x0c);
  gfx(8, 0x3f);
  peek(0xa_0000 + 160);
  poke(0xa_0000 + 160, 0xf1);
  assert.deepEqual(rows(picture(), 2), [5, 5, 12, 12, 0, 0, 0, 12]);
  // Read mode 0 gives a plane, read mode 1 compares colours.
  gfx(5, 0);
  gfx(4, 2);
  assert.equal(peek(0xa_0000 + 160), 0b1111_0001);
  gfx(5, 8);
  gfx(2, 0x05);
  gfx(7, 0x0f);
  assert.equal(peek(0xa_0000 + 160), 0b1100_0000);
  gfx(7, 0x04);
  assert.equal(peek(0xa_0000 + 160), 0b1111_0001);
});

test('CGA mode 4: two bits a pixel, odd rows in the second bank', () => {
  const { mode, dac, picture, poke } = setUp();
  mode(MODE_4);
  for (let i = 0; i < 4; i++) dac(i, i, i, i);
  poke(0xb_8000, 0b00_01_10_11);
  poke(0xb_8001, 0b11_00_00_00);
  poke(0xb_a000, 0b10_00_00_00);
  const shown = picture();
  assert.deepEqual([shown.width, shown.height], [640, 400]);
  const row = (y: number) => [0, 2, 4, 6, 8, 10].map((x) => (shown.at(x, y) & 0xff) >> 2);
  assert.deepEqual(
    [row(0), row(1)],
    [
      [0, 1, 2, 3, 3, 0],
      [0, 1, 2, 3, 3, 0],
    ],
  );
  assert.deepEqual(row(2), [2, 0, 0, 0, 0, 0]);
});

test('the screen can be split and panned', () => {
  const { mode, dac, picture, poke, out, bus } = setUp();
  mode(MODE_12);
  for (let i = 0; i < 16; i++) dac(i, i * 4, i * 4, i * 4);
  bus.write(0x3d4, 2, 0x010c); // start at 0x100
  bus.write(0x3d4, 2, 0x2e07);
  bus.write(0x3d4, 2, 0x0009);
  bus.write(0x3d4, 2, 0x6318); // line compare 99
  poke(0xa_0000, 0xff);
  poke(0xa_0100, 0x40);
  let shown = picture();
  const white = 0xfff0_f0f0;
  assert.deepEqual([shown.at(0, 0), shown.at(1, 0), shown.at(0, 100), shown.at(7, 100)], [BLACK, white, white, white]);
  assert.equal(shown.at(0, 99), BLACK);
  bus.read(0x3da, 1);
  out(0x3c0, 0x33);
  out(0x3c0, 1);
  shown = picture();
  assert.notEqual(shown.at(0, 0), BLACK);
  assert.equal(shown.at(1, 0), BLACK);
});

test('VBE: 8, 15, 16, 24 and 32 bits, virtual width and offsets', () => {
  const { vram, vbe, out, dac, picture, bus } = setUp();
  out(0x3c0, 0x20);
  const enter = (bpp: number) => {
    vbe(4, 0);
    vbe(3, bpp);
    vbe(1, 64);
    vbe(2, 32);
    vbe(4, 0x41);
  };
  enter(32);
  vram.bytes.set([1, 2, 3, 99], 4 * (64 * 5 + 7));
  assert.deepEqual([picture().width, picture().height, picture().at(7, 5)], [64, 32, 0xff01_0203]);
  enter(24);
  assert.equal(picture().at(7, 5), BLACK, 'cleared');
  vram.bytes.set([1, 2, 3], 3 * (64 * 5 + 7));
  assert.equal(picture().at(7, 5), 0xff01_0203);
  enter(16);
  vram.bytes.set([0b000_11111, 0b11111_100], 2 * (64 * 5 + 7));
  assert.equal(picture().at(7, 5), 0xffff_82ff);
  enter(15);
  vram.bytes.set([0b000_11111, 0b0_11111_10], 2 * (64 * 5 + 7));
  assert.equal(picture().at(7, 5), 0xffff_84ff);
  enter(8);
  dac(200, 1, 2, 3);
  vram.bytes[64 * 5 + 7] = 200;
  assert.equal(picture().at(7, 5), 0xff0f_0807);
  vbe(4, 0xe1); // 8-bit DAC, memory kept
  dac(200, 101, 102, 203);
  assert.equal(picture().at(7, 5), 0xffcb_6665);
  vbe(6, 128);
  vbe(8, 4);
  vbe(9, 3);
  vram.bytes[128 * (3 + 5) + 4 + 7] = 200;
  assert.equal(picture().at(7, 5), 0xffcb_6665);
  bus.write(0x1ce, 2, 7);
  assert.equal(bus.read(0x1cf, 2), 0x1_0000 - 1, 'virtual height is what memory allows');
  assert.equal(bus.read(0x1d0, 2), 0xffff);
});

test('VBE: registers fit the memory, capabilities, banks of the window', () => {
  const { vram, vbe, bus, poke, peek } = setUp(4 * MIB);
  const get = (index: number) => {
    bus.write(0x1ce, 2, index);
    return bus.read(0x1d0, 2);
  };
  assert.deepEqual([get(0), get(10), get(11)], [0xb0c5, 64, 0]);
  vbe(0, 0xb0c2);
  vbe(0, 0x1234);
  assert.equal(get(0), 0xb0c2);
  vbe(4, 2);
  assert.deepEqual([get(1), get(2), get(3)], [16000, 12000, 32]);
  vbe(4, 0);
  vbe(3, 32);
  vbe(1, 1923);
  vbe(2, 4000);
  vbe(4, 0x41);
  assert.deepEqual([get(1), get(2), get(6)], [1920, 546, 1920]);
  vbe(5, 0x43);
  assert.equal(get(5), 3);
  poke(0xa_0001, 0x77);
  assert.equal(vram.bytes[0x3_0001], 0x77);
  assert.equal(peek(0xb_0001), 0xff);
});

test('register files: masks, protection, colour and monochrome addresses, the DAC reads back', () => {
  const { bus, mode, dac, out } = setUp();
  mode(TEXT_80);
  assert.equal(bus.read(0x3cc, 1), 0x67);
  bus.write(0x3d4, 1, 0);
  assert.equal(bus.read(0x3d5, 1), 0x5f);
  bus.write(0x3d5, 1, 1);
  assert.equal(bus.read(0x3d5, 1), 0x5f, 'protected by register 11h');
  assert.equal(bus.read(0x3b5, 1), 0xff);
  bus.write(0x3c4, 2, 0xff02);
  assert.equal(bus.read(0x3c5, 1), 0x0f);
  dac(3, 1, 2, 3);
  out(0x3c7, 3);
  assert.deepEqual([bus.read(0x3c9, 1), bus.read(0x3c9, 1), bus.read(0x3c9, 1), bus.read(0x3c7, 1)], [1, 2, 3, 3]);
  const first = bus.read(0x3da, 1);
  assert.equal(first ^ bus.read(0x3da, 1), 9);
  out(0x3c0, 0x30);
  assert.equal(bus.read(0x3c1, 1), 0x0c);
});

test('the card: BARs, EDID, registers of BAR 2', () => {
  const { vga } = setUp();
  const pci = vgaPci(vga);
  assert.equal(pci.readConfig(0, 4), 0x1111_1234);
  assert.equal(pci.readConfig(8, 4), 0x0300_0002);
  pci.writeConfig(0x10, 4, 0xffff_ffff);
  assert.equal(pci.readConfig(0x10, 4), 0xff00_0008);
  const registers = cardRegisters(vga);
  assert.deepEqual([registers.read(0, 4), registers.read(4, 4)], [0xffff_ff00, 0x00ff_ffff]);
  assert.equal(registers.read(0x600, 4), 8);
  assert.equal(registers.read(0x604, 4), 0x1e1e_1e1e);
  assert.equal(registers.read(0x500, 2), 0xb0c5);
  registers.write(0x502, 2, 800);
  assert.equal(registers.read(0x502, 2), 800);
  registers.write(0x402, 1, 0x67);
  assert.equal(registers.read(0x40c, 1), 0x67);
  assert.equal(registers.read(0x700, 1), 0xff);
});

test('EDID: checksum, preferred mode, name', () => {
  const block = edid({ width: 1280, height: 800 });
  assert.equal(block.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  assert.deepEqual([block[56] | ((block[58] & 0xf0) << 4), block[59] | ((block[61] & 0xf0) << 4)], [1280, 800]);
  // As QEMU's own, but for the refresh rate of the preferred mode and the extension block.
  const head = '49143412000000002a180104a520147806ee91a3544c99260f5054210800e1c0d1c0d100a940b300950081808140';
  assert.equal(Buffer.from(block.subarray(8, 54)).toString('hex'), head);
  assert.match(Buffer.from(block).toString('latin1'), /QEMU Monitor/);
});

const seed = testSeed(process.env);
test(`random accesses and pictures (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, vga } = setUp(0x2_0000);
  hammer({
    seed,
    bench,
    device: vga,
    windows: [
      ...vga.ports.map(({ mmio, size }) => ({ mmio, size })),
      { mmio: vga.registers, size: 0x30 },
      { mmio: vga.window, size: 0x2_0000 },
      { mmio: cardRegisters(vga), size: 0x1000 },
    ],
    steps: 40_000,
    also(random) {
      if (random.below(500)) return;
      const { width, height } = vga.size();
      assert.ok(width > 0 && height > 0 && width * height <= 1 << 23, `${width} x ${height}`);
      vga.render(new Uint8Array(width * height * 4));
      vga.render(new Uint8Array(width * height * 4));
    },
  });
});
