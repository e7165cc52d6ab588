import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonReader } from './json-reader.ts';
import { type Json, JsonError, writeJson } from './json-values.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
function read(reader: JsonReader, data: string | Uint8Array): (Json | string)[] {
  const chunk = typeof data === 'string' ? bytes(data) : data;
  return [...reader.read(chunk)].map((value) => (value instanceof JsonError ? `error: ${value.message}` : value));
}

test('values come out whole however the bytes are cut', () => {
  const text = '{"a": [1, -2.5e3, "x\\u00e9\\"]{"], \'b\': {"c": null}} [true] 7 "é" ';
  const expected = [{ a: [1, -2500, 'xé"]{'], b: { c: null } }, [true], 7, 'é'];
  const data = bytes(text);
  for (let size = 1; size <= data.length; size++) {
    const reader = new JsonReader();
    const got: unknown[] = [];
    for (let at = 0; at < data.length; at += size) got.push(...read(reader, data.subarray(at, at + size)));
    assert.deepEqual(got, expected, `in pieces of ${size}`);
  }
});

test('values without spaces between them', () => {
  assert.deepEqual(read(new JsonReader(), '{}{"a":1}[2]"s"{}'), [{}, { a: 1 }, [2], 's', {}]);
  assert.deepEqual(read(new JsonReader(), '1{}'), [1, {}]);
});

test('integers keep their digits, and come back as they were', () => {
  const [value] = read(new JsonReader(), '{"id": 12345678901234567890, "n": -3}');
  assert.equal(writeJson(value), '{"id": 12345678901234567890, "n": -3}');
});

test('output is ASCII with the spacing of QEMU', () => {
  assert.equal(writeJson({ a: ['é"\n', true], b: {} }), '{"a": ["\\u00E9\\"\\n", true], "b": {}}');
  assert.equal(writeJson({ a: [1, {}] }, true), '{\n    "a": [\n        1,\n        {}\n    ]\n}');
});

const WRONG: [what: string, input: string | Uint8Array, message: RegExp][] = [
  ['a bare word', 'xx ', /invalid keyword 'xx'/],
  ['a stray bracket', '}', /expecting value/],
  ['a missing colon', '{"a" 1}', /missing : in object pair/],
  ['a duplicate key', '{"a":1,"a":2}', /duplicate key/],
  ['a missing comma', '[1 2]', /expected separator in list/],
  ['brackets that do not match', '{"a": [1}]', /expected separator/],
  ['a bad escape', '"\\x41"', /invalid escape sequence/],
  ['a bad code point', '{"a": "\\u00zz"}', /not a valid Unicode character/],
  ['a control character in a string', '"a\u0001b"', /control character/],
  ['an octet that is no text', Uint8Array.of(0xff), /stray/],
  ['NUL', Uint8Array.of(0), /stray/],
  ['a key that is no string', '{1: 2}', /key is not a string/],
  ['a number that is none', '-x ', /invalid number/],
];
for (const [what, input, message] of WRONG) {
  test(`${what} is one error, and the next line is read`, () => {
    const reader = new JsonReader();
    const first = read(reader, input);
    const rest = read(reader, '\n{"ok": 1}');
    const all = [...first, ...rest];
    assert.match(String(all[0]), message);
    assert.equal(all.filter((value) => typeof value === 'string').length, 1, JSON.stringify(all));
    assert.deepEqual(all.at(-1), { ok: 1 });
  });
}

test('nesting is bounded, in one error', () => {
  const reader = new JsonReader();
  assert.deepEqual(read(reader, '['.repeat(1024) + ']'.repeat(1024)).length, 1);
  const got = read(reader, '['.repeat(100_000) + '\n{"ok":1}');
  assert.deepEqual(got, ['error: JSON nesting depth limit exceeded', { ok: 1 }]);
});

test('length is bounded, in one error', () => {
  const reader = new JsonReader();
  const got = read(reader, `{"a": "${'x'.repeat(3_000_000)}"}\n{"ok":1}`);
  assert.deepEqual(got, ['error: JSON token size limit exceeded', { ok: 1 }]);
});

test('a member called __proto__ is a member', () => {
  const [value] = read(new JsonReader(), '{"__proto__": {"polluted": 1}}');
  assert.equal(({} as { polluted?: number }).polluted, undefined);
  assert.equal(writeJson(value), '{"__proto__": {"polluted": 1}}');
});
