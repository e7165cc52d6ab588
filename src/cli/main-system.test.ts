/** The process: standard streams, sockets, signals, a real pseudo-terminal; and QMP beside the real QEMU. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const FIXTURE = fileURLToPath(new URL('main-system.fixture.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'trapframe-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
const fresh = (name: string) => join(directory, `${++count}-${name}`);
/** For a machine under load; alone each test takes a second or two. */
const options = { timeout: 200_000 };

class Run {
  readonly child: ChildProcessWithoutNullStreams;
  stdout = '';
  stderr = '';
  readonly exit: Promise<number | string | null>;

  constructor(
    t: TestContext,
    argv: readonly string[],
    program = process.execPath,
    first: readonly string[] = [FIXTURE],
  ) {
    this.child = spawn(program, [...first, ...argv]);
    this.child.stdout.on('data', (data) => (this.stdout += data));
    this.child.stderr.on('data', (data) => (this.stderr += data));
    this.child.stdin.on('error', () => {});
    this.exit = new Promise((resolve) => this.child.on('close', (code, signal) => resolve(code ?? signal)));
    t.after(() => void this.child.kill('SIGKILL'));
  }

  async until(pattern: RegExp, from: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    while (!pattern.test(this[from])) {
      if (this.child.exitCode !== null)
        throw new Error(`ended with ${this.child.exitCode}: ${this.stdout}${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

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

class Client {
  readonly socket: Socket;
  text = '';
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => (this.text += data));
    socket.on('error', () => {});
  }
  static async open(path: string): Promise<Client> {
    for (;;) {
      const socket = connect(path);
      const open = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (open) return new Client(socket);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) await new Promise((resolve) => setTimeout(resolve, 5));
    const { text } = this;
    this.text = '';
    return text;
  }
}

test(
  'serial on a unix socket: the machine waits for the first client, then takes one after the other',
  options,
  async (t) => {
    const path = fresh('serial');
    const run = new Run(t, ['-display', 'none', '-serial', `unix:${path},server=on`]);
    await run.until(/waiting for connection on: disconnected:unix:.*,server=on/, 'stderr');
    const first = await Client.open(path);
    await first.until(/guest runs/);
    const second = await Client.open(path);
    second.socket.write('second\n');
    first.socket.write('first\n');
    await first.until(/first\n/);
    assert.equal(second.text, '');
    first.socket.end();
    await second.until(/second\n/);
    second.socket.write('poweroff\n');
    assert.equal(await run.exit, 0);
    assert.equal(existsSync(path), false);
  },
);

test('a signal ends the wait for a client', options, async (t) => {
  const run = new Run(t, ['-display', 'none', '-serial', `unix:${fresh('s')},server=on`]);
  await run.until(/waiting/, 'stderr');
  run.child.kill('SIGTERM');
  assert.equal(await run.exit, 0);
});

/** Answers of a QMP server without what differs from run to run. */
async function conversation(t: TestContext, program: string, first: readonly string[]): Promise<string[]> {
  const path = fresh('qmp');
  const run = new Run(
    t,
    [
      '-M',
      'virt',
      '-display',
      'none',
      '-bios',
      'none',
      '-serial',
      'null',
      '-S',
      '-name',
      'probe',
      '-qmp',
      `unix:${path},server=on,wait=off`,
    ],
    program,
    first,
  );
  const client = await Client.open(path);
  await client.until(/\r\n/);
  const shapes: string[] = [];
  for (const request of CONVERSATION) {
    client.socket.write(request);
    await client.until(/\r\n$/).then((text) => {
      for (const line of text.trim().split('\r\n')) {
        const { timestamp, ...message } = JSON.parse(line);
        if (message.event) assert.equal(typeof timestamp.microseconds, 'number');
        shapes.push(line.replace(/"timestamp": \{[^}]*\}/, '"timestamp": {}'));
      }
    });
  }
  await run.exit;
  return shapes;
}

const CONVERSATION = [
  '{"execute":"query-status"}',
  '{"execute":"qmp_capabilities","id":7}',
  '{"execute":"qmp_capabilities"}',
  '{"execute":"foo","id":{"a":1}}',
  '{}',
  '[]',
  '{"execute":1}',
  '{"execute":"stop","foo":1}',
  '{"execute":"stop","arguments":[]}',
  '{"execute":"stop","arguments":{"x":1}}',
  '{"execute":"query-name"}',
  '{"execute":"query-uuid"}',
  '{"execute":"query-kvm"}',
  '{"execute":"query-status","id":12345678901234567890}',
  "{'execute':'query-status','id':'a\\u0000b'}",
  '{"execute":"query-status","id":1.5}',
  '{"execute":"query-current-machine"}',
  '{"execute":"query-iothreads"}',
  '{"execute":"query-memory-size-summary"}',
  '{"execute":"query-target"}',
  '{"execute":"stop"}',
  '{"execute":"inject-nmi"}',
  '{"execute":"pmemsave","arguments":{"val":0,"size":16}}',
  '{"execute":"pmemsave","arguments":{"val":"0","size":16,"filename":"x"}}',
  '{"execute":"pmemsave","arguments":{"val":2147483648,"size":16,"filename":"/no/such/x"}}',
  '{"execute":"memsave","arguments":{"val":0,"size":16,"filename":"/no/such/x","cpu-index":9}}',
  '{"execute":"human-monitor-command","arguments":{"command-line":"info status"}}',
  '{"execute":"human-monitor-command","arguments":{"command-line":"foo bar"}}',
  '{"execute":"query-balloon"}',
  '}\n',
  'xx\n',
  '{"execute":"query-status","execute":"stop"}',
  '{"exec-oob":"query-status"}',
  '{"execute":"quit"}',
];

const qemu = spawnSync('qemu-system-riscv64', ['-version'], { encoding: 'utf8' });
test('QMP answers like the real QEMU', {
  ...options,
  skip: qemu.status !== 0 && 'qemu-system-riscv64 is not installed',
}, async (t) => {
  const ours = await conversation(t, process.execPath, [FIXTURE]);
  const theirs = await conversation(t, 'qemu-system-riscv64', []);
  assert.deepEqual(ours, theirs);
});

const python = spawnSync('python3', ['-c', 'import pty'], { encoding: 'utf8' });
const noPty = { ...options, skip: python.status !== 0 && 'python3 is not installed' };
/** Runs the emulator on a pseudo-terminal that starts in the usual mode; answers what was seen and the mode at the end. */
const PTY = `
import os, pty, select, sys, termios, time, signal, json
steps = json.loads(sys.argv[1]); argv = sys.argv[2:]
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid(); os.close(master)
    import fcntl; fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.execv(argv[0], argv)
seen = b''
def until(word, limit=150):
    global seen
    end = time.time() + limit
    while word not in seen:
        if time.time() > end: raise SystemExit('no %r in %r' % (word, seen))
        if select.select([master], [], [], 0.05)[0]: seen += os.read(master, 65536)
    seen = seen[seen.index(word) + len(word):]
raw = None
for step in steps:
    if 'until' in step: until(step['until'].encode())
    if 'send' in step: os.write(master, step['send'].encode('latin1'))
    if 'signal' in step: os.kill(pid, step['signal'])
    if 'raw' in step: raw = not (termios.tcgetattr(slave)[3] & termios.ICANON); assert raw == step['raw'], raw
    if 'sleep' in step: time.sleep(step['sleep'])
    if 'stopped' in step:
        _, status = os.waitpid(pid, os.WUNTRACED); assert os.WIFSTOPPED(status), status
end = time.time() + 100
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    if time.time() > end: os.kill(pid, 9); raise SystemExit('does not end: %r' % seen)
    if select.select([master], [], [], 0.05)[0]: seen += os.read(master, 65536)
while select.select([master], [], [], 0.05)[0]: seen += os.read(master, 65536)
print(json.dumps({'status': os.waitstatus_to_exitcode(status), 'seen': seen.decode('latin1'), 'restored': termios.tcgetattr(slave)[:4] == before[:4]}))
`;
function onTerminal(steps: object[], argv: string[]): { status: number; seen: string; restored: boolean } {
  const words = ['-c', PTY, JSON.stringify(steps), process.execPath, FIXTURE, ...argv];
  const { stdout, stderr } = spawnSync('python3', words, { encoding: 'utf8', timeout: 200_000 });
  assert.match(stdout, /^\{/, stderr);
  return JSON.parse(stdout);
}

test('-nographic on a terminal: raw, Ctrl-C to the guest, Ctrl-a c and x, restored', noPty, () => {
  const result = onTerminal(
    [
      { until: 'guest runs' },
      { raw: true },
      { send: 'a\x03b' },
      { until: 'a\x03b' },
      { send: '\x01c' },
      { until: '(qemu) ' },
      { send: 'info status\r' },
      { until: 'VM status: running' },
      { until: '(qemu) ' },
      { send: '\x01c' },
      { send: 'back' },
      { until: 'back' },
      { send: '\x01x' },
    ],
    ['-nographic'],
  );
  assert.deepEqual([result.status, result.restored], [0, true]);
  assert.match(result.seen, /terminated/);
});

test('-serial stdio on a terminal: Ctrl-C ends the emulator', noPty, () => {
  const argv = ['-display', 'none', '-serial', 'stdio', '-monitor', 'none'];
  const result = onTerminal([{ until: 'guest runs' }, { raw: true }, { send: '\x03' }], argv);
  assert.deepEqual([result.status, result.restored], [0, true]);
  assert.match(result.seen, /terminating on signal 2/);
});

test('the terminal is restored after SIGTERM, and while the emulator is suspended', noPty, () => {
  const argv = ['-display', 'none', '-serial', 'stdio', '-monitor', 'none'];
  const suspend = [{ send: '\x1a' }, { stopped: true }, { raw: false }, { signal: 18 }, { sleep: 0.3 }, { raw: true }];
  const result = onTerminal(
    [{ until: 'guest runs' }, ...suspend, { send: 'on\n' }, { until: 'on' }, { signal: 15 }],
    argv,
  );
  assert.deepEqual([result.status, result.restored], [0, true]);
});
