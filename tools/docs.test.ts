/** What the documentation names is there: links and paths of the project. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '..');
const LINK = /\]\((?!https?:)([^)#]+)\)/g;
const PATH = /`((?:src|test|tools|docs|bench|bin|examples)\/[\w./-]*[\w/])`/g;
/** Written by a command, or not in the repository. */
const MADE = new Set(['docs/bench.svg']);

export function missing(file: string, text: string): string[] {
  const links = [...text.matchAll(LINK)].map(([, to]) => join(dirname(file), to));
  const paths = [...text.matchAll(PATH)].map(([, path]) => path);
  return [...links, ...paths].filter((path) => !MADE.has(path) && !existsSync(join(root, path)));
}

const files = globSync(['*.md', 'docs/**/*.md', 'bench/*.md'], { cwd: root });

test('what a document names is there', () => {
  assert.ok(files.length >= 6, `only ${files.length} documents were found`);
  for (const file of files) assert.deepEqual(missing(file, readFileSync(join(root, file), 'utf8')), [], file);
});

test('what is not there is found', () => {
  const text = 'See [it](docs/nowhere.md), `src/nothing.ts`, `src/index.ts` and [that](https://example.org/x).';
  assert.deepEqual(missing('README.md', text), ['docs/nowhere.md', 'src/nothing.ts']);
});
