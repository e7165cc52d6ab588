/** Operands of all classes for the x87 functions, and what differs between two runs. */
import { CASE, type Kind, type Operation } from './x87-bench.ts';

const M64 = (1n << 64n) - 1n;
const TOP = 1n << 63n;

/** xorshift64*; the same seed gives the same cases. */
class Random {
  private state: bigint;
  constructor(seed: bigint) {
    this.state = ((seed * 0x9e3779b97f4a7c15n) & M64) | 1n;
  }
  bits64(): bigint {
    this.state ^= this.state >> 12n;
    this.state ^= (this.state << 25n) & M64;
    this.state ^= this.state >> 27n;
    return (this.state * 0x2545f4914f6cdd1dn) & M64;
  }
  below(n: number): number {
    return Number(this.bits64() >> 11n) % n;
  }
  /** Bits in runs, or few of them, or any. */
  significand(): bigint {
    const any = this.bits64();
    switch (this.below(6)) {
      case 0:
        return any;
      case 1:
        return (M64 << BigInt(this.below(64))) & M64;
      case 2:
        return 1n << BigInt(this.below(64));
      case 3:
        return (any << BigInt(this.below(64))) & M64;
      case 4:
        return M64 >> BigInt(this.below(64));
      default:
        return ((M64 << BigInt(this.below(64))) ^ (1n << BigInt(this.below(64)))) & M64;
    }
  }
}

type Register = readonly [significand: bigint, se: bigint];

function register(random: Random, near: bigint | undefined): Register {
  const sign = BigInt(random.below(2)) << 15n;
  const low = BigInt(random.below(140));
  const significand = random.significand();
  switch (random.below(16)) {
    case 0:
      return [0n, sign];
    case 1:
      return [significand & ~TOP, sign]; // denormal
    case 2:
      return [significand, sign | BigInt(random.below(3))];
    case 3:
      return [TOP, sign | 0x7fffn];
    case 4:
      return [significand | TOP, sign | 0x7fffn];
    case 5:
      return [significand, BigInt(random.below(0x10000))]; // unnormals and all else
    case 6:
      return [significand | TOP, sign | (0x7ffen - low)];
    case 7:
      return [significand | TOP, sign | (low + 1n)];
    case 8: // where binary32 ends
      return [significand | TOP, sign | (0x3fffn + (random.below(2) ? 100n : -155n) + low / 4n)];
    case 9: // and binary64
      return [significand | TOP, sign | (0x3fffn + (random.below(2) ? 1000n : -1080n) + low / 2n)];
    default: {
      const base = near === undefined || random.below(3) === 0 ? 0x3fffn + BigInt(random.below(70)) : near & 0x7fffn;
      const exponent = base + low - 70n;
      return [significand | TOP, sign | (exponent < 1n ? 1n : exponent > 0x7ffen ? 0x7ffen : exponent)];
    }
  }
}

function float(random: Random, bits: number, fraction: number): bigint {
  const top = (1n << BigInt(bits - fraction - 1)) - 1n;
  const sign = BigInt(random.below(2)) << BigInt(bits - 1);
  const f = random.significand() >> BigInt(64 - fraction);
  const exponents = [0n, top, top >> 1n, 1n, top - 1n, random.bits64() & top];
  const exponent = exponents[random.below(6)];
  return sign | (exponent << BigInt(fraction)) | (random.below(5) ? f : 0n);
}

function operand(random: Random, kind: Kind, near: bigint | undefined): Register {
  const sign = BigInt(random.below(2)) << 15n;
  switch (kind) {
    case 'f32':
      return [float(random, 32, 23), 0n];
    case 'f64':
      return [float(random, 64, 52), 0n];
    case 'i64':
      return [random.significand(), 0n];
    case 'bcd': {
      let digits = 0n;
      const count = random.below(19);
      for (let n = 0; n < count; n++) digits = (digits << 4n) | BigInt(random.below(10));
      return [digits & M64, (digits >> 64n) | (sign & 0x8000n)];
    }
    case 'angle': // from tiny to beyond 2^63
      if (random.below(5) === 0) return register(random, near);
      return [random.significand() | TOP, sign | (0x3fffn + BigInt(random.below(80)) - (random.below(4) ? 12n : 75n))];
    case 'unit': // up to 1, as f2xm1 takes it
    case 'quarter': {
      // Beyond, results are undefined.
      const top = kind === 'unit' ? 0x3ffen : 0x3ffcn;
      if (kind === 'unit' && random.below(50) === 0) return [TOP, sign | 0x3fffn];
      if (random.below(6) === 0) {
        const any = register(random, near);
        const exponent = any[1] & 0x7fffn;
        if (exponent <= top || exponent === 0x7fffn || any[0] < TOP) return any;
      }
      return [random.significand() | TOP, sign | (top - BigInt(random.below(random.below(4) ? 12 : 80)))];
    }
    case 'small': // exponents up to some thousands
      if (random.below(4) === 0) return register(random, near);
      return [random.significand() | TOP, sign | (0x3fffn + BigInt(random.below(20)) - 4n)];
    default:
      return register(random, near);
  }
}

