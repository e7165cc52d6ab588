/** Encodings of the rows: no overlap, operands in and out, and objdump's opinion where it is installed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { extract, insert, overlap } from '../encoding.ts';
import { Decoder } from './decode.ts';
import { rows } from './rows.ts';

const decoder = new Decoder(rows);
const OBJDUMP = 'riscv64-linux-gnu-objdump';

test('rows overlap only where a condition tells them apart', () => {
  for (const [n, a] of rows.entries()) {
    for (const b of rows.slice(n + 1)) {
      if (!overlap(a.encoding, b.encoding)) continue;
      // Either refuses some words, or one is a special case that stands before the general one.
      const apart = a.where !== undefined || b.where !== undefined;
      assert.ok(apart, `${a.mnemonic} and ${b.mnemonic}`);
    }
  }
});

test('mnemonics are unique', () => {
  const names = rows.map(({ mnemonic }) => mnemonic);
  assert.deepEqual(
    names.filter((name, n) => names.indexOf(name) !== n),
    [],
  );
});

test('what is inserted is extracted', () => {
  let state = 0x1234567;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 0;
  };
  for (const { mnemonic, encoding } of rows) {
    for (let n = 0; n < 20; n++) {
      const word = n === 0 ? 0xffffffff : random();
      let built = encoding.match;
      for (const field of encoding.fields) {
        const value = extract(field, word);
        const bits = insert(field, value);
        assert.equal(extract(field, bits), value, `${mnemonic}: ${field.letter}`);
        assert.equal(bits & encoding.mask, 0, `${mnemonic}: ${field.letter} lies on fixed bits`);
        built |= bits;
      }
      const again = encoding.fields.map((field) => extract(field, built));
      assert.deepEqual(
        again,
        encoding.fields.map((field) => extract(field, word)),
        mnemonic,
      );
    }
  }
});

/** Mnemonics by objdump; '' where it knows no instruction. Every word at its own address, 4 bytes apart. */
function objdump(words: readonly number[]): string[] | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-'));
  try {
    const file = join(folder, 'words.bin');
    const bytes = Buffer.alloc(words.length * 4);
    words.forEach((word, n) => {
      if ((word & 3) === 3) bytes.writeUInt32LE(word >>> 0, n * 4);
      else bytes.writeUInt32LE(((1 << 16) | (word & 0xffff)) >>> 0, n * 4); // c.nop behind it
    });
    writeFileSync(file, bytes);
    const args = ['-D', '-b', 'binary', '-m', 'riscv:rv64', '-M', 'no-aliases', '-z', file];
    const { status, stdout } = spawnSync(OBJDUMP, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (status !== 0) return undefined;
    const names: string[] = new Array(words.length).fill('');
    for (const [, address, , name] of stdout.matchAll(/^ *([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(\S+)/gm)) {
      const at = Number.parseInt(address, 16);
      if (at % 4 === 0 && !name.startsWith('.') && name !== 'unimp') names[at / 4] = name;
    }
    return names;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const wordOf = (word: number) => `0x${word.toString(16)}`;

test('16-bit words mean what objdump says', (t) => {
  const words = Array.from({ length: 0x10000 }, (_, n) => n).filter((word) => (word & 3) !== 3);
  const theirs = objdump(words);
  if (!theirs) return t.skip(`${OBJDUMP} is not installed`);
  const wrong: string[] = [];
  words.forEach((word, n) => {
    const decoded = decoder.decode(word);
    // Zcb is newer than some objdumps.
    if (decoded?.row.extension === 'zcb' && theirs[n] === '') return;
    // objdump names what the spec reserves or defines as illegal: zero, and c.addi16sp of zero.
    if (word === 0 || word === 0x6101) return;
    const ours = decoded?.row.mnemonic ?? '';
    if (canonical(ours) !== canonical(theirs[n]))
      wrong.push(`${wordOf(word)}: ${ours || 'none'}, objdump: ${theirs[n] || 'none'}`);
  });
  assert.deepEqual(wrong.slice(0, 20), []);
});

/** Names that stand for the same row of ours. */
function canonical(name: string): string {
  const same: Record<string, string> = {
    'c.nop': 'c.addi',
    'c.slli64': 'c.slli',
    'c.srli64': 'c.srli',
    'c.srai64': 'c.srai',
    'fence.tso': 'fence',
    pause: 'fence',
    'prefetch.i': 'ori',
    'prefetch.r': 'ori',
    'prefetch.w': 'ori',
    'fmv.s.x': 'fmv.w.x',
    'fmv.x.s': 'fmv.x.w',
  };
  return (same[name] ?? name).replace(/\.(aqrl|aq|rl)$/, '');
}

test('32-bit words mean what objdump says', (t) => {
  let state = 99;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) ^ (state >>> 15);
  };
  const words: number[] = [];
  for (const row of rows.filter(({ encoding }) => encoding.bits === 32)) {
    const { mask, match } = row.encoding;
    for (let n = 0; n < 40; n++) {
      // Instructions of the row, and neighbours with one fixed bit turned over.
      const word = ((random() & ~mask) | match) >>> 0;
      // Longer instructions would put objdump out of step.
      for (const next of [word, (word ^ (1 << (2 + ((random() >>> 8) % 30)))) >>> 0])
        if ((next & 31) !== 31) words.push(next);
    }
  }
  const theirs = objdump(words);
  if (!theirs) return t.skip(`${OBJDUMP} is not installed`);
  const wrong: string[] = [];
  const known = new Set(theirs.map(canonical));
  words.forEach((word, n) => {
    const decoded = decoder.decode(word);
    const ours = canonical(decoded?.row.mnemonic ?? '');
    const right = canonical(theirs[n]);
    // An objdump that knows no such instruction at all is too old; one that knows more than we have proves nothing.
    if (right === '' && !known.has(ours)) return;
    // Reserved fields of a fence are ignored; objdump names the assembler's fences only.
    if (right === '' && ours === 'fence') return;
    // Exact conversions take any rounding mode; objdump knows the assembler's only.
    if (right === '' && /^fcvt\.d\.(wu?|s)$/.test(ours)) return;
    if (ours === '' && !rows.some(({ mnemonic }) => mnemonic === right)) return;
    // It prints reserved rounding modes.
    if (ours === '' && rows.some((row) => row.mnemonic === right && row.where?.({ r: (word >>> 12) & 7 }) === false))
      return;
    if (ours !== right) wrong.push(`${wordOf(word)}: ${ours || 'none'}, objdump: ${right || 'none'}`);
  });
  assert.deepEqual(wrong.slice(0, 40), []);
});
