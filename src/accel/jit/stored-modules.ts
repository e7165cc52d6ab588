/**
 * Modules in a store, each with what must be known of it: a line of JSON, then
 * the module's bytes. What is stored for something else, or is not whole, is
 * not there.
 */
import { latin1, utf8 } from '../../bits/text.ts';
import type { CodeStore } from '../code-store.ts';

/** Keys of one kind share so many files: the latest of each has it. */
const STORED = 8;

export interface StoredModule<Head> {
  readonly head: Head;
  readonly module: WebAssembly.Module;
}

/** `kind` names what is stored, as a part of a file's name; `key` is all that it depends on besides the program. */
export class StoredModules<Head extends object> {
  private readonly kind: string;
  private readonly store: CodeStore;

  constructor(kind: string, store: CodeStore) {
    this.kind = kind;
    this.store = store;
  }

  read(key: string, compile: (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module): StoredModule<Head> | undefined {
    const stored = this.store.read(this.fileOf(key));
    if (stored === undefined) return undefined;
    const end = stored.indexOf(0x0a);
    try {
      const { key: found, head } = JSON.parse(latin1(stored.subarray(0, end))) as { key: string; head: Head };
      if (found !== key) return undefined;
      return { head, module: compile(stored.slice(end + 1)) };
    } catch {
      return undefined; // cut short: it is written again
    }
  }

  write(key: string, head: Head, bytes: Uint8Array): void {
    const line = utf8(`${JSON.stringify({ key, head })}\n`);
    const all = new Uint8Array(line.length + bytes.length);
    all.set(line);
    all.set(bytes, line.length);
    this.store.write(this.fileOf(key), all);
  }

  private fileOf(key: string): string {
    let hash = 0;
    for (let n = 0; n < key.length; n++) hash = (Math.imul(hash, 31) + key.charCodeAt(n)) >>> 0;
    return `${this.kind}-${hash % STORED}`;
  }
}
