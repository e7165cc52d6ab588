import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SerialStream } from './serial-stream.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('what the guest sends is read, and ends with the machine', async () => {
  const serial = new SerialStream();
  serial.write(bytes('be'));
  serial.write(bytes('fore '));
  let text = '';
  const reading = (async () => {
    for await (const part of serial.readable) text += new TextDecoder().decode(part);
  })();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(text, 'before ');
  serial.write(bytes('after'));
  serial.end();
  await reading;
  assert.equal(text, 'before after');
});

test('a write resolves when the device has taken everything', async () => {
  const serial = new SerialStream();
  const writer = serial.writable.getWriter();

  let done = false;
  const writing = writer.write(bytes('hello')).then(() => {
    done = true;
  });
  let got = '';
  let room = 2;
  serial.room = () => room;
  serial.onInput = (part) => {
    assert.ok(part.length <= room);
    room -= part.length;
    got += new TextDecoder().decode(part);
  };
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([got, done], ['he', false]);
  room = 3;
  serial.ready();
  await writing;
  assert.deepEqual([got, done], ['hello', true]);
});

test('without a reader the newest output is kept and the guest is not held', () => {
  const serial = new SerialStream();
  for (let i = 0; i < 1000; i++) serial.write(new Uint8Array(1000).fill(i));
  assert.equal(serial.congested, false);
});

test('a slow reader holds the guest back and lets it go on', async () => {
  const serial = new SerialStream();
  const reader = serial.readable.getReader();
  let sent = 0;
  while (!serial.congested) {
    serial.write(new Uint8Array(1000));
    sent += 1000;
    assert.ok(sent < 200_000, 'held back');
  }
  let drained = 0;
  serial.onDrain = () => {
    drained++;
  };
  const { value } = await reader.read();
  assert.equal(value?.length, sent);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drained, 1);
  assert.equal(serial.congested, false);
});

test('a machine that ends does not keep writers waiting', async () => {
  const serial = new SerialStream();
  serial.room = () => 0;
  serial.onInput = () => assert.fail('there was no room');
  const writing = serial.writable.getWriter().write(bytes('x'));
  await new Promise((resolve) => setImmediate(resolve));
  serial.end();
  await writing;
});
