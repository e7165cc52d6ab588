/** SSE floating point, results and flags, against this machine's processor. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import * as op from '../../src/ir/op.ts';
import { type Callable, type Code, define } from '../../src/ir/code.ts';
import { type Datum, Evaluator, type World } from '../../src/ir/evaluate.ts';
import { cpu, i32, load, type Value, wrap } from '../../src/ir/value.ts';
import { constant128, zero } from '../../src/ir/vector.ts';
import { double, type Precision, single } from '../../src/isa/x86/simd/format.ts';
import { isFast } from '../../src/isa/x86/simd/mxcsr.ts';
import { Sse } from '../../src/isa/x86/simd/sse.ts';
import { random64 } from './float-cases.ts';
import { CASE, differences, nativeRunner, STATE, type Subject, webAssemblyRunner } from './x86-simd-bench.ts';

const SEED = BigInt(testSeed(process.env));
const COUNT = 2000;
const prepare = (code: Code): void =>
  code.store(op.I32_STORE, cpu, isFast(load(op.I32_LOAD, cpu, STATE.mxcsr)), STATE.fast);
const sse = new Sse({ mxcsr: STATE.mxcsr, fast: () => load(op.I32_LOAD, cpu, STATE.fast), after: prepare });
/** Nothing is unmasked here. */
const fault = (): void => {};

const subjects: (Subject & { readonly approximate?: boolean })[] = [];
const put = (name: string, type: Subject['type'], c: string, ir: Subject['ir'], approximate = false): void => {
  subjects.push({ name, type, c, ir, approximate });
};
const PRECISIONS = [
  { p: single, letter: 's', as: (x: string) => `PS(${x})`, si: (x: string) => `SI(${x})` },
  { p: double, letter: 'd', as: (x: string) => `PD(${x})`, si: (x: string) => `DI(${x})` },
] as const;

