/** Interrupt controllers in the kernel and ours: each way of an interrupt, and moves in the middle of one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AcceleratorName } from '../../src/accel/switching.ts';
import { keepsInService } from '../../src/accel/kvm/x86/local-apic-probe.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { openFfi } from '../../src/host/node/ffi.ts';
import { CC, R } from '../../src/machine/x86-assembler.ts';
import { CELL, Firmware, LAPIC, SIPI_PAGE, STARTED, until } from './irqchip-guest.ts';
import { type Kind, KINDS, type Running, skip, start } from './irqchip-machine.ts';
import { kvmMachine } from './machine.ts';

/** Whether a level-triggered interrupt comes once: see local-apic-probe.ts. */
function comesOnce(kind: Kind): boolean {
  if (kind === 'off') return true;
  const kvm = openKvm();
  try {
    return keepsInService(kvm);
  } finally {
    kvm.close();
  }
}

test('system management mode goes with local APICs of our own only', { skip: skip('on') }, async () => {
  const machineProperties = { smm: 'on' };
  for (const kernelIrqchip of ['on', 'split'] as const)
    await assert.rejects(kvmMachine([0xf4], { kernelIrqchip, machineProperties }), {
      code: 'kernel-irqchip',
      message: /with smm=on/,
    });
  const { machine } = await kvmMachine([0xf4], { machineProperties, cpus: 2 });
  await machine.stop();
});

test('how long the kernel polls before a processor sleeps can be changed while the machine runs', {
  skip: skip('split'),
}, async () => {
  const spins = periodic(1e9);
  await using guest = await start('split', spins, { haltPollNs: 0 });
  const { machine } = guest;
  await until(() => guest.cell(CELL.count) > 5, guest.show);
  const polled = () => {
    const counters = machine.kernelCounters(0) ?? [];
    return counters
      .filter(({ name }) => name === 'halt_poll_success_ns' || name === 'halt_poll_fail_ns')
      .reduce((sum, { values }) => sum + (values[0] ?? 0n), 0n);
  };
  const before = polled();
  await until(() => guest.cell(CELL.count) > 10, guest.show);
  assert.equal(polled(), before);
  machine.setHaltPoll(200_000);
  await until(() => polled() > before, guest.show);
  for (const bad of [-1, 0.5, 2 ** 32]) assert.throws(() => machine.setHaltPoll(bad), { code: 'halt-poll' });
  const { machine: other } = await kvmMachine([0xf4], { accel: 'jit' });
  await using _ = other;
  assert.throws(() => other.setHaltPoll(0), { code: 'halt-poll' });
});

