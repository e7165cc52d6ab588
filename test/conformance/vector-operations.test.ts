/** The evaluator's vector operations against the engine's: each as WebAssembly, on odd and random operands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { define, type IrFunction } from '../../src/ir/code.ts';
import { Evaluator, type World } from '../../src/ir/evaluate.ts';
import * as op from '../../src/ir/op.ts';
import { add32, apply, i32, load, ltU32, Value } from '../../src/ir/value.ts';
import * as vector from '../../src/ir/vector.ts';
import * as vop from '../../src/ir/vector-op.ts';
import { compile } from './float-bench.ts';
import { random64 } from './float-cases.ts';

const SEED = BigInt(testSeed(process.env));
/** Three operands and the result. */
const CASE = 64;
const COUNT = 200;

/** An operation with its immediate: its value for operands in memory. */
interface Subject {
  readonly name: string;
  readonly code: number;
  readonly make: (...args: Value[]) => Value;
  readonly args: readonly op.Type[];
}

const random = random64(SEED);
const LANES: Readonly<Record<string, number>> = { i8x16: 16, i16x8: 8, i32x4: 4, i64x2: 2, f32x4: 4, f64x2: 2 };

function subjects(): Subject[] {
  const found: Subject[] = [];
  const shapes = [vop.v128, vop.i8x16, vop.i16x8, vop.i32x4, vop.i64x2, vop.f32x4, vop.f64x2];
  const codes = shapes.flatMap((shape) => Object.values(shape).flatMap((group) => Object.values<number>(group)));
  for (const code of codes) {
    const { name, args, result } = op.opInfo(code) as op.OpInfo;
    if (!vop.hasLane(code)) {
      found.push({ name, code, args, make: (...values) => apply(code, ...values) });
      continue;
    }
    const count = LANES[name.split('.')[0]];
    for (let lane = 0; lane < count; lane++)
      found.push({
        name: `${name} ${lane}`,
        code,
        args,
        make: (a, b) => new Value(code, result, lane, undefined, a, b),
      });
  }
  for (let n = 0; n < 8; n++) {
    const lanes = vop.laneNumbers(random() | (random() << 64n)).map((lane) => lane & 31);
    found.push({
      name: `i8x16.shuffle ${lanes.join()}`,
      code: vop.SHUFFLE,
      args: ['v128', 'v128'],
      make: (a, b) => vector.shuffle(a, b, lanes),
    });
  }
  const bits = random() | (random() << 64n);
  found.push({ name: 'v128.const', code: op.CONST_V128, args: [], make: () => vector.constant128(bits) });
  return found;
}

const LOAD = { i32: op.I32_LOAD, i64: op.I64_LOAD, f32: op.F32_LOAD, f64: op.F64_LOAD, v128: op.V128_LOAD };
const STORE = { i32: op.I32_STORE, i64: op.I64_STORE, f32: op.F32_STORE, f64: op.F64_STORE, v128: op.V128_STORE };

/** (first case, count) -> nothing */
function driver(n: number, { make, args }: Subject): IrFunction {
  return define(`drive_${n}`, ['i32', 'i32'], undefined, (code, first, count) => {
    const at = code.var(first);
    const k = code.var(i32(0));
    code.while(
      () => ltU32(k.value, count),
      () => {
        const result = make(...args.map((type, index) => load(LOAD[type], at.value, 16 * index)));
        code.store(STORE[result.type], at.value, result, 48);
        at.set(add32(at.value, CASE));
        k.set(add32(k.value, 1));
      },
    );
  });
}

const ODD: Readonly<Record<number, readonly bigint[]>> = {
  8: [0n, 1n, 0x7fn, 0x80n, 0x81n, 0xffn, 15n, 16n],
  16: [0n, 1n, 0x7fffn, 0x8000n, 0x8001n, 0xffffn, 0xffn, 0x100n],
  32: [
    ...[0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x3f80_0000n, 0xbf00_0000n, 0x4f00_0000n, 0x4f80_0000n],
    ...[0xcf00_0000n, 0x7f80_0000n, 0xff80_0000n, 0x7fc0_0000n, 0xffc0_0000n, 0x7f80_0001n, 0x7fc1_2345n, 0x3fc0_0000n],
    ...[0x4020_0000n, 0x007f_ffffn, 0x0080_0000n, 0x7f7f_ffffn, 0xbe80_0000n, 0x4b00_0001n],
  ],
  64: [
    ...[0n, 1n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n, 0x3ff0n << 48n, 0xbfe0n << 48n, 0x41dfn << 48n],
    ...[0x41e0n << 48n, 0xc1e0n << 48n, 0x41f0n << 48n, 0x7ff0n << 48n, 0xfff0n << 48n, 0x7ff8n << 48n],
    ...[0xfff8n << 48n, (0x7ff0n << 48n) + 1n, (0x7ff8n << 48n) + 99n, 0x4004n << 48n, 0x380fffffe0000000n],
    ...[0x47efffffe0000000n, 0x3690000000000000n, 0x36a0000000000000n, (1n << 52n) - 1n, 0x7fefffffffffffffn],
  ],
};

function operand(): bigint {
  const choice = Number(random() & 7n);
  const width = [8, 16, 32, 64, 32, 64][choice];
  if (!width) return random() | (random() << 64n);
  let all = 0n;
  for (let n = 0; n < 128; n += width) {
    const odd = ODD[width];
    const lane = random() & 3n ? odd[Number(random() % BigInt(odd.length))] : BigInt.asUintN(width, random());
    all = (all << BigInt(width)) | lane;
  }
  return all;
}

