import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROADCAST } from '../../hw/interrupt-message.ts';
import { FAULT } from './faults.ts';
import { handle, INTERRUPTS, REG, UnitDriver } from './test-driver.ts';

const NVME = 0x0010;
/** Present, vector 0x41. */
const PLAIN = 0x41_0001;

function setUp(options: ConstructorParameters<typeof UnitDriver>[0] = {}, extended = false) {
  const driver = new UnitDriver(options);
  driver.startInterrupts(256, extended);
  const send = (address: number, data: number, source = NVME) => {
    driver.sent.length = 0;
    driver.unit.message(address, data, source);
    return driver.sent[0];
  };
  return { driver, send };
}

test('messages pass until remapping is on; then they name entries', () => {
  const driver = new UnitDriver();
  driver.unit.message(0xfee0_3000, 0x55, NVME);
  assert.deepEqual(driver.passed, [[0xfee0_3000, 0x55]]);
  driver.interrupt(7, PLAIN | 4 | 0x10 | (1 << 5), 0x300);
  driver.startInterrupts();
  assert.equal(driver.probe.r(REG.GSTS), INTERRUPTS.ON | INTERRUPTS.TABLE);
  driver.unit.message(handle(7), 0, NVME);
  assert.deepEqual(driver.sent, [{ destination: 3, logical: true, mode: 1, vector: 0x41, levelTriggered: true }]);
  driver.unit.message(0x1234, 0, NVME); // no interrupt at all
  assert.equal(driver.passed.length, 2);
  assert.equal(driver.fault(), undefined);
});

test('handles of 16 bits, with and without a subhandle', () => {
  const { driver, send } = setUp();
  driver.startInterrupts(0x1_0000);
  for (const index of [3, 5, 0x8002]) driver.interrupt(index, PLAIN | ((index & 0xff) << 16), 0);
  assert.equal(send(handle(3), 2)?.vector, 0x43);
  assert.equal(send(handle(3, true), 2)?.vector, 0x45);
  assert.equal(send(handle(0x8002), 0)?.vector, 0x43);
  assert.equal(send(handle(0xffff, true), 0xffff), undefined);
  assert.equal(driver.takeFault(), FAULT.INDEX);
});

test('each thing that can be wrong has its own fault, with the index', () => {
  const { driver, send } = setUp();
  const reason = (address: number, data: number, source?: number) => {
    assert.equal(send(address, data, source), undefined);
    return driver.takeFault();
  };
  assert.equal(send(handle(9), 0), undefined);
  assert.deepEqual(driver.fault(), { address: 9 * 2 ** 48, source: NVME, reason: FAULT.ENTRY_PRESENT, read: false });
  driver.takeFault();
  assert.equal(reason(handle(256), 0), FAULT.INDEX);
  assert.equal(reason(handle(9), 0x1_0000), FAULT.MESSAGE_RESERVED);
  assert.equal(reason(2 ** 32 + handle(9), 0), FAULT.MESSAGE_RESERVED);
  assert.equal(reason(0xfee0_0000, 0x41), FAULT.COMPATIBILITY);
  for (const flags of [PLAIN | 0x8000, PLAIN | 0x1000, PLAIN | 0x0100_0000]) {
    driver.interrupt(9, flags, 0);
    assert.equal(reason(handle(9), 0), FAULT.ENTRY_RESERVED);
  }
  driver.interrupt(9, PLAIN, 0, 3 << 18); // no such way to verify
  assert.equal(reason(handle(9), 0), FAULT.ENTRY_RESERVED);
  driver.interrupt(9, PLAIN | 2, 0, 3 << 18); // and nobody is to know
  assert.equal(reason(handle(9), 0), undefined);
  driver.interrupt(9, 2, 0);
  assert.equal(reason(handle(9), 0), undefined);
  driver.probe.w(REG.IRTA, 0x7000_0007);
  driver.command(INTERRUPTS.TABLE);
  assert.equal(reason(handle(9), 0), FAULT.ENTRY_ACCESS);
});

test('an entry may be for one source, for functions of a device, or for some buses', () => {
  const { driver, send } = setUp();
  const from = (origin: number) =>
    [0x0010, 0x0011, 0x0013, 0x0014, 0x0018, 0x0110, 0x0210].filter((source) => {
      driver.interrupt(1, PLAIN, 0, origin);
      const arrived = send(handle(1), 0, source) !== undefined;
      assert.equal(driver.takeFault(), arrived ? undefined : FAULT.SOURCE);
      return arrived;
    });
  assert.equal(from(0).length, 7);
  assert.deepEqual(from(0x4_0010), [0x0010]);
  assert.deepEqual(from(0x5_0010), [0x0010, 0x0014]);
  assert.deepEqual(from(0x6_0012), [0x0010, 0x0014]);
  assert.deepEqual(from(0x7_0010), [0x0010, 0x0011, 0x0013, 0x0014]);
  assert.deepEqual(from(0x8_0001), [0x0010, 0x0011, 0x0013, 0x0014, 0x0018, 0x0110]);
  // The I/O APIC is taken at its word.
  driver.interrupt(1, PLAIN, 0, 0x4_0010);
  assert.equal(driver.unit.remapped(handle(1), 0)?.vector, 0x41);
});

test('destinations of 8 bits, or of 32 where that was asked for and can be had', () => {
  const { driver, send } = setUp();
  driver.interrupt(1, PLAIN, 0x1234_ff56);
  assert.equal(send(handle(1), 0)?.destination, BROADCAST);
  driver.interrupt(1, PLAIN | 4, 0x1234_ff56);
  assert.equal(send(handle(1), 0)?.destination, 0xff);
  const wide = setUp({ extendedInterrupts: true }, true);
  wide.driver.interrupt(1, PLAIN, 0x1234_ff56);
  assert.equal(wide.send(handle(1), 0)?.destination, 0x1234_ff56);
  const not = setUp({}, true);
  not.driver.interrupt(1, PLAIN, 0x1234_0556);
  assert.equal(not.send(handle(1), 0)?.destination, 5);
});

test('messages of the old form go through only where software lets them, and never with 32 bits', () => {
  const { driver, send } = setUp();
  driver.command(INTERRUPTS.COMPATIBLE);
  assert.deepEqual(send(0xfee0_5004, 0xc141), {
    ...{ destination: 5, logical: true, mode: 1, vector: 0x41, levelTriggered: true },
  });
  const wide = setUp({ extendedInterrupts: true }, true);
  wide.driver.command(INTERRUPTS.COMPATIBLE);
  assert.equal(wide.send(0xfee0_5000, 0x41), undefined);
  assert.equal(wide.driver.takeFault(), FAULT.COMPATIBILITY);
});

test('who only looks ahead causes no fault; changes are told', () => {
  const { driver } = setUp();
  const { changes } = driver;
  assert.equal(driver.unit.remapped(handle(1), 0, undefined, true), undefined);
  assert.equal(driver.fault(), undefined);
  driver.probe.w(REG.GCMD, 0);
  assert.equal(driver.changes, changes + 1);
  assert.equal(driver.unit.remapped(0xfee0_2000, 0x33, undefined, true)?.destination, 2);
  const without = new UnitDriver({ interrupts: false });
  without.probe.w(REG.GCMD, 0x380_0000);
  assert.equal(without.probe.r(REG.GSTS), 0);
});
