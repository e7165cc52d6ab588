/**
 * Opcodes as the SDM's instruction pages write them, and what a row is.
 *
 * Spec: SDM volume 2, "Instruction Format", "Interpreting the Instruction
 * Reference Pages", appendix "Opcode Map" (whose codes the operands use).
 *
 * Notation, in this order:
 *   `NP`, `66`, `F3`, `F2`    a mandatory prefix, or none allowed (`NP`)
 *   `REX.W`, `REX.W0`         the bit must be set, or clear
 *   `VEX`, `VEX.128`, `VEX.256`, with `.W0` or `.W1` where the bit counts
 *   `0F`, `0F 38`, `0F 3A`    the map
 *   `AF`, `50+r`              the opcode; with a register in its low three bits
 *   `/4`, `/r`                ModRM.reg, fixed or an operand
 *   `mem`, `reg`, `C1`        what ModRM must be: memory, a register, this byte
 */
import type { X86Insn } from './insn.ts';
import type { Opcode, Prefix, RowHead, Traits } from './instance.ts';

export type { Flow, Gate, Opcode, OperandCode, Prefix, Traits } from './instance.ts';

export function opcode(text: string): Opcode {
  let prefix: Prefix = 'any';
  let vex = false;
  let vectorLength: 0 | 128 | 256 = 0;
  let w: boolean | undefined;
  let map: 0 | 1 | 2 | 3 = 0;
  let byte = -1;
  let register = false;
  let digit: number | undefined;
  let modrm: Opcode['modrm'] = 'none';
  let exact: number | undefined;
  const tokens = text.split(' ');
  tokens.forEach((token, n) => {
    const next = tokens[n + 1];
    if (token === 'NP') prefix = 'np';
    else if (byte < 0 && /^(66|F3|F2)$/.test(token) && next !== undefined && /^(REX|VEX|[0-9A-F]{2})/.test(next))
      prefix = token.toLowerCase() as Prefix;
    else if (token.startsWith('REX.')) w = token === 'REX.W';
    else if (token.startsWith('VEX')) {
      vex = true;
      for (const part of token.split('.').slice(1)) {
        if (part === '128' || part === '256') vectorLength = Number(part) as 128 | 256;
        else if (part === 'W0' || part === 'W1') w = part === 'W1';
        else throw new SyntaxError(`opcode ${text}: ${part}`);
      }
    } else if (token === '0F' && byte < 0 && map === 0 && next !== undefined) map = 1;
    else if (map === 1 && byte < 0 && (token === '38' || token === '3A') && /^[0-9A-F]{2}/.test(next ?? ''))
      map = token === '38' ? 2 : 3;
    else if (/^[0-9A-F]{2}(\+r)?$/.test(token)) {
      if (byte < 0) {
        byte = Number.parseInt(token.slice(0, 2), 16);
        register = token.endsWith('+r');
      } else {
        exact = Number.parseInt(token, 16);
        modrm = 'any';
      }
    } else if (token === '/r') modrm = modrm === 'none' ? 'any' : modrm;
    else if (/^\/[0-7]$/.test(token)) {
      digit = Number(token[1]);
      modrm = modrm === 'none' ? 'any' : modrm;
    } else if (token === 'mem' || token === 'reg') modrm = token;
    else throw new SyntaxError(`opcode ${text}: ${token}`);
  });
  if (byte < 0) throw new SyntaxError(`opcode ${text}: no opcode byte`);
  return { prefix, vex, vectorLength, w, map, byte, register, digit, modrm, exact };
}

export interface Row extends RowHead {
  readonly semantics: (m: X86Insn) => void;
}

/** A row: `insn('add', '01 /r', 'Ev Gv', (m) => ...)`. */
export function insn(
  mnemonic: string,
  text: string,
  operands: string,
  semantics: (m: X86Insn) => void,
  traits: Traits = {},
): Row {
  return {
    mnemonic,
    text,
    opcode: opcode(text),
    operands: operands === '' ? [] : operands.split(' '),
    semantics,
    traits,
  };
}

/** The same traits for a list of rows. */
export function withTraits(traits: Traits, rows: readonly Row[]): readonly Row[] {
  return rows.map((row) => ({ ...row, traits: { ...traits, ...row.traits } }));
}
