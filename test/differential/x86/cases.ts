/** Random cases: an instruction of a row, or a few of them that use each other's flags, and what they start from. */
import type { Row } from '../../../src/isa/x86/opcode.ts';
import type { Random } from '../random.ts';
import { type Encoded, encode, type Place } from './encode.ts';
import {
  type Case,
  CODE,
  DATA,
  DATA_BYTES,
  FS_BASE,
  GS_BASE,
  newRegisters,
  type Patch,
  type Registers,
  type Segments,
} from './record.ts';

const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;

/** An address for an operand: mostly in the data area, at its pages' ends, beyond them. */
function target(random: Random): number {
  const slack = 64;
  switch (random.below(12)) {
    case 0:
      return DATA + 0x1000 * random.between(1, 3) - random.below(34);
    case 1:
      return DATA + 0x1000 * random.between(1, 3) - random.below(10);
    case 2:
      return DATA + DATA_BYTES - random.below(34);
    case 3:
      if (random.chance(0.3)) return DATA + DATA_BYTES + 0x1000 - random.below(20);
      if (random.chance(0.3)) return DATA - random.below(20);
      return random.chance(0.5) ? DATA + DATA_BYTES + random.below(0x1000) : random.u32();
    case 4:
    case 5:
      return DATA + slack + random.below(DATA_BYTES - 2 * slack);
    default:
      return DATA + slack + (random.below(DATA_BYTES - 2 * slack) & ~31);
  }
}

/** An extended double: the kinds that arithmetic goes wrong on. */
function extended(random: Random): { low: bigint; high: number } {
  const exponent = random.pick([
    0,
    0,
    1,
    0x3ffe,
    0x3fff,
    0x3fff,
    0x4000,
    0x401d,
    0x403e,
    0x7ffe,
    0x7fff,
    random.below(0x8000),
  ]);
  const fraction = random.pick([
    0n,
    1n,
    1n << 62n,
    (1n << 63n) - 1n,
    random.u64() >> 1n,
    random.u64() & ~0x7ffn & ((1n << 63n) - 1n),
  ]);
  // Rarely an encoding that later processors do not support.
  const one = exponent === 0 ? random.chance(0.1) : random.chance(0.97);
  return { low: fraction | (one ? 1n << 63n : 0n), high: exponent | (random.below(2) << 15) };
}

function vectorLanes(random: Random, view: DataView, at: number): void {
  const kind = random.below(4);
  for (let n = 0; n < 2; n++) {
    let value = random.integer();
    if (kind === 1) value = random.float();
    else if (kind === 2) value = BigInt.asUintN(64, (random.float() << 32n) | (random.float() & 0xffff_ffffn));
    else if (kind === 3) value = random.u64();
    view.setBigUint64(at + 8 * n, value, true);
  }
}

/** Registers full of interesting values; x87 and vector registers only where somebody will look at them. */
function registers(random: Random, bits: 16 | 32 | 64, wide: boolean): Registers {
  const made = newRegisters();
  const { gpr, fx, ymmh } = made;
  for (let n = 0; n < (bits === 64 ? 16 : 8); n++)
    gpr[n] = bits === 64 ? random.integer() : random.integer() & 0xffff_ffffn;
  made.flags = BigInt(random.u32() & 0x8d5) | 2n | (random.chance(0.3) ? 0x400n : 0n);
  const view = new DataView(fx.buffer);
  view.setUint16(0, 0x37f, true);
  view.setUint32(24, 0x1f80, true);
  if (!wide) return made;
  const high = new DataView(ymmh.buffer);
  for (let n = 0; n < (bits === 64 ? 16 : 8); n++) {
    vectorLanes(random, view, 160 + 16 * n);
    vectorLanes(random, high, 16 * n);
  }
  if (random.chance(0.4)) {
    // Rounding, flush to zero, denormals are zero; sometimes exceptions.
    const masks = random.chance(0.7) ? 0x1f80 : random.u32() & 0x1f80;
    view.setUint32(24, masks | (random.u32() & 0xe07f), true);
  }
  const masks = random.chance(0.85) ? 0x3f : random.u32() & 0x3f;
  view.setUint16(
    0,
    (random.chance(0.5) ? 0x340 : random.pick([0, 0x200, 0x300]) | (random.below(4) << 10) | 0x40) | masks,
    true,
  );
  // Exception flags that are unmasked would stand before the first instruction.
  const status = random.u32() & 0x473f & (masks | ~0x3f);
  view.setUint16(2, status | (random.below(8) << 11), true);
  fx[4] = random.chance(0.5) ? 0xff : random.u32() & 0xff;
  for (let n = 0; n < 8; n++) {
    const { low, high: upper } = extended(random);
    view.setBigUint64(32 + 16 * n, low, true);
    view.setUint16(40 + 16 * n, upper, true);
  }
  return made;
}

