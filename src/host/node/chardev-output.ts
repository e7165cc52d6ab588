/**
 * Output on its way to the host: small writes become larger ones, nothing
 * waits longer than a moment, and a slow reader costs bounded memory.
 *
 * The first bytes after a pause go out at once; those that follow within
 * `GATHER_MS` are gathered until the event loop turns (a machine's slice is a
 * few milliseconds) or a batch is full.
 */
const BATCH = 1 << 14;
const GATHER_MS = 2;
const HIGH_WATER = 1 << 16;
const LOW_WATER = 1 << 14;
/** What is kept for writers that do not stop when `congested`; beyond that output is lost. */
const LIMIT = 1 << 23;

/**
 * Takes a batch. Returns true when all of it is gone, or false and calls
 * `done` later. The batch belongs to the sink from then on.
 */
export type Sink = (batch: Uint8Array, done: () => void) => boolean;

export class OutputQueue {
  private readonly sink: Sink;
  private readonly drained: () => void;
  private readonly full: Uint8Array[] = [];
  private open = new Uint8Array(BATCH);
  private used = 0;
  /** Bytes in `full` and on their way. */
  private pending = 0;
  private inFlight = 0;
  private scheduled = false;
  private lastFlush = -Infinity;
  private wasCongested = false;
  private waiters: (() => void)[] = [];
  /** Bytes that were lost because nobody stopped at `congested`. */
  lost = 0;

  constructor(sink: Sink, drained: () => void) {
    this.sink = sink;
    this.drained = drained;
  }

  get congested(): boolean {
    const congested = this.pending + this.used > HIGH_WATER;
    if (congested) this.wasCongested = true;
    return congested;
  }

  push(bytes: Uint8Array): void {
    if (this.pending + this.used + bytes.length > LIMIT) {
      this.lost += bytes.length;
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + BATCH - this.used);
      this.open.set(part, this.used);
      this.used += part.length;
      at += part.length;
      if (this.used === BATCH) this.seal();
    }
    if (this.used === 0) return;
    if (this.inFlight === 0 && performance.now() - this.lastFlush >= GATHER_MS) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  /** Sends what has been gathered, unless a batch is on its way: then it follows. */
  flush(): void {
    this.lastFlush = performance.now();
    if (this.inFlight === 0 && this.used > 0 && this.full.length === 0) this.seal();
    else this.send();
  }

  /** Resolves when everything has gone. */
  empty(): Promise<void> {
    this.flush();
    if (this.pending + this.used === 0) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Forgets everything: nobody will read it. */
  clear(): void {
    this.full.length = 0;
    this.used = 0;
    this.pending = this.inFlight;
    this.settle();
  }

  private seal(): void {
    // A batch that is nearly empty is copied, a full one is handed over.
    const batch = this.used < BATCH / 2 ? this.open.slice(0, this.used) : this.open.subarray(0, this.used);
    if (this.used >= BATCH / 2) this.open = new Uint8Array(BATCH);
    this.used = 0;
    this.full.push(batch);
    this.pending += batch.length;
    this.send();
  }

  private send(): void {
    while (this.inFlight === 0) {
      const batch = this.full.shift();
      if (!batch) break;
      this.inFlight = batch.length;
      const done = () => {
        this.pending -= this.inFlight;
        this.inFlight = 0;
      };
      const gone = this.sink(batch, () => {
        done();
        if (this.full.length === 0 && this.used > 0) this.seal();
        this.send();
        this.settle();
      });
      if (!gone) return;
      done();
    }
    this.settle();
  }

  private settle(): void {
    const left = this.pending + this.used;
    if (this.wasCongested && left <= LOW_WATER) {
      this.wasCongested = false;
      this.drained();
    }
    if (left > 0) return;
    const waiters = this.waiters;
    this.waiters = [];
    for (const wake of waiters) wake();
  }
}
