/** Operands that floating point goes wrong on, and random ones; repeatable by seed. */
import { CASE_BYTES, type Operation } from './float-bench.ts';

/** xorshift64*: 64 bits a call. */
export function random64(seed: bigint): () => bigint {
  const mask = (1n << 64n) - 1n;
  let state = (seed * 0x9e37_79b9_7f4a_7c15n + 1n) & mask;
  return () => {
    state ^= state >> 12n;
    state = (state ^ (state << 25n)) & mask;
    state ^= state >> 27n;
    return (state * 0x2545_f491_4f6c_dd1dn) & mask;
  };
}

type Format = { readonly bits: bigint; readonly fraction: bigint; readonly top: bigint };
const F32: Format = { bits: 32n, fraction: 23n, top: 255n };
const F64: Format = { bits: 64n, fraction: 52n, top: 2047n };

function specials({ fraction, top, bits }: Format): bigint[] {
  const one = (top >> 1n) << fraction;
  const ulp = 1n << fraction;
  const magnitudes = [
    0n,
    1n,
    2n,
    ulp - 1n, // largest subnormal
    ulp, // smallest normal
    ulp + 1n,
    one - 1n,
    one,
    one + 1n,
    one + (ulp >> 1n), // 1.5
    one - ulp, // 0.5
    one + ulp, // 2
    one + 31n * ulp, // 2^31
    one + 31n * ulp - 1n,
    one + 32n * ulp,
    one + 63n * ulp,
    one + 63n * ulp - 1n,
    one + 64n * ulp,
    one + fraction * ulp + 1n,
    (top << fraction) - 1n, // largest finite
    (top - 1n) << fraction,
    top << fraction, // infinity
    (top << fraction) + 1n, // signalling NaN
    (top << fraction) + (ulp >> 1n), // quiet NaN
    (top << fraction) + ulp - 1n,
  ];
  return magnitudes.flatMap((x) => [x, x | (1n << (bits - 1n))]);
}

/** A number whose fraction has few bits set, or few clear, so that ties and exact results come up. */
function fractionOf(random: () => bigint, { fraction }: Format): bigint {
  const all = (1n << fraction) - 1n;
  const r = random();
  switch (r & 3n) {
    case 0n:
      return random() & all;
    case 1n:
      return (1n << (random() % fraction)) | (1n << (random() % fraction));
    case 2n:
      return all ^ ((1n << (random() % fraction)) - 1n);
    default:
      return (random() & 0xfn) << (random() % (fraction - 3n));
  }
}

function operand(random: () => bigint, f: Format, special: readonly bigint[], near: bigint): bigint {
  const r = random();
  if (r % 16n === 0n) return special[Number(random() % BigInt(special.length))];
  const field = random();
  let exponent: bigint;
  if (r % 16n < 4n) exponent = field % f.top;
  else if (r % 16n < 6n) exponent = field % 3n;
  else if (r % 16n < 7n) exponent = f.top - 1n - (field % 3n);
  else exponent = near + (field % 129n) - 64n;
  if (exponent < 0n) exponent = 0n;
  if (exponent >= f.top) exponent = f.top - 1n;
  return (
    ((random() & 1n) << (f.bits - 1n)) | (exponent << f.fraction) | (fractionOf(random, f) & ((1n << f.fraction) - 1n))
  );
}

function integer(random: () => bigint): bigint {
  const length = random() % 65n;
  const x = length === 0n ? 0n : random() >> (64n - length);
  const r = random() & 7n;
  if (r < 4n) return x;
  if (r < 6n) return BigInt.asUintN(64, -x);
  return BigInt.asUintN(64, (1n << (length % 64n)) + (random() % 3n) - 1n);
}

/** `count` cases as float-oracle.c reads them, rounding modes 0 to `modes` - 1. */
export function makeCases(operation: Operation, count: number, modes: number, seed: bigint): Uint8Array {
  const random = random64(seed);
  const format = operation.kind === 'f32' ? F32 : F64;
  const special = specials(format);
  const cases = new Uint8Array(count * CASE_BYTES);
  const view = new DataView(cases.buffer);
  // First every pair of special values, as far as they fit, then random ones.
  for (let n = 0; n < count; n++) {
    const at = n * CASE_BYTES;
    const near = n % 2 === 0 ? format.top >> 1n : random() % format.top;
    for (let k = 0; k < 3; k++) {
      let x: bigint;
      if (operation.kind === 'integer') x = integer(random);
      else if (k < 2 && operation.operands <= 2 && n < special.length ** 2) {
        x = special[k === 0 ? n % special.length : Math.floor(n / special.length)];
      } else x = operand(random, format, special, near);
      // The sum of a product and its own negation, nearly: what fused multiply-add cancels.
      if (k === 2 && operation.operands === 3 && n % 4 === 1) x = opposite(view, at, format, random);
      view.setBigUint64(at + 8 * k, x, true);
    }
    view.setUint32(at + 24, operation.rounds ? Number(random() % BigInt(modes)) : 0, true);
  }
  return cases;
}

const scratch = new DataView(new ArrayBuffer(8));
function opposite(view: DataView, at: number, format: Format, random: () => bigint): bigint {
  const few = (random() % 5n) - 2n;
  if (format === F32) {
    scratch.setFloat32(0, -(view.getFloat32(at, true) * view.getFloat32(at + 8, true)));
    return BigInt.asUintN(32, BigInt(scratch.getUint32(0)) + few);
  }
  scratch.setFloat64(0, -(view.getFloat64(at, true) * view.getFloat64(at + 8, true)));
  return BigInt.asUintN(64, scratch.getBigUint64(0) + few);
}

/** The first few cases in which two runs differ, in words; empty when none does. */
export function differences(
  ours: Uint8Array,
  theirs: Uint8Array,
  wants: (result: bigint) => bigint = (x) => x,
): string[] {
  const a = new DataView(ours.buffer, ours.byteOffset);
  const b = new DataView(theirs.buffer, theirs.byteOffset);
  const found: string[] = [];
  const hex = (x: bigint) => `0x${x.toString(16)}`;
  for (let at = 0; at < ours.length && found.length < 5; at += CASE_BYTES) {
    const result = wants(a.getBigUint64(at + 32, true));
    const right = wants(b.getBigUint64(at + 32, true));
    const flags = a.getUint32(at + 28, true);
    const rightFlags = b.getUint32(at + 28, true);
    if (result === right && flags === rightFlags) continue;
    const operands = [0, 8, 16].map((k) => hex(a.getBigUint64(at + k, true))).join(', ');
    const rm = a.getUint32(at + 24, true);
    found.push(`(${operands}) rm ${rm}: ${hex(result)} flags ${flags}, should be ${hex(right)} flags ${rightFlags}`);
  }
  return found;
}
