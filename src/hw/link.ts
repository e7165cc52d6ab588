/**
 * What is between a network card and a network: a cable with two ends, at each
 * of which somebody sends and receives Ethernet frames.
 *
 * A frame goes from the destination address to the end of the payload, without
 * preamble and frame check sequence. Both ends are alike: a card holds one, a
 * network (user-mode NAT, switch, tap) the other.
 *
 * Back-pressure works both ways. Who cannot take frames says so by
 * `canReceive`; the cable then holds a few, and tells the sender by `writable`.
 * What is sent in spite of it is dropped, as a real network drops it.
 */

/** The most bytes that a frame may have; the cable drops longer ones. */
export const MAX_FRAME = 0x1_0040;
/** Frames that a cable holds for an end that cannot take them. */
const HELD = 256;

/** One end of a cable. Its holder installs the functions and calls the methods. */
export interface Link {
  /** Sends a frame to the other end. The bytes are the caller's again when it returns. */
  send(frame: Uint8Array): void;
  /** Whether a frame sent now will arrive, or at least be held. */
  readonly writable: boolean;
  /** The holder installs this; called when `writable` has become true. */
  onWritable?: () => void;
  /** The holder installs this to get frames. The bytes are its own. */
  onReceive?: (frame: Uint8Array) => void;
  /** Whether the holder takes a frame of that many bytes now; always when absent. */
  canReceive?: (length: number) => boolean;
  /** The holder calls this when `canReceive` may have become true. */
  ready(): void;
  /** Whether there is a signal: false is a cable that was pulled out (`set_link off`). */
  readonly up: boolean;
  /** The holder installs this; called when `up` has changed. */
  onChange?: (up: boolean) => void;
}

/** A cable: `ends` are its two ends. An end that nobody holds swallows what arrives. */
export class Cable {
  readonly ends: readonly [Link, Link];
  private readonly both: readonly [End, End];
  private connected = true;

  constructor() {
    const signal = () => this.connected;
    const [a, b] = [new End(signal), new End(signal)];
    a.other = b;
    b.other = a;
    this.both = [a, b];
    this.ends = this.both;
  }

  get up(): boolean {
    return this.connected;
  }

  /** Pulls the cable out (false) or puts it in again; held frames are lost. */
  setUp(up: boolean): void {
    if (this.connected === up) return;
    this.connected = up;
    for (const end of this.both) end.drop();
    for (const end of this.ends) end.onChange?.(up);
    if (!up) for (const end of this.ends) end.onWritable?.();
  }
}

class End implements Link {
  onWritable?: () => void;
  onReceive?: (frame: Uint8Array) => void;
  canReceive?: (length: number) => boolean;
  onChange?: (up: boolean) => void;
  other: End = this;
  private readonly signal: () => boolean;
  /** Frames that have not been delivered to this end yet. */
  private held: Uint8Array[] = [];
  private delivering = false;

  constructor(signal: () => boolean) {
    this.signal = signal;
  }

  get up(): boolean {
    return this.signal();
  }

  get writable(): boolean {
    return !this.up || this.other.held.length < HELD;
  }

  send(frame: Uint8Array): void {
    const { held, onReceive } = this.other;
    if (!this.up || !onReceive || frame.length > MAX_FRAME || held.length >= HELD) return;
    held.push(frame.slice());
    this.other.ready();
  }

  /** Delivers what is held. A holder that answers within a delivery gets its answers after it. */
  ready(): void {
    if (this.delivering) return;
    const full = this.held.length >= HELD;
    this.delivering = true;
    // What a holder keeps sending to itself in here waits for the next call.
    for (let left = HELD; left > 0 && this.held.length; left--) {
      if (!this.onReceive || this.canReceive?.(this.held[0].length) === false) break;
      this.onReceive(this.held.shift() as Uint8Array);
    }
    this.delivering = false;
    if (full && this.held.length < HELD) this.other.onWritable?.();
  }

  drop(): void {
    this.held = [];
  }
}

/** Sends every frame back where it came from. Returns the end for a card. */
export function loopback(): Link {
  const [card, far] = new Cable().ends;
  far.onReceive = (frame) => far.send(frame);
  far.canReceive = () => far.writable;
  far.onWritable = () => far.ready();
  return card;
}