for (const { p, letter, as, si } of PRECISIONS) {
  const [A, B, C] = ['a', 'b', 'c'].map(as);
  const packed = `p${letter}`;
  const scalar = `s${letter}`;
  for (const name of ['add', 'sub', 'mul', 'div', 'min', 'max'] as const) {
    // A compiler takes sums and products to be commutative, which they are not for NaNs.
    const asm = (mnemonic: string) =>
      `({ __m128i x; __asm__ volatile("v${name}${mnemonic} %2, %1, %0" : "=x"(x) : "x"(a), "x"(b)); x; })`;
    put(`${name}${packed}`, 'v128', asm(packed), (code, { a, b }) => sse.packed(code, p, name, a, b, fault));
    put(`${name}${scalar}`, 'v128', asm(scalar), (code, { a, b }) => sse.scalar(code, p, name, a, b, fault));
  }
  put(`sqrt${packed}`, 'v128', si(`_mm_sqrt_${packed}(${A})`), (code, { a }) => sse.packedSqrt(code, p, a, fault));
  const root = letter === 's' ? `_mm_move_ss(${A}, _mm_sqrt_ss(${B}))` : `_mm_sqrt_sd(${A}, ${B})`;
  put(`sqrt${scalar}`, 'v128', si(root), (code, { a, b }) => sse.scalar(code, p, 'sqrt', a, b, fault));
  put(`addsub${packed}`, 'v128', si(`_mm_addsub_${packed}(${A}, ${B})`), (code, { a, b }) =>
    sse.addsub(code, p, a, b, fault),
  );
  for (const name of ['add', 'sub'] as const)
    put(`h${name}${packed}`, 'v128', si(`_mm_h${name}_${packed}(${A}, ${B})`), (code, { a, b }) =>
      sse.horizontal(code, p, name, a, b, fault),
    );
  for (const imm of letter === 's' ? [0xff, 0x71, 0xf5, 0x3a, 0x0f] : [0x33, 0x31, 0x12, 0x21])
    put(`dp${packed} ${imm}`, 'v128', si(`_mm_dp_${packed}(${A}, ${B}, ${imm})`), (code, { a, b }) =>
      sse.dotProduct(code, p, a, b, imm, fault),
    );
  for (let predicate = 0; predicate < 32; predicate++) {
    put(`cmp${packed} ${predicate}`, 'v128', si(`_mm_cmp_${packed}(${A}, ${B}, ${predicate})`), (code, { a, b }) =>
      sse.compare(code, p, a, b, predicate, fault),
    );
    put(`cmp${scalar} ${predicate}`, 'v128', si(`_mm_cmp_${scalar}(${A}, ${B}, ${predicate})`), (code, { a, b }) =>
      sse.compareScalar(code, p, a, b, predicate, fault),
    );
  }
  for (const name of ['comi', 'ucomi'] as const) {
    const instruction = `${name}${scalar}`;
    const asm = `({ unsigned long f; __asm__ volatile("${instruction} %2, %1; pushfq; popq %0" : "=r"(f) : "x"(${A}), "x"(${B}) : "cc"); f & 0x8d5; })`;
    put(instruction, 'i32', asm, (code, { a, b }) => sse.order(code, p, a, b, name === 'comi', fault));
  }
  for (const [t, cut] of [
    ['', false],
    ['t', true],
  ] as const) {
    for (const [bits, type] of [
      [32, 'i32'],
      [64, 'i64'],
    ] as const)
      put(`cvt${t}${scalar}2si ${bits}`, type, `_mm_cvt${t}${scalar}_si${bits}(${A})`, (code, { a }) =>
        sse.toInteger(code, p, a, bits, cut, fault),
      );
    put(`cvt${t}${packed}2dq`, 'v128', `_mm_cvt${t}${packed}_epi32(${A})`, (code, { a }) =>
      sse.toIntegers(code, p, a, cut, fault),
    );
  }
  put(`cvtsi2${scalar} 32`, 'v128', si(`_mm_cvtsi32_${scalar}(${A}, (int)m)`), (code, { a, m }) =>
    sse.fromInteger(code, p, a, code.let(wrap(m)), fault),
  );
  put(`cvtsi2${scalar} 64`, 'v128', si(`_mm_cvtsi64_${scalar}(${A}, m)`), (code, { a, m }) =>
    sse.fromInteger(code, p, a, m, fault),
  );
  for (const imm of [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]) {
    put(`round${packed} ${imm}`, 'v128', si(`_mm_round_${packed}(${A}, ${imm})`), (code, { a }) =>
      sse.round(code, p, a, imm, fault),
    );
    put(`round${scalar} ${imm}`, 'v128', si(`_mm_round_${scalar}(${A}, ${B}, ${imm})`), (code, { a, b }) =>
      sse.roundScalar(code, p, a, b, imm, fault),
    );
  }
  for (const [name, product, addend] of [
    ['fmadd', false, false],
    ['fmsub', false, true],
    ['fnmadd', true, false],
    ['fnmsub', true, true],
  ] as const) {
    put(`v${name}${packed}`, 'v128', si(`_mm_${name}_${packed}(${A}, ${B}, ${C})`), (code, { a, b, c }) =>
      sse.fma(code, p, a, b, c, [{ product, addend }], fault),
    );
    // The scalar intrinsic may be compiled to any of the three orders, which differ in which NaN wins.
    const asm = `({ __m128i x = a; __asm__ volatile("v${name}213${scalar} %2, %1, %0" : "+x"(x) : "x"(b), "x"(c)); x; })`;
    put(`v${name}213${scalar}`, 'v128', asm, (code, { a, b, c }) =>
      sse.fmaScalar(code, p, a, [b, a, c], { product, addend }, fault),
    );
  }
}
put('cvtdq2ps', 'v128', 'SI(_mm_cvtepi32_ps(a))', (code, { a }) => sse.fromIntegers(code, a, fault));
put('cvtdq2pd', 'v128', 'DI(_mm_cvtepi32_pd(a))', (_, { a }) => sse.fromIntegersToDouble(a));
put('cvtps2pd', 'v128', 'DI(_mm_cvtps_pd(PS(a)))', (code, { a }) => sse.toOther(code, single, a, fault));
put('cvtpd2ps', 'v128', 'SI(_mm_cvtpd_ps(PD(a)))', (code, { a }) => sse.toOther(code, double, a, fault));
put('cvtss2sd', 'v128', 'DI(_mm_cvtss_sd(PD(a), PS(b)))', (code, { a, b }) =>
  sse.toOtherScalar(code, single, a, b, fault),
);
put('cvtsd2ss', 'v128', 'SI(_mm_cvtsd_ss(PS(a), PD(b)))', (code, { a, b }) =>
  sse.toOtherScalar(code, double, a, b, fault),
);
put('vcvtph2ps', 'v128', 'SI(_mm_cvtph_ps(a))', (code, { a }) => sse.fromHalf(code, a, fault));
for (const imm of [0, 1, 2, 3, 4])
  put(`vcvtps2ph ${imm}`, 'v128', `_mm_cvtps_ph(PS(a), ${imm})`, (code, { a }) => sse.toHalf(code, a, imm, fault));
