/**
 * A serial port as a pair of web streams: what the guest sends is readable,
 * what is written goes to the guest as fast as it takes it.
 *
 * Invariant: memory is bounded. While somebody reads, a guest that is faster
 * is held back; while nobody does, the newest output is kept and the guest
 * goes on.
 */
import type { ByteStream } from './byte-stream.ts';

const LIMIT = 1 << 16;

export class SerialStream implements ByteStream {
  /** Bytes from the guest. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Bytes to the guest. A write resolves when the guest's device has taken them all. */
  readonly writable: WritableStream<Uint8Array>;
  room?: () => number;
  onDrain?: () => void;
  private handler: ((bytes: Uint8Array) => void) | undefined;
  private output: Uint8Array[] = [];
  private outputBytes = 0;
  private wasCongested = false;
  private wanted: (() => void) | undefined;
  private ended = false;
  private input: { rest: Uint8Array; taken(): void } | undefined;

  constructor() {
    this.readable = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          if (this.outputBytes === 0 && !this.ended) await new Promise<void>((resolve) => (this.wanted = resolve));
          const bytes = this.take();
          if (bytes.length > 0) controller.enqueue(bytes);
          else if (this.ended) controller.close();
        },
        cancel: () => {
          this.ended = true;
          this.take();
        },
      },
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream<Uint8Array>({
      write: (bytes) =>
        new Promise<void>((taken) => {
          this.input = { rest: bytes, taken };
          this.deliver();
        }),
    });
  }

  get onInput(): ((bytes: Uint8Array) => void) | undefined {
    return this.handler;
  }
  set onInput(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.handler = handler;
    if (handler) queueMicrotask(() => this.deliver());
  }

  get congested(): boolean {
    const congested = this.readable.locked && !this.ended && this.outputBytes > LIMIT;
    if (congested) this.wasCongested = true;
    return congested;
  }

  write(bytes: Uint8Array): void {
    if (this.ended) return;
    this.output.push(bytes.slice());
    this.outputBytes += bytes.length;
    while (!this.readable.locked && this.outputBytes > LIMIT && this.output.length > 1)
      this.outputBytes -= this.output.shift()?.length ?? 0;
    this.wake();
  }

  ready(): void {
    this.deliver();
  }

  /** The machine is off: readers get what is left, then the end; writers are not kept waiting. */
  end(): void {
    this.ended = true;
    this.wake();
    this.input?.taken();
    this.input = undefined;
  }

  private wake(): void {
    const { wanted } = this;
    this.wanted = undefined;
    wanted?.();
  }

  private take(): Uint8Array {
    const joined = new Uint8Array(this.outputBytes);
    let at = 0;
    for (const part of this.output) {
      joined.set(part, at);
      at += part.length;
    }
    this.output = [];
    this.outputBytes = 0;
    if (this.wasCongested) {
      this.wasCongested = false;
      // Not within the reader's own call.
      queueMicrotask(() => this.onDrain?.());
    }
    return joined;
  }

  private deliver(): void {
    while (this.input && this.handler) {
      const { input } = this;
      const part = input.rest.subarray(0, this.room ? this.room() : input.rest.length);
      if (part.length === 0 && input.rest.length > 0) return;
      input.rest = input.rest.subarray(part.length);
      if (input.rest.length === 0) this.input = undefined;
      if (part.length > 0) this.handler(part);
      if (input.rest.length === 0) input.taken();
    }
    if (this.ended && this.input) this.end();
  }
}
