/** The process: standard streams, signals, mistakes on the command line. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { directory, FIXTURE, fresh, options, Run } from './test-process.ts';

test('headless: serial on pipes, exit code 0 when the guest powers off', options, async (t) => {
  const run = new Run(t, ['-M', 'virt', '-display', 'none', '-serial', 'stdio', '-monitor', 'none']);
  await run.until(/guest runs/);
  run.child.stdin.write('hello\n');
  await run.until(/hello/);
  run.child.stdin.write('poweroff\n');
  assert.equal(await run.exit, 0);
  assert.equal(run.stderr, '');
});

test('the end of stdin is not the end of the machine; input waits for the guest', options, async (t) => {
  const run = new Run(t, ['-display', 'none', '-serial', 'stdio', '-monitor', 'none']);
  const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join('');
  run.child.stdin.end(lines);
  await run.until(/line 19999\n/);
  assert.equal(run.stdout, `guest runs\n${lines}`);
  assert.equal(run.child.exitCode, null);
});

test('a slow reader gets everything', options, async (t) => {
  const run = new Run(t, ['-display', 'none', '-serial', 'stdio', '-monitor', 'none']);
  await run.until(/guest runs/);
  run.child.stdout.pause();
  run.child.stdin.write('flood 20000000\n');
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { pid } = run.child;
  if (existsSync(`/proc/${pid}/status`)) {
    const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    assert.ok(resident < 200_000, `${resident} KiB resident`);
  }
  run.child.stdout.resume();
  while (run.stdout.length < 20_000_000) await new Promise((resolve) => setTimeout(resolve, 10));
  run.child.stdin.write('poweroff\n');
  assert.equal(await run.exit, 0);
  assert.equal(run.stdout.match(/x/g)?.length, 20_000_000);
});

/** Through a pipe to `reader`; what Node gives a child are sockets. The program's exit code goes to stderr. */
const piped = (t: TestContext, reader: string): Run =>
  new Run(t, ['-display', 'none', '-serial', 'stdio', '-monitor', 'none'], '/bin/sh', [
    ...['-c', `{ "$0" "$@"; echo "code $?" >&2; } | ${reader}`, process.execPath, FIXTURE],
  ]);

test('a slow reader behind a pipe gets everything', options, async (t) => {
  const run = piped(t, 'cat');
  await run.until(/guest runs/);
  run.child.stdout.pause();
  run.child.stdin.write('flood 3000000\n');
  await new Promise((resolve) => setTimeout(resolve, 300));
  run.child.stdin.write('after\n');
  run.child.stdout.resume();
  await run.until(/after/);
  while (run.stdout.length < 3_000_000) await new Promise((resolve) => setTimeout(resolve, 10));
  run.child.stdin.write('poweroff\n');
  await run.exit;
  assert.equal(run.stderr, 'code 0\n');
  assert.equal(run.stdout.match(/x/g)?.length, 3_000_000);
});

test('a reader behind a pipe that went away does not end the machine', options, async (t) => {
  const run = piped(t, 'head -c 3');
  await run.until(/gue/);
  run.child.stdin.write('flood 1000000\npoweroff\n');
  await run.until(/code/, 'stderr');
  assert.equal(run.stderr, 'code 0\n');
});

test('a machine that stands still, with nobody to talk to, lives until a signal', options, async (t) => {
  // Signals are listened to before the process's number is written.
  const pidFile = join(mkdtempSync(join(tmpdir(), 'trapframe-')), 'pid');
  const run = new Run(t, ['-display', 'none', '-serial', 'null', '-S', '-pidfile', pidFile]);
  while (run.child.exitCode === null && !existsSync(pidFile)) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(run.child.exitCode, null);
  run.child.kill('SIGTERM');
  assert.equal(await run.exit, 0);
});

test('a reader that went away does not end the machine', options, async (t) => {
  const run = new Run(t, ['-display', 'none', '-serial', 'stdio', '-monitor', 'none']);
  await run.until(/guest runs/);
  run.child.stdout.destroy();
  run.child.stdin.write('flood 1000000\npoweroff\n');
  assert.equal(await run.exit, 0);
});

for (const [signal, number] of [
  ['SIGTERM', 15],
  ['SIGINT', 2],
  ['SIGHUP', 1],
] as const) {
  test(`${signal} ends the machine with a message`, options, async (t) => {
    const pidFile = fresh('pid');
    const run = new Run(t, ['-display', 'none', '-serial', 'stdio', '-pidfile', pidFile]);
    await run.until(/guest runs/);
    assert.equal(readFileSync(pidFile, 'utf8'), `${run.child.pid}\n`);
    run.child.kill(signal);
    assert.equal(await run.exit, 0);
    assert.equal(run.stderr, `trapframe-system-riscv64: terminating on signal ${number}\n`);
    assert.equal(existsSync(pidFile), false);
  });
}

test('SIGTERM works while nobody reads standard output', options, async (t) => {
  const run = new Run(t, ['-display', 'none', '-serial', 'stdio', '-monitor', 'none']);
  await run.until(/guest runs/);
  run.child.stdout.pause();
  run.child.stdin.write('flood 5000000\n');
  await new Promise((resolve) => setTimeout(resolve, 200));
  run.child.kill('SIGTERM');
  run.child.stderr.resume();
  const ended = new Promise((resolve) => run.child.on('exit', resolve));
  assert.equal(await ended, 0);
});

test('mistakes end with 1 and a line that names the option', options, () => {
  const wrong: [string[], RegExp][] = [
    [['-foo'], /^trapframe-system-riscv64: -foo: invalid option/],
    [['-kernel', '/no/such'], /-kernel \/no\/such: could not load kernel '\/no\/such': No such file or directory/],
    [['-kernel', directory], /Is a directory/],
    [['-bios', 'nothere'], /Unable to load the RISC-V firmware 'nothere'/],
    [['-drive', 'file=/no/such,if=none'], /-drive file=\/no\/such,if=none: Could not open '\/no\/such'/],
    [['-serial', 'file:/no/such/dir'], /-serial file:\/no\/such\/dir: Could not open/],
    [['-qmp', 'unix:/no/such/dir'], /-qmp unix:\/no\/such\/dir: Failed to connect/],
    [['-fw_cfg', 'name=opt/x,file=/no/such'], /can't load '\/no\/such'/],
  ];
  for (const [argv, message] of wrong) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [FIXTURE, '-display', 'none', ...argv], {
      encoding: 'utf8',
    });
    assert.equal(status, 1, `${argv}: ${stdout}${stderr}`);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

test('a qcow2 image is not taken for a raw one', options, () => {
  const path = fresh('disk');
  writeFileSync(path, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(1020)]));
  const argv = [FIXTURE, '-display', 'none', '-drive', `file=${path},if=none,id=d`];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /looks like a qcow2 image/);
});
