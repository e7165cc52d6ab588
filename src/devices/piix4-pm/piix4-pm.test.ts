import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PM1 } from '../../hw/acpi/acpi-pm.ts';
import { PortBus } from '../../hw/ports.ts';
import { smbusEeprom } from '../../hw/smbus.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { Piix4Pm } from './piix4-pm.ts';

function setUp() {
  const bench = new TestBench();
  const ports = new PortBus();
  const sci = new TestLine();
  const calls: string[] = [];
  const chip = new Piix4Pm({
    name: 'pm',
    wiring: bench,
    ports,
    sci,
    smi: () => calls.push('smi'),
    sleep: (state) => calls.push(state),
    smbus: new Map([[0x50, smbusEeprom(Uint8Array.from({ length: 256 }, (_, i) => i ^ 0xff))]]),
    parallel: true,
    serials: 1,
  });
  chip.writeConfig(0x40, 4, 0xb001);
  chip.writeConfig(0x80, 1, 1);
  return { bench, ports, sci, calls, chip };
}

test('the PM block shows where its base says, and only when enabled', () => {
  const { ports, chip } = setUp();
  assert.equal(ports.read(0xb002, 2), 0);
  chip.writeConfig(0x40, 4, 0x0601);
  assert.deepEqual([ports.read(0xb002, 2), ports.read(0x602, 2), ports.read(0x610, 2)], [0xffff, 0, 0xffff]);
  chip.writeConfig(0x80, 1, 0);
  assert.equal(ports.read(0x602, 2), 0xffff);
  assert.equal(chip.readConfig(0x40, 4), 0x601);
  assert.deepEqual(
    [0x5c, 0x60, 0x64].map((at) => chip.readConfig(at, 4)),
    [0x9000_0000, 0x6000_0000, 0x0800_0000],
  );
});

test('the timer runs at 3.579545 MHz in 24 bits and interrupts at each half', () => {
  const { bench, ports, sci } = setUp();
  bench.advance(1e9);
  assert.equal(ports.read(0xb008, 4), 3_579_545);
  assert.equal(ports.read(0xb00a, 2), 3_579_545 >> 16);
  bench.advance(9e9);
  assert.equal(ports.read(0xb008, 4), 35_795_450 % 0x100_0000);
  ports.write(0xb002, 2, PM1.TIMER);
  assert.equal(sci.level, true); // it has overflowed since the start
  ports.write(0xb000, 2, PM1.TIMER);
  assert.equal(sci.level, false);
  const left = 0x80_0000 - (35_795_450 % 0x80_0000);
  bench.advance(Math.ceil((left * 1e9) / 3_579_545) + 1);
  assert.equal(sci.level, true);
  assert.equal(ports.read(0xb000, 2) & PM1.TIMER, PM1.TIMER);
});

test('power button, sleep states and general-purpose events', () => {
  const { ports, sci, calls, chip } = setUp();
  assert.equal(chip.pm.powerButton(), false);
  ports.write(0xb002, 2, PM1.POWER_BUTTON);
  assert.equal(chip.pm.powerButton(), true);
  assert.deepEqual([sci.level, ports.read(0xb000, 2)], [true, PM1.POWER_BUTTON | PM1.TIMER]);
  ports.write(0xb000, 2, PM1.POWER_BUTTON);
  assert.equal(sci.level, false);
  for (const type of [1, 2, 0]) ports.write(0xb004, 2, 0x2001 | (type << 10));
  ports.write(0xb004, 2, 0x3c01);
  assert.deepEqual(calls, ['s3', 's4', 's5']);
  assert.equal(ports.read(0xb004, 2), 0x1c01);
  chip.pm.event(1);
  assert.equal(sci.level, false);
  ports.write(0xafe2, 1, 2);
  assert.deepEqual([sci.level, ports.read(0xafe0, 4)], [true, 0x0002_0002]);
  ports.write(0xafe0, 1, 2);
  assert.equal(sci.level, false);
  chip.pm.reset();
  chip.pm.woken('other');
  assert.equal(ports.read(0xb000, 2) & ~PM1.TIMER, PM1.WAKE | PM1.POWER_BUTTON);
});

test('the SMI command port switches ACPI and raises SMIs where enabled', () => {
  const { ports, calls, chip } = setUp();
  ports.write(0xb2, 1, 0xf1);
  assert.deepEqual([ports.read(0xb004, 2), ports.read(0xb2, 1)], [1, 0xf1]);
  ports.write(0xb2, 2, 0x5af0);
  assert.deepEqual([ports.read(0xb004, 2), ports.read(0xb2, 2)], [0, 0x5af0]);
  ports.write(0xb2, 1, 7);
  chip.writeConfig(0x5b, 1, 2);
  ports.write(0xb2, 1, 7);
  assert.deepEqual(calls, ['smi']);
});

test('SMBus: an EEPROM by byte and word, nobody elsewhere', () => {
  const { ports } = setUp();
  const run = (address: number, command: number, protocol: number): number => {
    ports.write(0xb100, 1, 0xff);
    ports.write(0xb104, 1, address);
    ports.write(0xb103, 1, command);
    ports.write(0xb102, 1, 0x40 | (protocol << 2));
    return ports.read(0xb100, 1);
  };
  assert.equal(run(0xa1, 0x10, 2), 2);
  assert.equal(ports.read(0xb105, 1), 0xef);
  assert.equal(run(0xa1, 0, 1), 2);
  assert.equal(ports.read(0xb105, 1), 0xee);
  assert.equal(run(0xa1, 0x20, 3), 2);
  assert.equal(ports.read(0xb105, 2), 0xdedf);
  assert.equal(run(0xa1, 0x80, 5), 2);
  assert.deepEqual([ports.read(0xb105, 1), ports.read(0xb107, 1), ports.read(0xb107, 1)], [32, 0x7f, 0x7e]);
  assert.equal(run(0xa3, 0, 0), 4);
  assert.equal(run(0xa1, 0, 7), 4);
});
