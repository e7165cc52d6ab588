import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend } from '../../hw/chardev.ts';
import { PortBus } from '../../hw/ports.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { Ns16550a, PC_INPUT_CLOCK } from './ns16550a.ts';

class Backend implements CharBackend {
  sent: number[] = [];
  readies = 0;
  congested = false;
  onDrain?: () => void;
  onInput?: (bytes: Uint8Array) => void;
  room?: () => number;
  write(bytes: Uint8Array): void {
    this.sent.push(...bytes);
  }
  ready(): void {
    this.readies++;
  }
}

function setUp() {
  const bench = new TestBench();
  const irq = new TestLine();
  const backend = new Backend();
  const uart = new Ns16550a('serial0', bench, irq, backend);
  const probe = new Probe(uart.mmio);
  return {
    bench,
    irq,
    backend,
    uart,
    r: (at: number) => probe.r(at, 1),
    w: (at: number, value: number) => probe.w(at, value, 1),
    type: (text: string) => backend.onInput?.(new TextEncoder().encode(text)),
  };
}

test('bytes go out at once and the transmitter is always empty', () => {
  const { backend, r, w } = setUp();
  for (const char of 'hi\n') w(0, char.charCodeAt(0));
  assert.equal(String.fromCharCode(...backend.sent), 'hi\n');
  assert.equal(r(5), 0x60);
});

test('DLAB shows the divisor in place of data and IER', () => {
  const { backend, r, w } = setUp();
  w(1, 5);
  w(3, 0x83);
  w(0, 0x34);
  w(1, 0x12);
  assert.deepEqual([r(0), r(1)], [0x34, 0x12]);
  w(3, 3);
  assert.equal(r(1), 5);
  assert.deepEqual(backend.sent, []);
});

test('the THRE interrupt rises when enabled and after each byte, and a read of IIR clears it', () => {
  const { irq, r, w } = setUp();
  w(1, 2);
  assert.equal(irq.level, true);
  assert.equal(r(2), 0x02);
  assert.equal(irq.level, false);
  assert.equal(r(2), 0x01);
  w(0, 65);
  assert.equal(irq.level, true);
  w(1, 0);
  assert.equal(irq.level, false);
});

test('without FIFOs one byte fits; the next is an overrun, reported once', () => {
  const { irq, backend, r, w, type } = setUp();
  w(1, 5);
  assert.equal(backend.room?.(), 1);
  type('a');
  assert.equal(backend.room?.(), 0);
  assert.equal(r(2), 0x04);
  type('b');
  assert.equal(r(2), 0x06);
  assert.equal(r(5), 0x63);
  assert.equal(r(5), 0x61);
  assert.equal(r(0), 0x61);
  assert.equal(irq.level, false);
  assert.equal(backend.readies, 1);
});

test('with FIFOs the trigger level interrupts, and below it the timeout', () => {
  const { bench, irq, r, w, type } = setUp();
  w(2, 0x41); // trigger at 4
  w(1, 1);
  type('abc');
  assert.equal(irq.level, false);
  bench.advance(10e6);
  assert.equal(r(2), 0xcc);
  assert.equal(r(0), 0x61);
  assert.equal(irq.level, false);
  type('de');
  assert.equal(r(2), 0xc4);
  w(2, 0x43);
  assert.equal(r(5) & 1, 0);
  assert.equal(irq.level, false);
});

test('loopback returns bytes and modem lines, and keeps them from the host', () => {
  const { backend, r, w, type } = setUp();
  w(4, 0x10 | 0x0f);
  assert.equal(r(6) & 0xf0, 0xf0);
  w(0, 0x5a);
  type('x');
  assert.equal(r(0), 0x5a);
  assert.deepEqual(backend.sent, []);
  w(4, 0x10);
  assert.equal(r(6), 0x0f); // all changed, the ring indicator on its trailing edge
  assert.equal(r(6), 0);
});

test('a FIFO control write without the enable bit switches the FIFOs off', () => {
  const { r, w, backend } = setUp();
  w(2, 0xc1);
  assert.equal(r(2) & 0xc0, 0xc0);
  assert.equal(backend.room?.(), 16);
  w(2, 0xc0);
  assert.equal(r(2) & 0xc0, 0);
  w(7, 0xa5);
  assert.equal(r(7), 0xa5);
});

test('while the host is slow the transmitter is busy; no byte is lost, not even of a guest that does not look', () => {
  const { irq, backend, r, w } = setUp();
  w(2, 1);
  w(1, 2);
  r(2);
  backend.congested = true;
  w(0, 1);
  assert.deepEqual([r(5) & 0x60, irq.level, backend.sent.length], [0, false, 0]);
  w(1, 0);
  w(1, 2);
  assert.equal(irq.level, false, 'enabling the interrupt does not raise it either');
  for (let i = 2; i <= 20; i++) w(0, i);
  assert.deepEqual(backend.sent, [1, 2, 3, 4]);
  backend.congested = false;
  backend.onDrain?.();
  assert.deepEqual([backend.sent.length, backend.sent.at(-1), r(5) & 0x60, irq.level], [20, 20, 0x60, true]);
  backend.congested = true;
  w(0, 21);
  w(2, 7);
  w(0, 22);
  w(4, 0x10);
  w(0, 23);
  assert.equal(r(0), 23, 'loopback does not wait');
  assert.deepEqual(backend.sent.slice(20), [21]);
});

test('at ports a wide access is split', () => {
  const bench = new TestBench();
  const backend = new Backend();
  const bus = new PortBus();
  bus.add('serial0', 0x3f8, 8, new Ns16550a('serial0', bench, new TestLine(), backend, PC_INPUT_CLOCK).ports);
  bus.write(0x3fb, 1, 0x83);
  bus.write(0x3f8, 2, 0x0102);
  bus.write(0x3fb, 1, 0x03);
  bus.write(0x3f8, 2, 0x0441);
  assert.deepEqual([backend.sent, bus.read(0x3f9, 1)], [[0x41], 4]);
  bus.write(0x3fb, 1, 0x83);
  assert.equal(bus.read(0x3f8, 2), 0x0102);
});
