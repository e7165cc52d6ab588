/**
 * Run-time modules, kept by what they depend on: for the next machine of the
 * process, which gets them optimised, and as bytes for the next process.
 */
import type { CodeStore } from '../code-store.ts';
import { StoredModules } from './stored-modules.ts';

export interface KeptRuntime {
  readonly module: WebAssembly.Module;
  /** Names of the functions that it takes, and of those that it gives to modules linked later. */
  readonly imports: readonly string[];
  readonly functions: readonly string[];
}

/** Shapes of machine whose modules stay in memory. */
const KEPT = 4;

export class KeptRuntimes {
  private readonly kept = new Map<string, KeptRuntime>();
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get(key: string, compile: (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module, store?: CodeStore) {
    const known = this.kept.get(key);
    if (known || !store) return known;
    const found = this.stored(store).read(key, compile);
    if (!found) return undefined;
    const runtime = { module: found.module, ...found.head };
    this.remember(key, runtime);
    return runtime;
  }

  set(key: string, runtime: KeptRuntime, bytes: Uint8Array, store?: CodeStore): void {
    this.remember(key, runtime);
    const { imports, functions } = runtime;
    if (store) this.stored(store).write(key, { imports, functions }, bytes);
  }

  private stored(store: CodeStore): StoredModules<Omit<KeptRuntime, 'module'>> {
    return new StoredModules(`runtime-${this.name}`, store);
  }

  private remember(key: string, runtime: KeptRuntime): void {
    for (const oldest of this.kept.keys()) if (this.kept.size >= KEPT) this.kept.delete(oldest);
    this.kept.set(key, runtime);
  }
}
