import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from '../../isa/riscv/decode.ts';
import { rows } from '../../isa/riscv/rows.ts';
import type { HandlerTable } from './handler-table.ts';
import type { HandlerKey } from './handlers.ts';
import { Operations } from './operations.ts';

/** Numbers keys in the order they are asked for. */
class Numbers {
  readonly keys: HandlerKey[] = [];
  private readonly known = new Map<string, number>();
  number(key: HandlerKey): number {
    const text = JSON.stringify([key.row, key.reach, Object.entries(key.constants).sort()]);
    let number = this.known.get(text);
    if (number === undefined) {
      number = this.keys.push(key) + 4;
      this.known.set(text, number);
    }
    return number;
  }
  key(number: number): HandlerKey {
    return this.keys[number - 5];
  }
  flush(): void {}
  clear(): void {
    this.keys.length = 0;
    this.known.clear();
  }
}

const numbers = new Numbers();
const operations = new Operations(rows, numbers as unknown as HandlerTable);
const decoder = new Decoder(rows);
const out = new DataView(new ArrayBuffer(8));

function written(word: number, offset = 0) {
  const line = operations.line(word);
  assert.ok(line >= 0, word.toString(16));
  operations.write(line, offset, out, 0);
  return { key: numbers.key(out.getUint16(0, true)), line };
}
const mnemonic = (key: HandlerKey) => rows[key.row].mnemonic;

test('registers stand as bytes, the immediate as a word', () => {
  const { key } = written(0xff858513); // addi a0, a1, -8
  assert.equal(mnemonic(key), 'addi');
  assert.deepEqual([out.getUint8(2), out.getUint8(3), out.getInt32(4, true)], [10 * 8, 11 * 8, -8]);
});

test('four registers fill the places up, the highest too', () => {
  const { key } = written(0xe3ff7fc3 | 0); // fmadd.d ft11, ft10, ft11, ft8, dyn with funct2 = 01
  assert.equal(mnemonic(key), 'fmadd.d');
  const { operands } = decoder.decode(0xe3ff7fc3) as { operands: Record<string, number> };
  assert.deepEqual(
    [2, 3, 4, 5].map((at) => out.getUint8(at)),
    ['d', 'a', 'b', 'c'].map((letter) => operands[letter] * 8),
  );
  assert.equal(key.constants.r, 7);
});

test('x0 as destination and CSR numbers are constants of the handler', () => {
  assert.deepEqual(written(0x00000013).key.constants, { d: 0 }); // nop
  assert.deepEqual(written(0x30551073).key.constants, { d: 0, k: 0x305 }); // csrw mtvec, a0
  assert.deepEqual(written(0x34001073).key.constants, { d: 0, a: 0, k: 0x340 }); // csrw mscratch, zero
  assert.deepEqual(written(0x3002f073).key.constants, { d: 0, k: 0x300, z: 5 }); // csrci mstatus, 5
});

test('a direct jump has a handler for each reach', () => {
  const back = 0xffdff06f; // j -4
  assert.equal(written(back, 8).key.reach, 'backward');
  assert.equal(written(back, 0).key.reach, 'far');
  assert.equal(written(0x0080006f, 4088).key.reach, 'far'); // j 8
  assert.equal(written(0x0080006f, 4086).key.reach, 'forward');
  assert.equal(written(0xa001, 100).key.reach, 'backward'); // c.j 0
  const line = operations.line(back);
  assert.equal(numbers.key(operations.writeFar(line, out, 0)).reach, 'far');
});

test('what is no instruction has no line', () => {
  assert.equal(operations.line(0), -1);
  assert.equal(operations.line(0xffffffff), -1);
});

test('words that share a line are told apart, and every operation is as the decoder has it', () => {
  let word = 1;
  let shared = 0;
  const lines = new Map<number, number>();
  for (let n = 0; n < 30000; n++) {
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
    // addi to any register from any register with any immediate.
    const addi = (word & ~0x707f) | 0x13;
    const { key, line } = written(addi);
    if (lines.has(line) && lines.get(line) !== addi) shared++;
    lines.set(line, addi);
    const { operands } = decoder.decode(addi) as { operands: Record<string, number> };
    assert.equal(mnemonic(key), 'addi');
    assert.deepEqual(
      [out.getUint8(2) / 8, out.getUint8(3) / 8, out.getInt32(4, true)],
      [operands.d, operands.a, operands.i],
    );
  }
  assert.ok(shared > 100);
});

test('after clear the handlers are asked for anew', () => {
  const before = numbers.number({
    row: rows.findIndex((row) => row.mnemonic === 'sfence.vma'),
    constants: { d: 1 },
    reach: 'none',
  });
  operations.clear();
  assert.ok(numbers.keys.length < before);
  assert.equal(mnemonic(written(0x00b50533).key), 'add');
});