/** A timer of the local APIC, periodic: `count` interrupts, each of which ends a HLT. */
const periodic = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x40, 'tick');
  f.store(LAPIC + 0x3e0, 0xb)
    .store(LAPIC + 0x320, 0x2_0040)
    .store(LAPIC + 0x380, 1_000_000);
  f.until(CELL.count, count, 'hlt')
    .store(LAPIC + 0x380, 0)
    .print('D')
    .end();
  return f.handler('tick', CELL.count);
};
/** One-shot, set again by each. */
const oneShot = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x40, 'tick');
  f.store(LAPIC + 0x3e0, 0xb)
    .store(LAPIC + 0x320, 0x40)
    .store(LAPIC + 0x380, 700_000);
  f.until(CELL.count, count, 'hlt').print('D').end();
  return f.handler('tick', CELL.count, () => f.store(LAPIC + 0x380, 700_000));
};
/** The same by the time-stamp counter. */
const deadline = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x40, 'tick');
  const arm = () =>
    f
      .db(0x0f, 0x31) // rdtsc
      .aluImm('add', R.ax, 2_000_000)
      .db(0x83, 0xd2, 0) // adc edx, 0
      .movImm(R.cx, 0x6e0)
      .db(0x0f, 0x30); // wrmsr
  f.store(LAPIC + 0x320, 0x4_0040);
  arm();
  f.until(CELL.count, count, 'hlt').print('D').end();
  return f.handler('tick', CELL.count, arm);
};
/** The 8254 through the I/O APIC. */
const pit = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x31, 'tick').pin(2, 0x31);
  f.out(0x43, 0x34).out(0x40, 0xa9).out(0x40, 0x04); // every millisecond
  f.until(CELL.count, count, 'hlt').pin(2, 0x1_0031).print('D').end();
  return f.handler('tick', CELL.count);
};
/** The 8254 through the 8259 and LINT0. */
const external = (count: number) => {
  const f = new Firmware().pics(1).gate(0x20, 'tick');
  f.out(0x43, 0x34).out(0x40, 0xa9).out(0x40, 0x04);
  f.until(CELL.count, count, 'hlt').out(0x21, 0xff).print('D').end();
  return f.label('tick').db(0x60).inc(CELL.count).out(0x20, 0x20).db(0x61, 0xcf);
};
/** A level-triggered pin: the first interrupt is ended while the wire is still high, and comes again. */
const level = () => {
  const f = new Firmware().pics().enableApic().gate(0x34, 'serial').pin(4, 0x8034);
  f.out(0x3fc, 8).out(0x3f9, 2); // OUT2; transmitter empty
  f.until(CELL.count, 2, 'hlt').out(0x3f9, 0).print('D').end();
  return f.handler('serial', CELL.count, () => {
    f.load(CELL.count).aluImm('cmp', R.ax, 2).db(0x75, 5).in(0x3fa); // from the second on: reading IIR lets the wire fall
  });
};
/** A second processor is started, and gets and sends `count` interrupts. */
const between = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x40, 'there').gate(0x41, 'back');
  f.store(LAPIC + 0x310, 1 << 24).store(LAPIC + 0x300, 0x4500); // INIT
  f.store(LAPIC + 0x310, 1 << 24).store(LAPIC + 0x300, 0x4600 | SIPI_PAGE);
  f.until(CELL.started, 1, 'spin').print('S');
  f.store(LAPIC + 0x310, 1 << 24).store(LAPIC + 0x300, 0x4040);
  f.until(CELL.count, count, 'hlt').print('D').end();
  f.handler('back', CELL.count, () => f.store(LAPIC + 0x310, 1 << 24).store(LAPIC + 0x300, 0x4040));
  f.label('ap')
    .enableApic()
    .inc(CELL.started)
    .until(CELL.other, 1 << 30, 'hlt')
    .end();
  return f.handler('there', CELL.other, () => f.store(LAPIC + 0x310, 0).store(LAPIC + 0x300, 0x4041));
};

const DEVICES = [{ driver: 'virtio-rng-pci', properties: {} }];
const RNG = { slot: 2, modern: 0xf000_0000, msix: 0xf100_0000 };
/** A virtio random number generator is asked `count` times, and answers each time by a message. */
const virtio = (count: number) => {
  const f = new Firmware().pics().enableApic().gate(0x42, 'tick');
  f.pci(RNG.slot, 0x14, RNG.msix).pci(RNG.slot, 0x20, RNG.modern).pci(RNG.slot, 0x24, 0);
  f.pci(RNG.slot, 4, 6).pci(RNG.slot, 0x98, 0x8000_0000); // memory, master; MSI-X on
  f.store(RNG.msix, 0xfee0_0000)
    .store(RNG.msix + 4, 0)
    .store(RNG.msix + 8, 0x42)
    .store(RNG.msix + 12, 0);
  const common = RNG.modern;
  f.store8(common + 0x14, 1).store8(common + 0x14, 3);
  f.store(common + 8, 1)
    .store(common + 12, 1)
    .store8(common + 0x14, 0xb); // VERSION_1
  f.store16(common + 0x16, 0).store16(common + 0x1a, 0);
  f.store(common + 0x20, 0x3000)
    .store(common + 0x28, 0x4000)
    .store(common + 0x30, 0x5000);
  f.store16(common + 0x1c, 1).store8(common + 0x14, 0xf);
  f.store(0x3000, 0x6000).store(0x3004, 0).store(0x3008, 8).store16(0x300c, 2).store16(0x300e, 0);
  f.label('ask').db(0x66, 0xff, 0x05).dd(0x4002).inc(CELL.other); // the index of what is available
  f.store16(RNG.modern + 0x3000, 0);
  f.label('wait').cli().load(CELL.count).db(0x3b, 0x05).dd(CELL.other).jcc(CC.notCarry, 'answered');
  f.sti().hlt().jmp('wait').label('answered').aluImm('cmp', R.ax, count).jcc(CC.carry, 'ask');
  // What a reset leaves in memory.
  for (const address of [STARTED, 0x4000]) f.store(address, 0);
  f.print('D').end();
  return f.handler('tick', CELL.count);
};

