/**
 * A hostile guest on PCI: random configuration cycles, ports and memory of both
 * chip sets with bridges and virtio devices behind them. Nothing may throw,
 * hang or leave the state space, and no window may stay behind its BAR.
 *
 * TRAPFRAME_SEED repeats a run; FUZZ_ROUNDS makes it longer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { testSeed } from '../../src/bits/test-seed.ts';
import { CpuHotplug } from '../../src/devices/acpi-hotplug/cpu-hotplug.ts';
import { PciHotplug } from '../../src/devices/acpi-hotplug/pci-hotplug.ts';
import { I440fx } from '../../src/devices/i440fx/i440fx.ts';
import { pciBridge, pcieRootPort } from '../../src/devices/pci-bridge/pci-bridge.ts';
import { PciHost } from '../../src/devices/pci-host/pci-host.ts';
import { Piix3 } from '../../src/devices/piix3/piix3.ts';
import { Piix4Pm } from '../../src/devices/piix4-pm/piix4-pm.ts';
import { Ich9Lpc } from '../../src/devices/q35/ich9-lpc.ts';
import { Ich9Smbus } from '../../src/devices/q35/ich9-smbus.ts';
import { Mch } from '../../src/devices/q35/mch.ts';
import { VirtioBlk } from '../../src/devices/virtio-blk/virtio-blk.ts';
import { VirtioPci } from '../../src/devices/virtio-pci/virtio-pci.ts';
import { VirtioRng } from '../../src/devices/virtio-rng/virtio-rng.ts';
import { Bus } from '../../src/hw/bus.ts';
import type { AccessSize, Device } from '../../src/hw/device.ts';
import { PciBus } from '../../src/hw/pci-bus.ts';
import { enumerate, type Found } from '../../src/hw/pci-test-driver.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { smbusEeprom } from '../../src/hw/smbus.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { TestQueue } from '../../src/hw/test-driver.ts';
import { VirtioPciDriver } from '../../src/hw/virtio-pci-test-driver.ts';
import { fromBinary, load, type SavedState, save, toBinary } from '../../src/state/codec.ts';
import { MemoryDisk } from '../../src/storage/memory.ts';

const MIB = 0x10_0000;
const RAM = 0x8000_0000;
const SIZES: readonly AccessSize[] = [1, 2, 4];
const seed = testSeed(process.env);
const rounds = Number(process.env.FUZZ_ROUNDS ?? 1);

/** Mulberry32: a small generator that is good enough and the same everywhere. */
function generator(from: number) {
  let state = from >>> 0;
  const next = () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return { next, below: (limit: number) => next() % limit, pick: <T>(of: readonly T[]): T => of[next() % of.length] };
}
type Random = ReturnType<typeof generator>;

