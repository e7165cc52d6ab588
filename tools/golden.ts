/** `npm run golden`: writes test/golden/*.txt again; the difference is for somebody to read. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { goldenFiles } from '../test/golden/subjects.ts';

const folder = resolve(import.meta.dirname, '..', 'test', 'golden');
const files = goldenFiles();
for (const name of readdirSync(folder)) if (name.endsWith('.txt') && !files.has(name)) rmSync(join(folder, name));
for (const [name, text] of files) writeFileSync(join(folder, name), text);
console.log(`wrote ${files.size} files in test/golden; look at git diff test/golden`);
