import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from './bus.ts';
import type { AccessSize, Mmio } from './device.ts';
import { PortBus } from './ports.ts';
import { PRIORITY } from './windows.ts';

/** Answers with its own number in the high half and the offset in the low one; remembers writes. */
function echo(mark: number, widths?: readonly AccessSize[]): Mmio & { readonly written: string[] } {
  const written: string[] = [];
  return {
    written,
    widths,
    read: (offset, size) => (size === 4 ? mark * 0x1_0000 + offset : size === 2 ? (mark << 8) | offset : offset),
    write: (offset, size, value) => written.push(`${offset}/${size}=${value.toString(16)}`),
  };
}

test("a board's windows never overlap; windows with a priority do", () => {
  const bus = new Bus();
  bus.add('a', 0x1000, 0x1000, echo(1));
  assert.throws(() => bus.add('b', 0x1800, 0x1000, echo(2)), RangeError);
  const bar = bus.add('bar', 0x0800, 0x3000, echo(3), PRIORITY.PCI);
  assert.deepEqual(
    [0x7fc, 0x800, 0xffc, 0x1000, 0x1ffc, 0x2000, 0x37fc, 0x3800].map((at) => bus.read(at, 4)),
    [undefined, 0x3_0000, 0x3_07fc, 0x1_0000, 0x1_0ffc, 0x3_1800, 0x3_2ffc, undefined],
  );
  const cover = bus.add('smram', 0x1800, 0x400, echo(4), 1);
  assert.equal(bus.read(0x1900, 4), 0x4_0100);
  cover.remove();
  assert.equal(bus.read(0x1900, 4), 0x1_0900);
  cover.move(0x3000);
  assert.equal(bus.read(0x3000, 4), 0x4_0000);
  bar.remove();
  assert.deepEqual([bus.read(0x800, 4), bus.find(0x3000)?.name], [undefined, 'smram']);
  assert.equal(bus.write(0x2000, 4, 1), false);
});

test('among equal priorities the window that moved last answers', () => {
  const bus = new Bus();
  const first = bus.add('first', undefined, 0x1000, echo(1), PRIORITY.PCI);
  const second = bus.add('second', undefined, 0x1000, echo(2), PRIORITY.PCI);
  assert.deepEqual(bus.list(), []);
  second.move(0x8000_0000);
  first.move(0x8000_0800);
  assert.equal(bus.read(0x8000_0800, 4), 0x1_0000);
  second.move(0x8000_0400);
  assert.equal(bus.read(0x8000_0800, 4), 0x2_0400);
});

test('an access that leaves its window is none', () => {
  const bus = new Bus();
  bus.add('a', 0x1000, 6, echo(1));
  assert.deepEqual([bus.read(0x1002, 4), bus.read(0x1004, 4), bus.read(0x1004, 2)], [0x1_0002, undefined, 0x104]);
});

test('ports: all ones where nothing answers, splitting where a device is narrower', () => {
  const ports = new PortBus();
  const bytes = echo(1, [1]);
  const words = echo(2, [1, 2]);
  const any = echo(3);
  ports.add('bytes', 0x60, 5, bytes);
  ports.add('words', 0x1f0, 8, words);
  ports.add('any', 0xcf8, 8, any);
  assert.deepEqual([ports.read(0x80, 1), ports.read(0x80, 2), ports.read(0x80, 4)], [0xff, 0xffff, 0xffff_ffff]);
  assert.equal(ports.read(0x60, 4), 0x0302_0100);
  assert.equal(ports.read(0x64, 2), 0xff04); // the second byte is nobody's
  assert.equal(ports.read(0x1f0, 4), 0x0202_0200);
  assert.equal(ports.read(0xcfc, 4), 0x3_0004);
  assert.equal(ports.read(0xcfd, 2), 0x0605);
  ports.write(0x63, 4, 0x4433_2211);
  ports.write(0x1f0, 4, 0x4433_2211);
  ports.write(0xcf9, 2, 0x2211);
  assert.deepEqual(bytes.written, ['3/1=11', '4/1=22']);
  assert.deepEqual(words.written, ['0/2=2211', '2/2=4433']);
  assert.deepEqual(any.written, ['1/1=11', '2/1=22']);
});

test('ports: windows move, and the last port has no successor', () => {
  const ports = new PortBus();
  const bar = ports.add('bar', undefined, 0x20, echo(1), PRIORITY.PCI);
  assert.equal(ports.read(0xc000, 1), 0xff);
  bar.move(0xc000);
  assert.equal(ports.read(0xc010, 1), 0x10);
  bar.move(0xfff0);
  assert.equal(ports.read(0xc010, 1), 0xff);
  assert.equal(ports.read(0xffff, 1), 0x0f);
  assert.equal(ports.read(0xffff, 4), 0xffff_ff0f);
  bar.remove();
  assert.equal(ports.read(0xffff, 1), 0xff);
});