function build(board: 'pc' | 'q35') {
  const bench = new TestBench(RAM, MIB);
  bench.reports.push = () => 0; // they need no memory
  const memory = new Bus();
  const ports = new PortBus();
  const devices: Device[] = [];
  const lines = Array.from({ length: 24 }, () => new TestLine());
  const counts = { messages: 0, shadow: 0, sleeps: 0, resets: 0, smis: 0, ejects: 0 };
  const { log } = bench;
  const sleep = () => counts.sleeps++;
  const smi = () => counts.smis++;
  const reset = () => counts.resets++;
  const control = { pam: () => counts.shadow++, smram: () => counts.shadow++ };
  const eeproms = new Map([[0x50, smbusEeprom(new Uint8Array(256))]]);
  const message = () => counts.messages++;
  let bus: PciBus;
  let event: (number: number) => void;
  if (board === 'pc') {
    const piix3 = new Piix3({ name: 'piix3', isa: lines.slice(0, 16), reset });
    bus = new PciBus({ memory, ports, route: Piix3.route, lines: piix3.pirq, message });
    ports.add('reset', Piix3.resetPort, 1, piix3.resetControl, 1);
    const pm = new Piix4Pm({ name: 'pm', wiring: bench, ports, sci: lines[9], smi, sleep, smbus: eeproms });
    bus.add(new I440fx({ name: 'i440fx', ramSize: 128 * MIB, control }), 0);
    bus.add(piix3, 1, 0);
    bus.add(pm, 1, 3);
    devices.push(pm.pm, pm.smbus);
    event = (number) => pm.pm.event(number);
  } else {
    const lpc = new Ich9Lpc({ name: 'lpc', wiring: bench, memory, ports, gsi: lines, smi, sleep, reset });
    const route = (slot: number, pin: number) => lpc.route(slot, pin);
    bus = new PciBus({ memory, ports, route, lines: lpc.pirq, message });
    const smbus = new Ich9Smbus('smbus', log, eeproms);
    const root = bus;
    bus.add(new Mch({ name: 'mch', memory, control }, () => root), 0);
    bus.add(lpc, 31, 0);
    bus.add(smbus, 31, 3);
    devices.push(lpc.pm, lpc.tco, smbus.smbus);
    event = (number) => lpc.pm.event(number);
  }
  const host = new PciHost('pci-host', log, bus);
  ports.add('pci-host', PciHost.ports.base, PciHost.ports.size, host.mmio);
  const eject = () => counts.ejects++;
  const cpus = new CpuHotplug({ name: 'cpus', log, ids: [0, 1, 2, 3], present: 2, event, eject });
  const slots = new PciHotplug({ name: 'slots', log, event, eject, removable: (_bus, slot) => slot > 2 });
  ports.add('cpus', 0xaf00, CpuHotplug.size, cpus.mmio);
  ports.add('slots', 0xae00, PciHotplug.size, slots.mmio);
  devices.push(host, cpus, slots);

  const port = pcieRootPort('rp', bus, 1);
  bus.add(port, 3);
  const bridge = pciBridge('br', port.secondary);
  port.secondary.add(bridge, 0);
  const random = (into: Uint8Array) => into.fill(1);
  [bus, bus, port.secondary, bridge.secondary].forEach((at, i) => {
    const disk = new MemoryDisk(new Uint8Array(64 * 512));
    const model = i & 1 ? new VirtioRng(`rng${i}`, bench, random) : new VirtioBlk(`disk${i}`, bench, disk);
    const carrier = new VirtioPci({ name: `virtio${i}`, disableLegacy: i === 2, express: i === 2 }, model);
    at.add(carrier.pci, 5 + i);
    devices.push(carrier, model);
  });
  const everything = (): Device[] => [...devices, ...bus.all()];
  for (const device of everything()) device.reset();
  return { bench, memory, ports, bus, counts, lines, cpus, slots, everything };
}
type Machine = ReturnType<typeof build>;

/** Values that break things more often than evenly random ones. */
function value(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return random.below(16);
    case 1:
      return (1 << random.below(32)) >>> 0;
    case 2:
      return (0xe000_0000 + 0x1000 * random.below(0x400)) >>> 0;
    case 3:
      return (0 - random.below(16)) >>> 0;
    case 4:
      return (RAM + 0x1000 * random.below(256)) >>> 0;
    default:
      return random.next();
  }
}

