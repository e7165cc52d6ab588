import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, readU64, writeU64 } from '../bits/endian.ts';
import { latin1, utf8 } from '../bits/text.ts';
import type { CharBackend } from '../hw/chardev.ts';
import { TestBench, TestLine } from '../hw/test-bench.ts';
import { load, save } from '../state/codec.ts';
import { MemoryDisk } from '../storage/memory.ts';
import type { MachineConfig } from './config.ts';
import { findNode, readFdt } from './fdt.ts';
import { buildVirt, MIP, type VirtCpu } from './riscv-virt.ts';
import { NOTHING_ATTACHED } from '../../test/nothing-attached.ts';

const MIB = 0x10_0000;
const CPU: VirtCpu = { isa: 'rv64imafdc', mmuType: 'riscv,sv57' };
const CONFIG: MachineConfig = {
  machine: 'virt',
  accel: 'reference',
  cpu: { model: 'rv64', features: {} },
  cpus: 2,
  memory: 64 * MIB,
  bios: 'default',
  kernel: linux(),
  ...NOTHING_ATTACHED,
};

function linux(size = 0x10_0000): Uint8Array {
  const file = new Uint8Array(4096).fill(0x13);
  writeU64(file, 8, 0x20_0000);
  writeU64(file, 16, size);
  file.set(utf8('RISCV\0\0\0RSC\x05'), 0x30);
  return file;
}

async function build(change: Partial<MachineConfig> = {}) {
  const config = { ...CONFIG, ...change };
  const bench = new TestBench(0x8000_0000, config.memory);
  const lines = new Map<string, TestLine>();
  const irq = (hart: number, bit: number) => {
    const key = `${hart}.${bit}`;
    const line = lines.get(key) ?? new TestLine();
    lines.set(key, line);
    return line;
  };
  const board = await buildVirt(config, CPU, { wiring: bench, irq, random: (into) => into.fill(0x42) });
  board.resetAll();
  const at = (address: number) => bench.ram.subarray(address - 0x8000_0000);
  return { board, bench, lines, at };
}

test('the built-in SBI starts the kernel 2 MiB into RAM with ramdisk and tree behind it', async () => {
  const initrd = new Uint8Array(5000).fill(9);
  const { board, at } = await build({ initrd, append: 'quiet' });
  assert.deepEqual(board.boot, { mode: 'supervisor', pc: 0x8020_0000, fdt: 0x83e0_0000 });
  assert.equal(at(0x8020_0000)[0], 0x13);
  const chosen = findNode(readFdt(at(board.fdtAddress)).root, '/chosen');
  const start = Number(`0x${Buffer.from(chosen?.properties.get('linux,initrd-start') ?? []).toString('hex')}`);
  assert.equal(start, 0x8220_0000);
  assert.deepEqual([at(start)[0], at(start)[4999], at(start)[5000]], [9, 9, 0]);
  assert.equal(latin1(chosen?.properties.get('bootargs') ?? new Uint8Array()), 'quiet\0');
});

test('firmware starts from the mask ROM and finds its kernel through fw_dynamic_info', async () => {
  const { board, at } = await build({ bios: new Uint8Array(3 * MIB).fill(0x17) });
  assert.deepEqual(board.boot, { mode: 'machine', pc: 0x1000 });
  const rom = Uint8Array.from({ length: 88 }, (_, i) => board.bus.read(0x1000 + i, 1) ?? 0);
  assert.equal(readU32(rom, 0), 0x297);
  assert.deepEqual([readU64(rom, 24), readU64(rom, 32)], [0x8000_0000, board.fdtAddress]);
  assert.deepEqual([readU32(rom, 40), readU64(rom, 56), readU64(rom, 64)], [0x4942_534f, 0x8040_0000, 1]);
  assert.equal(at(0x8000_0000)[0], 0x17);
});

test('firmware in flash starts there and gets the kernel through fw_cfg', async () => {
  const disk = new MemoryDisk(new Uint8Array(1024).fill(0x6f));
  const { board } = await build({ drives: [{ id: 'f', disk, interface: 'pflash', index: 0 }] });
  assert.equal(board.bus.read(0x1018, 4), 0x2000_0000);
  assert.equal(board.bus.read(0x2000_0000, 4), 0x6f6f_6f6f);
  board.bus.write(0x1010_0008, 2, 0x0800); // KERNEL_SIZE, big-endian
  assert.equal(board.bus.read(0x1010_0000, 4), 4096);
});

