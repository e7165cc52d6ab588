/** Sockets of the process; and QMP beside the real QEMU. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { Client, FIXTURE, fresh, options, Run } from './test-process.ts';

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
    // QEMU tells of the end before it answers, maybe in a piece of its own.
    const whole = request.includes('"quit"') ? /"return": \{\}\}\r\n$/ : /\r\n$/;
    await client.until(whole).then((text) => {
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
