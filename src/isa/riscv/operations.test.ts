import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HandlerKey, type HandlerNumbers, NOWHERE, type Reach } from '../isa.ts';
import { Decoder } from './decode.ts';
import type { RiscvHandlerKey } from './handler.ts';
import { Operations } from './operations.ts';
import { rows } from './rows.ts';

interface Asked {
  readonly key: RiscvHandlerKey;
  readonly reach: Reach;
}

/** Numbers handlers in the order they are asked for. */
class Numbers implements HandlerNumbers {
  readonly asked: Asked[] = [];
  private readonly known = new Map<string, number>();
  number(key: HandlerKey, reach: Reach): number {
    const text = `${key.id} ${reach}`;
    let number = this.known.get(text);
    if (number === undefined) {
      number = this.asked.push({ key: key as RiscvHandlerKey, reach }) + 4;
      this.known.set(text, number);
    }
    return number;
  }
  of(number: number): Asked {
    return this.asked[number - 5];
  }
  clear(): void {
    this.asked.length = 0;
    this.known.clear();
  }
}

const numbers = new Numbers();
const operations = new Operations(rows, numbers);
const decoder = new Decoder(rows);
const bytes = new DataView(new ArrayBuffer(4));
const out = new DataView(new ArrayBuffer(8));

/** Bytes of the instruction, 0 or -1. */
function decode(word: number, left = 4): number {
  bytes.setInt32(0, word, true);
  return operations.decode(bytes, 0, left);
}

function written(word: number, offset = 0): Asked {
  assert.equal(decode(word), Decoder.length(word), word.toString(16));
  operations.write(offset, out, 0);
  return numbers.of(out.getUint16(0, true));
}
const mnemonic = (key: RiscvHandlerKey) => rows[key.row].mnemonic;

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
  assert.equal(written(back, 8).reach, 'backward');
  assert.equal(written(back, 0).reach, 'far');
  assert.equal(written(0x0080006f, 4088).reach, 'far'); // j 8
  assert.equal(written(0x0080006f, 4086).reach, 'forward');
  assert.equal(written(0xa001, 100).reach, 'backward'); // c.j 0
  assert.equal(written(back, NOWHERE).reach, 'far');
});

test('what is no instruction, and what does not end here', () => {
  assert.equal(decode(0), 0);
  assert.equal(decode(0xffffffff), 0);
  assert.equal(decode(0x00000013, 2), -1);
  assert.equal(decode(0xa001, 2), 2);
});

test('words that share a line are told apart, and every operation is as the decoder has it', () => {
  let word = 1;
  // So many that lines of the table must be shared.
  for (let n = 0; n < 300000; n++) {
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
    // addi to any register from any register with any immediate.
    const addi = (word & ~0x707f) | 0x13;
    const { key } = written(addi);
    const { operands } = decoder.decode(addi) as { operands: Record<string, number> };
    assert.equal(mnemonic(key), 'addi');
    assert.deepEqual(
      [out.getUint8(2) / 8, out.getUint8(3) / 8, out.getInt32(4, true)],
      [operands.d, operands.a, operands.i],
    );
  }
});

test('after clear the handlers are asked for anew', () => {
  written(0x12000073 | (1 << 15)); // sfence.vma ra
  const before = numbers.asked.length;
  operations.clear();
  assert.ok(numbers.asked.length < before);
  assert.equal(mnemonic(written(0x00b50533).key), 'add');
});
