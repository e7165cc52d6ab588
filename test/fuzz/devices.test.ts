/**
 * A hostile guest: random accesses at every window of a whole `virt` board, and
 * random virtqueue contents. Nothing may throw, hang or leave the state space.
 *
 * TRAPFRAME_SEED repeats a run; FUZZ_ROUNDS makes it longer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { writeU16, writeU32, writeU64 } from '../../src/bits/endian.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import type { Window } from '../../src/hw/bus.ts';
import type { CharBackend } from '../../src/hw/chardev.ts';
import type { AccessSize } from '../../src/hw/device.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { TestDriver } from '../../src/hw/test-driver.ts';
import { buildVirt, type VirtBoard } from '../../src/machine/riscv-virt.ts';
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

async function build(legacy: boolean) {
  const bench = new TestBench(RAM, 16 * MIB);
  bench.reports.push = () => 0; // millions of reports are expected; they need no memory
  const backends = [0, 1, 2].map((): CharBackend => ({ write() {} }));
  const device = (driver: string, properties: Record<string, string> = {}) => ({ driver, properties });
  const board = await buildVirt(
    {
      machine: 'virt',
      machineProperties: { aclint: 'on', 'force-legacy': legacy ? 'on' : 'off' },
      accel: 'reference',
      cpu: { model: 'rv64', features: {} },
      cpus: 3,
      memory: 16 * MIB,
      bios: 'none',
      serials: [backends[0]],
      chardevs: [
        { id: 'c1', backend: backends[1] },
        { id: 'c2', backend: backends[2] },
      ],
      drives: [
        { id: 'd', disk: new MemoryDisk(new Uint8Array(64 * 512)), interface: 'virtio' },
        { id: 'f', disk: new MemoryDisk(new Uint8Array(MIB)), interface: 'pflash', index: 1 },
      ],
      devices: [
        device('virtio-rng-device'),
        device('virtio-serial-device'),
        device('virtconsole', { chardev: 'c1' }),
        device('virtserialport', { chardev: 'c2', name: 'agent' }),
      ],
      noReboot: false,
      noShutdown: false,
    },
    { isa: 'rv64gc', mmuType: 'riscv,sv39' },
    { wiring: bench, irq: () => new TestLine(), random: (into) => into.fill(1) },
  );
  board.resetAll();
  return { bench, board, backends };
}

/** Values that break things more often than evenly random ones. */
function value(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return random.below(16);
    case 1:
      return (1 << random.below(32)) >>> 0;
    case 2:
      return (RAM + random.below(16 * MIB)) >>> 0;
    case 3:
      return (0 - random.below(16)) >>> 0;
    case 4:
      return random.pick([0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff]);
    default:
      return random.next();
  }
}

/** Registers cluster at the start of a window; large windows have more of them at round offsets. */
function offset(random: Random, window: Window, size: AccessSize): number {
  const spread = random.pick([0x20, 0x100, 0x1000, window.size]);
  const start = random.pick([0, 0, 0x1000, 0x2000, 0x4000, 0xb000, 0x20_0000, 0x4_0000]);
  const at = (start + random.below(Math.min(spread, window.size))) % window.size;
  const odd = random.below(16) === 0;
  return Math.min(odd ? at : at - (at % size), window.size - size);
}

function access(random: Random, window: Window): void {
  const size = random.pick(SIZES);
  const at = offset(random, window, size);
  if (random.below(2)) {
    const got = window.mmio.read(at, size);
    assert.ok(
      Number.isInteger(got) && got >>> 0 === got && (size === 4 || got < 2 ** (8 * size)),
      `${window.name}+${at}: ${got}`,
    );
  } else window.mmio.write(at, size, (value(random) & (size === 4 ? -1 : 2 ** (8 * size) - 1)) >>> 0);
}

/** A saved state that loads back proves that every field still holds what its layout allows. */
function roundTrip(board: VirtBoard): void {
  for (const device of board.devices) {
    if (device.name.includes('flash')) continue; // 32 MiB each; its own test covers it
    const saved = save(device.layout, device.state);
    const before = structuredClone(device.state);
    load(device.layout, device.state, fromBinary(toBinary(saved)) as unknown as SavedState);
    assert.deepEqual(device.state, before, device.name);
    device.resumed?.();
  }
}

