import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend } from '../../hw/chardev.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { Ns16550a } from './ns16550a.ts';

class Backend implements CharBackend {
  sent: number[] = [];
  readies = 0;
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
