import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuState } from '../accel/cpu-state.ts';
import { Space } from '../accel/space.ts';
import { latin1, utf8 } from '../bits/text.ts';
import { isa } from '../isa/riscv/isa.ts';
import { Interrupt } from '../isa/riscv/state.ts';
import { Sbi, type SbiMachine, startHart } from './sbi.ts';

const RAM = 0x8000_0000;
const SIZE = 0x1_0000;
const [OK, NOT_SUPPORTED, INVALID_PARAM, INVALID_ADDRESS, ALREADY_AVAILABLE] = [0n, -2n, -3n, -5n, -6n];
const BASE = 0x10n;
const TIME = 0x5449_4d45n;
const IPI = 0x73_5049n;
const RFENCE = 0x5246_4e43n;
const HSM = 0x48_534dn;
const SRST = 0x5352_5354n;
const DBCN = 0x4442_434en;
const PMU = 0x50_4d55n;
const ALL = -1n;

/** Three harts: 0 started, the others stopped. `call` returns a0 and a1 as signed numbers. */
function setUp() {
  const space = new Space(8192, { ramBase: RAM, ramSize: SIZE });
  const harts = [0, 1, 2].map((n) => new CpuState(isa, space, n, 2048 * (n + 1)));
  for (const hart of harts) {
    startHart(hart, BigInt(RAM), 0n);
    hart.set32('stopped', hart.index === 0 ? 0 : 1);
    hart.set32('attention', 0);
  }
  const log: string[] = [];
  const typed: number[] = [];
  let ticks = 1000;
  const ram = (address: number, length: number) => {
    const at = address - RAM;
    return at >= 0 && at + length <= SIZE ? space.ramBytes().subarray(at, at + length) : undefined;
  };
  const machine: SbiMachine = {
    harts,
    attend: (hart) => log.push(`attend ${hart}`),
    ticks: () => ticks,
    flushTranslations: (hart) => log.push(`flush ${hart}`),
    readable: ram,
    writable: ram,
    console: { write: (bytes) => log.push(`print ${latin1(bytes)}`), read: () => typed.shift() ?? -1 },
    poweroff: (code) => log.push(`off ${code}`),
    reset: () => log.push('reset'),
  };
  const sbi = new Sbi(machine);
  const call = (id: bigint, fid: bigint, ...args: bigint[]) => {
    const [hart] = harts;
    [0, 1, 2, 3, 4, 5].forEach((n) => {
      hart.set64('x', args[n] ?? 0n, 10 + n);
    });
    hart.set64('x', fid, 16);
    hart.set64('x', id, 17);
    sbi.call(0);
    return [hart.get64('x', 10), hart.get64('x', 11)].map((value) => BigInt.asIntN(64, value));
  };
  return {
    call,
    harts,
    log,
    typed,
    ram: space.ramBytes(),
    at: (now: number) => {
      ticks = now;
    },
  };
}

test('base: version 2.0, and probing tells what is there', () => {
  const { call } = setUp();
  assert.deepEqual(call(BASE, 0n), [OK, 0x200_0000n]);
  assert.deepEqual(call(BASE, 1n), [OK, 0x54n]);
  for (const id of [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, 0n, 1n, 2n, 8n])
    assert.deepEqual(call(BASE, 3n, id), [OK, 1n], `extension 0x${id.toString(16)}`);
  for (const id of [PMU, 4n, 0x1234_5678n, -1n]) assert.deepEqual(call(BASE, 3n, id), [OK, 0n]);
  assert.deepEqual(call(BASE, 99n), [NOT_SUPPORTED, 0n]);
  assert.deepEqual(call(PMU, 0n), [NOT_SUPPORTED, 0n]);
});

test('time: the timer interrupt follows the comparator', () => {
  const { call, harts, at } = setUp();
  const isPending = () => ((harts[0].get32('lines') >> Interrupt.sti) & 1) === 1;
  assert.deepEqual(call(TIME, 0n, 1000n), [OK, 0n]);
  assert.equal(isPending(), true);
  call(TIME, 0n, 5000n);
  assert.equal(isPending(), false);
  at(5000);
  assert.equal(harts[0].compareTime(5000), 5000);
  assert.equal(isPending(), true);
  call(TIME, 0n, -1n);
  assert.equal(isPending(), false);
});