put('rcpps', 'v128', 'SI(_mm_rcp_ps(PS(a)))', (code, { a }) => sse.approximate(code, 'rcp', a), true);
put('rsqrtps', 'v128', 'SI(_mm_rsqrt_ps(PS(a)))', (code, { a }) => sse.approximate(code, 'rsqrt', a), true);

const random = random64(SEED);
const pick = <T>(list: readonly T[]): T => list[Number(random() % BigInt(list.length))];
const ODD32 = [
  ...[0, 1, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7f800001, 0x7fc12345, 0x3f800000],
  ...[0x3f000000, 0x3fc00000, 0x40200000, 0x4b000001, 0x4f000000, 0x4effffff, 0x5f000000, 0x33000000, 0x38800000],
  ...[0x387fe000, 0x387fffff, 0x477ff000, 0x477fefff, 0x33800000, 0x34000000, 0x00400000, 0x1f800000, 0x5f7fffff],
].map(BigInt);
const ODD64 = [
  ...[0n, 1n, (1n << 52n) - 1n, 1n << 52n, (1n << 52n) + 1n, 0x7fefffffffffffffn, 0x7ff0n << 48n, 0x7ff8n << 48n],
  ...[(0x7ff0n << 48n) + 1n, (0x7ff8n << 48n) + 77n, 0x3ff0n << 48n, 0x3fe0n << 48n, 0x3ff8n << 48n, 0x4004n << 48n],
  ...[0x41dfffffffc00000n, 0x41dfffffffe00000n, 0x41e0n << 48n, 0x43e0n << 48n, 0x3810n << 48n, 0x380fffffe0000000n],
  ...[0x380ffffff0000000n, 0x47efffffe0000000n, 0x47effffff0000000n, 0x36a0n << 48n, 0x3690n << 48n, 1n << 51n],
];
/** A binary32 or binary64: odd, of any exponent, or near 1. */
function number(width: 32 | 64): bigint {
  const [odd, fraction, bias] = width === 32 ? [ODD32, 23n, 127n] : [ODD64, 52n, 1023n];
  const sign = (random() & 1n) << BigInt(width - 1);
  const few = random() & 1n ? random() : random() & random() & random() & random();
  const near = ((bias - 4n + (random() & 7n)) << fraction) | (few & ((1n << fraction) - 1n));
  switch (random() & 7n) {
    case 0n:
    case 1n:
      return pick(odd) | sign;
    case 2n:
      return BigInt.asUintN(width, random());
    case 3n: // at the lower end
      return ((random() & 7n) << fraction) | (few & ((1n << fraction) - 1n)) | sign;
    default:
      return near | sign;
  }
}
function makeCases(): Uint8Array {
  const cases = new Uint8Array(COUNT * CASE);
  const view = new DataView(cases.buffer);
  for (let at = 0; at < cases.length; at += CASE) {
    const width = random() & 1n ? 32 : 64;
    // Every lane like the others in half of the cases, so that the host's way is gone too.
    const easy = (random() & 1n) === 0n;
    for (const offset of [0, 16, 32]) {
      for (let n = 0; n < 16; n += width / 8) {
        let lane = number(width);
        if (easy)
          lane = width === 32 ? 0x3f800000n + (lane & 0x81ffffffn) : (0x3ff0n << 48n) + (lane & ~(0x7ffen << 48n));
        if (width === 32) view.setUint32(at + offset + n, Number(lane), true);
        else view.setBigUint64(at + offset + n, BigInt.asUintN(64, lane), true);
      }
    }
    const control = random() & 1n ? 0x1fa0 : 0x1f80 | Number(random() & 0xe07fn);
    view.setUint32(at + 80, control, true);
    const m = [
      random(),
      random() & 0xffffffn,
      BigInt.asUintN(64, -(random() & 0xfffffffffn)),
      (1n << 53n) + (random() & 7n),
    ];
    view.setBigUint64(at + 88, pick(m), true);
  }
  return cases;
}

