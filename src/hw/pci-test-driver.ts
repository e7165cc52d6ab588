/** What a BIOS does to a PCI bus, for tests: finds functions, sizes and places their BARs, numbers the buses. */
import type { AccessSize } from './device.ts';
import type { PciBus } from './pci-bus.ts';

export interface FoundBar {
  readonly kind: 'io' | 'mem32' | 'mem64';
  readonly size: number;
  readonly base: number;
}

/** A function as the guest sees it. */
export class Found {
  readonly root: PciBus;
  readonly bus: number;
  readonly devfn: number;
  readonly bars = new Map<number, FoundBar>();

  constructor(root: PciBus, bus: number, devfn: number) {
    this.root = root;
    this.bus = bus;
    this.devfn = devfn;
  }

  r(offset: number, size: AccessSize = 4): number {
    return this.root.readConfig(this.bus, this.devfn, offset, size);
  }

  w(offset: number, value: number, size: AccessSize = 4): void {
    this.root.writeConfig(this.bus, this.devfn, offset, size, value >>> 0);
  }

  get id(): number {
    return this.r(0);
  }

  /** Offsets of the capabilities with an id, in the order of the list. */
  capabilities(id: number): number[] {
    const found: number[] = [];
    if (!(this.r(6, 2) & 0x10)) return found;
    for (let at = this.r(0x34, 1), left = 48; at && left; at = this.r(at + 1, 1), left--)
      if (this.r(at, 1) === id) found.push(at);
    return found;
  }
}

/** Where the next BAR and bus number go. */
export interface Room {
  io: number;
  memory: number;
  bus: number;
}

/** Brings up everything on a root bus: every function is placed, decodes and is a bus master. */
export function enumerate(root: PciBus, room: Room = { io: 0xc000, memory: 0xe000_0000, bus: 0 }, bus = 0): Found[] {
  const all: Found[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let number = 0; number < 8; number++) {
      const fn = new Found(root, bus, slot * 8 + number);
      if (fn.r(0, 2) !== 0xffff) {
        all.push(fn);
        place(fn, room);
        if ((fn.r(0x0e, 1) & 0x7f) === 1) all.push(...descend(fn, room));
        fn.w(4, 7, 2);
      }
      if (number === 0 && !(fn.r(0x0e, 1) & 0x80)) break;
    }
  }
  return all;
}

function place(fn: Found, room: Room): void {
  const count = (fn.r(0x0e, 1) & 0x7f) === 1 ? 2 : 6;
  for (let index = 0; index < count; index++) {
    const at = 0x10 + 4 * index;
    fn.w(at, 0xffff_ffff);
    const low = fn.r(at);
    if (low === 0) continue;
    if (low & 1) {
      const size = -((low & ~3) | 0xffff_0000 | 0) >>> 0;
      room.io = Math.ceil(room.io / size) * size;
      fn.w(at, room.io);
      fn.bars.set(index, { kind: 'io', size, base: room.io });
      room.io += size;
      continue;
    }
    const size = -((low & ~15) | 0) >>> 0;
    room.memory = Math.ceil(room.memory / size) * size;
    fn.w(at, room.memory);
    const wide = (low & 6) === 4;
    if (wide) fn.w(at + 4, 0);
    fn.bars.set(index, { kind: wide ? 'mem64' : 'mem32', size, base: room.memory });
    room.memory += size;
    if (wide) index++;
  }
}

/** Numbers the bus behind a bridge, enumerates it, and opens the bridge's windows as far as needed. */
function descend(bridge: Found, room: Room): Found[] {
  const number = ++room.bus;
  bridge.w(0x18, bridge.bus, 1);
  bridge.w(0x19, number, 1);
  bridge.w(0x1a, 0xff, 1);
  const io = alignTo(room, 'io', 0x1000);
  const memory = alignTo(room, 'memory', 0x10_0000);
  const below = enumerate(bridge.root, room, number);
  bridge.w(0x1a, room.bus, 1);
  bridge.w(0x1c, (io >> 8) & 0xf0, 1);
  bridge.w(0x1d, ((alignTo(room, 'io', 0x1000) - 1) >> 8) & 0xf0, 1);
  bridge.w(0x20, memory >>> 16, 2);
  bridge.w(0x22, (alignTo(room, 'memory', 0x10_0000) - 1) >>> 16, 2);
  return below;
}

function alignTo(room: Room, which: 'io' | 'memory', to: number): number {
  room[which] = Math.ceil(room[which] / to) * to;
  return room[which];
}
