import type { CompilerPort } from '../accel/jit/compiler-port.ts';

/** What a machine needs from the process or page that it runs in. */
export interface MachineHost {
  /** Milliseconds of a clock that never goes back, with fractions; its zero means nothing. */
  now(): number;
  /** The wall clock: milliseconds since the Unix epoch. */
  epoch(): number;
  /** Lets the host's other events happen (input, disks); resolves soon. */
  yield(): Promise<void>;
  /** Resolves after about `ms` milliseconds (Infinity: never), or when `wake` is called. */
  sleep(ms: number): Sleep;
  /** A compiler for the JIT in another thread, where the host has threads to spare. */
  compiler?(): CompilerPort | undefined;
  /** Runs `make`, letting the WebAssembly modules that it makes be optimised after few calls: they are all hot. */
  hot?<T>(make: () => T): T;
  /** Fills its argument (at most 64 KiB) with random bytes. */
  random(into: Uint8Array): void;
}

export interface Sleep {
  readonly promise: Promise<void>;
  wake(): void;
}
