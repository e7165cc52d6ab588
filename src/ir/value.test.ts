/** What the constructors fold must be what evaluation of the same operation gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, define } from './code.ts';
import { Evaluator, type World } from './evaluate.ts';
import * as op from './op.ts';
import * as v from './value.ts';

const world: World = {
  memory: new DataView(new ArrayBuffer(64)),
  cpu: 0,
  registers: { get: () => 0n, set: () => {} },
  load: () => 0n,
  store: () => {},
  host: () => 0,
};
const evaluator = new Evaluator(world);
const u64 = (x: bigint) => BigInt.asUintN(64, x);

const WIDE = [0n, 1n, 2n, -1n, 31n, 32n, 63n, 64n, 0x7fffffffn, 0x80000000n, 0xffffffffn, -0x80000000n]
  .concat([1n << 53n, (1n << 53n) - 1n, -(1n << 53n), (1n << 63n) - 1n, -(1n << 63n), 0x123456789abcdef0n])
  .map((x) => BigInt.asIntN(64, x));
const NARROW = [0, 1, -1, 2, 31, 32, 33, 64, 0x7fffffff, -0x80000000, 0x12345678];

type Binary = (x: v.Value, y: v.Value) => v.Value;

/** Evaluates with operands that cannot be folded: locals. */
function plain(f: (...args: v.Value[]) => v.Value, args: readonly (bigint | number)[]): bigint | number {
  const locals = args.map((arg, n) => v.local(n, typeof arg === 'bigint' ? 'i64' : 'i32'));
  return evaluator.value(
    f(...locals),
    args.map((arg) => (typeof arg === 'bigint' ? u64(arg) : arg)),
  );
}
/** Evaluates what comes of constants, and of one constant beside a local. */
function folded(f: (...args: v.Value[]) => v.Value, args: readonly (bigint | number)[], constant: readonly boolean[]) {
  const values = args.map((arg, n) => {
    if (!constant[n]) return v.local(n, typeof arg === 'bigint' ? 'i64' : 'i32');
    return typeof arg === 'bigint' ? v.i64(arg) : v.i32(arg);
  });
  return evaluator.value(
    f(...values),
    args.map((arg) => (typeof arg === 'bigint' ? u64(arg) : arg)),
  );
}

const binary64: Record<string, Binary> = {
  add: v.add,
  sub: v.sub,
  mul: v.mul,
  and: v.and,
  or: v.or,
  xor: v.xor,
  shl: v.shl,
  shrS: v.shrS,
  shrU: v.shrU,
  rotl: v.rotl,
  rotr: v.rotr,
  eq: v.eq,
  ltS: v.ltS,
  ltU: v.ltU,
  geS: v.geS,
  gtU: v.gtU,
};
const binary32: Record<string, Binary> = {
  add32: v.add32,
  sub32: v.sub32,
  mul32: v.mul32,
  and32: v.and32,
  or32: v.or32,
  xor32: v.xor32,
  shl32: v.shl32,
  shrS32: v.shrS32,
  shrU32: v.shrU32,
  rotl32: v.rotl32,
  ltS32: v.ltS32,
  ltU32: v.ltU32,
};

for (const [operations, operands] of [
  [binary64, WIDE],
  [binary32, NARROW],
] as const) {
  for (const [name, f] of Object.entries(operations)) {
    test(`${name} of constants`, () => {
      for (const x of operands) {
        for (const y of operands) {
          const right = plain(f as never, [x, y]);
          for (const constant of [
            [true, true],
            [true, false],
            [false, true],
          ])
            assert.equal(folded(f as never, [x, y], constant), right, `${x}, ${y}`);
        }
      }
    });
  }
}

test('conversions of constants', () => {
  for (const f of [v.wrap, v.sext32, v.zext32, v.not, v.neg])
    for (const x of WIDE) assert.equal(folded(f as never, [x], [true]), plain(f as never, [x]), `${f.name} ${x}`);
  for (const f of [v.extendS, v.extendU])
    for (const x of NARROW) assert.equal(folded(f, [x], [true]), plain(f, [x]), `${f.name} ${x}`);
});

test('chains of additions become one, where no bit is lost', () => {
  const x = v.local(0, 'i64');
  const once = v.add(v.add(x, 5), 7);
  assert.equal(once.a, x);
  assert.ok(v.isValue(once.b as v.Value, 12));
  const large = v.add(v.add(x, Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  assert.equal(evaluator.value(large, [3n]), 3n + 2n * BigInt(Number.MAX_SAFE_INTEGER));
});

test('nothing is done for neutral operands', () => {
  const x = v.local(0, 'i64');
  for (const f of [v.add, v.sub, v.or, v.xor, v.shl, v.shrU, v.shrS]) assert.equal(f(x, 0), x);
  assert.ok(v.isValue(v.and(x, 0), 0));
  assert.equal(v.select(v.i32(1), x, v.i64(2)), x);
});

test('types are checked', () => {
  assert.throws(() => v.add(v.i32(1), v.local(0, 'i32')), TypeError);
  assert.throws(() => v.select(v.i64(1) as never, v.i64(1), v.i64(1)), TypeError);
  assert.throws(() => v.load(op.I64_STORE, 0), TypeError);
  assert.throws(() => new Code().store(op.I64_STORE, 0, v.i32(1)), TypeError);
});

test('control flow: loops, blocks and early returns', () => {
  const sum = define('sum', ['i64'], 'i64', (f, n) => {
    const total = f.var(v.i64(0));
    const k = f.var(v.i64(0));
    f.while(
      () => v.ltU(k.value, n),
      () => {
        k.set(v.add(k.value, 1));
        f.if(v.eq(k.value, 50), () => f.return(v.i64(-1)));
        total.set(v.add(total.value, k.value));
      },
    );
    f.return(total.value);
  });
  assert.equal(evaluator.call(sum, [10n]), 55n);
  assert.equal(evaluator.call(sum, [100n]), u64(-1n));
});