test(`random accesses at every window (TRAPFRAME_SEED=${seed})`, async () => {
  const random = generator(seed);
  for (const legacy of [true, false]) {
    const { bench, board, backends } = await build(legacy);
    const windows = board.bus.list();
    assert.ok(windows.length >= 16);
    for (let step = 0; step < 60_000 * rounds; step++) {
      access(random, random.pick(windows));
      if (random.below(64) === 0) bench.advance(random.pick([1, 1e3, 1e6, 1e9]));
      if (random.below(64) === 0) {
        const backend = random.pick(backends);
        backend.onInput?.(new Uint8Array(Math.min(backend.room?.() ?? 0, 20)).fill(65));
      }
      if (step % 5000 === 0) {
        await setImmediate();
        roundTrip(board);
      }
      if (random.below(20_000) === 0) board.resetAll();
    }
    await board.flushed();
  }
});

test(`random virtqueue contents (TRAPFRAME_SEED=${seed})`, async () => {
  const random = generator(seed ^ 0x5555_5555);
  for (const legacy of [true, false]) {
    const { bench, board } = await build(legacy);
    let done = 0;
    for (let round = 0; round < 300 * rounds; round++) {
      const window = random.pick(board.bus.list().filter(({ name }) => /^virtio-mmio\.[567]$/.test(name)));
      const driver = new TestDriver(bench, window.mmio);
      const queues = [0, 1, 2, 3, 4, 5].map((index) =>
        driver.queue(index, RAM + 0x4000 * index, random.pick([1, 2, 8])),
      );
      const features = (legacy ? 0n : 1n << 32n) | BigInt((random.next() & 0x3000_0002) >>> 0);
      driver.start(features, queues);
      for (const queue of queues) {
        queue.bytes(queue.avail, 8).fill(0);
        queue.bytes(queue.used, 8).fill(0);
        const hostile = random.below(6) === 0;
        const split = 1 + random.below(queue.size);
        for (let i = 0; i < queue.size; i++) {
          if (hostile) spoil(random, queue.bytes(queue.base + 16 * i, 16), queue.size);
          else befriend(random, queue.bytes(queue.base + 16 * i, 16), i, split, queue.size);
        }
        for (let i = 0; i < 64; i++) writeU32(bench.ram, MIB + 8 * i, random.pick([0, 1, 3, 4, 6, 7, 8, 11]));
        const heads = queue.size + (hostile && random.below(4) === 0 ? 5 : 0);
        for (let i = random.below(queue.size + (hostile ? 2 : 1)); i > 0; i--) queue.offer(random.below(heads));
        if (hostile && random.below(8) === 0) writeU16(queue.bytes(queue.avail, 4), 2, random.next());
        driver.notify(queue);
      }
      if (random.below(4) === 0) await setImmediate();
      if (random.below(50) === 0) roundTrip(board);
      for (const queue of queues) done += queue.take().length;
    }
    await setImmediate();
    // Most queues are friendly enough that requests get through: without that nothing was tested.
    assert.ok(done > 20, `${done} requests`);
  }
});

/** A descriptor as a driver writes it: readable ones, then writable ones, in one chain or several. */
function befriend(random: Random, descriptor: Uint8Array, index: number, split: number, size: number): void {
  const last = index === size - 1 || random.below(4) === 0;
  writeU64(descriptor, 0, RAM + MIB + 8 * random.below(64));
  writeU32(descriptor, 8, random.pick([1, 8, 16, 512, 512, 1024]));
  writeU16(descriptor, 12, (last ? 0 : 1) | (index >= split ? 2 : 0));
  writeU16(descriptor, 14, last ? 0 : index + 1);
}

/** A descriptor that is often nearly right: in RAM, of moderate length, linked to a neighbour. */
function spoil(random: Random, descriptor: Uint8Array, size: number): void {
  const inRam = RAM + MIB + random.below(0x1000);
  writeU64(descriptor, 0, random.below(10) ? inRam : value(random) * random.pick([1, 0x10_0000]));
  writeU32(descriptor, 8, random.below(10) ? random.pick([0, 1, 8, 16, 512, 513, 4096]) : value(random));
  writeU16(descriptor, 12, random.pick([0, 1, 2, 3, 4, random.below(8)]));
  writeU16(descriptor, 14, random.below(size + (random.below(20) ? 0 : 3)));
}