/** Approximations: within 2^-11 of each other, and alike where they are no numbers. */
function near(ours: bigint, theirs: bigint): boolean {
  const floats = new Float32Array(2);
  const bits = new Uint32Array(floats.buffer);
  for (let at = 0n; at < 128n; at += 32n) {
    bits[0] = Number((ours >> at) & 0xffffffffn);
    bits[1] = Number((theirs >> at) & 0xffffffffn);
    if (bits[0] === bits[1]) continue;
    // What comes out at the lower end a processor may give as a denormal number or as zero.
    if (Math.abs(floats[0]) < 2 ** -125 && Math.abs(floats[1]) < 2 ** -125 && bits[0] >> 31 === bits[1] >> 31) continue;
    if (!(Math.abs(floats[0] - floats[1]) <= Math.abs(floats[1]) * 2 ** -11)) return false;
  }
  return true;
}

const native = nativeRunner(subjects);
test('SSE floating point against the processor', { skip: typeof native === 'string' ? native : false }, async (t) => {
  assert.ok(typeof native !== 'string');
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  const cases = makeCases();
  const ours = webAssemblyRunner(subjects, COUNT, prepare)(cases);
  const theirs = native(cases);
  for (const [n, { name, type, approximate }] of subjects.entries())
    await t.test(name, () => {
      assert.deepEqual(differences(cases, ours[n], theirs[n], type, approximate ? near : undefined, true), []);
    });
});

test('an exception that is not masked faults, and is flagged', () => {
  const faults = 40;
  const divide = (p: Precision) =>
    define('divide', [], undefined, (code) => {
      prepare(code);
      code.store(op.I32_STORE, i32(0), 0, faults);
      const one = constant128(p === single ? 0x3f80_0000n : 0x3ffn << 52n);
      const ones: Value = code.let(one);
      const result = sse.scalar(code, p, 'div', ones, zero, () => code.store(op.I32_STORE, i32(0), 1, faults));
      code.store(op.V128_STORE, i32(0), result, 48);
    });
  for (const p of [single, double]) {
    const memory = new DataView(new ArrayBuffer(128));
    const run = (mxcsr: number): [number, number] => {
      memory.setUint32(STATE.mxcsr, mxcsr, true);
      new Evaluator({ memory, cpu: 0 } as unknown as World).call(divide(p), []);
      return [memory.getUint32(faults, true), memory.getUint32(STATE.mxcsr, true)];
    };
    assert.deepEqual(run(0x1f80), [0, 0x1f84]);
    assert.deepEqual(run(0x1d80), [1, 0x1d84]);
    assert.deepEqual(run(0x1fa0), [0, 0x1fa4]);
  }
});

test('usual numbers are left to the host', () => {
  const sum = define('sum', [], undefined, (code) => {
    prepare(code);
    const x = code.let(load(op.V128_LOAD, cpu, 64));
    const y = sse.packed(code, single, 'mul', x, x, fault);
    code.store(op.V128_STORE, cpu, sse.scalar(code, single, 'add', code.let(y), x, fault), 64);
  });
  const called: string[] = [];
  class Listening extends Evaluator {
    override call(target: Callable, args: readonly Datum[]): Datum {
      called.push(target.name);
      return super.call(target, args);
    }
  }
  const memory = new DataView(new ArrayBuffer(128));
  const run = (mxcsr: number): string[] => {
    called.length = 0;
    memory.setUint32(STATE.mxcsr, mxcsr, true);
    for (const n of [0, 1, 2, 3]) memory.setFloat32(64 + 4 * n, n, true); // zeros too
    new Listening({ memory, cpu: 0 } as unknown as World).call(sum, []);
    assert.equal(memory.getFloat32(64 + 12, true), 9);
    return called.filter((name) => name.startsWith('sse_'));
  };
  assert.deepEqual(run(0x1fa0), []);
  assert.ok(run(0x1f80).length > 0);
  assert.ok(run(0x9fa0).length > 0);
});
