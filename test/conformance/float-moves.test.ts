/**
 * Rows of F, D and Zfa that the FPU oracles do not cover, by cases from the
 * manual's text: moves, sign injection, loads and stores, NaN boxes, fli,
 * fminm and fmaxm, fround, fcvtmod, and rounding modes that are none.
 */
import assert from 'node:assert';
import { test } from 'node:test';
import { Evaluator, f32ToBits, f64ToBits, GuestFault, type World } from '../../src/ir/evaluate.ts';
import { i64 } from '../../src/ir/value.ts';
import { insert } from '../../src/isa/encoding.ts';
import { rv64d } from '../../src/isa/riscv/d.ts';
import { Decoder } from '../../src/isa/riscv/decode.ts';
import { rv64f } from '../../src/isa/riscv/f.ts';
import { RiscvInsn } from '../../src/isa/riscv/insn.ts';
import { AT, PLACE } from '../../src/isa/riscv/state.ts';
import { zfa } from '../../src/isa/riscv/zfa.ts';

const rows = [...rv64f, ...rv64d, ...zfa];
const decoder = new Decoder(rows);
const BOX = 0xffff_ffff_0000_0000n;
const NAN64 = 0x7ff8_0000_0000_0000n;
const NAN32 = BOX | 0x7fc0_0000n;
const s = (x: number) => BOX | BigInt(f32ToBits(x));
const d = f64ToBits;
const NV = 16;
const NX = 1;

interface Given {
  readonly f?: readonly bigint[];
  readonly x?: bigint;
  readonly i?: number;
  readonly r?: number;
  readonly frm?: number;
  readonly fflags?: number;
  readonly memory?: bigint;
}
interface Outcome {
  readonly f: bigint;
  readonly x: bigint;
  readonly fflags: number;
  readonly stored: bigint | undefined;
  readonly cause: number | undefined;
}

/** Encodes, decodes and evaluates: f1, f2, f3 or x1 into f4 or x4. */
function run(mnemonic: string, given: Given = {}): Outcome {
  const found = rows.find((row) => row.mnemonic === mnemonic);
  assert.ok(found, mnemonic);
  const operands: Record<string, number> = { a: 1, b: 2, c: 3, d: 4, i: given.i ?? 0, r: given.r ?? 0 };
  let word = found.encoding.match;
  for (const field of found.encoding.fields) word = (word | insert(field, operands[field.letter])) >>> 0;
  const decoded = decoder.decode(word);
  assert.strictEqual(decoded?.row, found, `${mnemonic} decodes as itself`);
  const memory = new DataView(new ArrayBuffer(PLACE.size));
  const registers = new Array<bigint>(64).fill(0n);
  for (let n = 0; n < 3; n++) registers[33 + n] = given.f?.[n] ?? 0n;
  registers[1] = given.x ?? 0n;
  memory.setUint32(AT.frm, given.frm ?? 0, true);
  memory.setUint32(AT.fflags, given.fflags ?? 0, true);
  let stored: bigint | undefined;
  const world: World = {
    memory,
    cpu: 0,
    registers: { get: (n) => registers[n], set: (n, value) => void (registers[n] = value) },
    load: (_address, size) => BigInt.asUintN(8 * size, given.memory ?? 0n),
    store: (_address, _size, value) => void (stored = value),
    host: () => 0,
  };
  const m = new RiscvInsn(4, i64(word));
  found.semantics(m, { a: 1, b: 2, c: 3, d: 4, k: 0, z: 0, r: operands['r'], i: i64(operands['i']) });
  m.finish();
  let cause: number | undefined;
  try {
    new Evaluator(world).body({ locals: m.locals, statements: m.statements }, []);
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    cause = error.cause;
  }
  return { f: registers[36], x: registers[4], fflags: memory.getUint32(AT.fflags, true), stored, cause };
}

test('every encoding is one row', () => {
  for (const row of rows) {
    const hits = rows.filter(({ encoding: e }) => {
      const common = e.mask & row.encoding.mask;
      return (e.match & common) === (row.encoding.match & common);
    });
    assert.deepStrictEqual(
      hits.map(({ mnemonic }) => mnemonic),
      [row.mnemonic],
    );
  }
});

