import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asSavedState, fromBinary, fromJson, load, type Saved, save, toBinary, toJson } from './codec.ts';
import { array, bool, bytes, create, f64, initially, json, layout, u1, u8, u32, u64 } from './layout.ts';

const SAMPLE = layout('sample', 2, {
  flag: bool,
  bit: u1,
  byte: initially(u8, 7),
  words: array(u32, 3),
  wide: u64,
  when: f64,
  raw: bytes(5),
  queue: json<{ head: number; text: string }[]>(() => []),
});

function sample() {
  const state = create(SAMPLE);
  state.flag = true;
  state.bit = 1;
  state.byte = 255;
  state.words = [1, 0xffffffff, 3];
  state.wide = 0xfedc_ba98_7654_3210n;
  state.when = -Infinity;
  state.raw = new Uint8Array([1, 2, 3, 4, 255]);
  state.queue = [{ head: -3, text: 'größer' }];
  return state;
}

test('a state comes back from text and from binary', () => {
  const state = sample();
  const saved = save(SAMPLE, state);
  for (const form of [fromJson(toJson(saved)), fromBinary(toBinary(saved))]) {
    const back = create(SAMPLE);
    load(SAMPLE, back, asSavedState(form));
    assert.deepEqual(back, state);
  }
});

test('a saved state does not share memory with the live one', () => {
  const state = sample();
  const saved = save(SAMPLE, state);
  state.raw[0] = 99;
  state.queue[0].head = 99;
  const back = create(SAMPLE);
  load(SAMPLE, back, saved);
  assert.equal(back.raw[0], 1);
  assert.equal(back.queue[0].head, -3);
});

test('missing fields take defaults, unknown ones are refused, and a refusal changes nothing', () => {
  const state = sample();
  load(SAMPLE, state, { layout: 'sample', version: 1, fields: { bit: 1 } });
  assert.equal(state.byte, 7);
  assert.equal(state.bit, 1);
  const before = structuredClone(state);
  const refused: [Record<string, Saved>, string][] = [
    [{ bit: 0, newer: 1 }, 'state-unknown-field'],
    [{ bit: 2 }, 'state-value'],
    [{ byte: 256 }, 'state-value'],
    [{ words: [1, 2] }, 'state-value'],
    [{ wide: 5 }, 'state-value'],
    [{ raw: new Uint8Array(4) }, 'state-value'],
  ];
  for (const [fields, code] of refused)
    assert.throws(() => load(SAMPLE, state, { layout: 'sample', version: 2, fields }), { code });
  assert.throws(() => load(SAMPLE, state, { layout: 'sample', version: 3, fields: {} }), { code: 'state-newer' });
  assert.throws(() => load(SAMPLE, state, { layout: 'other', version: 1, fields: {} }), { code: 'state-other' });
  assert.deepEqual(state, before);
});

test('damaged binary forms are refused at every truncation', () => {
  const whole = toBinary(save(SAMPLE, sample()));
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => fromBinary(whole.subarray(0, length)), { code: 'state-damaged' });
  assert.throws(() => fromBinary(new Uint8Array(100).fill(0x81)), { code: 'state-damaged' });
  assert.throws(() => fromJson('{'), { code: 'state-damaged' });
});
