/** Time, sleep and random numbers as a machine's run loop asks for them. */
import type { CodeStore } from '../../accel/code-store.ts';
import type { CompilerPort } from '../../accel/jit/compiler-port.ts';
import type { KvmPort } from '../../accel/kvm/port.ts';
import { openKvm } from './kvm/kvm-device.ts';
import { kvmFlavour } from './kvm/kvm-flavour.ts';
import { codeStore } from './code-store.ts';
import { openCompiler } from './jit-compiler.ts';
import { hot } from './jit-tiering.ts';
import { waitedTime } from './thread-times.ts';
import { WallClock } from './wall-clock.ts';

/** A guest may read its clock with every system call, and a global is looked up at each use. */
const clock = performance;

export class NodeMachineHost {
  private readonly wall = new WallClock();

  now(): number {
    return clock.now();
  }

  epoch(): number {
    return this.wall.now();
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Of the event loop, without timers. */
  events(): number {
    return performance.nodeTiming.uvMetricsInfo.events;
  }

  /** A sleep without an end keeps the process alive no less than one with an end. */
  sleep(ms: number): { readonly promise: Promise<void>; wake(): void } {
    let wake = () => {};
    const promise = new Promise<void>((resolve) => {
      const timer =
        ms === Infinity ? setInterval(() => {}, LONGEST_MS) : setTimeout(() => resolve(), Math.min(ms, LONGEST_MS));
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    return { promise, wake };
  }

  compiler(): CompilerPort | undefined {
    return openCompiler();
  }

  codeStore(): CodeStore | undefined {
    return codeStore();
  }

  hot<T>(make: () => T): T {
    return hot(make);
  }

  kvm(): KvmPort {
    return openKvm();
  }

  kvmIsFast(): boolean {
    return kvmFlavour() !== undefined && kvmFlavour() !== 'pvm';
  }

  waited(thread?: number): number | undefined {
    return waitedTime(thread);
  }

  random(into: Uint8Array): void {
    // Few guests ask, and it takes long to load.
    process.getBuiltinModule('node:crypto').randomFillSync(into);
  }
}

/** Timers of Node overflow beyond 2^31 - 1 ms. */
const LONGEST_MS = 2 ** 31 - 1;