test('loads, stores and moves keep every bit', () => {
  const signalling = 0x7ff0_0000_dead_beefn;
  assert.strictEqual(run('fld', { memory: signalling }).f, signalling);
  assert.strictEqual(run('flw', { memory: 0xffff_ffff_7f80_0001n }).f, BOX | 0x7f80_0001n);
  assert.strictEqual(run('fsd', { f: [0n, signalling] }).stored, signalling);
  assert.strictEqual(run('fsw', { f: [0n, signalling] }).stored, 0xdead_beefn); // box or not
  assert.strictEqual(run('fmv.x.d', { f: [signalling] }).x, signalling);
  assert.strictEqual(run('fmv.d.x', { x: signalling }).f, signalling);
  assert.strictEqual(run('fmv.x.w', { f: [signalling] }).x, 0xffff_ffff_dead_beefn);
  assert.strictEqual(run('fmv.w.x', { x: signalling }).f, BOX | 0xdead_beefn);
});

test('sign injection', () => {
  const nan = 0x7ff0_0000_0000_0001n;
  const minus = 1n << 63n;
  assert.strictEqual(run('fsgnj.d', { f: [nan, d(-1)] }).f, nan | minus);
  assert.strictEqual(run('fsgnjn.d', { f: [nan, d(-1)] }).f, nan);
  assert.strictEqual(run('fsgnjx.d', { f: [nan | minus, d(-1)] }).f, nan);
  assert.strictEqual(run('fsgnjx.d', { f: [nan, d(-1)] }).f, nan | minus);
  assert.strictEqual(run('fsgnj.s', { f: [s(2), s(-1)] }).f, s(-2));
  assert.strictEqual(run('fsgnjn.s', { f: [s(2), s(-1)] }).f, s(2));
  assert.strictEqual(run('fsgnjx.s', { f: [s(-2), s(-1)] }).f, s(2));
  assert.strictEqual(run('fsgnjx.s', { f: [s(-2), s(1)] }).f, s(-2));
});

test('what is no NaN box is the canonical NaN', () => {
  const loose = BigInt(f32ToBits(1.5)) | (0x7fff_ffffn << 32n);
  assert.strictEqual(run('fadd.s', { f: [loose, s(1)] }).f, NAN32);
  assert.strictEqual(run('fadd.s', { f: [loose, s(1)] }).fflags, 0);
  assert.strictEqual(run('fsgnj.s', { f: [loose, s(-1)] }).f, NAN32 | 0x8000_0000n);
  assert.strictEqual(run('fmin.s', { f: [loose, s(1)] }).f, s(1));
  assert.strictEqual(run('fclass.s', { f: [loose] }).x, 1n << 9n);
  assert.strictEqual(run('fcvt.w.s', { f: [loose] }).x, 0x7fff_ffffn);
  assert.strictEqual(run('fcvt.d.s', { f: [loose] }).f, NAN64);
});

test('rounding modes that are none', () => {
  const rounding = rows.filter(({ encoding }) => encoding.fields.some(({ letter }) => letter === 'r'));
  assert.strictEqual(rounding.length, 40);
  for (const { mnemonic, where } of rounding) {
    for (const frm of [5, 6, 7]) {
      assert.strictEqual(run(mnemonic, { r: 7, frm, f: [s(1.1), s(1.3), s(1)] }).cause, 2, `${mnemonic} frm ${frm}`);
      assert.strictEqual(run(mnemonic, { r: 0, frm, f: [s(1.1), s(1.3), s(1)] }).cause, undefined, mnemonic);
    }
    assert.deepStrictEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].filter((r) => where?.({ r })),
      [0, 1, 2, 3, 4, 7],
      mnemonic,
    );
  }
});