/** Operations whose NaN results are left open: the rest move bits. */
function isArithmetic(name: string): boolean {
  return /^f..x.\.(add|sub|mul|div|min|max|sqrt|ceil|floor|trunc|nearest|demote|promote)/.test(name);
}

/** Whether `theirs` may stand where `ours` does, a lane that came of `operands`. */
function sameLane(width: number, ours: bigint, theirs: bigint, operands: readonly bigint[]): boolean {
  if (ours === theirs) return true;
  const quiet = width === 32 ? 0x7fc0_0000n : 0x7ff8n << 48n;
  if ((ours & quiet) !== quiet || (theirs & quiet) !== quiet) return false;
  // A NaN's payload is open when some operand is a NaN that is not canonical; else only its sign is.
  const canonical = (x: bigint, w: number) => BigInt.asUintN(w - 1, x) === (w === 32 ? 0x7fc0_0000n : 0x7ff8n << 48n);
  const isNan = (x: bigint, w: number) => BigInt.asUintN(w - 1, x) > (w === 32 ? 0x7f80_0000n : 0x7ff0n << 48n);
  const open = [32, 64].some((w) =>
    operands.some((x) =>
      Array.from({ length: 128 / w }, (_, n) => BigInt.asUintN(w, x >> BigInt(n * w))).some(
        (lane) => isNan(lane, w) && !canonical(lane, w),
      ),
    ),
  );
  return open || canonical(theirs, width);
}

const read128 = (view: DataView, at: number) => view.getBigUint64(at, true) | (view.getBigUint64(at + 8, true) << 64n);

test('every operation is evaluated as the engine has it', async (t) => {
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  const all = subjects();
  assert.ok(all.length > 240);
  const drivers = all.map((subject, n) => driver(n, subject));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const compiled = compile(drivers, memory, 1, { cpuAddress: 0 });
  const theirs = new DataView(memory.buffer);
  const ours = new DataView(new ArrayBuffer(65536));
  const evaluator = new Evaluator({ memory: ours, cpu: 0 } as unknown as World);
  for (const [n, subject] of all.entries()) {
    await t.test(subject.name, () => {
      for (let at = 0; at < COUNT * CASE; at += 16) {
        const x = at % CASE === 48 ? 0n : operand();
        for (const view of [ours, theirs]) {
          view.setBigUint64(at, BigInt.asUintN(64, x), true);
          view.setBigUint64(at + 8, x >> 64n, true);
        }
      }
      compiled[`drive_${n}`](0, COUNT);
      evaluator.call(drivers[n], [0, COUNT]);
      const width = subject.name.startsWith('f32') ? 32 : 64;
      for (let at = 0; at < COUNT * CASE; at += CASE) {
        const got = read128(ours, at + 48);
        const want = read128(theirs, at + 48);
        const operands = [0, 16, 32].map((offset) => read128(ours, at + offset));
        const message = `${operands.map((x) => x.toString(16)).join(' ')}: ${got.toString(16)}, engine ${want.toString(16)}`;
        if (!isArithmetic(subject.name)) assert.equal(got, want, message);
        else
          for (let lane = 0; lane < 128; lane += width) {
            const [g, w] = [got, want].map((x) => BigInt.asUintN(width, x >> BigInt(lane)));
            assert.ok(sameLane(width, g, w, operands), message);
          }
      }
    });
  }
});

test('loads and stores of vectors', () => {
  const loads = [
    ...[op.V128_LOAD, op.V128_LOAD8_SPLAT, op.V128_LOAD16_SPLAT, op.V128_LOAD32_SPLAT, op.V128_LOAD64_SPLAT],
    ...[op.V128_LOAD32_ZERO, op.V128_LOAD64_ZERO, ...Object.values(op.v128LoadExtend)],
  ];
  const copy = define('copy', [], undefined, (code) => {
    for (const [n, load_] of loads.entries()) code.store(op.V128_STORE, i32(0), load(load_, i32(3)), 32 + 16 * n);
  });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const ours = new DataView(new ArrayBuffer(65536));
  const theirs = new DataView(memory.buffer);
  for (let n = 0; n < 32; n++) for (const view of [ours, theirs]) view.setUint8(n, (n * 77 + 131) & 0xff);
  compile([copy], memory, 1, { cpuAddress: 0 })['copy']();
  new Evaluator({ memory: ours, cpu: 0 } as unknown as World).call(copy, []);
  for (const n of loads.keys()) {
    const at = 32 + 16 * n;
    assert.equal(read128(ours, at), read128(theirs, at), `load ${n}`);
    assert.notEqual(read128(ours, at), 0n);
  }
});

test('constructors: lanes are checked, names are those of the operations', () => {
  const x = load(op.V128_LOAD, 0);
  assert.equal(vector.i16x8.addSatS(x, x).op, vop.i16x8.binary.add_sat_s);
  assert.equal(vector.i32x4.truncSatF64x2SZero(x).op, vop.i32x4.unary.trunc_sat_f64x2_s_zero);
  assert.equal(vector.i8x16.extractLaneU(x, 15).imm, 15);
  assert.equal(vector.i64x2.bitmask(x).type, 'i32');
  assert.throws(() => vector.i16x8.extractLaneU(x, 8), RangeError);
  assert.throws(() => vector.shuffle(x, x, new Array(16).fill(32)), RangeError);
  assert.throws(() => vector.i8x16.add(x, i32(1)), TypeError);
  assert.equal(vector.every(16, -2).big, 0xfffefffefffefffefffefffefffefffen);
  assert.equal(vector.bytes(...Array.from({ length: 16 }, (_, n) => n)).big, 0x0f0e0d0c0b0a09080706050403020100n);
});
