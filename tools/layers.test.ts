import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { checkLayers, importsOf } from './layers.ts';

/** Violations of a tree of files, as the checker words them. */
function violationsOf(files: Record<string, string>): readonly string[] {
  const src = mkdtempSync(join(tmpdir(), 'layers-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(src, name)), { recursive: true });
      writeFileSync(join(src, name), text);
    }
    return checkLayers(src).violations;
  } finally {
    rmSync(src, { recursive: true });
  }
}

const LEAF = 'export const x = 1;\n';

test('a clean tree passes', () => {
  const files = {
    'bits/a.ts': LEAF,
    'hw/b.ts': "import { x } from '../bits/a.ts';\nexport const y = x;\n",
    'devices/uart/c.ts': "export { y } from '../../hw/b.ts';\n",
    'devices/uart/c.test.ts': "import '../../machine/none.ts';\nimport { readFileSync } from 'node:fs';\n",
    'host/node/d.ts': "import { readFileSync } from 'node:fs';\nexport { readFileSync };\n",
    'index.ts': "export { y } from './devices/uart/c.ts';\n",
  };
  assert.deepEqual(violationsOf(files), []);
});

const PLANTED: readonly [name: string, files: Record<string, string>, expected: RegExp][] = [
  ['an import upwards', { 'bits/a.ts': "import '../hw/b.ts';\n", 'hw/b.ts': LEAF }, /bits\/a\.ts:1.*only itself/],
  [
    'a type-only import upwards, over several lines',
    { 'devices/u/a.ts': "\nimport type {\n  X,\n} from '../../machine/b.ts';\n", 'machine/b.ts': LEAF },
    /devices\/u\/a\.ts:2.*may import only bits, state, hw/,
  ],
  ['a re-export upwards', { 'ir/a.ts': "export * from '../isa/b.ts';\n", 'isa/b.ts': LEAF }, /ir may import only bits/],
  ['a dynamic import', { 'ir/a.ts': "await import('../isa/b.ts');\n", 'isa/b.ts': LEAF }, /ir may import only bits/],
  [
    "another thread's entry",
    { 'accel/a.ts': "new URL('../host/node/w.ts', import.meta.url);\n", 'host/node/w.ts': LEAF },
    /accel may import only/,
  ],
  ['siblings', { 'isa/x86/a.ts': "import '../riscv/b.ts';\n", 'isa/riscv/b.ts': LEAF }, /siblings inside isa/],
  ['a Node built-in', { 'machine/a.ts': "import { readFileSync } from 'node:fs';\n" }, /Node's built-ins/],
  ['a bare built-in', { 'machine/a.ts': "import { readFileSync } from 'fs';\n" }, /Node's built-ins/],
  ['a test imported', { 'bits/a.ts': "import './b.test.ts';\n", 'bits/b.test.ts': LEAF }, /a test may not be imported/],
  ['an import out of src', { 'bits/a.ts': "import '../../tools/x.ts';\n" }, /outside src/],
  ['the entry point', { 'bits/a.ts': "import '../index.ts';\n", 'index.ts': LEAF }, /entry point/],
  ['an unknown layer', { 'helpers/a.ts': LEAF }, /helpers is no layer/],
  [
    'a cycle',
    { 'hw/a.ts': "import './b.ts';\n", 'hw/b.ts': "import './c.ts';\n", 'hw/c.ts': "import './a.ts';\n" },
    /cycle: hw\/a\.ts -> hw\/b\.ts -> hw\/c\.ts -> hw\/a\.ts/,
  ],
  ['an import that cannot be read', { 'hw/a.ts': 'import x from `./b.ts`;\n' }, /could be read/],
];

for (const [name, files, expected] of PLANTED) {
  test(`a planted violation is caught: ${name}`, () => {
    const violations = violationsOf(files);
    assert.ok(
      violations.some((line) => expected.test(line)),
      `not found in: ${violations.join('; ')}`,
    );
  });
}

test('a checker that reads no file fails', () => {
  assert.throws(() => violationsOf({ 'bits/readme.txt': '' }), /no TypeScript file/);
  assert.throws(() => checkLayers(join(tmpdir(), 'layers-no-such-folder')), /no TypeScript file/);
});

test('comments are no imports', () => {
  assert.deepEqual(importsOf("// import './a.ts';\n/**\n * import('./b.ts')\n */\nconst x = 1;\n"), []);
});

test('the project itself', () => {
  const report = checkLayers(resolve(import.meta.dirname, '..', 'src'));
  assert.deepEqual(report.violations, []);
  assert.ok(report.imports > 0);
});
