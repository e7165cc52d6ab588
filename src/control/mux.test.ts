import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mux } from './mux.ts';
import { MonitorServer } from './monitor.ts';
import { TestStream, testControl } from './test-stream.ts';

function start() {
  const stream = new TestStream();
  const log: string[] = [];
  let now = 0;
  const mux = new Mux(stream, { quit: () => log.push('quit'), now: () => now });
  const serial = mux.port('serial0');
  const monitor = mux.port('monitor');
  let received = '';
  serial.onInput = (bytes) => {
    received += new TextDecoder().decode(bytes);
  };
  return {
    stream,
    mux,
    serial,
    monitor,
    log,
    received: () => received,
    tick: (ms: number) => {
      now += ms;
    },
  };
}

test('input goes to the console; the escape key itself when typed twice', () => {
  const { stream, received } = start();
  stream.send('ls\x03\r');
  stream.send('\x01');
  stream.send('\x01z');
  stream.send('\x01?\x01q!');
  assert.equal(received(), 'ls\x03\r\x01z!');
});

test('Ctrl-a h lists the keys, Ctrl-a x quits', async () => {
  const { stream, log } = start();
  stream.send('\x01h');
  const help = await stream.read();
  for (const letter of 'hxstbc') assert.match(help, new RegExp(`\\n\\rC-a ${letter} `));
  stream.send('\x01x');
  assert.deepEqual(log, ['quit']);
});

test('Ctrl-a c goes to the monitor and back', async () => {
  const { stream, monitor, received } = start();
  const { control, machine } = testControl();
  let server: MonitorServer | undefined;
  monitor.onFocus = () => {
    if (server) server.focus();
    else server = new MonitorServer(monitor, control);
  };
  stream.send('a\x01cinfo status\r');
  const screen = await stream.read();
  assert.match(screen, /^QEMU .* monitor .*\r\n\(qemu\) info status\r\nVM status: paused \(prelaunch\)\r\n\(qemu\) $/s);
  stream.send('cont\r\x01cb\x01c');
  assert.match(await stream.read(), /cont\r\n\(qemu\) \(qemu\) $|cont\r\n\(qemu\) $/);
  assert.equal(machine.state, 'running');
  assert.equal(received(), 'ab');
});

test('input waits for a device without room, and the escape key works meanwhile', async () => {
  const { stream, serial, received } = start();
  let room = 3;
  serial.room = () => room;
  serial.onInput = ((take) => (bytes: Uint8Array) => {
    room -= bytes.length;
    take?.(bytes);
  })(serial.onInput);
  stream.send('abcdef\x01h');
  assert.equal(received(), 'abc');
  assert.match(await stream.read(), /print this help/);
  room = 10;
  serial.ready?.();
  assert.equal(received(), 'abcdef');
});

test('held input is bounded; the rest stays with the sender', () => {
  const { stream, serial } = start();
  serial.room = () => 0;
  stream.send('x'.repeat(300_000));
  assert.ok(stream.unsent > 200_000);
  serial.room = undefined;
  serial.ready?.();
  assert.equal(stream.unsent, 0);
});

test('Ctrl-a t puts times before lines', async () => {
  const { stream, serial, tick } = start();
  const write = (text: string) => serial.write(new TextEncoder().encode(text));
  write('a\n');
  stream.send('\x01t');
  tick(3_723_004);
  write('b');
  write('c\nd\n');
  stream.send('\x01t');
  write('e\n');
  assert.equal(await stream.read(), 'a\nbc\n[01:02:03.004] d\ne\n');
});

test('another escape key', () => {
  const stream = new TestStream();
  const log: string[] = [];
  const mux = new Mux(stream, { quit: () => log.push('quit'), now: () => 0 }, 0x1d);
  let received = '';
  mux.port('p').onInput = (bytes) => {
    received += new TextDecoder().decode(bytes);
  };
  stream.send('\x01x\x1dx');
  assert.deepEqual([received, log], ['\x01x', ['quit']]);
});