test('fli', () => {
  const quarter = [0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];
  quarter.forEach((value, n) => {
    assert.strictEqual(run('fli.d', { i: 8 + n }).f, d(value));
    assert.strictEqual(run('fli.s', { i: 8 + n }).f, s(value));
  });
  assert.strictEqual(run('fli.d', { i: 0 }).f, d(-1));
  assert.strictEqual(run('fli.d', { i: 1 }).f, 1n << 52n);
  assert.strictEqual(run('fli.s', { i: 1 }).f, BOX | (1n << 23n));
  assert.strictEqual(run('fli.d', { i: 2 }).f, d(2 ** -16));
  assert.strictEqual(run('fli.d', { i: 29 }).f, d(65536));
  assert.strictEqual(run('fli.d', { i: 30 }).f, d(Infinity));
  assert.strictEqual(run('fli.d', { i: 31 }).f, NAN64);
  assert.strictEqual(run('fli.s', { i: 31 }).f, NAN32);
});

test('fminm and fmaxm give a NaN for any NaN', () => {
  const signalling = 0x7ff0_0000_0000_0001n;
  assert.deepStrictEqual(
    [run('fminm.d', { f: [d(1), NAN64 | 5n] }).f, run('fmaxm.d', { f: [NAN64, d(1)] }).f],
    [NAN64, NAN64],
  );
  assert.strictEqual(run('fminm.d', { f: [d(1), NAN64] }).fflags, 0);
  assert.strictEqual(run('fmaxm.d', { f: [d(1), signalling] }).fflags, NV);
  assert.strictEqual(run('fminm.d', { f: [d(0), d(-0)] }).f, d(-0));
  assert.strictEqual(run('fmaxm.s', { f: [s(-0), s(0)] }).f, s(0));
  assert.strictEqual(run('fminm.s', { f: [s(2), s(-3)] }).f, s(-3));
});

test('fround is inexact in silence', () => {
  const modes: readonly (readonly [number, number, number, number])[] = [
    [2.5, 2, 2, 3],
    [-2.5, -2, -2, -3],
    [0.3, 0, 0, 0],
    [-0.5, -0, -0, -1],
    [3.7, 4, 3, 4],
  ];
  for (const [x, nearest, zero, away] of modes) {
    for (const [r, right] of [
      [0, nearest],
      [1, zero],
      [4, away],
      [2, Math.floor(x)],
      [3, Math.ceil(x)],
    ]) {
      assert.strictEqual(run('fround.d', { f: [d(x)], r }).f, d(right), `${x} rm ${r}`);
      assert.strictEqual(run('fround.s', { f: [s(x)], r: 7, frm: r }).f, s(right), `${x} frm ${r}`);
      assert.strictEqual(run('fround.d', { f: [d(x)], r }).fflags, 0);
      assert.strictEqual(run('froundnx.d', { f: [d(x)], r }).fflags, NX);
    }
  }
  assert.strictEqual(run('froundnx.d', { f: [d(7)] }).fflags, 0);
  assert.strictEqual(run('fround.d', { f: [0x7ff0_0000_0000_0001n] }).fflags, NV);
  assert.strictEqual(run('fround.d', { f: [d(-Infinity)] }).f, d(-Infinity));
});

test('fcvtmod.w.d wraps and flags what does not fit', () => {
  const wrapped = (x: number): [bigint, number] => {
    const { x: result, fflags } = run('fcvtmod.w.d', { f: [d(x)] });
    return [BigInt.asIntN(64, result), fflags];
  };
  assert.deepStrictEqual(wrapped(-1.5), [-1n, NX]);
  assert.deepStrictEqual(wrapped(2147483647), [2147483647n, 0]);
  assert.deepStrictEqual(wrapped(2147483648), [-2147483648n, NV]);
  assert.deepStrictEqual(wrapped(-2147483648), [-2147483648n, 0]);
  assert.deepStrictEqual(wrapped(2147483648.5), [-2147483648n, NV]);
  assert.deepStrictEqual(wrapped(Infinity), [0n, NV]);
  assert.deepStrictEqual(wrapped(Number.NaN), [0n, NV]);
  for (const x of [2 ** 53 + 2, 2 ** 60 + 2 ** 20, -(2 ** 70) - 2 ** 30, 2 ** 84, 1e300, 4294967301, -1e18]) {
    assert.deepStrictEqual(wrapped(x), [BigInt(x | 0), NV]);
  }
});
