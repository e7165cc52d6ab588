/**
 * The physical address space outside RAM: windows of devices.
 *
 * Invariant: an access outside every window is a value (`undefined`, `false`),
 * which the CPU turns into an access fault.
 */
import type { AccessSize, Mmio } from './device.ts';

export interface Window {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly mmio: Mmio;
}

export class Bus {
  private readonly windows: Window[] = [];

  /** Adds a window; windows never overlap. */
  add(name: string, base: number, size: number, mmio: Mmio): void {
    for (const other of this.windows) {
      if (base < other.base + other.size && other.base < base + size)
        throw new RangeError(`bus: ${name} at 0x${base.toString(16)} overlaps ${other.name}`);
    }
    this.windows.push({ name, base, size, mmio });
    this.windows.sort((a, b) => a.base - b.base);
  }

  /** Every window in order of address. */
  list(): readonly Window[] {
    return this.windows;
  }

  find(address: number): Window | undefined {
    let low = 0;
    let high = this.windows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.windows[middle].base + this.windows[middle].size <= address) low = middle + 1;
      else high = middle;
    }
    const window = this.windows[low];
    return window && address >= window.base ? window : undefined;
  }

  /** An aligned read of 1, 2 or 4 bytes; undefined where nothing answers. */
  read(address: number, size: AccessSize): number | undefined {
    const window = this.find(address);
    if (!window || address + size > window.base + window.size) return undefined;
    return window.mmio.read(address - window.base, size) >>> 0;
  }

  /** An aligned write of 1, 2 or 4 bytes; false where nothing answers. */
  write(address: number, size: AccessSize, value: number): boolean {
    const window = this.find(address);
    if (!window || address + size > window.base + window.size) return false;
    window.mmio.write(address - window.base, size, value >>> 0);
    return true;
  }
}
