/**
 * The physical address space outside RAM: windows of devices.
 *
 * Invariant: an access outside every window is a value (`undefined`, `false`),
 * which the CPU turns into an access fault or, on a PC, into all ones.
 */
import type { AccessSize, Mmio } from './device.ts';
import { type Span, type Window, Windows } from './windows.ts';

export type { Window } from './windows.ts';

/** See Mmio.doorbells. */
export interface Doorbells {
  readonly owner: object;
  readonly addresses: readonly number[];
  /** As if all of them had been written. */
  ring(): void;
}

export class Bus {
  private readonly windows = new Windows();

  /**
   * Adds a window, shown at `base` (nowhere when undefined), which the result moves and removes. Without a priority
   * windows never overlap (RangeError); with one the highest answers, see PRIORITY.
   */
  add(name: string, base: number | undefined, size: number, mmio: Mmio, priority?: number): Window {
    return this.windows.add(name, base, size, mmio, priority);
  }

  /** Every window that is shown, in order of address. */
  list(): readonly Window[] {
    return this.windows.list();
  }

  /** Who answers where: pieces in order of address. */
  spans(): readonly Span[] {
    return this.windows.spans();
  }

  /** Counts changes of what is shown where. */
  get version(): number {
    return this.windows.version;
  }

  /** The doorbells that are shown, by device. */
  doorbells(): Doorbells[] {
    return this.windows.list().flatMap((window) => {
      const { mmio, base } = window;
      const shown = mmio.doorbells?.filter((offset) => this.find(base + offset) === window) ?? [];
      if (shown.length === 0) return [];
      const ring = () => {
        for (const offset of shown) mmio.write(offset, 2, 0);
      };
      return [{ owner: window, addresses: shown.map((offset) => base + offset), ring }];
    });
  }

  find(address: number): Window | undefined {
    return this.windows.span(address)?.window;
  }

  /** An aligned read of 1, 2 or 4 bytes; undefined where nothing answers. */
  read(address: number, size: AccessSize): number | undefined {
    const span = this.windows.span(address);
    if (!span || address + size > span.end) return undefined;
    return span.window.mmio.read(address - span.window.base, size) >>> 0;
  }

  /** An aligned write of 1, 2 or 4 bytes; false where nothing answers. */
  write(address: number, size: AccessSize, value: number): boolean {
    const span = this.windows.span(address);
    if (!span || address + size > span.end) return false;
    span.window.mmio.write(address - span.window.base, size, value >>> 0);
    return true;
  }

  /** The bytes of a window that is memory, without side effects of reading; undefined elsewhere. */
  peek(address: number, length: number): Uint8Array | undefined {
    const span = this.windows.span(address);
    if (!span?.window.mmio.peek || address + length > span.end) return undefined;
    return span.window.mmio.peek(address - span.window.base, length);
  }
}