function check(got: number, size: AccessSize, where: string): void {
  assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${where}: ${got}`);
}

function step(random: Random, { bus, memory, ports }: Machine): void {
  const size = random.pick(SIZES);
  const bits = (value(random) & (size === 4 ? -1 : 2 ** (8 * size) - 1)) >>> 0;
  const write = random.below(2) === 0;
  const kind = random.below(8);
  if (kind < 3) {
    const functions = bus.all();
    const fn = random.pick(functions);
    const number = random.below(4) ? 0 : random.below(4);
    const offset = random.below(8) ? random.below(0x100) : random.below(0x1000);
    const at = random.below(8) ? offset & -size : offset;
    // Through the hierarchy where the guest has numbered it, else directly at the function.
    if (random.below(2)) {
      if (write) bus.writeConfig(number, fn.devfn, at, size, bits);
      else check(bus.readConfig(number, fn.devfn, at, size), size, `config ${at}`);
    } else if (write) fn.writeConfig(at, size, bits);
    else check(fn.readConfig(at, size), size, `${fn.name} ${at}`);
  } else if (kind < 6) {
    const windows = ports.list();
    const window = random.pick(windows);
    const port = random.below(16) ? (window.base + random.below(window.size)) & 0xffff : random.below(0x1_0000);
    if (write) ports.write(port, size, bits);
    else check(ports.read(port, size), size, `port ${port.toString(16)}`);
  } else {
    const windows = memory.list();
    if (!windows.length) return;
    const window = random.pick(windows);
    const spread = random.pick([0x40, 0x100, 0x4000, window.size]);
    const at = window.base + (random.below(Math.min(spread, window.size)) & -size);
    if (write) memory.write(at, size, bits);
    else check(memory.read(at, size) ?? 0, size, `${window.name} ${at.toString(16)}`);
  }
}

function roundTrip({ everything }: Machine): void {
  for (const device of everything()) {
    const saved = save(device.layout, device.state);
    const before = structuredClone(device.state);
    load(device.layout, device.state, fromBinary(toBinary(saved)) as unknown as SavedState);
    assert.deepEqual(device.state, before, device.name);
    device.resumed?.();
  }
}

/** What an operating system does: takes a virtio device, and hands it a buffer that may be anywhere. */
function driver(random: Random, { bench, bus }: Machine, found: readonly Found[]): void {
  const fn = random.pick(found.filter((other) => other.r(0, 2) === 0x1af4));
  const modern = new VirtioPciDriver(fn, false);
  const [msix] = fn.capabilities(0x11);
  const table = fn.bars.get(1)?.base ?? 0;
  fn.w(4, 7, 2);
  fn.w(msix + 2, random.pick([0, 0x8000, 0xc000]), 2);
  bus.memory.write(table, 4, 0xfee0_0000);
  bus.memory.write(table + 12, 4, random.pick([0, 0, 0, 1]));
  const queue = new TestQueue(bench, 0, RAM, 8);
  queue.bytes(RAM, 0x4000).fill(0);
  modern.start(1n << 32n, [queue], [0]);
  for (let i = 0; i < 4; i++) {
    const address = random.below(4) ? RAM + 0x1_0000 * random.below(15) : value(random);
    queue.add({ address, length: random.pick([16, 513, value(random)]) }, { address, length: 513, write: true });
  }
  queue.add({ address: RAM + 0x1_0000, length: 64, write: true });
  modern.notify(queue);
}

/** What firmware does: places BARs, and the chip sets' own windows. */
function firmware({ bus }: Machine): readonly Found[] {
  const found = enumerate(bus);
  for (const [devfn, at, bits] of [
    [0x0b, 0x40, 0xb001],
    [0x0b, 0x80, 1],
    [0x00, 0x60, 0xb000_0001],
    [0xf8, 0x40, 0x601],
    [0xf8, 0x44, 0x80],
    [0xf8, 0xf0, 0xfed1_c001],
  ])
    bus.writeConfig(0, devfn, at, 4, bits);
  return found;
}

/** After a reset only the windows of the board are left. */
function windowsAfterReset({ everything, memory, ports }: Machine): string {
  for (const device of everything()) device.reset();
  return [...memory.list(), ...ports.list()]
    .map(({ name }) => name)
    .sort()
    .join();
}

for (const board of ['pc', 'q35'] as const) {
  test(`${board}: random configuration cycles, ports and memory (TRAPFRAME_SEED=${seed})`, async () => {
    const random = generator(seed);
    const machine = build(board);
    const atFirst = windowsAfterReset(machine);
    firmware(machine);
    for (let count = 0; count < 40_000 * rounds; count++) {
      step(random, machine);
      if (random.below(64) === 0) machine.bench.advance(random.pick([1, 1e3, 1e6, 1e9]));
      if (random.below(500) === 0) {
        machine.cpus.requestUnplug(random.below(6));
        machine.slots.requestUnplug(0, random.below(32));
      }
      if (count % 2000 === 0) {
        await setImmediate();
        roundTrip(machine);
        const found = firmware(machine);
        for (let i = 0; i < 20; i++) driver(random, machine, found);
      }
      if (random.below(10_000) === 0) assert.equal(windowsAfterReset(machine), atFirst);
    }
    await setImmediate();
    assert.equal(windowsAfterReset(machine), atFirst);
    assert.deepEqual(machine.lines.filter(({ level }) => level).length, 0);
    // Without these the guest was not let through to anything.
    const { messages, shadow, sleeps, resets, smis, ejects } = machine.counts;
    assert.ok(messages > 0 && shadow > 26 && sleeps + resets + smis + ejects > 0, JSON.stringify(machine.counts));
  });
}
