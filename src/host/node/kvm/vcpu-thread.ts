/**
 * A thread for a vCPU: it does nothing but enter KVM when it is told to, and
 * say when it is back. Everything else, devices and registers, stays with the
 * machine's thread.
 *
 * A worker that sits in KVM_RUN can neither be terminated nor let the process
 * end: whoever ends one kicks it first.
 */
import type { Worker } from 'node:worker_threads';
import { KvmError } from '../../../accel/kvm/port.ts';
import { startThread } from '../thread.ts';

/** Cells that the two threads share, i32. */
export const CELL = { state: 0, errno: 1, thread: 2, count: 3 } as const;
/** Values of `state`. */
export const HOME = 0;
export const ENTER = 1;
export const QUIT = 2;

export interface VcpuThreadData {
  readonly cells: SharedArrayBuffer;
  readonly vcpu: number;
}

/** Longest wait for a thread that was kicked, ms: it needs some tens of microseconds. */
const PATIENCE = 5000;
const LOOK = 1;

const running = new Set<VcpuThread>();
let watching = false;

export class VcpuThread {
  private readonly cells = new Int32Array(new SharedArrayBuffer(4 * CELL.count));
  private readonly worker: Worker;
  private readonly kick: (thread: number) => void;
  private dead = false;
  private cause: Error | undefined;
  private closed = false;
  /** Called when the thread is back from KVM, in the event loop. */
  back: () => void = () => {};

  /** `kick` makes a thread, by the kernel's number of it, come back from KVM. */
  constructor(vcpu: number, kick: (thread: number) => void) {
    this.kick = kick;
    const data: VcpuThreadData = { cells: this.cells.buffer as SharedArrayBuffer, vcpu };
    this.worker = startThread('kvm/vcpu-worker', {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
    });
    this.worker.unref();
    const died = (cause?: unknown) => {
      this.dead = true;
      if (cause instanceof Error) this.cause ??= cause;
      running.delete(this);
      if (!this.closed) this.back();
    };
    this.worker.on('error', died);
    this.worker.on('exit', () => died());
    running.add(this);
    if (!watching) process.on('exit', quitAll);
    watching = true;
  }

  /** Lets the thread enter KVM. */
  enter(): void {
    const { cells } = this;
    Atomics.store(cells, CELL.state, ENTER);
    Atomics.notify(cells, CELL.state);
    const waiting = Atomics.waitAsync(cells, CELL.state, ENTER);
    if (waiting.async) void waiting.value.then(() => this.back());
    else queueMicrotask(() => this.back());
  }

  /** What KVM_RUN gave: 0 or an error number; undefined while the thread is inside. Throws KvmError when it has died. */
  result(): number | undefined {
    if (this.dead)
      throw new KvmError(
        'kvm-run',
        `the thread of a vCPU has died${this.cause ? `: ${this.cause.message}` : ''}`,
        'start the machine again, with -accel kvm,thread=single if that helps',
        undefined,
        this.cause,
      );
    if (Atomics.load(this.cells, CELL.state) === ENTER) return undefined;
    return this.cells[CELL.errno];
  }

  /** The same, of a thread that has been kicked: waits for it. */
  wait(): number {
    const { cells } = this;
    const until = performance.now() + PATIENCE;
    for (;;) {
      const result = this.result();
      if (result !== undefined) return result;
      if (Atomics.wait(cells, CELL.state, ENTER, LOOK) !== 'timed-out') continue;
      // It may not have begun when it was kicked.
      this.interrupt();
      if (performance.now() > until)
        throw new KvmError('kvm-run', 'a vCPU does not come back from KVM', 'end this process and start it again');
    }
  }

  get number(): number | undefined {
    return Atomics.load(this.cells, CELL.thread) || undefined;
  }

  interrupt(): void {
    const thread = Atomics.load(this.cells, CELL.thread);
    if (thread !== 0) this.kick(thread);
  }

  /** Ends the thread; it is back. */
  close(): void {
    this.closed = true;
    running.delete(this);
    Atomics.store(this.cells, CELL.state, QUIT);
    Atomics.notify(this.cells, CELL.state);
  }

  /** The process ends: no thread may be left inside. */
  quit(): void {
    if (Atomics.exchange(this.cells, CELL.state, QUIT) === ENTER) this.interrupt();
    Atomics.notify(this.cells, CELL.state);
  }
}

function quitAll(): void {
  for (const thread of running) thread.quit();
}
