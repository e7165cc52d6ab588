/**
 * An address space's windows: which one answers at an address. Windows come,
 * go, move (a guest programs a BAR) and overlap: the highest priority answers,
 * among equals the window that came or moved last.
 *
 * Invariant: `find` costs a comparison where the last access was, a binary
 * search elsewhere; the flat picture is drawn anew only after a change.
 */
import type { Mmio } from './device.ts';

/** Who answers where windows overlap: a PC's BARs lie beneath the board's memory windows, but above its ports. */
export const PRIORITY = { BOARD: 0, PCI: -1, PCI_PORTS: 1 } as const;

/** A device's window. The device side moves it; `base` means nothing while it is not `mapped`. */
export class Window {
  readonly name: string;
  readonly mmio: Mmio;
  readonly priority: number;
  private readonly space: Windows;
  private at: number;
  private length: number;
  private shown = false;
  /** Counts appearances in its space. */
  order = 0;

  constructor(space: Windows, name: string, base: number, size: number, mmio: Mmio, priority: number) {
    this.space = space;
    this.name = name;
    this.at = base;
    this.length = size;
    this.mmio = mmio;
    this.priority = priority;
  }

  get base(): number {
    return this.at;
  }

  /** Bytes. */
  get size(): number {
    return this.length;
  }

  get mapped(): boolean {
    return this.shown;
  }

  /** Shows the window at `base`, or nowhere. */
  move(base: number | undefined, size = this.length): void {
    if (base === undefined ? !this.shown : this.shown && base === this.at && size === this.length) return;
    if (base !== undefined) this.at = base;
    this.length = size;
    this.shown = base !== undefined;
    this.space.changed(this);
  }

  /** Takes the window away; `move` brings it back. */
  remove(): void {
    this.move(undefined);
  }
}

/** A piece of the address space in which one window answers: [base, end). */
export interface Span {
  readonly base: number;
  readonly end: number;
  readonly window: Window;
}

const NOWHERE: Span = { base: 0, end: 0, window: undefined as never };

export class Windows {
  /** Mapped windows in order of address. */
  private readonly mapped: Window[] = [];
  private flat: readonly Span[] = [];
  private stale = false;
  private last = NOWHERE;
  private arrivals = 0;
  /** Counts changes. */
  version = 0;

  /**
   * Adds a window, shown at `base` unless that is undefined. Without a priority it is one of the board's, which never
   * overlap each other: that is a mistake of the board, a RangeError.
   */
  add(name: string, base: number | undefined, size: number, mmio: Mmio, priority?: number): Window {
    if (priority === undefined && base !== undefined) {
      for (const other of this.mapped) {
        if (other.priority === PRIORITY.BOARD && base < other.base + other.size && other.base < base + size)
          throw new RangeError(`bus: ${name} at 0x${base.toString(16)} overlaps ${other.name}`);
      }
    }
    const window = new Window(this, name, base ?? 0, size, mmio, priority ?? PRIORITY.BOARD);
    window.move(base);
    return window;
  }

  /** Every mapped window in order of address. */
  list(): readonly Window[] {
    return this.mapped;
  }

  /** The piece at an address; undefined where nothing answers. */
  span(address: number): Span | undefined {
    const { last } = this;
    if (address >= last.base && address < last.end) return last;
    const spans = this.spans();
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (spans[middle].end <= address) low = middle + 1;
      else high = middle;
    }
    const found = spans[low];
    if (!found || address < found.base) return undefined;
    this.last = found;
    return found;
  }

  /** The address space as pieces in order of address. */
  spans(): readonly Span[] {
    if (this.stale) {
      this.flat = flatten(this.mapped);
      this.stale = false;
    }
    return this.flat;
  }

  /** A window came, went or moved. */
  changed(window: Window): void {
    const at = this.mapped.indexOf(window);
    if (at >= 0) this.mapped.splice(at, 1);
    if (window.mapped) {
      window.order = ++this.arrivals;
      this.mapped.push(window);
      this.mapped.sort((a, b) => a.base - b.base);
    }
    this.stale = true;
    this.version++;
    this.last = NOWHERE;
  }
}

/** Cuts windows where others begin and end, and keeps the one on top of each piece. */
function flatten(windows: readonly Window[]): Span[] {
  const cuts = [...new Set(windows.flatMap(({ base, size }) => [base, base + size]))].sort((a, b) => a - b);
  const spans: Span[] = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    let top: Window | undefined;
    for (const window of windows) {
      if (window.base > cuts[i]) break;
      if (window.base + window.size <= cuts[i]) continue;
      if (!top || window.priority > top.priority || (window.priority === top.priority && window.order > top.order))
        top = window;
    }
    if (!top) continue;
    const before = spans[spans.length - 1];
    if (before?.window === top && before.end === cuts[i])
      spans[spans.length - 1] = { base: before.base, end: cuts[i + 1], window: top };
    else spans.push({ base: cuts[i], end: cuts[i + 1], window: top });
  }
  return spans;
}
