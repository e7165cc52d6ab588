/**
 * A very small x86 assembler: bytes, labels and the few instructions that the
 * boot stubs of this folder are made of.
 *
 * Spec: Intel SDM, volume 2. Code is 16-bit until `bits(32)` or `bits(64)`;
 * operand-size prefixes follow from that. Labels are offsets from `origin`.
 */
import { writeU16, writeU32 } from '../bits/endian.ts';

export const R = { ax: 0, cx: 1, dx: 2, bx: 3, sp: 4, bp: 5, si: 6, di: 7 } as const;
export type Reg = (typeof R)[keyof typeof R];
export const S = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;
export type Segment = (typeof S)[keyof typeof S];
/** Condition codes of Jcc. */
export const CC = { carry: 2, notCarry: 3, zero: 4, notZero: 5, belowEqual: 6, above: 7 } as const;

interface Fixup {
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly label: string;
  /** Added to the label's value: -end for relative ones, a base for absolute ones. */
  readonly add: number;
}

export class Assembler {
  private readonly code: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly fixups: Fixup[] = [];
  private width: 16 | 32 | 64 = 16;

  get here(): number {
    return this.code.length;
  }

  bits(width: 16 | 32 | 64): this {
    this.width = width;
    return this;
  }

  label(name: string): this {
    if (this.labels.has(name)) throw new Error(`label ${name} twice`);
    this.labels.set(name, this.here);
    return this;
  }

  db(...bytes: number[]): this {
    for (const byte of bytes) this.code.push(byte & 0xff);
    return this;
  }
  dw(value: number): this {
    return this.db(value, value >>> 8);
  }
  dd(value: number): this {
    return this.db(value, value >>> 8, value >>> 16, value >>> 24);
  }
  text(text: string): this {
    return this.db(...[...text].map((letter) => letter.charCodeAt(0)));
  }
  data(bytes: Uint8Array): this {
    for (const byte of bytes) this.code.push(byte);
    return this;
  }
  /** Pads with zeros up to an offset. */
  to(offset: number): this {
    if (offset < this.here) throw new Error(`offset ${offset} lies behind ${this.here}`);
    while (this.here < offset) this.code.push(0);
    return this;
  }
  /** A label's offset, plus `add`, as data. */
  ref16(label: string, add = 0): this {
    this.fixups.push({ at: this.here, size: 2, label, add });
    return this.dw(0);
  }
  ref32(label: string, add = 0): this {
    this.fixups.push({ at: this.here, size: 4, label, add });
    return this.dd(0);
  }

