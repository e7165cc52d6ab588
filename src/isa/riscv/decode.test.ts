import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from './decode.ts';
import { rows } from './rows.ts';

const decoder = new Decoder(rows);
const facts = (word: number) => {
  const decoded = decoder.decode(word);
  return decoded && [decoded.row.mnemonic, decoded.flow, decoded.target, decoded.ends];
};

test('what an instruction does to the flow of control', () => {
  assert.deepEqual(facts(0x00b50533), ['add', 'next', undefined, false]); // add a0, a0, a1
  assert.deepEqual(facts(0xfeb50ee3), ['beq', 'branch', -4, false]); // beq a0, a1, -4
  assert.deepEqual(facts(0xd975), ['c.beqz', 'branch', -12, false]);
  assert.deepEqual(facts(0xffdff06f), ['jal', 'jump', -4, true]); // j -4
  assert.deepEqual(facts(0x008000ef), ['jal', 'call', 8, true]); // jal ra, 8
  assert.deepEqual(facts(0xa001), ['c.j', 'jump', 0, true]);
  assert.deepEqual(facts(0x000500e7), ['jalr', 'call', undefined, true]); // jalr ra, a0
  assert.deepEqual(facts(0x00008067), ['jalr', 'return', undefined, true]); // ret
  assert.deepEqual(facts(0x00050067), ['jalr', 'indirect', undefined, true]); // jr a0
  assert.deepEqual(facts(0x8082), ['c.jr', 'return', undefined, true]); // ret
  assert.deepEqual(facts(0x8282), ['c.jr', 'return', undefined, true]); // jr t0
  assert.deepEqual(facts(0x8502), ['c.jr', 'indirect', undefined, true]); // jr a0
  assert.deepEqual(facts(0x9502), ['c.jalr', 'call', undefined, true]); // jalr a0
  assert.deepEqual(facts(0x00000073), ['ecall', 'system', undefined, false]);
  assert.deepEqual(facts(0x30200073), ['mret', 'system', undefined, true]);
  assert.deepEqual(facts(0x30551073), ['csrrw', 'system', undefined, false]); // csrw mtvec, a0
  assert.equal(facts(0), undefined);
});

test('a word above 2^31 is the same given signed or unsigned', () => {
  const signed = decoder.decode(0xfeb50ee3 | 0);
  assert.equal(signed?.word, 0xfeb50ee3);
  assert.deepEqual(signed, decoder.decode(0xfeb50ee3));
});

test('of a short instruction only 16 bits count', () => {
  assert.equal(decoder.decode(0xabcd_8082)?.word, 0x8082);
});

test('every row has its flow, and the row of its own encoding is found', () => {
  rows.forEach((row, index) => {
    const flow = decoder.flowOf(index);
    if (flow.direct)
      assert.ok(
        row.encoding.fields.some(({ letter }) => letter === 'i'),
        row.mnemonic,
      );
    // All register fields 1 and the immediate not 0, so that no encoding's exception applies.
    const word = row.encoding.fields.reduce(
      (sum, field) => sum | (1 << field.pieces[field.pieces.length - 1].at),
      row.encoding.match,
    );
    const found = decoder.rowOf(word);
    assert.ok(found >= 0, row.mnemonic);
    assert.equal(decoder.decode(word)?.index, found, row.mnemonic);
  });
});
