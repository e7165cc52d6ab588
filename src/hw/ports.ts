/**
 * The x86 I/O address space: 65536 ports, which devices answer in windows.
 *
 * A device does not know whether its window lies here or in memory. Nothing
 * answers: all ones. An access that is not aligned, that leaves its window or
 * is wider than the device takes (Mmio.widths) is split, low bytes first, as
 * the ISA bus does it.
 */
import type { AccessSize, Mmio } from './device.ts';
import { type Span, type Window, Windows } from './windows.ts';

const PORTS = 0x1_0000;

export class PortBus {
  private readonly windows = new Windows();
  /** For each port 1 + the index of its span, 0 where nothing answers. */
  private readonly table = new Uint16Array(PORTS);
  private drawn: ReturnType<Windows['spans']> = [];

  /** Adds a window of `size` ports; see Bus.add. What lies above the last port answers nowhere. */
  add(name: string, base: number | undefined, size: number, mmio: Mmio, priority?: number): Window {
    return this.windows.add(name, base, size, mmio, priority);
  }

  list(): readonly Window[] {
    return this.windows.list();
  }

  /** Who answers where: pieces in order of address. */
  spans(): readonly Span[] {
    return this.windows.spans();
  }

  find(port: number): Window | undefined {
    const spans = this.windows.spans();
    if (spans !== this.drawn) this.draw();
    const index = this.table[port & (PORTS - 1)];
    return index === 0 ? undefined : this.drawn[index - 1].window;
  }

  /** Reads 1, 2 or 4 bytes as an unsigned number. */
  read(port: number, size: AccessSize): number {
    const window = this.find(port);
    const step = window ? stepOf(window, port, size) : 1;
    if (window && step === size) return window.mmio.read(port - window.base, size) >>> 0;
    let value = 0;
    for (let i = 0; i < size; i += step) {
      const part = this.find(port + i);
      const at = (port + i) & (PORTS - 1);
      const bits = part ? part.mmio.read(at - part.base, step) : -1;
      value |= (step === 1 ? bits & 0xff : bits & 0xffff) << (8 * i);
    }
    return value >>> 0;
  }

  write(port: number, size: AccessSize, value: number): void {
    const window = this.find(port);
    const step = window ? stepOf(window, port, size) : 1;
    if (window && step === size) {
      window.mmio.write(port - window.base, size, value >>> 0);
      return;
    }
    for (let i = 0; i < size; i += step) {
      const part = this.find(port + i);
      const at = (port + i) & (PORTS - 1);
      part?.mmio.write(at - part.base, step, (value >>> (8 * i)) & (step === 1 ? 0xff : 0xffff));
    }
  }

  private draw(): void {
    this.drawn = this.windows.spans();
    this.table.fill(0);
    this.drawn.forEach(({ base, end }, index) => {
      this.table.fill(index + 1, Math.min(base, PORTS), Math.min(end, PORTS));
    });
  }
}

/** The width in which an access reaches a window: its own, or what it must be split into. */
function stepOf(window: Window, port: number, size: AccessSize): AccessSize {
  const at = port - window.base;
  if (at & (size - 1) || at + size > window.size) return 1;
  const { widths } = window.mmio;
  if (!widths || widths.includes(size)) return size;
  if (size === 4 && widths.includes(2)) return 2;
  // A device that takes nothing narrower either refuses the access itself.
  return widths.includes(1) ? 1 : size;
}
