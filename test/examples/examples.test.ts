/** The examples of the README, run as a newcomer runs them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { firmwareCatalogue } from '../../src/image/catalogue.ts';
import { guestFiles } from '../boot/guest-console.ts';

const root = resolve(import.meta.dirname, '..', '..');

/** What each prints. */
const EXPECTED: Readonly<Record<string, RegExp>> = {
  'hello.ts': /^Hello from a RISC-V machine!\n\0?virt: guest-shutdown, code 0, \d+ instructions\n$/,
  'inspect.ts': new RegExp(
    [
      '^state: running\nstate: paused\nthe program has counted: true\nand stands in its loop: true\n',
      'state: running\nit answers: !\nstate: paused\nthe mailbox is empty again: true\n',
    ].join(''),
  ),
  'linux.ts': /^Linux \S+ x86_64 says 42\nended: guest-shutdown\n$/,
  'pc.ts': /^the serial port says: Hello from a PC!\npc with SeaBIOS; rip = 0x[0-9a-f]+\n$/,
};

function run(name: string, ...args: string[]): void {
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, 'examples', name), ...args], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  assert.equal(stderr, '');
  assert.match(stdout, EXPECTED[name]);
  assert.equal(status, 0);
}

test('every example is tried', () => {
  assert.deepEqual(readdirSync(join(root, 'examples')).sort(), Object.keys(EXPECTED));
});

for (const name of ['hello.ts', 'inspect.ts']) test(name, () => run(name));

const { skip } = await guestFiles('x86_64');
test('linux.ts', { skip }, () => {
  // As `npm start` does: the ramdisk is built.
  const start = [join(root, 'bin', 'trapframe'), 'start', '--print-command'];
  assert.equal(spawnSync(process.execPath, start).status, 0);
  run('linux.ts');
});

const { skip: noFirmware } = await guestFiles('pc-firmware', firmwareCatalogue);
test('pc.ts', { skip: noFirmware }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-example-'));
  try {
    const file = join(folder, 'screen.png');
    run('pc.ts', file);
    const png = readFileSync(file);
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [720, 400]); // 80 columns of 9, 25 lines of 16
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the README's code is in the examples", () => {
  const examples = Object.keys(EXPECTED).map((name) => readFileSync(join(root, 'examples', name), 'utf8'));
  const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)];
  assert.ok(blocks.length > 0);
  for (const [, block] of blocks) {
    for (const line of block.split('\n').map((text) => text.trim())) {
      if (line === '' || line.includes("from 'trapframe'") || line.startsWith('//')) continue;
      assert.ok(
        examples.some((text) => text.includes(line)),
        `no example has this line of the README: ${line}`,
      );
    }
  }
});
