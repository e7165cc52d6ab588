/**
 * Random encodings of a row: operand sizes, REX and VEX, every form of address.
 *
 * Spec: SDM volume 2, "Instruction Format", "ModR/M and SIB Bytes", "REX
 * Prefixes", "VEX". Written apart from the decoder, so that it can find the decoder's mistakes.
 */
import type { Row } from '../../../src/isa/x86/opcode.ts';
import type { Random } from '../random.ts';

/** The memory operand of an encoding; the generator of states lets it reach what it wants. */
export interface Address {
  /** General registers, or -1. */
  readonly base: number;
  readonly index: number;
  /** A vector register whose elements are indices, or -1. */
  readonly vectorIndex: number;
  readonly scale: number;
  readonly disp: number;
  readonly asize: 16 | 32 | 64;
  /** What FS or GS adds. */
  readonly segment: 'fs' | 'gs' | undefined;
}

export interface Encoded {
  readonly bytes: Uint8Array;
  /** Absent where there is none, or where it is fixed by the encoding. */
  readonly address: Address | undefined;
  readonly osize: 16 | 32 | 64;
  readonly asize: 16 | 32 | 64;
  readonly repeats: boolean;
}

export interface Place {
  readonly bits: 16 | 32 | 64;
  /** The instruction's address. */
  readonly ip: number;
  /** Where addresses that are fixed by the encoding should point. */
  readonly target: number;
  /** Where a relative jump should go. */
  readonly jump: number;
  /** What DS, ES and SS add. */
  readonly dataBase: number;
  readonly fsBase: number;
  readonly gsBase: number;
  /** Now and then encodings that are no instructions. */
  readonly wrong: boolean;
}

const SEGMENT_BYTE = { fs: 0x64, gs: 0x65 } as const;
/** Of 16-bit addresses: base, index by ModRM.rm. */
const PAIRS = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
] as const;

const little = (value: bigint | number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, n) => Number((BigInt(value) >> BigInt(8 * n)) & 0xffn));

/** Whether a row exists in code of `bits`. */
export const exists = ({ traits: { only } }: Row, bits: 16 | 32 | 64): boolean =>
  only === undefined || (only === 'long') === (bits === 64);

const isImplicit = (code: string) => /^(AL|CL|AX|DX|EAX|ECX|EDX|eAX|1|ST|ES|CS|SS|DS|FS|GS)$/.test(code);

