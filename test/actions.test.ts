/**
 * What becomes of a machine when its guest panics, resets, breaks down or ends the emulator: `-action` under each
 * accelerator, and QEMU's own events for the same firmware where it is installed.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Control } from '../src/control/hub.ts';
import { NodeMachineHost } from '../src/host/node/machine-host.ts';
import type { Actions } from '../src/machine/actions.ts';
import { Machine } from '../src/machine/machine.ts';
import { NOTHING_ATTACHED } from './nothing-attached.ts';

/** Real-mode code at F000:0000, for a ROM of 64 KiB. */
const GUESTS = {
  // cli; mov dx, 0x505; mov al, 1; out dx, al; hlt; jmp back
  panic: [0xfa, 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4, 0xeb, 0xfd],
  crashloaded: [0xfa, 0xba, 0x05, 0x05, 0xb0, 0x02, 0xee, 0xf4, 0xeb, 0xfd],
  // cli; lidt cs:[0x40], where zeros are; int 3
  tripleFault: Object.assign(new Array(0x46).fill(0), [0xfa, 0x2e, 0x0f, 0x01, 0x1e, 0x40, 0x00, 0xcd, 0x03]),
  // cli; mov al, 0xfe; out 0x64, al: the keyboard controller resets
  reset: [0xfa, 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd],
  // cli; mov dx, 0x501; mov al, 2; out dx, al: isa-debug-exit
  exit: [0xfa, 0xba, 0x01, 0x05, 0xb0, 0x02, 0xee, 0xf4, 0xeb, 0xfd],
};

interface Case {
  readonly guest: keyof typeof GUESTS;
  readonly actions: Partial<Actions>;
  /** Event, and its action or reason. */
  readonly events: readonly string[];
  /** The state in the end, or the exit code. */
  readonly end: string | number;
  /** Resets the machine after that; what follows. */
  readonly afterReset?: readonly string[];
}

const CASES: readonly Case[] = [
  { guest: 'panic', actions: {}, events: ['GUEST_PANICKED poweroff', 'SHUTDOWN guest-panic'], end: 0 },
  {
    ...{ guest: 'panic', actions: { panic: 'exit-failure' } },
    ...{ events: ['GUEST_PANICKED poweroff', 'SHUTDOWN guest-panic'], end: 1 },
  },
  {
    ...{ guest: 'panic', actions: { shutdown: 'pause' }, events: ['GUEST_PANICKED pause', 'STOP'] },
    end: 'guest-panicked',
  },
  { guest: 'panic', actions: { panic: 'pause' }, events: ['GUEST_PANICKED pause', 'STOP'], end: 'guest-panicked' },
  { guest: 'panic', actions: { panic: 'none' }, events: ['GUEST_PANICKED run'], end: 'running' },
  {
    ...{ guest: 'panic', actions: { panic: 'exit-failure', shutdown: 'pause' } },
    ...{ events: ['GUEST_PANICKED poweroff', 'SHUTDOWN guest-panic', 'STOP'], end: 'shutdown' },
    afterReset: ['RESET host-qmp-system-reset', 'prelaunch'],
  },
  { guest: 'crashloaded', actions: { panic: 'pause' }, events: ['GUEST_CRASHLOADED run'], end: 'running' },
  { guest: 'tripleFault', actions: { reboot: 'shutdown' }, events: ['SHUTDOWN guest-reset'], end: 0 },
  {
    ...{ guest: 'tripleFault', actions: { reboot: 'shutdown', shutdown: 'pause' } },
    ...{ events: ['SHUTDOWN guest-reset', 'STOP'], end: 'shutdown' },
    afterReset: ['SHUTDOWN host-qmp-system-reset', 'shutdown'],
  },
  {
    ...{ guest: 'reset', actions: { reboot: 'shutdown', shutdown: 'pause' } },
    ...{ events: ['SHUTDOWN guest-reset', 'STOP'], end: 'shutdown' },
  },
  // QEMU says nothing before it ends.
  { guest: 'exit', actions: { shutdown: 'pause' }, events: ['SHUTDOWN guest-shutdown'], end: 5 },
];

function rom(guest: keyof typeof GUESTS): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(0x10000).fill(0xf4);
  bytes.set(GUESTS[guest]);
  bytes.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return bytes;
}

