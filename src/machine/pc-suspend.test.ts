import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16 } from '../bits/endian.ts';
import { NodeMachineHost } from '../host/node/machine-host.ts';
import type { RunState } from './api.ts';
import { Machine } from './machine.ts';
import { Assembler, CC } from './x86-assembler.ts';
import { NOTHING_ATTACHED } from '../../test/nothing-attached.ts';

/** Where the firmware leaves what it finds: the PM1 status, CMOS's shutdown status, how often it has started. */
const FOUND = { status: 0x500, shutdown: 0x504, starts: 0x508, after: 0x50c };
const PM = 0x600;
const PM1_EVENT = { RTC: 0x400, TIMER: 1, POWER_BUTTON: 0x100, WAKE: 0x8000 };
const REGISTER_B = { AIE: 0x20, HOURS24: 2 };

/** Firmware that sleeps at its first start, to be woken by what `enable` names, and halts after later ones. */
function firmware(enable: number): Uint8Array {
  const code = new Assembler();
  const out = (port: number, size: 1 | 2 | 4, value: number) => {
    code.db(0xba).dw(port); // mov dx, port
    if (size === 4) code.db(0x66, 0xb8).dd(value).db(0x66, 0xef);
    else if (size === 2) code.db(0xb8).dw(value).db(0xef);
    else code.db(0xb0, value, 0xee);
  };
  const config = (at: number, size: 1 | 2 | 4, value: number) => {
    out(0xcf8, 4, 0x8000_0000 | (1 << 11) | (3 << 8) | at);
    out(0xcfc, size, value);
  };
  const cmos = (at: number, value: number) => {
    out(0x70, 1, at);
    out(0x71, 1, value);
  };
  config(0x40, 4, PM | 1);
  config(0x80, 1, 1);
  config(0x04, 2, 1);
  code.db(0xba).dw(PM).db(0xed, 0xa3).dw(FOUND.status); // in ax, dx; mov [status], ax
  code.db(0xb0, 0x0f, 0xe6, 0x70, 0xe4, 0x71, 0xa2).dw(FOUND.shutdown);
  code.db(0xfe, 0x06).dw(FOUND.starts); // inc byte [starts]
  code.db(0x80, 0x3e).dw(FOUND.starts).db(1); // cmp byte [starts], 1
  code.jcc(CC.notZero, 'halt');
  for (const at of [1, 3, 5]) cmos(at, 0xc0); // any second, minute and hour
  if (enable & PM1_EVENT.RTC) cmos(0x0b, REGISTER_B.AIE | REGISTER_B.HOURS24);
  out(PM, 2, 0xffff); // forget what has been
  out(PM + 2, 2, enable);
  out(PM + 4, 2, 0x2400);
  code.db(0xfe, 0x06).dw(FOUND.after); // inc byte [after]
  code.label('halt').db(0xf4).jmp('halt');
  const rom = new Uint8Array(0x1_0000);
  rom.set(code.finish());
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

async function asleep(accel: 'reference' | 'jit', enable: number) {
  const machine = await Machine.create(
    {
      machine: 'pc',
      accel,
      cpu: { model: 'qemu64', features: {} },
      cpus: 1,
      memory: 2 << 20,
      bios: firmware(enable),
      ...NOTHING_ATTACHED,
      defaults: false,
      // Time passes as fast as it can while nothing runs.
      icount: { shift: 0, sleep: false },
      rtc: { clock: 'vm', base: 0 },
    },
    new NodeMachineHost(),
  );
  const states: RunState[] = [];
  machine.on('state', (state) => states.push(state));
  const reached = async (state: RunState) => {
    while (!states.includes(state)) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const word = (at: number) => readU16(machine.readMemory(at, 2) as Uint8Array, 0);
  machine.start();
  await reached('suspended');
  return { machine, states, reached, word };
}

/** The firmware has started again. */
async function awake({ machine, word }: Awaited<ReturnType<typeof asleep>>): Promise<void> {
  while (word(FOUND.starts) !== 2 || !machine.vcpus[0].halted) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("the clock's alarm and the power management timer wake a PC that sleeps", async () => {
  for (const accel of ['reference', 'jit'] as const) {
    for (const event of [PM1_EVENT.RTC, PM1_EVENT.TIMER]) {
      const guest = await asleep(accel, event);
      await awake(guest);
      assert.deepEqual(guest.states, ['running', 'suspended', 'running'], accel);
      assert.equal(guest.word(FOUND.status) & ~PM1_EVENT.TIMER, PM1_EVENT.WAKE | (event & ~PM1_EVENT.TIMER));
      if (event === PM1_EVENT.TIMER) assert.ok(guest.word(FOUND.status) & PM1_EVENT.TIMER);
      assert.equal(guest.word(FOUND.shutdown) & 0xff, 0xfe);
      assert.equal(guest.word(FOUND.after), 0, 'sleep begins with the write that asks for it');
      await guest.machine.stop();
    }
  }
});

test('a sleeping PC: time passes, a key or a person wakes it, a reset starts it over', async () => {
  const guest = await asleep('reference', 0);
  const { machine, states, word } = guest;
  machine.start();
  await machine.pause();
  assert.equal(machine.state, 'suspended');
  assert.equal(word(FOUND.after), 0);
  machine.input?.send([{ type: 'rel', axis: 'x', value: 1 }]);
  assert.equal(machine.state, 'suspended');
  machine.input?.send([{ type: 'key', key: 'a', down: true }]);
  await awake(guest);
  assert.equal(word(FOUND.status) & ~PM1_EVENT.TIMER, PM1_EVENT.WAKE | PM1_EVENT.POWER_BUTTON);
  assert.equal(machine.wakeup(), false);
  await machine.stop();
  assert.deepEqual(states, ['running', 'suspended', 'running', 'shutdown']);

  const other = await asleep('reference', 0);
  assert.equal(other.machine.canSuspend, true);
  assert.equal(other.machine.wakeup(), true);
  await awake(other);
  await other.machine.stop();

  const third = await asleep('reference', 0);
  third.machine.reset();
  await third.reached('prelaunch');
  third.machine.start();
  await awake(third);
  assert.equal(third.word(FOUND.status) & PM1_EVENT.WAKE, 0);
  await third.machine.stop();
});
