import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Emulator } from './emulator.ts';

const skip = process.platform === 'linux' ? false : 'reads /proc';
const BURN = 'const end = Date.now() + 400; while (Date.now() < end);';

test('CPU time counts a child of the launcher, and stopping ends it too', { skip }, async () => {
  const inner = `${BURN} console.log("child", process.pid); setTimeout(() => {}, 60000);`;
  const outer = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(inner)}], { stdio: 'inherit' })`;
  const emulator = new Emulator(process.execPath, ['-e', outer]);
  await emulator.expect('child ', 30);
  assert.ok(emulator.usage().cpuSeconds >= 0.2, `${emulator.usage().cpuSeconds} CPU seconds`);
  assert.ok(emulator.usage().resident > 2 ** 24);
  await emulator.expect('\n', 30);
  const child = Number(/child (\d+)/.exec(emulator.output)?.[1]);
  await emulator.stop();
  const gone = (): boolean => {
    try {
      return /\) Z /.test(readFileSync(`/proc/${child}/stat`, 'latin1')); // dead, but nobody has asked for its exit code
    } catch {
      return true;
    }
  };
  for (let i = 0; i < 50 && !gone(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(gone());
});

test('an emulator that ends or cannot start is an error, not a wait', { skip }, async () => {
  const ended = new Emulator(process.execPath, ['-e', 'console.log("bye")']);
  await assert.rejects(ended.expect('prompt', 30), /before the emulator ended.*bye/s);
  const missing = new Emulator('/nonexistent/emulator', []);
  await assert.rejects(missing.expect('prompt', 30), /ENOENT/);
});
