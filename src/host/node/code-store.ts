/** Generated code beside V8's own of this bundle; nothing is kept when the sources run as they are. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { CodeStore } from '../../accel/code-store.ts';
import { replaceFile } from './replace-file.ts';

export function codeStore(): CodeStore | undefined {
  const { codeCache } = import.meta;
  if (codeCache === undefined) return undefined;
  return {
    read(name) {
      try {
        return readFileSync(path.join(codeCache, name));
      } catch {
        return undefined;
      }
    },
    write: (name, bytes) => replaceFile(path.join(codeCache, name), bytes),
  };
}