const DEADLINE_CPU = { model: 'qemu64', features: { 'tsc-deadline': true } };
const WAYS: Readonly<Record<string, (kind: Kind) => Promise<Running & AsyncDisposable>>> = {
  "a local APIC's periodic timer": (kind) => start(kind, periodic(20)),
  "a local APIC's one-shot timer": (kind) => start(kind, oneShot(20)),
  'a deadline of the time-stamp counter': (kind) => start(kind, deadline(20), { cpu: DEADLINE_CPU }),
  'the 8254 through the I/O APIC': (kind) => start(kind, pit(20)),
  'the 8254 through the 8259': (kind) => start(kind, external(20)),
  'a level-triggered pin': (kind) => start(kind, level()),
};

for (const kind of KINDS) {
  for (const [name, run] of Object.entries(WAYS))
    test(`kernel-irqchip=${kind}: ${name}`, { skip: skip(kind) }, async () => {
      await using guest = await run(kind);
      await guest.printedIs('D');
      assert.equal(guest.machine.accelerator, 'kvm');
      // In the kernel a processor waits there.
      const { hlt = 0 } = guest.machine.kvm?.[0].exits ?? {};
      assert.equal(hlt > 0, kind === 'off');
    });

  for (const accelThreads of [false, true])
    test(`kernel-irqchip=${kind}: a device's messages, ${accelThreads ? 'with' : 'without'} threads`, {
      skip: skip(kind),
    }, async () => {
      await using guest = await start(kind, virtio(40), { accelThreads, devices: DEVICES });
      await guest.printedIs('D');
      const { machine } = guest;
      assert.equal(guest.cell(CELL.count), 40);
      // With threads the notifications are no exits, where the host can wait for them.
      const rings = /without an exit: (\d+)/.exec(machine.describe('kvm'));
      assert.equal(
        rings !== null && Number(rings[1]) >= 40,
        openFfi()?.poll !== undefined && (accelThreads || kind !== 'off'),
      );
      for (const address of [CELL.count, CELL.other]) guest.set(address, 0);
      machine.reset();
      await until(() => guest.printed.text === 'DD', guest.show);
    });

  test(`kernel-irqchip=${kind}: processors start and interrupt each other`, { skip: skip(kind) }, async () => {
    await using guest = await start(kind, between(50), { cpus: 2 });
    await guest.printedIs('SD');
    assert.ok(guest.cell(CELL.other) >= 50);
    const entries = guest.machine.kvm?.map((vcpu) => vcpu.entries) ?? [];
    assert.ok(entries.every((count) => count > 0));
  });

  test(`kernel-irqchip=${kind}: all of them, moved between accelerators all the time`, {
    skip: skip(kind),
  }, async () => {
    const guests: Record<string, Firmware> = {
      periodic: periodic(100),
      oneShot: oneShot(100),
      pit: pit(100),
      external: external(100),
      deadline: deadline(100),
      between: between(300),
      virtio: virtio(300),
    };
    for (const [name, firmware] of Object.entries(guests)) {
      await using guest = await start(kind, firmware, {
        cpus: name === 'between' ? 2 : 1,
        cpu: DEADLINE_CPU,
        devices: DEVICES,
      });
      const wanted = name === 'between' ? 'SD' : 'D';
      const turns: AcceleratorName[] = ['jit', 'kvm', 'reference', 'kvm'];
      for (let n = 0; guest.printed.text !== wanted && n < 2000; n++) {
        await guest.machine.switchAccelerator(turns[n % turns.length]);
        await pause(n % 7);
        assert.equal(guest.machine.state, 'running', `${guest.machine.error}`);
      }
      await guest.printedIs(wanted);
    }
  });

  test(`kernel-irqchip=${kind}: an interrupt that waits, and one that is served, move`, {
    skip: skip(kind),
  }, async () => {
    for (const to of ['jit', 'reference'] as const) {
      const f = new Firmware().pics().enableApic().gate(0x45, 'self').gate(0x40, 'lower');
      f.store(LAPIC + 0x80, 0x27); // task priority: CR8 has its upper half only
      f.store(LAPIC + 0x300, 0x4_4045)
        .store(LAPIC + 0x300, 0x4_4040)
        .inc(CELL.seen);
      f.until(CELL.go, 1, 'spin').sti().until(CELL.count, 2, 'hlt').print('D').end();
      f.handler('self', CELL.count, () => f.inc(CELL.seen).until(CELL.go, 2, 'spin'));
      f.handler('lower', CELL.count);
      await using guest = await start(kind, f);
      const { machine } = guest;
      await until(() => guest.cell(CELL.seen) === 1, guest.show);
      for (const name of ['kvm', to, 'kvm', to] as const) {
        // The registers are set anew, the local APIC is not.
        await machine.switchAccelerator('kvm');
        await pause(3);
        machine.vcpus[0].writeRegister('rdi', 1n);
        await pause(3);
        await machine.switchAccelerator(name);
        await pause(3);
        assert.match(machine.describe('lapic'), /ISR\s+\(none\)\nIRR\s+64 69\n\nAPR 0x00 TPR 0x27/);
      }
      guest.set(CELL.go, 1);
      await until(() => guest.cell(CELL.seen) === 2, guest.show);
      for (const name of ['kvm', to, 'kvm'] as const) {
        await machine.switchAccelerator(name);
        await pause(3);
        assert.match(machine.describe('lapic'), /ISR\s+69\nIRR\s+64\n/);
      }
      guest.set(CELL.go, 2);
      await guest.printedIs('D');
      assert.equal(guest.cell(CELL.count), 2);
    }
  });

  test(`kernel-irqchip=${kind}: the 8259s and the I/O APIC with an interrupt under way move`, {
    skip: skip(kind),
  }, async () => {
    const f = new Firmware().pics(0x10).enableApic().gate(0x24, 'pic').gate(0x34, 'serial');
    f.out(0x4d0, 0x10).store(LAPIC + 0x350, 0x700); // level-triggered, ExtINT at LINT0
    f.out(0x3fc, 8).out(0x3f9, 2).inc(CELL.seen);
    f.until(CELL.go, 1, 'spin').sti().until(CELL.count, 1, 'hlt');
    f.pin(4, 0x8034).sti().until(CELL.count, 2, 'hlt').print('D').end();
    f.label('pic')
      .db(0x60)
      .inc(CELL.count)
      .inc(CELL.seen)
      .until(CELL.go, 2, 'spin')
      .out(0x21, 0xff)
      .out(0x20, 0x20)
      .db(0x61, 0xcf);
    f.handler('serial', CELL.count, () => f.inc(CELL.seen).until(CELL.go, 3, 'spin').out(0x3f9, 0));
    await using guest = await start(kind, f);
    const { machine } = guest;
    const stages = [/pic0: irr=1[01] imr=ef isr=00 .* elcr=10/, /pic0: irr=1[01] imr=ef isr=10/, /Remote IRR +4 */];
    for (const [n, shown] of stages.entries()) {
      await until(
        () => guest.cell(CELL.seen) === n + 1,
        () => `${n} ${guest.show()}`,
      );
      for (const name of ['kvm', 'jit', 'kvm', 'reference', 'kvm'] as const) {
        await machine.switchAccelerator(name);
        await pause(3);
        assert.match(machine.describe('pic'), shown, name);
        await machine.pause();
        assert.match(machine.describe('pic'), shown, name);
        machine.resume();
      }
      guest.set(CELL.go, n + 1);
    }
    await guest.printedIs('D');
    assert.equal(guest.cell(CELL.count), comesOnce(kind) ? 2 : 3);
    assert.doesNotMatch(machine.describe('pic'), /Remote IRR +4/);
  });
}
