/**
 * What shows where below 1 MiB and below 4 GiB on a PC: RAM with its holes,
 * firmware at the top and in the last 128 KiB of the first mebibyte, and the
 * shadow area in between that the north bridge programs.
 */
import type { Bus } from '../hw/bus.ts';
import type { AccessSize, Mmio } from '../hw/device.ts';
import type { PamSegment, ShadowControl, Smram } from '../hw/pam.ts';
import { PRIORITY } from '../hw/windows.ts';
import { FOUR_GIB, type PcMemory } from './pc-memory.ts';
import type { GuestMemory } from './pc-parts.ts';

const VIDEO = { base: 0xa_0000, size: 0x2_0000 };
const HIGH_SMRAM = 0xfeda_0000;
const SHADOW = { base: 0xc_0000, size: 0x4_0000 };
const MIB = 0x10_0000;
const LOW_ROM = 0x2_0000;

/** An area that holds the firmware; its end lies at 4 GiB. */
export interface FirmwareArea {
  readonly name: string;
  readonly size: number;
}

export class PcMemoryMap implements ShadowControl {
  private readonly memory: GuestMemory;
  private readonly firmware: FirmwareArea | undefined;
  /** Bytes of firmware that show below 1 MiB. */
  private readonly low: number;
  private readonly split: PcMemory;
  private control: Smram = { open: false, enabled: false, high: false, tseg: 0 };
  /** The processor whose turn it is is in system management mode. */
  private inside = false;
  /** What of system management RAM shows: at 640 KiB, at its high place; and bytes at the end of low RAM that do not. */
  private readonly shown = { low: false, high: false, hidden: 0 };
  private readonly writable = new Uint8Array(SHADOW.size / 0x4000);

  constructor(memory: GuestMemory, split: PcMemory, bus: Bus, firmware?: FirmwareArea) {
    this.memory = memory;
    this.split = split;
    this.firmware = firmware;
    this.low = Math.min(LOW_ROM, firmware?.size ?? 0);
    memory.mapRam(0, VIDEO.base, 0);
    memory.mapRam(MIB, split.below - MIB, MIB);
    if (split.above) memory.mapRam(FOUR_GIB, split.above, split.below);
    // What is neither readable nor writable as memory comes here.
    bus.add('pc.shadow', SHADOW.base, SHADOW.size, this.shadow(), PRIORITY.PCI - 1);
  }

  pam({ base, size }: PamSegment, readRam: boolean, writeRam: boolean): void {
    for (let at = base; at < base + size; at += 0x4000) {
      this.writable[(at - SHADOW.base) / 0x4000] = writeRam ? 1 : 0;
      if (readRam) this.memory.mapRam(at, 0x4000, at, !writeRam);
      else this.showFirmware(at, 0x4000);
    }
  }

  smram(smram: Smram): void {
    this.control = smram;
    this.showSmram();
  }

  /** The next instructions are those of a processor that is or is not in system management mode. */
  managed(inside: boolean): void {
    if (inside === this.inside) return;
    this.inside = inside;
    this.showSmram();
  }

  /** Video memory gives way to the RAM behind it; the end of low RAM is the mode's alone. */
  private showSmram(): void {
    const { memory, inside, shown, split } = this;
    const { open, enabled, high, tseg } = this.control;
    const mine = inside && enabled;
    const low = open || (mine && !high);
    if (low !== shown.low) {
      shown.low = low;
      if (low) memory.mapRam(VIDEO.base, VIDEO.size, VIDEO.base);
      else memory.unmap(VIDEO.base, VIDEO.size);
    }
    if ((mine && high) !== shown.high) {
      shown.high = mine && high;
      if (shown.high) memory.mapRam(HIGH_SMRAM, VIDEO.size, VIDEO.base);
      else memory.unmap(HIGH_SMRAM, VIDEO.size);
    }
    const hidden = enabled && !inside ? Math.min(tseg, split.below - MIB) : 0;
    if (hidden === shown.hidden) return;
    const show = (size: number) => memory.mapRam(split.below - size, size, split.below - size);
    if (shown.hidden) show(shown.hidden);
    if (hidden) memory.unmap(split.below - hidden, hidden);
    shown.hidden = hidden;
  }

  /** A machine without a north bridge: the shadow area is RAM. */
  allRam(video: boolean): void {
    this.writable.fill(1);
    this.memory.mapRam(SHADOW.base, SHADOW.size, SHADOW.base);
    if (!video) this.memory.mapRam(VIDEO.base, VIDEO.size, VIDEO.base);
  }

  private showFirmware(at: number, size: number): void {
    const offset = at - (MIB - this.low);
    if (this.firmware && offset >= 0)
      this.memory.mapArea(this.firmware.name, at, size, this.firmware.size - this.low + offset, true);
    else this.memory.unmap(at, size);
  }

  private shadow(): Mmio {
    return {
      read: (_: number, size: AccessSize) => 0xffff_ffff >>> (32 - 8 * size),
      write: (offset: number, size: AccessSize, value: number) => {
        const at = SHADOW.base + offset;
        if (!this.writable[offset >> 14]) return;
        this.memory.writeRam(
          at,
          Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i)),
        );
      },
    };
  }
}