/** `count` cases; control words of every rounding and precision, half of them with exceptions unmasked. */
export function makeCases(operation: Operation, count: number, seed: bigint): Uint8Array {
  const random = new Random(seed);
  const bytes = new Uint8Array(count * CASE.bytes);
  const view = new DataView(bytes.buffer);
  for (let n = 0; n < count; n++) {
    const at = n * CASE.bytes;
    const a = operand(random, operation.a, undefined);
    const b = random.below(20) === 0 && operation.a === operation.b ? a : operand(random, operation.b, a[1]);
    const put = (offset: number, [significand, se]: Register): void => {
      view.setBigUint64(at + offset, significand, true);
      view.setBigUint64(at + offset + 8, se, true);
    };
    put(CASE.a, a);
    put(CASE.b, b);
    put(CASE.result, operation.before === 'a' ? a : operation.before === 'b' ? b : [0xaaaaaaaaaaaaaaaan, 0xaaaan]);
    const plain = random.below(3) === 0;
    const precision = plain ? 3 : [0, 2, 3][random.below(3)];
    const rounding = plain ? 0 : random.below(4);
    const masks = random.below(2) ? 0x3f : random.below(64);
    view.setUint32(at + CASE.control, 0x40 | masks | (precision << 8) | (rounding << 10), true);
  }
  return bytes;
}

const hex = (x: bigint | number): string => x.toString(16);

/** Which of the status word's bits say how an inexact result was rounded. */
const C1 = 0x200;

/** Whether the registers at `at` are at most one unit in the last place apart, and alike in sign. */
function near(x: DataView, y: DataView, at: number): boolean {
  const key = (v: DataView): bigint => {
    const significand = v.getBigUint64(at, true);
    const exponent = v.getUint16(at + 8, true) & 0x7fff;
    return (BigInt(exponent - (exponent > 0 ? 1 : 0)) << 63n) + significand;
  };
  if (x.getUint16(at + 8, true) >> 15 !== y.getUint16(at + 8, true) >> 15) return false;
  const difference = key(x) - key(y);
  return difference >= -1n && difference <= 1n;
}

/**
 * Where a case's results differ: the first few in words. With `loose` registers may differ by a unit
 * in the last place, and C1 accordingly.
 */
export function differences(
  ours: Uint8Array,
  theirs: Uint8Array,
  fields: readonly (keyof typeof CASE)[],
  loose = false,
): string[] {
  const x = new DataView(ours.buffer, ours.byteOffset);
  const y = new DataView(theirs.buffer, theirs.byteOffset);
  const found: string[] = [];
  let wrong = 0;
  const reg = (v: DataView, at: number): string =>
    `${hex(v.getUint16(at + 8, true))}:${hex(v.getBigUint64(at, true)).padStart(16, '0')}`;
  for (let at = 0; at < ours.length; at += CASE.bytes) {
    let same = true;
    for (const field of fields) {
      const size = field === 'status' || field === 'eflags' ? 4 : 10;
      if (loose && size === 10) {
        if (!near(x, y, at + CASE[field])) same = false;
      } else if (loose && field === 'status') {
        if (((x.getUint32(at + CASE.status, true) ^ y.getUint32(at + CASE.status, true)) & ~C1) !== 0) same = false;
      } else
        for (let n = 0; n < size; n++) if (ours[at + CASE[field] + n] !== theirs[at + CASE[field] + n]) same = false;
    }
    if (same || wrong++ >= 8) continue;
    const show = (v: DataView): string =>
      `${reg(v, at + CASE.result)} ${reg(v, at + CASE.second)} sw ${hex(v.getUint32(at + CASE.status, true))}` +
      ` flags ${hex(v.getUint32(at + CASE.eflags, true))}`;
    found.push(
      `a ${reg(x, at + CASE.a)} b ${reg(x, at + CASE.b)} cw ${hex(x.getUint32(at + CASE.control, true))}` +
        ` ours ${show(x)} theirs ${show(y)}`,
    );
  }
  if (wrong > 8) found.push(`${wrong} of ${ours.length / CASE.bytes} differ`);
  return found;
}
