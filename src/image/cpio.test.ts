import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '../bits/text.ts';
import { characterDevice, directory, file, readCpio, symlink, writeCpio } from './cpio.ts';
import { ImageError } from './image-error.ts';
import { buildInitrd, commandLine } from './initrd.ts';

const ENTRIES = [
  directory('bin'),
  file('bin/tool', 'content', 0o755),
  file('odd', 'x'),
  file('empty', ''),
  symlink('bin/link', 'tool'),
  characterDevice('console', 5, 1),
];

const hasCpio = spawnSync('cpio', ['--version']).error === undefined;

test('cpio round trip', () => {
  const archive = writeCpio(ENTRIES);
  assert.equal(archive.length % 4, 0);
  assert.deepEqual(
    readCpio(archive).map((entry) => ({ ...entry, content: fromUtf8(entry.content) })),
    ENTRIES.map((entry) => ({ ...entry, content: fromUtf8(entry.content) })),
  );
  assert.deepEqual(writeCpio(ENTRIES), archive, 'equal input gives equal bytes');
});

test('the system`s cpio unpacks ours, and we read its', (t) => {
  if (!hasCpio) return t.skip('no cpio on this host');
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'trapframe-cpio-'));
  try {
    const withoutDevices = ENTRIES.filter((entry) => entry.device === undefined);
    execFileSync('cpio', ['-i', '--quiet'], { cwd: scratch, input: writeCpio(withoutDevices) });
    assert.equal(readFileSync(path.join(scratch, 'bin/tool'), 'utf8'), 'content');
    assert.equal(statSync(path.join(scratch, 'bin/tool')).mode & 0o777, 0o755);
    assert.equal(readlinkSync(path.join(scratch, 'bin/link')), 'tool');
    const listing = withoutDevices.map((entry) => entry.path).join('\n');
    const theirs = execFileSync('cpio', ['-o', '-H', 'newc', '--quiet'], { cwd: scratch, input: `${listing}\n` });
    const summary = (entries: ReturnType<typeof readCpio>) =>
      entries.map((entry) => `${entry.path} ${entry.mode.toString(8)} ${fromUtf8(entry.content)}`);
    assert.deepEqual(summary(readCpio(theirs)), summary(withoutDevices));
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

test('hostile cpio archives are refused', () => {
  const good = writeCpio([file('name', 'content')]);
  const bad = (change: (bytes: Uint8Array) => Uint8Array | undefined): void => {
    const bytes = good.slice();
    const changed = change(bytes) ?? bytes;
    assert.throws(
      () => readCpio(changed),
      (error: unknown) => error instanceof ImageError && error.code === 'image-malformed',
    );
  };
  for (let length = 0; length < good.length - 120; length += 13) bad((bytes) => bytes.subarray(0, length));
  bad((bytes) => void bytes.set(utf8('070707')));
  bad((bytes) => void bytes.set(utf8('ffffffff'), 54)); // size of the content
  bad((bytes) => void bytes.set(utf8('ffffffff'), 94)); // length of the name
  bad((bytes) => void bytes.set(utf8('00000000'), 94));
  bad((bytes) => void bytes.set(utf8('0000000g'), 94));
});

test('the initial ramdisk holds what the kernel and init need', () => {
  const entries = new Map(readCpio(buildInitrd({ busybox: utf8('ELF') })).map((entry) => [entry.path, entry]));
  assert.equal(entries.get('init')?.mode, 0o100755);
  assert.deepEqual(entries.get('dev/console')?.device, [5, 1]);
  assert.equal(fromUtf8(entries.get('bin/busybox')?.content ?? new Uint8Array(0)), 'ELF');
  const init = fromUtf8(entries.get('init')?.content ?? new Uint8Array(0));
  const check = spawnSync('sh', ['-n'], { input: init });
  assert.equal(check.status, 0, String(check.stderr));
  for (const name of entries.keys()) {
    const parent = path.posix.dirname(name);
    assert.ok(parent === '.' || entries.has(parent), `${name} comes without its directory`);
  }
});

test('kernel command line', () => {
  assert.equal(
    commandLine({ console: 'ttyS0', terminal: { rows: 30, columns: 100, type: 'xterm-256color' }, extra: 'quiet' }),
    'console=ttyS0 panic=-1 trapframe.rows=30 trapframe.cols=100 trapframe.term=xterm-256color quiet',
  );
  assert.equal(commandLine({ console: 'ttyS0', exec: 'a "b"' }), 'console=ttyS0 panic=-1 trapframe.exec=YSAiYiI=');
  const odd = commandLine({ console: 'ttyS0', terminal: { rows: 1, columns: 2, type: 'x; reboot' } });
  assert.ok(!odd.includes('reboot'), 'a terminal type that is none is left out');
});
