/**
 * The PC's timer interrupt on its ways to the processor, wired as on a board: 8254, HPET, 8259 pair and
 * I/O APIC, local APIC.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBus } from '../../src/devices/apic/apic-bus.ts';
import { setUp as setUpApics } from '../../src/devices/apic/test-apics.ts';
import { LocalApic } from '../../src/devices/apic/local-apic.ts';
import { Hpet } from '../../src/devices/hpet/hpet.ts';
import { I8254 } from '../../src/devices/i8254/i8254.ts';
import { I8259 } from '../../src/devices/i8259/i8259.ts';
import { IoApic } from '../../src/devices/ioapic/ioapic.ts';
import { Probe } from '../../src/hw/test-bench.ts';

function setUp() {
  const { bench, cpus } = setUpApics();
  const bus = new ApicBus();
  const pic: I8259 = new I8259('pic', bench.log, { set: (level) => apic.lint0.set(level) });
  const apic: LocalApic = new LocalApic('apic', { wiring: bench, bus, cpu: cpus[0], id: 0, bootstrap: true, pic });
  const ioapic = new IoApic('ioapic', bench.log, bus);
  bus.onEndOfInterrupt((vector) => ioapic.endOfInterrupt(vector));
  const irqs = Array.from({ length: 24 }, (_, n) => ({
    set: (level: boolean) => {
      if (n < 16 && n !== 2) pic.wire(n, level);
      ioapic.wire(n === 0 ? 2 : n, level);
    },
  }));
  const hpet = new Hpet('hpet', bench, irqs, 0xff_0104);
  const pit = new I8254('pit', bench, hpet.pit);
  for (const device of [pic, apic, ioapic, pit, hpet]) device.reset();
  const master = new Probe(pic.master);
  for (const [port, value] of [
    [0, 0x11],
    [1, 0x20],
    [1, 0x04],
    [1, 0x01],
    [1, 0xfe],
  ])
    master.w(port, value, 1);
  /** Takes and ends interrupts for `ms` milliseconds; how many came, by vector. */
  const serve = (ms: number, end: (vector: number) => void) => {
    const taken: Record<number, number> = {};
    for (let i = 0; i < ms * 10; i++) {
      bench.advance(100_000);
      if (!cpus[0].intr.level) continue;
      const vector = apic.acknowledge();
      taken[vector] = (taken[vector] ?? 0) + 1;
      end(vector);
    }
    return taken;
  };
  const timer = new Probe(pit.mmio);
  const rate = (count: number) => {
    timer.w(3, 0x34, 1);
    timer.w(0, count & 0xff, 1);
    timer.w(0, count >> 8, 1);
  };
  return { bench, apic, master, serve, rate, window: new Probe(apic.mmio), ioapic: new Probe(ioapic.mmio), hpet };
}

test('the 8254 through the 8259 and the virtual wire', () => {
  const { master, serve, rate } = setUp();
  rate(11_932); // 100 Hz
  const end = () => master.w(0, 0x20, 1);
  serve(20, end); // what stood at the beginning
  assert.deepEqual(serve(1000, end), { 32: 100 });
  master.w(1, 0xff, 1);
  assert.deepEqual(serve(100, end), {});
});

test('the 8254 through pin 2 of the I/O APIC, then the HPET in its place', () => {
  const { master, serve, rate, window, ioapic, hpet } = setUp();
  master.w(1, 0xff, 1);
  window.w(0xf0, 0x1ff);
  window.w(0x350, 0x1_0700);
  ioapic.w(0, 0x14);
  ioapic.w(0x10, 0x0030);
  rate(11_932);
  const end = () => window.w(0xb0, 0);
  serve(20, end);
  assert.deepEqual(serve(1000, end), { 48: 100 });
  const registers = new Probe(hpet.mmio);
  registers.w(0x10, 3);
  registers.w(0x100, 0x14c); // timer 0: periodic, 32 bits, setting its value
  registers.w(0x108, 500_000);
  registers.w(0x108, 500_000); // 200 Hz
  serve(20, end);
  assert.deepEqual(serve(1000, end), { 48: 200 });
});