/** Lets the registers of an operand's address give `to`. */
function aim(random: Random, encoded: Encoded, to: number, { gpr, fx, ymmh }: Registers, place: Place): void {
  const { address } = encoded;
  if (!address) return;
  const { base, index, vectorIndex, scale, disp, asize, segment } = address;
  const offset = to - (segment === 'fs' ? FS_BASE : segment === 'gs' ? GS_BASE : place.dataBase);
  const put = (n: number, value: bigint) => {
    // Of an address of 32 bits the upper half does not count.
    const cut = asize === 64 ? value : BigInt.asUintN(asize, value) | ((gpr[n] >> BigInt(asize)) << BigInt(asize));
    gpr[n] = BigInt.asUintN(place.bits === 64 ? 64 : 32, cut);
  };
  let sum = BigInt(offset) - BigInt(disp);
  if (vectorIndex >= 0) {
    // Indices within a few KiB of one another.
    for (let n = 0; n < 4; n++) {
      const value = BigInt(random.below(0x1000)) & ~3n;
      const both = random.chance(0.5) ? value : value | (BigInt(random.below(0x1000)) << 32n);
      new DataView(n < 2 ? fx.buffer : ymmh.buffer).setBigUint64(
        (n < 2 ? 160 : 0) + 16 * vectorIndex + 8 * (n & 1),
        both,
        true,
      );
    }
    sum = BigInt(DATA + 0x1000 - place.dataBase) - BigInt(disp);
  } else if (index >= 0 && index === base) {
    put(base, sum / BigInt(1 + (1 << scale)));
    return;
  } else if (index >= 0 && base >= 0) {
    if (random.chance(0.5)) put(index, BigInt(random.below(512) - 256));
    sum -= gpr[index] << BigInt(scale);
  } else if (index >= 0) {
    put(index, sum >> BigInt(scale));
    return;
  }
  if (base >= 0) put(base, sum);
}

/** Instructions that use memory without saying so: the registers that point to it. */
function pointers(row: Row): readonly number[] {
  const { mnemonic, traits } = row;
  if (traits.string) return [RSI, RDI];
  if (/^(push|pop|call|ret)/.test(mnemonic)) return [RSP];
  if (mnemonic === 'enter') return [RSP, RBP];
  if (mnemonic === 'leave') return [RBP];
  if (mnemonic === 'xlat') return [3];
  if (/^v?maskmov(q|dqu)/.test(mnemonic)) return [RDI];
  return [];
}

/** TF, IOPL, NT, RF, AC, ID. */
const NOT_POPPED = 0x0025_7100n;

export interface Options {
  readonly bits: 16 | 32 | 64;
  readonly segments?: Segments;
  /** The rows of its instructions. */
  readonly rows: readonly Row[];
  /** Vector and x87 registers matter. */
  readonly wide: boolean;
}

export function makeCase(random: Random, { bits, segments = 'flat', rows, wide }: Options): Case {
  const dataBase = segments === 'flat' ? 0 : DATA;
  const width = bits === 64 ? 64 : 32;
  const at = 0x400 + random.below(0x800);
  const start = registers(random, bits, wide);
  const code: Uint8Array[] = [];
  const patches: Patch[] = [];
  let ip = CODE + at;
  const last: { encoded: Encoded; to: number; place: Place }[] = [];
  for (const row of rows) {
    const to = target(random);
    const away = random.between(64, 120);
    const place = {
      bits,
      ip,
      target: to,
      jump: random.chance(0.5) ? ip + away : ip - away,
      dataBase,
      fsBase: FS_BASE,
      gsBase: GS_BASE,
      wrong: true,
    };
    const encoded = encode(row, random, place);
    code.push(encoded.bytes);
    ip += encoded.bytes.length;
    last.push({ encoded, to, place });
  }
  const stackAt = () => Number(bits === 16 ? start.gpr[RSP] & 0xffffn : start.gpr[RSP]) - (DATA - dataBase);
  rows.forEach((row, n) => {
    const { encoded, to, place } = last[n];
    const { gpr } = start;
    for (const pointer of pointers(row)) {
      let value = BigInt(target(random) - dataBase);
      if (encoded.asize === 16 && dataBase === 0) value -= BigInt(random.pick([FS_BASE, GS_BASE]));
      // Above the 16 bits that count here stands anything.
      if (bits === 16) value = (value & 0xffffn) | (gpr[pointer] & 0xffff_0000n);
      gpr[pointer] = BigInt.asUintN(width, value);
    }
    if (row.traits.string && random.chance(0.9)) gpr[1] = BigInt(random.below(40));
    aim(random, encoded, to, start, place);
    if (row.mnemonic === 'popf') {
      // Neither single steps nor alignment checks; NT and ID would stay through the process.
      const stack = stackAt();
      if (stack >= 0 && stack + 8 <= DATA_BYTES) {
        const value = random.u64() & ~NOT_POPPED;
        // Patches are words of 8 bytes wherever they stand.
        patches.push({ at: stack, value });
      } else gpr[RSP] = 0x8000n;
    }
    if (/^ret$/.test(row.mnemonic) && random.chance(0.9)) {
      const stack = stackAt();
      if (stack >= 0 && stack + 8 <= DATA_BYTES)
        patches.push({ at: stack, value: BigInt((dataBase === 0 ? CODE : 0) + 0xf00 + random.below(64)) });
    }
    // Dividends that do not overflow, now and then.
    if (/^i?div$/.test(row.mnemonic) && random.chance(0.7))
      gpr[2] = random.chance(0.5) ? 0n : BigInt.asUintN(width, BigInt(random.below(64) - 32));
  });
  return { bits, segments, at, code, start, patches: patches.slice(0, 4) };
}