const told = (event: string, data: Readonly<Record<string, unknown>> | undefined): string =>
  [event, data?.['action'] ?? data?.['reason']].filter((word) => word !== undefined).join(' ');
const until = async (what: () => boolean) => {
  for (const late = Date.now() + 20_000; !what() && Date.now() < late; )
    await new Promise((resolve) => setTimeout(resolve, 5));
};
const name = ({ guest, actions }: Case) => `${guest}, ${JSON.stringify(actions)}`;

for (const accel of ['reference', 'jit', 'kvm'] as const) {
  const skip = accel === 'kvm' && !existsSync('/dev/kvm') ? 'no /dev/kvm here' : false;
  test(`actions under ${accel}`, { skip }, async (t) => {
    for (const wanted of CASES) await t.test(name(wanted), () => run(accel, wanted));
  });
}

async function run(accel: 'reference' | 'jit' | 'kvm', { guest, actions, events, end, afterReset }: Case) {
  const machine = await Machine.create(
    {
      ...{ machine: 'pc', accel, cpus: 1, memory: 2 ** 24, bios: rom(guest), vga: 'none', defaults: false },
      cpu: { model: 'qemu64', features: {} },
      ...NOTHING_ATTACHED,
      roms: {},
      devices: [
        { driver: 'pvpanic', properties: {} },
        { driver: 'isa-debug-exit', properties: { iobase: '0x501', iosize: '1' } },
      ],
    },
    new NodeMachineHost(),
  );
  let code: number | undefined;
  machine.on('shutdown', (outcome) => {
    code = outcome.code;
  });
  const control = new Control(
    machine,
    { now: () => 0, save: () => Promise.reject(new Error('nothing is saved here')) },
    {
      ...{ target: 'x86_64', board: 'pc', memory: 2 ** 24, process: 1, version: '0' },
      ...{ chardevs: () => [], blocks: () => [] },
    },
  );
  const seen: string[] = [];
  control.subscribe(({ event, data }) => seen.push(told(event, data)));
  machine.setActions(actions);
  try {
    machine.start();
    await until(() => (typeof end === 'number' ? code !== undefined : seen.length > events.length));
    assert.deepEqual(seen, ['RESUME', ...events]);
    assert.equal(typeof end === 'number' ? code : machine.state, end);
    if (!afterReset) return;
    seen.length = 0;
    control.reset();
    assert.deepEqual([...seen, machine.state], afterReset);
  } finally {
    await machine.stop();
  }
}

const qemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0;
test('QEMU does the same', { skip: qemu ? false : 'no qemu-system-x86_64 here' }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'trapframe-actions-'));
  try {
    for (const wanted of CASES) {
      await t.test(name(wanted), async () => {
        const { guest, actions, events, end } = wanted;
        const bios = join(directory, 'bios.bin');
        writeFileSync(bios, rom(guest));
        const given = Object.entries(actions).map(([event, action]) => `${event}=${action}`);
        const child = spawn('qemu-system-x86_64', [
          ...['-M', 'pc', '-m', '16M', '-bios', bios, '-nodefaults', '-vga', 'none', '-display', 'none', '-S'],
          ...['-device', 'pvpanic', '-device', 'isa-debug-exit,iobase=0x501,iosize=1', '-qmp', 'stdio'],
          ...(given.length > 0 ? ['-action', given.join(',')] : []),
        ]);
        let text = '';
        let code: number | null | undefined;
        child.stdout.on('data', (data) => {
          text += data;
        });
        child.on('exit', (status) => {
          code = status;
        });
        for (const execute of ['qmp_capabilities', 'cont']) child.stdin.write(JSON.stringify({ execute }));
        const seen = () => {
          const lines = text.split('\n').filter((line) => line.includes('"event"'));
          return lines.map((line) => JSON.parse(line)).map(({ event, data }) => told(event, data));
        };
        await until(() => (typeof end === 'number' ? code !== undefined : seen().length > events.length));
        child.kill('SIGKILL');
        assert.deepEqual(seen(), ['RESUME', ...(guest === 'exit' ? [] : events)]);
        if (typeof end === 'number') assert.equal(code, end);
      });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
