import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PM1 } from '../../hw/acpi/acpi-pm.ts';
import { Bus } from '../../hw/bus.ts';
import { silentLog } from '../../hw/device.ts';
import type { Smram } from '../../hw/pam.ts';
import { PciFunction } from '../../hw/pci.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { PortBus } from '../../hw/ports.ts';
import { smbusEeprom } from '../../hw/smbus.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { load, type SavedState, save } from '../../state/codec.ts';
import { Ich9Lpc } from './ich9-lpc.ts';
import { Ich9Smbus } from './ich9-smbus.ts';
import { Mch } from './mch.ts';

function setUp() {
  const bench = new TestBench();
  const memory = new Bus();
  const ports = new PortBus();
  const gsi = Array.from({ length: 24 }, () => new TestLine());
  const calls: string[] = [];
  const pam: string[] = [];
  let smram: Smram | undefined;
  const lpc = new Ich9Lpc({
    name: 'lpc',
    wiring: bench,
    memory,
    ports,
    gsi,
    smi: (who) => calls.push(who === 'current' ? 'smi' : `smi ${who}`),
    sleep: (state) => calls.push(state),
    reset: (cause) => calls.push(`reset by ${cause}`),
    serials: 1,
    parallel: true,
  });
  const bus = new PciBus({
    memory,
    ports,
    route: (slot, pin) => lpc.route(slot, pin),
    lines: lpc.pirq,
    message: () => {},
  });
  const mch = new Mch(
    {
      name: 'mch',
      memory,
      control: {
        pam: ({ base }, read, write) => pam.push(`${base.toString(16)} ${read} ${write}`),
        smram: (now) => {
          smram = now;
        },
      },
    },
    () => bus,
  );
  const smbus = new Ich9Smbus('smbus', silentLog, new Map([[0x50, smbusEeprom(Uint8Array.of(0x80))]]));
  bus.add(mch, 0);
  bus.add(lpc, 31, 0);
  bus.add(smbus, 31, 3);
  for (const fn of bus.all()) fn.reset();
  const w = (devfn: number, at: number, size: 1 | 2 | 4, value: number) => bus.writeConfig(0, devfn, at, size, value);
  const r = (devfn: number, at: number, size: 1 | 2 | 4) => bus.readConfig(0, devfn, at, size);
  const high = () => gsi.flatMap(({ level }, n) => (level ? [n] : []));
  return { bench, memory, ports, calls, pam, smram: () => smram, lpc, bus, mch, smbus, w, r, high };
}
const LPC = 31 << 3;

test('PCIEXBAR shows all of configuration space in memory', () => {
  const { memory, bus, w, r } = setUp();
  assert.equal(r(0, 0x60, 4), 0xb000_0000);
  assert.equal(memory.read(0xb000_0000, 4), undefined);
  w(0, 0x60, 4, 0xb000_0001);
  assert.equal(memory.read(0xb000_0000, 4), 0x29c0_8086);
  assert.equal(memory.read(0xb000_0000 + (LPC << 12) + 2, 2), 0x2918);
  assert.equal(memory.read(0xb000_0000 + (LPC << 12) + 0x100, 4), 0xffff_ffff); // 256 bytes only
  assert.equal(memory.read(0xb010_0000, 4), 0xffff_ffff);
  memory.write(0xb000_0000 + (LPC << 12) + 0x60, 1, 0x0b);
  assert.equal(r(LPC, 0x60, 4), 0x8080_800b);
  const wide = new PciFunction({ name: 'x', vendor: 1, device: 2, class: 0, express: true });
  bus.add(wide, 5);
  assert.equal(memory.read(0xb000_0000 + (5 << 15) + 0xffc, 4), 0);
  w(0, 0x60, 4, 0xe000_0005); // 64 MiB
  assert.deepEqual(
    [memory.read(0xb000_0000, 4), memory.read(0xe000_0000, 4), memory.read(0xe400_0000, 4)],
    [undefined, 0x29c0_8086, undefined],
  );
  w(0, 0x60, 4, 0xe000_0007); // reserved
  assert.equal(memory.read(0xe000_0000, 4), undefined);
});

