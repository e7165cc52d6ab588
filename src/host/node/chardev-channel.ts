/**
 * A character back end on this host: output through a bounded queue, input
 * held until the device has room. What carries the bytes (a terminal, a
 * socket, a file) is plugged in.
 */
import type { CharBackend } from '../../hw/chardev.ts';
import { OutputQueue, type Sink } from './chardev-output.ts';

export interface Source {
  /** Stops and continues the flow of `receive` calls. */
  pause(): void;
  resume(): void;
}

export class Channel implements CharBackend {
  /** As QEMU prints it in `info chardev`. */
  filename: string;
  room?: () => number;
  onDrain?: () => void;
  onConnection?: (connected: boolean) => void;
  /** Whether a device or monitor has installed itself. */
  get inUse(): boolean {
    return this.handler !== undefined;
  }
  private readonly output: OutputQueue;
  private readonly tee: ((bytes: Uint8Array) => void) | undefined;
  private handler: ((bytes: Uint8Array) => void) | undefined;
  private source: Source | undefined;
  private held: Uint8Array[] = [];
  private paused = false;
  private link: boolean | undefined;
  private readonly closers: (() => void | Promise<void>)[] = [];

  /** `tee` sees all output as well (`logfile=`). */
  constructor(filename: string, sink: Sink, tee?: (bytes: Uint8Array) => void) {
    this.filename = filename;
    this.tee = tee;
    this.output = new OutputQueue(sink, () => this.onDrain?.());
  }

  get onInput(): ((bytes: Uint8Array) => void) | undefined {
    return this.handler;
  }
  set onInput(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.handler = handler;
    // Not before the device has finished setting itself up.
    if (handler) queueMicrotask(() => this.deliver());
  }

  get connected(): boolean | undefined {
    return this.link;
  }
  get congested(): boolean {
    return this.output.congested;
  }
  /** Bytes lost because a device went on while `congested`. */
  get lost(): number {
    return this.output.lost;
  }

  write(bytes: Uint8Array): void {
    this.tee?.(bytes);
    if (this.link !== false) this.output.push(bytes);
  }

  ready(): void {
    this.deliver();
  }

  /** Bytes came from the host. */
  receive(bytes: Uint8Array): void {
    if (bytes.length > 0) this.held.push(bytes);
    this.deliver();
  }

  /** Where input comes from, so that it can be paused. */
  from(source: Source): void {
    this.source = source;
    this.paused = false;
    if (this.held.length > 0) this.pauseSource();
  }

  /** Somebody is there now, or has left. A channel without this is always connected. */
  setConnected(connected: boolean): void {
    this.link = connected;
    if (!connected) {
      this.output.clear();
      this.held = [];
    }
    this.onConnection?.(connected);
  }

  onClose(closer: () => void | Promise<void>): void {
    this.closers.push(closer);
  }

  /** Resolves when all output has left the process. */
  flushed(): Promise<void> {
    return this.output.empty();
  }

  async close(): Promise<void> {
    for (const closer of this.closers.splice(0)) await closer();
  }

  private deliver(): void {
    while (this.handler && this.held.length > 0) {
      const [first] = this.held;
      const room = this.room ? this.room() : first.length;
      if (room <= 0) break;
      if (room >= first.length) this.held.shift();
      else this.held[0] = first.subarray(room);
      this.handler(first.subarray(0, room));
    }
    if (this.held.length > 0) this.pauseSource();
    else if (this.paused) {
      this.paused = false;
      this.source?.resume();
    }
  }

  private pauseSource(): void {
    if (this.paused) return;
    this.paused = true;
    this.source?.pause();
  }
}