test('ipi: masks are relative to their base, and a hart that is not there is refused before any other gets one', () => {
  const { call, harts, log } = setUp();
  const pending = () => harts.map((hart) => Number((hart.get64('mip') >> BigInt(Interrupt.ssi)) & 1n));
  assert.deepEqual(call(IPI, 0n, 0b11n, 1n), [OK, 0n]);
  assert.deepEqual(pending(), [0, 1, 1]);
  assert.deepEqual(log, ['attend 1', 'attend 2']);
  assert.deepEqual(call(IPI, 0n, 0b1001n, 0n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(IPI, 0n, 1n, 1n << 63n), [INVALID_PARAM, 0n]);
  assert.deepEqual(pending(), [0, 1, 1]);
  call(IPI, 0n, 0n, ALL);
  assert.deepEqual(pending(), [1, 1, 1]);
});

test('rfence: translations of the targets are dropped, of all running harts with a base of all ones', () => {
  const { call, log } = setUp();
  assert.deepEqual(call(RFENCE, 1n, 0b10n, 0n, 0n, 4096n), [OK, 0n]);
  assert.deepEqual(call(RFENCE, 2n, 0n, ALL), [OK, 0n]);
  assert.deepEqual(log, ['flush 1', 'flush 0']);
  assert.deepEqual(call(RFENCE, 0n, 1n, 0n), [OK, 0n]);
  assert.deepEqual(call(RFENCE, 3n, 1n, 0n), [NOT_SUPPORTED, 0n]);
});

test('hsm: start, status, stop', () => {
  const { call, harts, log } = setUp();
  assert.deepEqual(call(HSM, 2n, 1n), [OK, 1n]);
  harts[1].setLine(Interrupt.sei, true);
  assert.deepEqual(call(HSM, 0n, 1n, BigInt(RAM + 64), 77n), [OK, 0n]);
  assert.ok(log.includes('attend 1'));
  const started = ['pc', 'x10', 'x11', 'satp', 'priv', 'stopped'].map((name) => harts[1].readRegister(name));
  assert.deepEqual(started, [BigInt(RAM + 64), 1n, 77n, 0n, 1n, 0n]);
  assert.equal(harts[1].get32('lines'), 1 << Interrupt.sei, 'wires outlive a start');
  assert.deepEqual(call(HSM, 2n, 1n), [OK, 0n]);
  assert.deepEqual(call(HSM, 0n, 1n, BigInt(RAM), 0n), [ALREADY_AVAILABLE, 0n]);
  assert.deepEqual(call(HSM, 0n, 3n, BigInt(RAM), 0n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(HSM, 0n, 2n, 0n, 0n), [INVALID_ADDRESS, 0n]);
  assert.deepEqual(call(HSM, 0n, 2n, -2n, 0n), [INVALID_ADDRESS, 0n]);
  call(HSM, 1n);
  assert.equal(harts[0].get32('stopped'), 1);
});

test('hsm: the retentive suspend waits as WFI does, others do not exist', () => {
  const { call, harts } = setUp();
  assert.deepEqual(call(HSM, 3n, 0n), [OK, 0n]);
  assert.equal(harts[0].get32('waiting'), 1);
  assert.deepEqual(call(HSM, 3n, 0x8000_0000n), [NOT_SUPPORTED, 0n]);
  assert.deepEqual(call(HSM, 3n, 5n), [INVALID_PARAM, 0n]);
});

test('srst: power-off with and without failure, reboot', () => {
  const { call, log } = setUp();
  call(SRST, 0n, 0n, 0n);
  call(SRST, 0n, 0n, 1n);
  call(SRST, 0n, 1n, 0n);
  call(SRST, 0n, 2n, 0n);
  assert.deepEqual(log, ['off 0', 'off 1', 'reset', 'reset']);
  assert.deepEqual(call(SRST, 0n, 3n, 0n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(SRST, 0n, 0n, 2n), [INVALID_PARAM, 0n]);
});

test('debug console: writes from RAM, reads into RAM, refuses what is not RAM', () => {
  const { call, log, typed, ram } = setUp();
  ram.set(utf8('hello'), 16);
  assert.deepEqual(call(DBCN, 0n, 5n, BigInt(RAM + 16), 0n), [OK, 5n]);
  assert.deepEqual(call(DBCN, 2n, 0x141n), [OK, 0n]);
  assert.deepEqual(log, ['print hello', 'print A']);
  typed.push(104, 105);
  assert.deepEqual(call(DBCN, 1n, 64n, BigInt(RAM + 100), 0n), [OK, 2n]);
  assert.equal(latin1(ram.subarray(100, 102)), 'hi');
  assert.deepEqual(call(DBCN, 0n, 5n, 0n, 0n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(DBCN, 0n, 5n, BigInt(RAM), 1n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(DBCN, 0n, 5n, BigInt(RAM + SIZE - 4), 0n), [INVALID_PARAM, 0n]);
  assert.deepEqual(call(DBCN, 0n, -1n, BigInt(RAM), 0n), [OK, 4096n], 'a call moves a bounded piece');
});

test('legacy calls answer in a0 alone', () => {
  const { call, log, typed } = setUp();
  assert.deepEqual(call(1n, 0n, 65n, 1234n), [OK, 1234n]);
  typed.push(66);
  assert.deepEqual(call(2n, 0n, 0n, 1234n), [66n, 1234n]);
  assert.deepEqual(call(2n, 0n, 0n, 1234n), [-1n, 1234n]);
  assert.deepEqual(call(8n, 0n, 0n, 1234n), [OK, 1234n]);
  assert.deepEqual(call(5n, 0n, 0n, 1234n), [NOT_SUPPORTED, 1234n]);
  assert.deepEqual(log, ['print A', 'off 0']);
});