test('system management RAM, with TSEG, until the lock', () => {
  const { smram, pam, w, r } = setUp();
  assert.equal(pam.length, 13);
  assert.deepEqual([r(0, 0x50, 2), r(0, 0x9c, 4)], [16, 0x0038_0200]);
  w(0, 0x9d, 1, 0x4a);
  w(0, 0x9e, 1, 0x83);
  assert.deepEqual(smram(), { open: true, enabled: true, high: true, tseg: 2 << 20 });
  w(0, 0x9e, 1, 0x07);
  assert.equal(smram()?.tseg, 16 << 20);
  w(0, 0x9d, 1, 0x5a);
  assert.deepEqual([smram()?.open, r(0, 0x9d, 1)], [false, 0x1a]);
  w(0, 0x9d, 1, 0x4a);
  w(0, 0x9e, 1, 0);
  assert.deepEqual(smram(), { open: false, enabled: true, high: false, tseg: 16 << 20 });
});

test('interrupts: PIRQs have I/O APIC pins of their own and an IRQ each', () => {
  const { bus, lpc, memory, w, high } = setUp();
  const nic = new PciFunction({ name: 'nic', vendor: 1, device: 2, class: 0x020000, interruptPin: 1 });
  const ahci = new PciFunction({ name: 'ahci', vendor: 1, device: 2, class: 0x010601, interruptPin: 1 });
  bus.add(nic, 2);
  bus.add(ahci, 31, 2);
  nic.irq.set(true);
  assert.deepEqual(high(), [22]); // slot 2: PIRQG#
  w(LPC, 0x6a, 1, 11);
  assert.deepEqual(high(), [11, 22]);
  nic.irq.set(false);
  ahci.irq.set(true);
  assert.deepEqual(high(), [16]); // device 31: PIRQA#
  w(LPC, 0xf0, 4, 0xfed1_c001);
  assert.equal(memory.read(0xfed1_f140, 4), 0x3210);
  memory.write(0xfed1_f140, 2, 0x3213);
  assert.deepEqual([high(), lpc.route(31, 0), lpc.route(30, 1)], [[19], 3, 5]);
  memory.write(0xfed1_f142, 2, 0xffff);
  assert.equal(memory.read(0xfed1_f142, 2), 0);
  bus.remove(ahci);
  assert.deepEqual(high(), []);
});

test('power management: base and enable, SCI, SMI, GPE0', () => {
  const { ports, lpc, calls, w, high } = setUp();
  w(LPC, 0x40, 4, 0x601);
  assert.equal(ports.read(0x604, 2), 0xffff);
  w(LPC, 0x44, 1, 0x80);
  assert.deepEqual([ports.read(0x604, 2), ports.read(0x60c, 4), ports.read(0x610, 4)], [0, 0, 0xffff_ffff]);
  ports.write(0xb2, 1, 2);
  assert.deepEqual([ports.read(0x604, 2), calls.length], [1, 0]);
  ports.write(0x602, 2, PM1.POWER_BUTTON);
  lpc.pm.powerButton();
  assert.deepEqual(high(), [9]);
  w(LPC, 0x44, 1, 0x84);
  assert.deepEqual([high(), lpc.sciIrq], [[20], 20]);
  ports.write(0x600, 2, PM1.POWER_BUTTON);
  assert.deepEqual(high(), []);
  ports.write(0x628, 4, 0x0002_0000);
  lpc.pm.event(17);
  assert.deepEqual([high(), ports.read(0x620, 4), ports.read(0x62a, 1)], [[20], 0x0002_0000, 2]);
  ports.write(0x630, 4, 0x20);
  assert.equal(ports.read(0x630, 4), 0x20);
  ports.write(0xb2, 1, 0x55);
  ports.write(0x604, 2, 0x3401);
  ports.write(0x604, 2, 0x2001);
  ports.write(0xcf9, 1, 0x0e);
  assert.deepEqual(calls, ['smi', 's5', 'reset by guest']);
  assert.equal(ports.read(0xcf9, 1), 0xa);
});

