/** Rows of scalar cryptography against SHA-2 as Node has it and plain string handling; QEMU's opinion is in test/differential. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Evaluator, type World } from '../../ir/evaluate.ts';
import { i64 } from '../../ir/value.ts';
import { type Operands, RiscvInsn } from './insn.ts';
import { zbkb, zbkx, zknh } from './zk.ts';

const rows = new Map([...zbkb, ...zbkx, ...zknh].map((row) => [row.mnemonic, row]));
const M64 = (1n << 64n) - 1n;

/** What the instruction writes to its destination, which is its second operand too. */
function run(mnemonic: string, a: bigint, b = 0n): bigint {
  const row = rows.get(mnemonic);
  assert.ok(row, mnemonic);
  const x = new Map([
    [10, a],
    [11, b],
  ]);
  const registers = {
    get: (n: number) => x.get(n) as bigint,
    set: (n: number, value: bigint) => void x.set(n, value & M64),
  };
  const insn = new RiscvInsn(4, i64(0));
  row.semantics(insn, { a: 10, b: 11, d: 11 } as unknown as Operands);
  insn.finish();
  const locals = insn.locals.map((type) => (type === 'i64' ? 0n : 0));
  new Evaluator({ registers } as unknown as World).statements(insn.statements, locals);
  return x.get(11) as bigint;
}

const VALUES = [
  0n,
  M64,
  0x0123_4567_89ab_cdefn,
  0xfedc_ba98_7654_3210n,
  0x8000_0000_7fff_8001n,
  0x0000_0000_ffff_ff07n,
];
const hex = (x: bigint) => x.toString(16).padStart(16, '0');
const unhex = (text: string) => BigInt(`0x${text}`);

test('pack, packh, packw', () => {
  for (const a of VALUES) {
    for (const b of VALUES) {
      assert.equal(run('pack', a, b), unhex(hex(b).slice(8) + hex(a).slice(8)));
      assert.equal(run('packh', a, b), unhex(hex(b).slice(14) + hex(a).slice(14)));
      const word = unhex(hex(b).slice(12) + hex(a).slice(12));
      assert.equal(run('packw', a, b), BigInt.asIntN(32, word) & M64);
    }
  }
});

test('brev8', () => {
  const reverse = (byte: string) => [...Number.parseInt(byte, 16).toString(2).padStart(8, '0')].reverse().join('');
  for (const a of VALUES) {
    const bits = hex(a).replace(/../g, reverse);
    assert.equal(run('brev8', a), BigInt(`0b${bits}`));
  }
});

test('xperm4, xperm8', () => {
  for (const table of VALUES) {
    for (const indices of VALUES) {
      const nibbles = [...hex(table)].reverse();
      const four = hex(indices).replace(/./g, (n) => nibbles[Number.parseInt(n, 16)]);
      assert.equal(run('xperm4', table, indices), unhex(four));
      const bytes = [...hex(table).matchAll(/../g)].map(([byte]) => byte).reverse();
      const eight = hex(indices).replace(/../g, (n) => bytes[Number.parseInt(n, 16)] ?? '00');
      assert.equal(run('xperm8', table, indices), unhex(eight));
    }
  }
});

/** SHA-2 of the text (one block long) by the rows; constants are the fractions of primes' roots. */
function sha2(text: string, bits: 256 | 512): string {
  const word = BigInt(bits / 8); // 32 or 64 bits
  const rounds = bits === 256 ? 64 : 80;
  const mask = (1n << word) - 1n;
  const function_ = (name: string, x: bigint) => run(`sha${bits}${name}`, x) & mask;
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < rounds; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  const fraction = (prime: bigint, root: bigint) => {
    // The integer root of prime * 2^(word * root), by bisection.
    let [low, high] = [0n, prime << word];
    const target = prime << (word * root);
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (middle ** root <= target) low = middle;
      else high = middle;
    }
    return low & mask;
  };
  const k = primes.map((prime) => fraction(prime, 3n));
  const initial = primes.slice(0, 8).map((prime) => fraction(prime, 2n));
  const block = Buffer.alloc(bits / 4);
  block.write(`${text}\x80`, 'latin1');
  block.writeUInt32BE(text.length * 8, block.length - 4);
  const w = Array.from({ length: 16 }, (_, n) => unhex(block.toString('hex', (n * bits) / 64, ((n + 1) * bits) / 64)));
  for (let n = 16; n < rounds; n++)
    w.push((function_('sig1', w[n - 2]) + w[n - 7] + function_('sig0', w[n - 15]) + w[n - 16]) & mask);
  let [a, b, c, d, e, f, g, h] = initial;
  for (let n = 0; n < rounds; n++) {
    const t1 = h + function_('sum1', e) + ((e & f) ^ (~e & g & mask)) + k[n] + w[n];
    const t2 = function_('sum0', a) + ((a & b) ^ (a & c) ^ (b & c));
    [a, b, c, d, e, f, g, h] = [(t1 + t2) & mask, a, b, c, (d + t1) & mask, e, f, g];
  }
  return [a, b, c, d, e, f, g, h]
    .map((x, n) => ((x + initial[n]) & mask).toString(16).padStart(bits / 32, '0'))
    .join('');
}

test('sha256*, sha512*: the digest comes out', () => {
  for (const text of ['', 'abc', 'The quick brown fox']) {
    assert.equal(sha2(text, 256), createHash('sha256').update(text, 'latin1').digest('hex'));
    assert.equal(sha2(text, 512), createHash('sha512').update(text, 'latin1').digest('hex'));
  }
});

test('the results of sha256* are words, sign-extended', () => {
  assert.equal(run('sha256sum0', 0xffff_ffff_8000_0000n), run('sha256sum0', 0x8000_0000n));
  assert.equal(run('sha256sig1', M64), 0x003f_ffffn);
  assert.equal(run('sha256sum1', M64), M64);
});
