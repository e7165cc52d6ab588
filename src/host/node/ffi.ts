/**
 * Calls to functions of the C library, without native code of ours: `koffi`
 * (an optional package) or Node's own `node:ffi` (from 26 on, where it is
 * built in and not switched off).
 *
 * koffi comes first: it is the faster one for buffers, and Node's prints a
 * warning that it is experimental. Measurements: bench/kvm.
 */
import { createRequire } from 'node:module';
import { HostError } from '../../bits/errors.ts';

/** Types of arguments and results; an address is a bigint, all others numbers. `long` is exact below 2^53. */
export type FfiType = 'int' | 'uint' | 'long' | 'address' | 'buffer';
export type FfiValue = number | bigint | Uint8Array;

export interface Ffi {
  readonly name: 'koffi' | 'node:ffi';
  /** A function of the process's C library. Throws HostError where there is none of that name. */
  func(name: string, result: 'int' | 'long', args: readonly FfiType[]): (...args: FfiValue[]) => number;
  func(name: string, result: 'address', args: readonly FfiType[]): (...args: FfiValue[]) => bigint;
  /** Where a function stands. */
  symbol(name: string): bigint;
  /** Memory that is not ours, without a copy. It must outlive its users. */
  view(address: bigint, length: number): ArrayBuffer;
  /** Calls `ready` from the event loop for as long as a file descriptor can be read. Absent where there is no way. */
  poll?(fd: number, ready: () => void): { close(): void };
  /** Where bytes stand; for as long as they do: WebAssembly memories, never the heap's small buffers. */
  addressOf(bytes: Uint8Array): bigint;
}

const NO_SYMBOL = (name: string, cause: unknown) =>
  new HostError('ffi-symbol', `the C library has no ${name}`, 'KVM needs Linux with glibc or musl', cause);

/** What we use of koffi. */
interface Koffi {
  load(path: null): {
    func(name: string, result: string, args: readonly string[]): (...args: unknown[]) => number | bigint;
    symbol(name: string): unknown;
  };
  view(address: bigint, length: number): ArrayBuffer;
  address(value: unknown): bigint;
  /** Of newer versions. */
  readonly node?: {
    poll?(fd: number, options: { readable: boolean }, ready: () => void): { close(): void; unref(): void };
  };
}

/**
 * The package of this platform alone, which koffi would choose, or koffi itself: what it puts around that, warnings of
 * old names, takes as long to load (5 ms).
 */
function loadKoffi(): Koffi | undefined {
  const require = createRequire(import.meta.url);
  for (const name of [`@koromix/koffi-${process.platform}-${process.arch}`, 'koffi']) {
    try {
      const loaded = require(name) as Partial<Koffi>;
      if (loaded.load && loaded.view && loaded.address) return loaded as Koffi;
    } catch {
      // Not installed, not for this system, or installed in koffi's own directory.
    }
  }
  return undefined;
}

function koffi(): Ffi | undefined {
  const loaded = loadKoffi();
  if (!loaded) return undefined;
  const library = loaded.load(null);
  const types: Readonly<Record<FfiType, string>> = {
    int: 'int32_t',
    uint: 'uint32_t',
    long: 'int64_t',
    address: 'uintptr_t',
    buffer: 'void *',
  };
  const func = (name: string, result: FfiType, args: readonly FfiType[]): never => {
    try {
      const f = library.func(
        name,
        types[result],
        args.map((type) => types[type]),
      );
      if (result === 'int') return f as never;
      if (result === 'long') return ((...values: FfiValue[]) => Number(f(...values))) as never;
      return ((...values: FfiValue[]) => BigInt(f(...values))) as never;
    } catch (error) {
      throw NO_SYMBOL(name, error);
    }
  };
  const poll = loaded.node?.poll;
  return {
    name: 'koffi',
    poll:
      poll &&
      ((fd, ready) => {
        const handle = poll(fd, { readable: true }, ready);
        handle.unref();
        return handle;
      }),
    func,
    symbol(name) {
      try {
        return loaded.address(library.symbol(name));
      } catch (error) {
        throw NO_SYMBOL(name, error);
      }
    },
    view: (address, length) => loaded.view(address, length),
    addressOf: (bytes) => loaded.address(bytes),
  };
}

/** What we use of node:ffi. */
interface NodeFfi {
  DynamicLibrary: new (
    path: null,
  ) => {
    getFunction(
      name: string,
      signature: { return: string; arguments: readonly string[] },
    ): (...args: unknown[]) => number | bigint;
    getSymbol(name: string): bigint;
  };
  toArrayBuffer(address: bigint, length: number, copy: boolean): ArrayBuffer;
  getRawPointer(bytes: Uint8Array): bigint;
}

function nodeFfi(): Ffi | undefined {
  if (process.versions.libffi === undefined) return undefined;
  let loaded: NodeFfi | undefined;
  try {
    loaded = process.getBuiltinModule('node:ffi') as unknown as NodeFfi | undefined;
  } catch {
    return undefined; // not permitted
  }
  if (!loaded) return undefined;
  const { DynamicLibrary, toArrayBuffer, getRawPointer } = loaded;
  const types: Readonly<Record<FfiType, string>> = {
    int: 'int32',
    uint: 'uint32',
    long: 'int64',
    address: 'uint64',
    buffer: 'pointer',
  };
  const func = (name: string, result: FfiType, args: readonly FfiType[]): never => {
    let f: (...args: unknown[]) => number | bigint;
    try {
      // A library object gives a function one signature only.
      f = new DynamicLibrary(null).getFunction(name, {
        return: types[result],
        arguments: args.map((type) => types[type]),
      });
    } catch (error) {
      throw NO_SYMBOL(name, error);
    }
    const wide = args.map((type) => type === 'long' || type === 'address');
    const convert = wide.includes(true)
      ? (...values: FfiValue[]) => f(...values.map((value, n) => (wide[n] ? BigInt(value as number) : value)))
      : f;
    if (result === 'long') return ((...values: FfiValue[]) => Number(convert(...values))) as never;
    return convert as never;
  };
  return {
    name: 'node:ffi',
    func,
    symbol(name) {
      try {
        return new DynamicLibrary(null).getSymbol(name);
      } catch (error) {
        throw NO_SYMBOL(name, error);
      }
    },
    view: (address, length) => toArrayBuffer(address, length, false),
    addressOf: (bytes) => getRawPointer(bytes),
  };
}

const opened = new Map<string, Ffi | undefined>();

/** The one asked for, or the first that is there; undefined: none is. */
export function openFfi(name?: Ffi['name']): Ffi | undefined {
  const one = (which: Ffi['name'], open: () => Ffi | undefined) => {
    if (!opened.has(which)) opened.set(which, open());
    return opened.get(which);
  };
  if (name !== 'node:ffi') {
    const found = one('koffi', koffi);
    if (found || name === 'koffi') return found;
  }
  return one('node:ffi', nodeFfi);
}
