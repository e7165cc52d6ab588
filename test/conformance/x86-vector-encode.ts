/** Encodings of an x86 row with registers, memory and immediates as one likes; for the vector rows. */
import type { Row } from '../../src/isa/x86/opcode.ts';

/** What stands where an encoding has a choice. Register numbers of up to 15; MMX registers take their low three bits. */
export interface Choice {
  readonly reg: number;
  readonly vvvv: number;
  readonly rm: number;
  readonly is4: number;
  readonly imm: number;
  readonly w: boolean;
  /** A memory operand `[base + disp32]`, or with `index` (a general or vector register) and scale; undefined: a register. */
  readonly memory?: {
    readonly base: number;
    readonly disp: number;
    readonly index?: number;
    readonly scale?: number;
  };
}

/** Whether a row can have a memory operand, a register in ModRM.rm. */
export const takesMemory = ({ opcode: { modrm, exact } }: Row): boolean =>
  exact === undefined && (modrm === 'any' || modrm === 'mem');
export const takesRegister = ({ opcode: { modrm, exact } }: Row): boolean =>
  exact === undefined && (modrm === 'any' || modrm === 'reg');
/** Whether the row means something else with W (general registers of 64 bits). */
export const hasWidth = ({ opcode: { w }, operands }: Row): boolean =>
  w === undefined && operands.some((code) => /^[EGBRM]y$/.test(code));

const PREFIX = { np: [], any: [], '66': [0x66], f3: [0xf3], f2: [0xf2] } as const;
const PP = { np: 0, any: 0, '66': 1, f3: 2, f2: 3 } as const;
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]] as const;

export function encode(row: Row, c: Choice): Uint8Array {
  const { prefix, vex, vectorLength, w, map, byte, digit, exact, modrm } = row.opcode;
  const isMmx = (letter: string) => row.operands.some((code) => code[0] === letter);
  const reg = digit ?? (isMmx('P') ? c.reg & 7 : c.reg);
  const rm = c.memory ? c.memory.base : isMmx('N') || isMmx('Q') ? c.rm & 7 : c.rm;
  const index = c.memory?.index ?? 0;
  const wide = w ?? c.w;
  const rest: number[] = [byte];
  if (exact !== undefined) rest.push(exact);
  else if (modrm !== 'none') {
    if (!c.memory) rest.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
    else {
      const sib = c.memory.index !== undefined || (rm & 7) === 4;
      rest.push(0x80 | ((reg & 7) << 3) | (sib ? 4 : rm & 7));
      const indexBits = c.memory.index === undefined ? 4 : index & 7;
      if (sib) rest.push(((c.memory.scale ?? 0) << 6) | (indexBits << 3) | (rm & 7));
      for (let n = 0; n < 4; n++) rest.push((c.memory.disp >> (8 * n)) & 0xff);
    }
  }
  if (row.operands.some((code) => code[0] === 'L')) rest.push(c.is4 << 4);
  if (row.operands.includes('Ib')) rest.push(c.imm);
  const hasModrm = modrm !== 'none' && exact === undefined;
  const [R, X, B] = hasModrm ? [reg > 7, index > 7, rm > 7] : [false, false, false];
  if (!vex) {
    const rex = (wide ? 8 : 0) | (R ? 4 : 0) | (X ? 2 : 0) | (B ? 1 : 0);
    // A byte register of number 4 to 7 without REX would be another one.
    const needed = rex !== 0 || (row.operands.includes('Eb') && !c.memory);
    return Uint8Array.of(...PREFIX[prefix], ...(needed ? [0x40 | rex] : []), ...MAPS[map], ...rest);
  }
  const usesVvvv = row.operands.some((code) => code[0] === 'H' || code[0] === 'B');
  const vvvv = usesVvvv ? c.vvvv : 0;
  const last = ((~vvvv & 15) << 3) | (vectorLength === 256 ? 4 : 0) | PP[prefix];
  if (map === 1 && !X && !B && !wide) return Uint8Array.of(0xc5, (R ? 0 : 0x80) | last, ...rest);
  const first = (R ? 0 : 0x80) | (X ? 0 : 0x40) | (B ? 0 : 0x20) | map;
  return Uint8Array.of(0xc4, first, (wide ? 0x80 : 0) | last, ...rest);
}
