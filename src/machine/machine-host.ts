import type { CodeStore } from '../accel/code-store.ts';
import type { CompilerPort } from '../accel/jit/compiler-port.ts';
import type { KvmPort } from '../accel/kvm/port.ts';

/** What a machine needs from the process or page that it runs in. */
export interface MachineHost {
  /** Milliseconds of a clock that never goes back, with fractions; its zero means nothing. */
  now(): number;
  /** The wall clock: milliseconds since the Unix epoch. */
  epoch(): number;
  /** Lets the host's other events happen (input, disks); resolves soon. */
  yield(): Promise<void>;
  /** Counts what has happened outside; where it stands still for a while, `yield` is needed less often. */
  events?(): number;
  /** Resolves after about `ms` milliseconds (Infinity: never), or when `wake` is called. */
  sleep(ms: number): Sleep;
  /** A compiler for the JIT in another thread, where the host has threads to spare. */
  compiler?(): CompilerPort | undefined;
  /** Runs `make`, letting the WebAssembly modules that it makes be optimised after few calls: they are all hot. */
  hot?<T>(make: () => T): T;
  /** Keeps generated code for later processes, where the host can. */
  codeStore?(): CodeStore | undefined;
  /** Opens KVM; throws KvmError. Absent where the host cannot know of any. */
  kvm?(): KvmPort;
  /** Whether KVM is there and runs most guests faster than the JIT does. */
  kvmIsFast?(): boolean;
  /**
   * Nanoseconds that a thread, by its number, has waited for a processor; without number: this one. Absent or undefined
   * where the host does not know.
   */
  waited?(thread?: number): number | undefined;
  /** Fills its argument (at most 64 KiB) with random bytes. */
  random(into: Uint8Array): void;
}

export interface Sleep {
  readonly promise: Promise<void>;
  wake(): void;
}
