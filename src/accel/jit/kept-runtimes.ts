/**
 * Run-time modules, kept by what they depend on: for the next machine of the
 * process, which gets them optimised, and as bytes for the next process.
 */
import { latin1, utf8 } from '../../bits/text.ts';
import type { CodeStore } from '../accelerator.ts';

export interface KeptRuntime {
  readonly module: WebAssembly.Module;
  /** Names of the functions that it takes, and of those that it gives to modules linked later. */
  readonly imports: readonly string[];
  readonly functions: readonly string[];
}

/** Shapes of machine whose modules stay in memory, and in a store. */
const KEPT = 4;
const STORED = 8;

export class KeptRuntimes {
  private readonly kept = new Map<string, KeptRuntime>();
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get(key: string, compile: (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module, store?: CodeStore) {
    const known = this.kept.get(key);
    if (known || !store) return known;
    const bytes = store.read(this.fileOf(key));
    const found = bytes && decode(bytes, key, compile);
    if (found) this.remember(key, found);
    return found;
  }

  set(key: string, runtime: KeptRuntime, bytes: Uint8Array, store?: CodeStore): void {
    this.remember(key, runtime);
    store?.write(this.fileOf(key), encode(key, runtime, bytes));
  }

  private remember(key: string, runtime: KeptRuntime): void {
    for (const oldest of this.kept.keys()) if (this.kept.size >= KEPT) this.kept.delete(oldest);
    this.kept.set(key, runtime);
  }

  /** Several shapes share a file: the latest has it. */
  private fileOf(key: string): string {
    let hash = 0;
    for (let n = 0; n < key.length; n++) hash = (Math.imul(hash, 31) + key.charCodeAt(n)) >>> 0;
    return `runtime-${this.name}-${hash % STORED}`;
  }
}

/** A line of JSON, then the module. */
function encode(key: string, { imports, functions }: KeptRuntime, bytes: Uint8Array): Uint8Array {
  const head = utf8(`${JSON.stringify({ key, imports, functions })}\n`);
  const all = new Uint8Array(head.length + bytes.length);
  all.set(head);
  all.set(bytes, head.length);
  return all;
}

function decode(
  stored: Uint8Array,
  key: string,
  compile: (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module,
): KeptRuntime | undefined {
  const end = stored.indexOf(0x0a);
  try {
    const head = JSON.parse(latin1(stored.subarray(0, end))) as { key: string } & Omit<KeptRuntime, 'module'>;
    if (head.key !== key) return undefined;
    return { module: compile(stored.slice(end + 1)), imports: head.imports, functions: head.functions };
  } catch {
    return undefined; // cut short: it is written again
  }
}