test('interrupts arrive at the harts, power-off and reset at the caller', async () => {
  const backend: CharBackend = { write() {} };
  const { board, lines } = await build({ serials: [backend] });
  board.bus.write(0x0c00_0000 + 4 * 10, 4, 1);
  board.bus.write(0x0c00_2000 + 0x80 * 3, 4, 1 << 10); // context 3: hart 1 in S-mode
  board.bus.write(0x1000_0001, 1, 1);
  backend.onInput?.(utf8('x'));
  assert.equal(lines.get(`1.${MIP.SEIP}`)?.level, true);
  assert.equal(lines.get(`0.${MIP.SEIP}`)?.level, false);
  assert.equal(board.bus.read(0x0c20_3004, 4), 10);
  board.bus.write(0x0200_0004, 4, 1);
  assert.equal(lines.get(`1.${MIP.MSIP}`)?.level, true);
  board.resetAll();
  assert.equal(lines.get(`1.${MIP.MSIP}`)?.level, false);
  const heard: unknown[] = [];
  board.onPoweroff = (code) => heard.push(code);
  board.onReset = () => heard.push('reset');
  board.bus.write(0x10_0000, 4, 0x7777);
  board.bus.write(0x10_0000, 4, 0x5555);
  assert.deepEqual(heard, ['reset', 0]);
});

test('a reset puts the images back', async () => {
  const { board, bench, at } = await build();
  bench.ram.fill(0xff);
  board.resetAll();
  assert.deepEqual([at(0x8020_0000)[0], at(0x8020_1000)[0], at(0x8030_0000)[0]], [0x13, 0, 0xff]);
  assert.equal(readFdt(at(board.fdtAddress)).root.children.length > 5, true);
});

test('virtio devices fill the slots from the last one; the DeviceIDs show them', async () => {
  const disk = new MemoryDisk(new Uint8Array(1024));
  const { board } = await build({
    drives: [
      { id: 'a', disk, interface: 'virtio' },
      { id: 'b', disk, interface: 'none' },
    ],
    chardevs: [{ id: 'c', backend: { write() {} } }],
    devices: [
      { driver: 'virtio-blk-device', properties: { drive: 'b', serial: 'x' } },
      { driver: 'virtio-rng-device', properties: { bus: 'virtio-mmio-bus.0' } },
      { driver: 'virtio-serial-device', properties: {} },
      { driver: 'virtconsole', properties: { chardev: 'c' } },
    ],
  });
  const ids = Array.from({ length: 8 }, (_, slot) => board.bus.read(0x1000_1008 + slot * 0x1000, 4));
  assert.deepEqual(ids, [4, 0, 0, 0, 0, 3, 2, 2]);
  assert.equal(new Set(board.devices.map(({ name }) => name)).size, board.devices.length);
});

test('every device saves and loads its state', async () => {
  const disk = new MemoryDisk(new Uint8Array(1024));
  const config = { drives: [{ id: 'a', disk, interface: 'virtio' }] };
  const [{ board }, { board: other }] = [await build(config), await build(config)];
  board.bus.write(0x1000_0007, 1, 0x5a);
  board.bus.write(0x0200_4000, 4, 77);
  for (const device of board.devices) {
    const twin = other.devices.find(({ name }) => name === device.name);
    assert.ok(twin, device.name);
    load(twin.layout, twin.state, save(device.layout, device.state));
    twin.resumed?.();
    assert.deepEqual(twin.state, device.state, device.name);
  }
  assert.deepEqual([other.bus.read(0x1000_0007, 1), other.clint.mtimecmp(0)], [0x5a, 0xffff_ffff_0000_004dn]);
});

test('what cannot be built is refused with a code and a mend', async () => {
  const drive = { id: 'd', disk: new MemoryDisk(new Uint8Array(512)) };
  const device = (driver: string, properties: Record<string, string> = {}) => ({ devices: [{ driver, properties }] });
  const refused: [Partial<MachineConfig>, string][] = [
    [{ memory: MIB }, 'memory-too-small'],
    [{ memory: 8 * MIB, kernel: linux(16 * MIB) }, 'memory-too-small'],
    [{ memory: 16 * MIB, initrd: new Uint8Array(13 * MIB) }, 'memory-too-small'],
    [{ kernel: undefined }, 'nothing-to-boot'],
    [{ kernel: undefined, bios: 'none', initrd: new Uint8Array(1) }, 'initrd-without-kernel'],
    [{ cpus: 0 }, 'cpus'],
    [{ dtb: new Uint8Array(100) }, 'dtb-damaged'],
    [{ machineProperties: { aia: 'aplic' } }, 'machine-property'],
    [{ drives: [{ ...drive, interface: 'ide' }] }, 'drive-interface'],
    [{ ...device('virtio-blk-device', { drive: 'none' }) }, 'drive-missing'],
    [{ ...device('virtio-gpu-device') }, 'device-unknown'],
    [{ ...device('virtio-rng-device', { colour: 'red' }) }, 'property-unknown'],
    [{ ...device('virtio-rng-device', { bus: 'pcie.0' }) }, 'bus-unknown'],
    [{ ...device('virtconsole', { chardev: 'x' }) }, 'bus-missing'],
    [{ devices: Array.from({ length: 9 }, () => ({ driver: 'virtio-rng-device', properties: {} })) }, 'bus-full'],
    [{ fwCfg: { ['x'.repeat(60)]: new Uint8Array(1) } }, 'fw-cfg-name'],
  ];
  for (const [change, code] of refused)
    await assert.rejects(
      build(change),
      (error: { code: string; mend: string }) => error.code === code && error.mend !== '',
      code,
    );
});
