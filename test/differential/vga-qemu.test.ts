/**
 * The VGA's pictures against those of QEMU's: the same random register writes and window accesses on
 * both (through qtest; its processor stands still), and the pixels of a screendump compared.
 *
 * TRAPFRAME_SEED repeats a run; VGA_ROUNDS makes it longer.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testSeed } from '../../src/bits/test-seed.ts';
import { Vga } from '../../src/devices/vga/vga.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestBench } from '../../src/hw/test-bench.ts';
import { FuzzRandom } from '../../src/hw/test-fuzz.ts';

const QEMU = 'qemu-system-x86_64';
const present = spawnSync(QEMU, ['--version']).status === 0;
const seed = testSeed(process.env);
const rounds = Number(process.env.VGA_ROUNDS ?? 24);

/** A line-based channel: one request, one answer. */
class Channel {
  private readonly socket: Socket;
  private text = '';
  private wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (part: string) => {
      this.text += part;
      this.wake();
    });
    socket.on('error', () => {});
  }

  send(text: string): void {
    this.socket.write(text);
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.text.indexOf('\n');
      if (end >= 0) {
        const line = this.text.slice(0, end);
        this.text = this.text.slice(end + 1);
        return line;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

async function open(path: string): Promise<Channel> {
  for (let i = 0; i < 200 && !existsSync(path); i++) await sleep(25);
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  return new Channel(socket);
}

/** QEMU's VGA. Accesses are gathered and sent together. */
class Theirs {
  readonly folder = mkdtempSync(join(tmpdir(), 'trapframe-vga-'));
  private readonly child: ChildProcess;
  private qtest!: Channel;
  private qmp!: Channel;
  private pending: string[] = [];
  /** What reads should give, undefined where anything may come. */
  private wanted: (number | undefined)[] = [];

  constructor() {
    const socket = (name: string) => `unix:${join(this.folder, name)},server=on,wait=off`;
    const args = ['-M', 'pc', '-S', '-m', '16', '-vga', 'std', '-display', 'none', '-nodefaults'];
    args.push('-qtest-log', '/dev/null', '-qtest', socket('qtest'), '-qmp', socket('qmp'), '-net', 'none');
    this.child = spawn(QEMU, args, { stdio: 'ignore' });
  }

  async ready(): Promise<void> {
    this.qtest = await open(join(this.folder, 'qtest'));
    this.qmp = await open(join(this.folder, 'qmp'));
    await this.qmp.line();
    await this.command('qmp_capabilities');
  }

  out(port: number, size: 1 | 2, value: number): void {
    this.pending.push(`out${size === 1 ? 'b' : 'w'} 0x${port.toString(16)} 0x${value.toString(16)}`);
  }
  in(port: number, wanted?: number): void {
    this.wanted.push(wanted);
    this.pending.push(`inb 0x${port.toString(16)}`);
  }
  write(at: number, value: number): void {
    this.pending.push(`writeb 0x${at.toString(16)} 0x${value.toString(16)}`);
  }
  read(at: number, wanted: number): void {
    this.wanted.push(wanted);
    this.pending.push(`readb 0x${at.toString(16)}`);
  }

  /** Does what has been gathered, and compares what reads gave. */
  async flush(where: string): Promise<void> {
    const { pending, wanted } = this;
    this.pending = [];
    this.wanted = [];
    let reads = 0;
    for (let i = 0; i < pending.length; i += 500) {
      const part = pending.slice(i, i + 500);
      this.qtest.send(part.join('\n') + '\n');
      for (const _ of part) {
        const [ok, value] = (await this.qtest.line()).split(' ');
        assert.equal(ok, 'OK');
        if (value === undefined) continue;
        const own = wanted[reads++];
        if (own !== undefined) assert.equal(own, Number(value), `${where}: read ${reads} of ${wanted.length}`);
      }
    }
  }

  async screen(): Promise<{ width: number; height: number; rgb: Uint8Array }> {
    const file = join(this.folder, 'screen');
    await this.command('screendump', { filename: file });
    const bytes = readFileSync(file);
    const head = /^P6\n(\d+) (\d+)\n255\n/.exec(bytes.subarray(0, 40).toString('latin1'));
    assert.ok(head);
    return { width: Number(head[1]), height: Number(head[2]), rgb: bytes.subarray(head[0].length) };
  }

  close(): void {
    this.child.kill('SIGKILL');
    this.qtest?.close();
    this.qmp?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async command(execute: string, args = {}): Promise<void> {
    this.qmp.send(JSON.stringify({ execute, arguments: args }) + '\n');
    for (;;) {
      const answer = JSON.parse(await this.qmp.line()) as { return?: unknown; error?: unknown };
      assert.ok(!answer.error, JSON.stringify(answer));
      if (answer.return !== undefined) return;
    }
  }
}

const hex = (text: string) => text.split(' ').map((byte) => parseInt(byte, 16));
interface Mode {
  readonly misc: number;
  readonly seq: number[];
  readonly crtc: number[];
  readonly gfx: number[];
  readonly attr: number[];
}
const EGA = '00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f';
// IBM's parameters, with the cursor off and blinking off, since those depend on the time; and without the ninth dot of
// line graphics: for us as for a VGA the characters 0xc0 to 0xdf have it, for QEMU those from 0xb0.
const MODES: readonly Mode[] = [
  {
    misc: 0x67,
    seq: hex('03 00 03 00 02'),
    crtc: hex('5f 4f 50 82 55 81 bf 1f 00 4f 2d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff'),
    gfx: hex('00 00 00 00 00 10 0e 0f ff'),
    attr: hex(`${EGA} 00 00 0f 08 00`),
  },
  {
    misc: 0x63,
    seq: hex('03 01 0f 00 0e'),
    crtc: hex('5f 4f 50 82 54 80 bf 1f 00 41 20 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff'),
    gfx: hex('00 00 00 00 00 40 05 0f ff'),
    attr: hex(`${EGA} 41 00 0f 00 00`),
  },
  {
    misc: 0xe3,
    seq: hex('03 01 0f 00 06'),
    crtc: hex('5f 4f 50 82 54 80 0b 3e 00 40 20 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff'),
    gfx: hex('00 00 00 00 00 00 05 0f ff'),
    attr: hex(`${EGA} 01 00 0f 00 00`),
  },
  {
    misc: 0x63,
    seq: hex('03 09 03 00 02'),
    crtc: hex('2d 27 28 90 2b 80 bf 1f 00 c1 20 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff'),
    gfx: hex('00 00 00 00 00 30 0f 0f ff'),
    attr: hex(`${EGA} 01 00 03 00 00`),
  },
  {
    misc: 0x63,
    seq: hex('03 09 0f 00 06'),
    crtc: hex('2d 27 28 90 2b 80 bf 1f 00 c0 20 00 00 00 00 00 9c 8e 8f 14 00 96 b9 e3 ff'),
    gfx: hex('00 00 00 00 00 00 05 0f ff'),
    attr: hex(`${EGA} 01 00 0f 00 00`),
  },
];

/** Registers that may be anything, by file: [index, mask of the bits that vary]. */
const VARY = {
  seq: [
    [1, 0x09],
    [3, 0x3f],
  ],
  crtc: [
    [0x0c, 0xff],
    [0x0d, 0xff],
    [0x13, 0x3f],
    [0x17, 0x43],
    [0x18, 0xff],
    [0x07, 0x10],
    [0x09, 0x8f],
  ],
  gfx: [[5, 0x60]],
  attr: [
    [0x10, 0x80],
    [0x12, 0x0f],
    [0x14, 0x0f],
    [3, 0x3f],
    [7, 0x3f],
    [12, 0x3f],
  ],
} as const;

test(`pictures are QEMU's (TRAPFRAME_SEED=${seed})`, {
  skip: !present && `${QEMU} is not there`,
  timeout: 120_000,
}, async () => {
  const theirs = new Theirs();
  try {
    await theirs.ready();
    const random = new FuzzRandom(seed);
    const vga = new Vga('vga', new TestBench(), { bytes: new Uint8Array(16 << 20), readOnly: false, place() {} });
    for (let round = 0; round < rounds; round++) await compare(vga, theirs, random, round);
  } finally {
    theirs.close();
  }
});

async function compare(vga: Vga, theirs: Theirs, random: FuzzRandom, round: number): Promise<void> {
  const bus = new PortBus();
  for (const { name, base, size, mmio, priority } of vga.ports) bus.add(name, base, size, mmio, priority);
  const log: string[] = [];
  const out = (port: number, value: number, size: 1 | 2 = 1) => {
    bus.write(port, size, value);
    theirs.out(port, size, value);
    log.push(`${port.toString(16)}=${value.toString(16)}`);
  };
  const flip = () => {
    bus.read(0x3da, 1);
    theirs.in(0x3da);
  };
  const write = (at: number, value: number) => {
    vga.window.write(at - 0xa_0000, 1, value);
    theirs.write(at, value);
  };
  const fill = (port: number, values: readonly number[]) => {
    values.forEach((value, i) => {
      out(port, i | (value << 8), 2);
    });
  };
  const load = (mode: Mode) => {
    out(0x3c2, mode.misc);
    fill(0x3c4, mode.seq);
    out(0x3d4, 0x0011, 2);
    fill(0x3d4, mode.crtc);
    fill(0x3ce, mode.gfx);
    flip();
    mode.attr.forEach((value, i) => {
      out(0x3c0, i);
      out(0x3c0, value);
    });
    out(0x3c0, 0x20);
  };
  out(0x1ce, 4, 2);
  out(0x1d0, 0, 2);
  out(0x3c6, 0xff);
  for (let i = 0; i < 256; i++) {
    out(0x3c8, i);
    for (let j = 0; j < 3; j++) out(0x3c9, random.below(64));
  }
  const vbe = random.below(3) === 0;
  const depth = random.pick([8, 15, 16, 24, 32, 8, 32, 33]);
  const mode = structuredClone(random.pick(MODES)) as Mode;
  load(mode);
  if (vbe) {
    const set = (index: number, value: number) => {
      out(0x1ce, index, 2);
      out(0x1d0, value, 2);
    };
    set(3, depth);
    set(1, 8 + random.below(300));
    set(2, 1 + random.below(200));
    set(4, random.pick([0x41, 0xe1, 0xc1]));
    if (random.below(2)) set(6, random.below(512));
    if (random.below(2)) set(8, random.below(64) & ~7);
    if (random.below(2)) set(9, random.below(128));
    if (random.below(2)) set(5, random.below(4));
  }
  // Random writes, in the mode's own way and in any other.
  for (let i = 0; i < 3000; i++) {
    const at = 0xa_0000 + random.below(random.pick([0x400, 0x4000, 0x2_0000]));
    if (random.below(3) === 0) {
      theirs.read(at, vga.window.read(at - 0xa_0000, 1));
    }
    write(at, random.next() & 0xff);
    if (random.below(2)) write(0xb_8000 + random.below(4000), random.next() & 0xff);
    if (random.below(10) === 0 && !vbe) {
      const [index, mask] = random.pick([
        [0, 15],
        [1, 15],
        [2, 15],
        [3, 0x1f],
        [4, 3],
        [5, 0x1b],
        [6, 0x0d],
        [7, 15],
        [8, 255],
      ]);
      out(0x3ce, index | ((random.next() & mask) << 8), 2);
    }
    if (random.below(30) === 0 && !vbe) out(0x3c4, 2 | ((random.next() & 15) << 8), 2);
    if (random.below(60) === 0 && !vbe) out(0x3c4, 4 | ((random.next() & 0x0e) << 8), 2);
  }
  // A font, then the mode again with some of its registers changed.
  if (!vbe) {
    load({ ...mode, seq: [3, 1, 4, 0, 6], gfx: [0, 0, 0, 0, 2, 0, 4, 15, 255] });
    for (let i = 0; i < 1000; i++) write(0xa_0000 + random.below(0x1_0000), random.next() & 0xff);
    const changed = structuredClone(mode);
    for (const file of ['seq', 'crtc', 'gfx', 'attr'] as const) {
      for (const [index, mask] of VARY[file])
        if (random.below(3) === 0) changed[file][index] = (changed[file][index] & ~mask) | (random.next() & mask);
    }
    changed.crtc[0x0e] = 0xff; // keeps the cursor away
    // QEMU shows nothing new when there are more than 16000 characters.
    if (!(changed.gfx[6] & 1)) changed.crtc[9] |= 0x04;
    load(changed);
  }
  const where = `round ${round}${vbe ? ' VBE' : ''} ${process.env.VGA_LOG ? log.slice(-140).join(' ') : ''}`;
  for (const [port, count] of [
    [0x3d4, 0x19],
    [0x3ce, 9],
    [0x3c4, 5],
  ]) {
    for (let i = 0; i < count; i++) {
      out(port, i);
      theirs.in(port + 1, bus.read(port + 1, 1));
    }
  }
  await theirs.flush(where);
  const wanted = await theirs.screen();
  const { width, height } = vga.size();
  assert.deepEqual([width, height], [wanted.width, wanted.height], where);
  const shown = new Uint8Array(width * height * 4);
  vga.render(shown);
  for (let i = 0; i < width * height; i++) {
    const pixel = [shown[4 * i], shown[4 * i + 1], shown[4 * i + 2]];
    const other = [...wanted.rgb.subarray(3 * i, 3 * i + 3)];
    // QEMU leaves the low bits of 5-bit colours 0; we fill them so that white is white.
    const bits = depth === 15 ? 0xf8 : 0xff;
    if (pixel.some((level, k) => ((level ^ other[k]) & bits) !== 0))
      assert.deepEqual(pixel, other, `${where}: pixel ${i % width}, ${Math.floor(i / width)} of ${width} x ${height}`);
  }
}
