/** Every vector row's encodings, as we take them apart and as objdump (binutils) does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Decoded, Decoder } from '../../src/isa/x86/decode.ts';
import type { MemoryOperand, Operand } from '../../src/isa/x86/instance.ts';
import type { Row } from '../../src/isa/x86/opcode.ts';
import { rows } from '../../src/isa/x86/rows/index.ts';
import { simdRows } from '../../src/isa/x86/rows/simd.ts';
import { Mode } from '../../src/isa/x86/state.ts';
import { type Choice, encode, hasWidth, takesMemory, takesRegister } from './x86-vector-encode.ts';

const SLOT = 16;
const NOP = 0x90;
const decoder = new Decoder(rows());

const GPR = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const general = (n: number, size: number): string => {
  if (n >= 8) return `r${n}${{ 8: 'b', 16: 'w', 32: 'd', 64: '' }[size]}`;
  return size === 8 ? BYTES[n] : `${{ 16: '', 32: 'e', 64: 'r' }[size]}${GPR[n]}`;
};
const POINTER: Readonly<Record<number, string>> = {
  0: '',
  8: 'BYTE PTR ',
  16: 'WORD PTR ',
  32: 'DWORD PTR ',
  64: 'QWORD PTR ',
  128: 'XMMWORD PTR ',
  256: 'YMMWORD PTR ',
};

/** In objdump's words. */
function operandText(operand: Operand): string {
  if (operand.kind === 'imm') return `0x${(Number(operand.value) & 0xff).toString(16)}`;
  if (operand.kind === 'reg') {
    if (operand.file === 'mm') return `mm${operand.n}`;
    if (operand.file === 'xmm') return `${operand.size === 256 ? 'y' : 'x'}mm${operand.n}`;
    return general(operand.n, operand.size);
  }
  return memoryText(operand);
}
function memoryText({ base, vectorIndex, scale, disp, size }: MemoryOperand): string {
  // Whether indices fill 128 or 256 bits follows from the row.
  const index = vectorIndex === undefined ? '' : `+?mm${vectorIndex}*${1 << scale}`;
  return `${POINTER[size]}[${general(base, 64)}${index}+0x${disp.toString(16)}]`;
}
/** One row of ours is two instructions where W makes the general register wide. */
const nameOf = ({ row: { mnemonic }, w }: Decoded): string =>
  w && /(mov|pinsr|pextr)d$/.test(mnemonic) ? mnemonic.replace(/d$/, 'q') : mnemonic;
const textOf = (decoded: Decoded): string =>
  `${nameOf(decoded)} ${decoded.operands.map((operand) => operandText(operand)).join(',')}`.trim();

/** Without what one side writes alone: an operand that is always XMM0, prefixes, sizes of memory that is of any size. */
const theirNormal = (text: string): string =>
  text
    .replace(/^rex(\.\w+)? /, '')
    .replace(/^(pblendvb|blendvp[sd]|sha256rnds2) (.*),xmm0$/, '$1 $2')
    .replace(/\+[xy]mm/g, '+?mm');
const withoutSizes = (text: string): string => text.replace(/(?:[A-Z]+ PTR )/g, '');

interface Sample {
  readonly row: Row;
  readonly bytes: Uint8Array;
}
function samples(): Sample[] {
  const list: Sample[] = [];
  // The decoder's own: rows are made anew by each call of what makes them.
  const own = rows().slice(-simdRows().length);
  own.forEach((row, n) => {
    const vsib = row.traits.vsib === true;
    for (const w of hasWidth(row) ? [false, true] : [false])
      for (const high of [false, true]) {
        const registers = high ? { reg: 9, vvvv: 14, rm: 11, is4: 13 } : { reg: 1 + (n % 3), vvvv: 6, rm: 3, is4: 5 };
        // Fences are known with register 0 alone.
        const base: Choice = { ...registers, ...(row.operands.length === 0 && { rm: 0 }), w, imm: 0x66 };
        const memory = { base: high ? 12 : 7, disp: 0x1240, ...(vsib && { index: high ? 12 : 4, scale: 2 }) };
        const either = row.opcode.modrm === 'none' || row.opcode.exact !== undefined;
        if (takesRegister(row) || either) list.push({ row, bytes: encode(row, base) });
        if (takesMemory(row)) list.push({ row, bytes: encode(row, { ...base, memory }) });
      }
  });
  return list;
}

function disassemble(list: readonly Sample[]): string[] | undefined {
  const code = new Uint8Array(SLOT * list.length).fill(NOP);
  list.forEach(({ bytes }, n) => {
    code.set(bytes, SLOT * n);
  });
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-decode-'));
  const file = join(folder, 'code.bin');
  try {
    writeFileSync(file, code);
    const flags = '-D -b binary -m i386:x86-64 -M intel --insn-width=16 --no-show-raw-insn'.split(' ');
    const { stdout, status } = spawnSync('objdump', [...flags, file], { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (status !== 0) return undefined;
    const texts: string[] = new Array(list.length).fill('');
    const ends: number[] = new Array(list.length).fill(0);
    for (const [, at, text] of stdout.matchAll(/^\s*([0-9a-f]+):\s+(.*)$/gm)) {
      const address = Number.parseInt(at, 16);
      const slot = Math.floor(address / SLOT);
      if (address % SLOT === 0)
        texts[slot] = text
          .replace(/\s*#.*$/, '')
          .replace(/\s+/, ' ')
          .trim();
      else if (ends[slot] === 0) ends[slot] = address % SLOT;
    }
    return texts.map((text, n) => `${ends[n]} ${theirNormal(text)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const list = samples();
const theirs = disassemble(list);
test('vector rows decode as binutils has them', {
  skip: theirs ? false : 'there is no objdump (Debian package binutils)',
}, () => {
  const wrong: string[] = [];
  list.forEach(({ row, bytes }, n) => {
    const decoded = decoder.decode((at) => bytes[at] ?? NOP, Mode.long);
    const hex = Buffer.from(bytes).toString('hex');
    if (typeof decoded === 'string' || 'illegal' in decoded) {
      wrong.push(`${hex} ${row.mnemonic} ${row.text}: not decoded; ${theirs?.[n]}`);
      return;
    }
    const ours = `${decoded.length} ${textOf(decoded)}`;
    const given = theirs?.[n] ?? '';
    const bothSized = ours.includes(' PTR ') && given.includes(' PTR ');
    const [mine, expected] = bothSized ? [ours, given] : [withoutSizes(ours), withoutSizes(given)];
    if (decoded.row !== row || mine !== expected) wrong.push(`${hex} ${decoded.row.text}: ${ours}; ${theirs?.[n]}`);
  });
  assert.deepEqual(wrong, []);
});
