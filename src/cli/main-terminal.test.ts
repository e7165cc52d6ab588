/** The process on a real pseudo-terminal. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { FIXTURE, options } from './test-process.ts';

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