export function encode(row: Row, random: Random, place: Place): Encoded {
  const { opcode, operands, traits } = row;
  const { bits } = place;
  const long = bits === 64;
  const codes = operands.filter((code) => !isImplicit(code));
  const sized =
    operands.some((code) => /^(.[vzy]|eAX)$/.test(code)) || /^(movs|cmps|stos|lods|scas)$/.test(row.mnemonic);
  const prefixFree = opcode.prefix === 'any' && !opcode.vex;
  const jumps = codes.some((code) => code[0] === 'J') || (traits.flow !== undefined && traits.flow !== 'system');

  // Operand size.
  let osize: 16 | 32 | 64 = bits === 16 ? 16 : 32;
  let has66 = opcode.prefix === '66' && !opcode.vex;
  let w = opcode.w ?? false;
  if (opcode.w === undefined && long && random.chance(sized || opcode.vex ? 0.4 : 0.1)) w = true;
  const near = traits.size === 'f64' && jumps;
  // With a near jump processors differ about an operand size of 16 bits.
  if (prefixFree && !near && random.chance(sized || traits.size === 'd64' || operands.length === 0 ? 0.3 : 0.03))
    has66 = true;
  if (opcode.prefix === '66' && opcode.vex) has66 = false;
  if (has66) osize = bits === 16 ? 32 : 16;
  if (traits.size && long && (osize === 32 || traits.size === 'f64')) osize = 64;
  if (w && long) osize = 64;

  // ModRM.
  const memoryCode = codes.some((code) => code[0] === 'M');
  const registerCode = codes.some((code) => /^[RUN]/.test(code)) || opcode.modrm === 'reg';
  const hasModrm = opcode.modrm !== 'none';
  const isMemory =
    hasModrm &&
    opcode.exact === undefined &&
    !registerCode &&
    (memoryCode || opcode.modrm === 'mem' || random.chance(0.5));
  const offset = codes.find((code) => code[0] === 'O');
  const usesAddress =
    isMemory || offset !== undefined || traits.string || /^(xlat|maskmov|vmaskmovdqu|clzero)/.test(row.mnemonic);
  let asize: 16 | 32 | 64 = bits;
  const other = usesAddress || /^(loop|jcxz)/.test(row.mnemonic) ? 0.15 : 0.02;
  const gather = /gather/.test(row.mnemonic);
  const has67 = random.chance(other) && !(gather && bits === 32);
  if (has67) asize = bits === 32 ? 16 : 32;
  let segment: 'fs' | 'gs' | undefined;
  if (usesAddress && random.chance(asize === 16 && place.dataBase === 0 ? 0.8 : 0.12))
    segment = random.pick(['fs', 'gs'] as const);
  const segmentBase = segment === 'fs' ? place.fsBase : segment === 'gs' ? place.gsBase : place.dataBase;
  const target = place.target - segmentBase;

  const bytes: number[] = [];
  const gprs = long ? 16 : 8;
  let reg = opcode.digit ?? (codes.some((c) => c[0] === 'S') ? random.pick([0, 2, 3, 4, 5]) : random.below(gprs));
  const vvvvUsed = codes.some((code) => /^[HB]/.test(code));
  const vvvv = gather
    ? (reg + 1 + random.below(gprs - 1)) % gprs
    : vvvvUsed
      ? random.below(gprs)
      : place.wrong && random.chance(0.02)
        ? 3
        : 0;
  let rex = 0;
  let r = reg >> 3;
  if (opcode.digit !== undefined && long && random.chance(0.1)) r = 1;
  let x = 0;
  let b = 0;
  const tail: number[] = [];
  let address: Address | undefined;
  let relativeAt = -1;

  if (hasModrm) {
    if (opcode.exact !== undefined) tail.push(opcode.exact);
    else if (!isMemory) {
      const rm = random.below(gprs);
      b = rm >> 3;
      tail.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
    } else if (asize === 16) {
      const rm = random.below(8);
      const mod = random.below(3);
      tail.push((mod << 6) | ((reg & 7) << 3) | rm);
      let [base, index]: readonly [number, number] = PAIRS[rm];
      let disp = 0;
      if (mod === 0 && rm === 6) {
        base = -1;
        index = -1;
        disp = target & 0xffff;
        tail.push(...little(disp, 2));
      } else if (mod === 1) {
        disp = (random.below(256) << 24) >> 24;
        tail.push(...little(disp, 1));
      } else if (mod === 2) {
        disp = (random.u32() << 16) >> 16;
        tail.push(...little(disp, 2));
      }
      address = { base, index, vectorIndex: -1, scale: 0, disp, asize, segment };
    } else {
      let mod = random.below(3);
      const sib = gather || random.chance(0.4);
      let base = random.below(gprs);
      let index = -1;
      let vectorIndex = -1;
      let scale = 0;
      let disp = 0;
      let dispBytes = mod === 1 ? 1 : mod === 2 ? 4 : 0;
      if (!sib && mod === 0 && random.chance(0.15)) {
        // No base; relative to the next instruction in 64-bit code.
        base = -1;
        dispBytes = 4;
        tail.push(((reg & 7) << 3) | 5);
        if (long) relativeAt = tail.length;
        else disp = target | 0;
        if (random.chance(0.3)) b = long ? 1 : 0;
      } else if (sib || (base & 7) === 4) {
        scale = random.below(4);
        // Three different registers.
        if (gather)
          vectorIndex = random.pick(Array.from({ length: gprs }, (_, n) => n).filter((n) => n !== reg && n !== vvvv));
        else {
          index = random.chance(0.85) ? random.below(gprs) : 4;
          if (index === 4) index = -1;
        }
        const indexField = gather ? vectorIndex : index < 0 ? 4 : index;
        x = indexField >> 3;
        if (random.chance(0.1)) {
          mod = 0;
          base = -1;
          dispBytes = 4;
          disp = target | 0;
          if (long && random.chance(0.3)) b = 1;
        }
        if (base >= 0 && (base & 7) === 5 && mod === 0) {
          mod = 1;
          dispBytes = 1;
        }
        if (base >= 0) b = base >> 3;
        tail.push(
          (mod << 6) | ((reg & 7) << 3) | 4,
          (scale << 6) | ((indexField & 7) << 3) | (base < 0 ? 5 : base & 7),
        );
        if (index < 0 && vectorIndex < 0) scale = 0;
      } else {
        if ((base & 7) === 5 && mod === 0) {
          mod = 1;
          dispBytes = 1;
        }
        b = base >> 3;
        tail.push((mod << 6) | ((reg & 7) << 3) | (base & 7));
      }
      if (base >= 0 && dispBytes === 1) disp = (random.below(256) << 24) >> 24;
      else if (base >= 0 && dispBytes === 4) disp = random.chance(0.5) ? random.u32() | 0 : random.below(4096) - 2048;
      if (dispBytes === 4 && base < 0 && index >= 0 && random.chance(0.5)) disp = (disp - random.below(0x10000)) | 0;
      tail.push(...little(disp, dispBytes));
      if (relativeAt < 0) address = { base, index, vectorIndex, scale, disp, asize, segment };
    }
  } else reg = 0;

  // The register in the opcode.
  let low = 0;
  if (opcode.register) {
    const n = random.below(gprs);
    low = n & 7;
    b = n >> 3;
  }

  // Immediates.
  const mapBytes = opcode.map === 0 ? [] : opcode.map === 1 ? [0x0f] : opcode.map === 2 ? [0x0f, 0x38] : [0x0f, 0x3a];
  const immediates: number[] = [];
  let jumpAt = -1;
  let jumpBytes = 0;
  for (const code of codes) {
    if (code[0] === 'I') {
      const size =
        code === 'Ibs' || code === 'Ib' ? 1 : code === 'Iw' ? 2 : code === 'Iz' ? (osize === 16 ? 2 : 4) : osize / 8;
      let value = random.integer();
      if (/^(enter|ret)/.test(row.mnemonic)) value = BigInt(code === 'Ib' ? random.below(5) : random.below(256));
      immediates.push(...little(value, size));
    } else if (code[0] === 'J') {
      jumpAt = immediates.length;
      jumpBytes = code === 'Jb' ? 1 : osize === 16 ? 2 : 4;
      immediates.push(...little(0, jumpBytes));
    } else if (code[0] === 'O') immediates.push(...little(asize === 16 ? target & 0xffff : target >>> 0, asize / 8));
    else if (code[0] === 'A') immediates.push(...little(random.u64(), osize === 16 ? 4 : 6));
    else if (code[0] === 'L') immediates.push(random.below(gprs) << 4);
  }

  // Prefixes, in any order before REX.
  const prefixes: number[] = [];
  if (has66) prefixes.push(0x66);
  if (has67) prefixes.push(0x67);
  if (segment) prefixes.push(SEGMENT_BYTE[segment]);
  const repeats = traits.string === true && random.chance(0.5);
  if (!opcode.vex) {
    if (opcode.prefix === 'f2') prefixes.push(0xf2);
    if (opcode.prefix === 'f3') prefixes.push(0xf3);
  }
  if (repeats) prefixes.push(random.pick([0xf2, 0xf3]));
  const lockable = traits.lock === true && isMemory;
  if (lockable ? random.chance(0.25) : place.wrong && random.chance(0.01)) prefixes.push(0xf0);
  for (let n = prefixes.length - 1; n > 0; n--) {
    const to = random.below(n + 1);
    [prefixes[n], prefixes[to]] = [prefixes[to], prefixes[n]];
  }

  const opcodeByte = opcode.byte + low;
  if (opcode.vex) {
    const length = opcode.vectorLength === 0 ? random.below(2) : opcode.vectorLength === 256 ? 1 : 0;
    const pp = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 }[opcode.prefix];
    const last = ((~vvvv & 15) << 3) | (length << 2) | pp;
    const wBit = opcode.w ?? (random.chance(0.3) ? w : false);
    if (opcode.map === 1 && x === 0 && b === 0 && !wBit && random.chance(0.5))
      bytes.push(...prefixes, 0xc5, (r ? 0 : 0x80) | last);
    else
      bytes.push(
        ...prefixes,
        0xc4,
        (r ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | opcode.map,
        (wBit ? 0x80 : 0) | last,
      );
    bytes.push(opcodeByte);
  } else {
    if (long && (w || r || x || b || random.chance(0.15))) rex = 0x40 | (w ? 8 : 0) | (r << 2) | (x << 1) | b;
    bytes.push(...prefixes, ...(rex ? [rex] : []), ...mapBytes, opcodeByte);
  }
  const tailAt = bytes.length;
  bytes.push(...tail);
  const immediatesAt = bytes.length;
  bytes.push(...immediates);
  const next = place.ip + bytes.length;
  const patch = (at: number, value: number, length: number) => bytes.splice(at, length, ...little(value | 0, length));
  if (relativeAt >= 0) patch(tailAt + relativeAt, target - next, 4);
  if (jumpAt >= 0) patch(immediatesAt + jumpAt, place.jump - next, jumpBytes);
  return { bytes: Uint8Array.from(bytes), address, osize, asize, repeats };
}