test('the watchdog barks, then bites unless it must not', () => {
  const { bench, memory, ports, calls, w } = setUp();
  w(LPC, 0x40, 4, 0x601);
  w(LPC, 0x44, 1, 0x80);
  w(LPC, 0xf0, 4, 0xfed1_c001);
  assert.deepEqual([ports.read(0x66a, 2), ports.read(0x670, 1), ports.read(0x672, 2)], [8, 3, 4]);
  ports.write(0x630, 4, 0x2000);
  ports.write(0x672, 2, 10);
  ports.write(0x660, 2, 1);
  bench.advance(3e9);
  assert.equal(ports.read(0x660, 2), 5);
  bench.advance(3.1e9);
  assert.deepEqual([calls, ports.read(0x664, 2)], [['smi first'], 8]);
  bench.advance(6e9);
  assert.deepEqual([calls, ports.read(0x666, 2)], [['smi first', 'smi first'], 6]); // NO_REBOOT
  memory.write(0xfed1_f410, 4, 0);
  ports.write(0x660, 2, 1);
  bench.advance(12e9);
  assert.deepEqual(calls.slice(2), ['smi first', 'reset by watchdog']);
  ports.write(0x668, 2, 0x800);
  ports.write(0x660, 2, 1);
  bench.advance(60e9);
  assert.equal(calls.length, 4);
});

test('SMBus lies in a BAR', () => {
  const { ports, w } = setUp();
  const SMBUS = LPC + 3;
  w(SMBUS, 0x20, 4, 0x701);
  w(SMBUS, 4, 2, 1);
  assert.equal(ports.read(0x700, 1), 0xff);
  w(SMBUS, 0x40, 1, 1);
  ports.write(0x704, 1, 0xa1);
  ports.write(0x702, 1, 0x48);
  assert.deepEqual([ports.read(0x700, 1), ports.read(0x705, 1)], [2, 0x80]);
});

test('windows and routes are there again after a load', () => {
  const one = setUp();
  one.w(0, 0x60, 4, 0xb000_0001);
  one.w(LPC, 0x40, 4, 0x601);
  one.w(LPC, 0x44, 1, 0x80);
  one.w(LPC, 0xf0, 4, 0xfed1_c001);
  one.memory.write(0xfed1_f140, 2, 0x0007);
  one.ports.write(0x630, 4, 0x20);
  const two = setUp();
  for (const key of ['mch', 'lpc'] as const) {
    load(two[key].layout, two[key].state, save(one[key].layout, one[key].state) as SavedState);
    two[key].resumed();
  }
  assert.equal(two.memory.read(0xb000_0000, 4), 0x29c0_8086);
  assert.deepEqual([two.lpc.route(31, 0), two.ports.read(0x630, 4)], [7, 0x20]);
  two.ports.write(0x630, 4, 0x21);
  assert.equal(two.ports.read(0x630, 4), 0x21);
});

test('SMIs: the lock of their global enable bit, and what firmware may ask of the command port', () => {
  const { ports, calls, lpc } = setUp();
  lpc.writeConfig(0x40, 4, 0x601);
  lpc.writeConfig(0x44, 1, 0x80);
  ports.write(0x630, 4, 0x21);
  ports.write(0xb2, 1, 9);
  assert.deepEqual(calls, ['smi']);
  lpc.writeConfig(0xa0, 2, 0x10);
  ports.write(0x630, 4, 0x20);
  assert.equal(ports.read(0x630, 4), 0x21);
  lpc.writeConfig(0xa0, 2, 0);
  assert.equal(lpc.readConfig(0xa0, 2), 0x10);
  assert.equal(lpc.negotiate(Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)), false);
  assert.equal(lpc.negotiate(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)), true);
  assert.equal(lpc.negotiate(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0)), true);
  ports.write(0xb2, 1, 9);
  assert.deepEqual(calls, ['smi', 'smi all']);
  lpc.reset();
  assert.equal(lpc.readConfig(0xa0, 2), 0);
});
