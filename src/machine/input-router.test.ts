import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InputEvent, InputSink } from '../hw/input.ts';
import { TestBench } from '../hw/test-bench.ts';
import { InputRouter } from './input-router.ts';

function sink(bench: TestBench, ...types: InputEvent['type'][]) {
  const log: string[] = [];
  const device: InputSink = {
    inputName: types.join('+'),
    takes: new Set(types),
    input: (event) =>
      log.push(
        `${bench.clock.now() / 1e6} ${event.type === 'key' ? `${event.key}${event.down ? '+' : '-'}` : event.type}`,
      ),
    sync: () => log.push('.'),
  };
  return { log, device };
}
const keys = (...names: string[]) => names.map((data) => ({ type: 'qcode' as const, data }));

test('chords are pressed in order and released backwards, each in its time', () => {
  const bench = new TestBench();
  const router = new InputRouter(bench.clock);
  const { log, device } = sink(bench, 'key');
  router.add(device);
  router.sendKeys(keys('shift', 'a'), 60);
  bench.advance(1000e6);
  assert.deepEqual(log.splice(0), ['0 shift+', '.', '60 a+', '.', '120 a-', '.', '180 shift-', '.']);
  router.sendKeys([{ type: 'number', data: 0x1e }], 100);
  router.sendKeys(keys('b'), 10);
  bench.advance(1000e6);
  assert.deepEqual(log.splice(0), ['1000 a+', '.', '1100 a-', '.', '1200 b+', '.', '1210 b-', '.']);
  router.sendKeys(keys('c'), 10);
  bench.advance(12e6);
  router.sendKeys(keys('c'), 10); // the release has just been: it stays for its time too
  bench.advance(1000e6);
  assert.deepEqual(log.splice(0), ['2000 c+', '.', '2010 c-', '.', '2020 c+', '.', '2030 c-', '.']);
  for (let i = 0; i < 10_000; i++) router.sendKeys(keys('a'), 1);
  bench.advance(1e12);
  assert.ok(log.length <= 4096);
});

test('the last device that takes a type gets it; without one nothing happens', () => {
  const bench = new TestBench();
  const router = new InputRouter(bench.clock);
  const mouse = sink(bench, 'rel', 'btn');
  const tablet = sink(bench, 'abs', 'btn');
  router.add(mouse.device);
  const button: InputEvent = { type: 'btn', button: 'left', down: true };
  assert.equal(router.send([button, { type: 'abs', axis: 'x', value: 1 }]), 'abs');
  assert.deepEqual(mouse.log, []);
  router.add(tablet.device);
  assert.equal(
    router.send([button, { type: 'rel', axis: 'x', value: 1 }, { type: 'abs', axis: 'x', value: 1 }]),
    undefined,
  );
  assert.deepEqual(
    [mouse.log, tablet.log],
    [
      ['0 rel', '.'],
      ['0 btn', '0 abs', '.'],
    ],
  );
  assert.deepEqual(router.pointers(), [
    { name: 'abs+btn', absolute: true },
    { name: 'rel+btn', absolute: false },
  ]);
});