  cli(): this {
    return this.db(0xfa);
  }
  cld(): this {
    return this.db(0xfc);
  }
  int(vector: number): this {
    return this.db(0xcd, vector);
  }
  retf(): this {
    return this.db(0xcb);
  }
  /** mov r32, imm32 */
  movImm(reg: Reg, value: number): this {
    return this.wide()
      .db(0xb8 + reg)
      .dd(value);
  }
  /** mov r16, imm16 */
  movImm16(reg: Reg, value: number): this {
    return this.narrow()
      .db(0xb8 + reg)
      .dw(value);
  }
  /** mov r16, offset of a label */
  movRef16(reg: Reg, label: string): this {
    return this.narrow()
      .db(0xb8 + reg)
      .ref16(label);
  }
  /** mov r32, r32 */
  mov(to: Reg, from: Reg): this {
    return this.wide().db(0x89, 0xc0 | (from << 3) | to);
  }
  /** mov sreg, r16 */
  movToSegment(to: Segment, from: Reg): this {
    return this.db(0x8e, 0xc0 | (to << 3) | from);
  }
  /** mov r32, sreg */
  movFromSegment(to: Reg, from: Segment): this {
    return this.wide().db(0x8c, 0xc0 | (from << 3) | to);
  }
  /** movzx r32, r16 */
  movzx(to: Reg, from: Reg): this {
    return this.wide().db(0x0f, 0xb7, 0xc0 | (to << 3) | from);
  }
  /** add/or/and/sub/xor/cmp r32, r32 */
  alu(what: 'add' | 'or' | 'and' | 'sub' | 'xor' | 'cmp' | 'test', to: Reg, from: Reg): this {
    const opcode = { add: 0x01, or: 0x09, and: 0x21, sub: 0x29, xor: 0x31, cmp: 0x39, test: 0x85 }[what];
    return this.wide().db(opcode, 0xc0 | (from << 3) | to);
  }
  /** The same with an imm32. */
  aluImm(what: 'add' | 'or' | 'and' | 'sub' | 'cmp', to: Reg, value: number): this {
    const digit = { add: 0, or: 1, and: 4, sub: 5, cmp: 7 }[what];
    return this.wide()
      .db(0x81, 0xc0 | (digit << 3) | to)
      .dd(value);
  }
  /** add r32, offset of a label */
  addRef(to: Reg, label: string): this {
    return this.wide()
      .db(0x81, 0xc0 | to)
      .ref32(label);
  }
  shl(reg: Reg, count: number): this {
    return this.wide().db(0xc1, 0xe0 | reg, count);
  }
  bswap(reg: Reg): this {
    return this.wide().db(0x0f, 0xc8 + reg);
  }
  /** out dx, eax */
  outDx(): this {
    return this.wide().db(0xef);
  }
  /** mov [es:disp16], r32 (16-bit code) */
  storeEs(at: number, from: Reg): this {
    return this.db(0x26)
      .wide()
      .db(0x89, 0x06 | (from << 3))
      .dw(at);
  }
  /** mov r32, [es:disp16] (16-bit code) */
  loadEs(to: Reg, at: number): this {
    return this.db(0x26)
      .wide()
      .db(0x8b, 0x06 | (to << 3))
      .dw(at);
  }
  /** mov dword [es:di + disp8], imm32 (16-bit code) */
  storeEsDi(displacement: number, value: number): this {
    return this.db(0x26).wide().db(0xc7, 0x45, displacement).dd(value);
  }
  /** mov r32, [es:di] (16-bit code) */
  loadEsDi(to: Reg): this {
    return this.db(0x26)
      .wide()
      .db(0x8b, 0x05 | (to << 3));
  }
  movFromControl(to: Reg, control: number): this {
    return this.db(0x0f, 0x20, 0xc0 | (control << 3) | to);
  }
  movToControl(control: number, from: Reg): this {
    return this.db(0x0f, 0x22, 0xc0 | (control << 3) | from);
  }
  jcc(condition: number, label: string): this {
    return this.db(0x70 | condition).relative8(label);
  }
  jmp(label: string): this {
    return this.db(0xeb).relative8(label);
  }
  /** loop: counts cx (ecx) down and jumps while it is not 0 */
  loop(label: string): this {
    return this.db(0xe2).relative8(label);
  }
  /** jmp rel16 (16-bit code) */
  jmpNear(label: string): this {
    this.db(0xe9);
    this.fixups.push({ at: this.here, size: 2, label, add: -(this.here + 2) });
    return this.dw(0);
  }
  /** jmp ptr16:32: to a label of code whose offset 0 lies at `base`. */
  jmpFar32(selector: number, label: string, base: number): this {
    return this.wide().db(0xea).ref32(label, base).dw(selector);
  }
  /** jmp r32 or r64 */
  jmpReg(reg: Reg): this {
    return this.db(0xff, 0xe0 | reg);
  }

  /** The code with every label resolved. */
  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.code);
    for (const { at, size, label, add } of this.fixups) {
      const target = this.labels.get(label);
      if (target === undefined) throw new Error(`there is no label ${label}`);
      const value = target + add;
      if (size === 1) {
        if (value < -128 || value > 127) throw new Error(`label ${label} is out of reach`);
        bytes[at] = value;
      } else if (size === 2) writeU16(bytes, at, value);
      else writeU32(bytes, at, value);
    }
    return bytes;
  }

  private relative8(label: string): this {
    this.fixups.push({ at: this.here, size: 1, label, add: -(this.here + 1) });
    return this.db(0);
  }
  /** A 32-bit operand. */
  private wide(): this {
    return this.width === 16 ? this.db(0x66) : this;
  }
  /** A 16-bit operand. */
  private narrow(): this {
    return this.width === 16 ? this : this.db(0x66);
  }
}
