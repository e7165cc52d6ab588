import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { openFfi } from './ffi.ts';
import { waitInPlace } from './short-waits.ts';

const missing = process.platform !== 'linux' || !openFfi('koffi') ? 'needs Linux and koffi' : false;

/** Who reports tests from this process has things to do now and then. */
async function quiet(): Promise<void> {
  for (let tries = 0; tries < 500 && !waitInPlace(0.5); tries++) await sleep(2);
}

test('waits in place are short, and end when the event loop has something to do', { skip: missing }, async () => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0);
  for (let n = 0; n < 250; n++) waitInPlace(0.5);
  assert.equal(waitInPlace(900), false, 'the kernel does not know the socket yet');
  await new Promise<void>((done) => server.once('listening', done));

  await quiet();
  const from = performance.now();
  for (let n = 0; n < 4; n++) assert.equal(waitInPlace(0.5), true);
  const took = performance.now() - from;
  assert.ok(took >= 2, `${took} ms`);

  setImmediate(() => {});
  assert.equal(waitInPlace(900), false, 'a callback waits');
  await turn();

  const client = connect((server.address() as { port: number }).port);
  await new Promise<void>((done) => client.once('connect', done));
  const answer = new Promise<Buffer>((done) => client.once('data', done));
  await quiet();
  const before = performance.now();
  client.write('x');
  // What arrives ends the wait, and each that follows, until a turn of the loop has taken it.
  assert.equal(waitInPlace(900), false);
  assert.equal(waitInPlace(900), false);
  assert.ok(performance.now() - before < 800);
  assert.equal((await answer).toString(), 'x');
  client.destroy();
  server.close();
});
