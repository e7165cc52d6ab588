/** Memory slots follow the map of a space, and know what a guest wrote. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySlots } from '../../src/accel/kvm/memory-slots.ts';
import type { KvmVmPort } from '../../src/accel/kvm/port.ts';
import { Space } from '../../src/accel/space.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { RealMode, skip } from './real-mode.ts';

const PAGE = 4096;
const RAM = 64 * PAGE;

/** A VM's port that keeps what it is told, and lets the kernel judge it. */
function recorded(vm: KvmVmPort) {
  const slots = new Map<number, { address: number; length: number; offset: number; flags: number }>();
  const port: KvmVmPort = {
    ioctl: (request, argument, pointers) => vm.ioctl(request, argument, pointers),
    checkExtension: (capability) => vm.checkExtension(capability),
    statistics: (offset, length) => vm.statistics(offset, length),
    dirtyLog: (slot, bitmap) => vm.dirtyLog(slot, bitmap),
    createVcpu: (index) => vm.createVcpu(index),
    close: () => vm.close(),
    setMemory(slot, flags, address, bytes) {
      vm.setMemory(slot, flags, address, bytes);
      if (bytes) slots.set(slot, { address, length: bytes.length, offset: bytes.byteOffset, flags });
      else slots.delete(slot);
    },
  };
  const list = (from: number) =>
    [...slots.values()]
      .sort((a, b) => a.address - b.address)
      .map(({ address, length, offset, flags }) => [address / PAGE, length / PAGE, (offset - from) / PAGE, flags]);
  return { port, list };
}

test('what is mapped is found wherever it stands, in large holes, once and again', () => {
  const MAPPED = 1 << 30;
  const space = new Space(0, { ramBase: 0, ramSize: RAM, mapped: MAPPED });
  const { host } = space.ram;
  const found = () => {
    const list: [number, number][] = [];
    for (let pa = 0; pa < space.end; ) {
      const piece = space.mappedFrom(pa, space.end);
      if (piece.host !== undefined) list.push([pa / PAGE, piece.length / PAGE]);
      pa += piece.length;
    }
    return list;
  };
  assert.deepEqual(found(), []);
  // The last page of a stretch of 4 MiB and the first of the next, pages far apart, and the very last.
  const places = [1023, 1024, 5000, 262143];
  for (const page of places) space.map(page * PAGE, PAGE, host + 2 * PAGE, false);
  assert.deepEqual(
    found(),
    places.map((page) => [page, 1]),
  );
  space.unmap(1024 * PAGE, 4096 * PAGE);
  assert.deepEqual(found(), [
    [1023, 1],
    [262143, 1],
  ]);
  space.map(2047 * PAGE, 2 * PAGE, host, false);
  assert.deepEqual(found()[1], [2047, 2]);
  // As far as one asks, and no further.
  assert.equal(space.mappedFrom(0, 100 * PAGE).length, 100 * PAGE);
  assert.equal(space.mappedFrom(1 * PAGE, MAPPED).length, 1022 * PAGE);
});

test('slots follow the map: holes, read-only memory, memory that moves and comes together again', { skip }, () => {
  const kvm = openKvm();
  const vm = kvm.createVm();
  try {
    const { port, list } = recorded(vm);
    const space = new Space(0, { ramBase: 0, ramSize: RAM, mapped: 1 << 22 });
    const { host } = space.ram;
    const now = () => list(host);
    space.map(0, RAM, host, false);
    const slots = new MemorySlots(space, port, 100);
    slots.update();
    assert.deepEqual(now(), [[0, 64, 0, 0]]);
    space.map(16 * PAGE, 2 * PAGE, host + 16 * PAGE, true);
    assert.ok(slots.stale);
    slots.update();
    assert.ok(!slots.stale);
    assert.deepEqual(now(), [
      [0, 16, 0, 0],
      [16, 2, 16, 2],
      [18, 46, 18, 0],
    ]);
    space.unmap(4 * PAGE, PAGE);
    space.map(100 * PAGE, 4 * PAGE, host + 60 * PAGE, false);
    slots.update();
    assert.deepEqual(now(), [
      [0, 4, 0, 0],
      [5, 11, 5, 0],
      [16, 2, 16, 2],
      [18, 46, 18, 0],
      [100, 4, 60, 0],
    ]);
    space.map(0, RAM, host, false);
    space.unmap(100 * PAGE, 4 * PAGE);
    slots.update();
    assert.deepEqual(now(), [[0, 64, 0, 0]]);
    slots.close();
    assert.deepEqual(now(), []);
  } finally {
    vm.close();
    kvm.close();
  }
});

test('pages that a guest writes are noted, once each time', { skip }, () => {
  // mov byte [0x3000], 1; mov byte [0x5fff], 1; hlt; mov byte [0x3001], 2; hlt
  const code = [0xc6, 0x06, 0x00, 0x30, 1, 0xc6, 0x06, 0xff, 0x5f, 1, 0xf4, 0xc6, 0x06, 0x01, 0x30, 2, 0xf4];
  const g = new RealMode(code);
  try {
    // The guest's RAM again, as a space has it.
    g.vm.setMemory(0, 0, 0, undefined);
    const space = new Space(0, { ramBase: 0, ramSize: 16 * PAGE, mapped: 1 << 20 });
    space.ramBytes().set(g.ram.subarray(0, 16 * PAGE));
    space.map(0, 16 * PAGE, space.ram.host, false);
    const slots = new MemorySlots(space, g.vm, 100);
    slots.update();
    const written = () => {
      const pages: number[] = [];
      const known = slots.dirty((pa, length) => pages.push(pa / length));
      return known ? pages : undefined;
    };
    assert.equal(written(), undefined);
    slots.log(true);
    assert.equal(g.exit(), 'hlt');
    assert.deepEqual(written(), [3, 5]);
    assert.deepEqual(written(), []);
    assert.equal(g.exit(), 'hlt');
    assert.deepEqual(written(), [3]);
    space.unmap(15 * PAGE, PAGE);
    slots.update();
    assert.equal(written(), undefined, 'the slot that went took its log along');
    slots.log(true);
    assert.deepEqual(written(), []);
  } finally {
    g.close();
  }
});
