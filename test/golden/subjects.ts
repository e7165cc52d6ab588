/**
 * What the golden files hold: the IR of some rows, and the WebAssembly of some
 * regions. `npm run golden` writes them; the test beside compares.
 */
import { printInsn } from '../../src/ir/print.ts';
import { i64 } from '../../src/ir/value.ts';
import { RegionCompiler } from '../../src/accel/jit/compiler.ts';
import { OPERATION } from '../../src/accel/jit/layout.ts';
import { Fixed } from '../../src/accel/jit/reasons.ts';
import { rows } from '../../src/isa/riscv/rows.ts';
import { Decoder, disassemble, registerName, floatRegisterName } from '../../src/isa/riscv/decode.ts';
import { type Operands, RiscvInsn } from '../../src/isa/riscv/insn.ts';
import { operandsFor } from '../../src/isa/riscv/handler.ts';
import { isa } from '../../src/isa/riscv/isa.ts';
import { Assembler, encode, Label, rowOf } from '../differential/assembler.ts';
import { listing } from './wasm-listing.ts';

const [RA, SP, S0, A0, A1, A2, A3] = [1, 2, 8, 10, 11, 12, 13];
const decoder = new Decoder(rows);
const register = (n: number) => (n < 32 ? registerName(n) : floatRegisterName(n - 32));

/** One row of each kind of semantics. */
const ROWS: readonly (readonly [string, Readonly<Record<string, number>>])[] = [
  ['addi', { d: A0, a: A1, i: -16 }],
  ['addi', { d: 0, a: 0, i: 0 }],
  ['addw', { d: A0, a: A1, b: A2 }],
  ['jalr', { d: RA, a: RA, i: 8 }],
  ['bltu', { a: A0, b: A1, i: -64 }],
  ['lw', { d: A0, a: SP, i: 12 }],
  ['sd', { b: RA, a: SP, i: 8 }],
  ['div', { d: A0, a: A1, b: A2 }],
  ['amoadd.w', { d: A0, a: A1, b: A2 }],
  ['sc.d', { d: A0, a: A1, b: A2 }],
  ['clmul', { d: A0, a: A1, b: A2 }],
  ['brev8', { d: A0, a: A1 }],
  ['csrrw', { d: A0, a: A1, k: 0x140 }], // sscratch
  ['csrrci', { d: 0, z: 2, k: 0x100 }], // sstatus
  ['sret', {}],
  ['c.addi16sp', { i: -32 }],
];

function irOfRows(): string {
  const parts = ROWS.map(([mnemonic, operands]) => {
    const word = encode(rowOf(mnemonic), operands);
    const decoded = decoder.decode(word);
    if (!decoded) throw new RangeError(`${mnemonic} does not decode`);
    const { row } = decoded;
    const constant = new RiscvInsn(decoded.length, i64(decoded.word));
    row.semantics(constant, { ...decoded.operands, i: i64(decoded.operands.i ?? 0) } as unknown as Operands);
    constant.finish();
    return `${disassemble(decoded)}\n${indent(printInsn(constant, register))}`;
  });
  // One as the interpreter tier has it: operands are read from the decoded operation.
  const row = rowOf('add');
  const insn = new RiscvInsn(4, i64(0), ['i32', 'i32']);
  row.semantics(insn, operandsFor(row, {}));
  insn.finish();
  parts.push(`add, operands as parameters ($0: the decoded operation)\n${indent(printInsn(insn, register))}`);
  return parts.join('\n');
}

const indent = (text: string) => text.replace(/^/gm, '  ').replace(/ +$/, '');

/** A region's code, placed at this offset of its page. */
const ENTRY = 0x100;

const REGIONS: Readonly<Record<string, (a: Assembler) => void>> = {
  // do sum += *p++; while (p != end);
  loop(a) {
    const top = a.label();
    a.op('ld', { d: A3, a: A0, i: 0 });
    a.op('addi', { d: A0, a: A0, i: 8 });
    a.op('add', { d: A2, a: A2, b: A3 });
    a.to('bne', top, { a: A0, b: A1 });
    a.op('jalr', { d: 0, a: RA, i: 0 });
  },
  // A frame: stores and loads through one register, a call in between.
  frame(a) {
    const callee = new Label();
    a.op('addi', { d: SP, a: SP, i: -32 });
    a.op('sd', { b: RA, a: SP, i: 24 });
    a.op('sd', { b: S0, a: SP, i: 16 });
    a.op('addi', { d: S0, a: A0, i: 0 });
    a.to('jal', callee, { d: RA });
    a.op('add', { d: A0, a: A0, b: S0 });
    a.op('ld', { d: RA, a: SP, i: 24 });
    a.op('ld', { d: S0, a: SP, i: 16 });
    a.op('addi', { d: SP, a: SP, i: 32 });
    a.op('jalr', { d: 0, a: RA, i: 0 });
    a.place(callee);
    a.op('c.jr', { a: RA });
  },
  // Double arithmetic: the state of the floating-point unit is looked at once a block.
  float(a) {
    a.op('fld', { d: A0, a: A0, i: 0 });
    a.op('fmul.d', { d: A0, a: A0, b: A1, r: 7 });
    a.op('fsd', { b: A0, a: A0, i: 0 });
    a.op('jalr', { d: 0, a: RA, i: 0 });
  },
};

/** RAM's page and its decoded page lie apart in a small memory; the hart's state would be at 64 KiB. */
const HOST = 0x2_0000;
const PAGE = 0x3_0000;
const HART = 0x1_0000;

function region(write: (a: Assembler) => void): string {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const view = new DataView(memory.buffer);
  const a = new Assembler(BigInt(ENTRY));
  write(a);
  const bytes = a.finish();
  new Uint8Array(memory.buffer).set(bytes, HOST + ENTRY);
  const source: string[] = [];
  for (const { at, length } of a.units) {
    const offset = ENTRY + at;
    view.setUint16(PAGE + (offset >> 1) * OPERATION, Fixed.first, true); // has been executed
    const word = length === 4 ? view.getUint32(HOST + offset, true) : view.getUint16(HOST + offset, true);
    const decoded = decoder.decode(word);
    source.push(`${offset.toString(16)}: ${decoded ? disassemble(decoded, BigInt(offset)) : '?'}`);
  }
  const job = {
    id: 1,
    page: PAGE,
    host: HOST,
    offset: ENTRY,
    mode: 1,
    early: false,
    before: undefined,
    behind: undefined,
  };
  const { bytes: module } = new RegionCompiler(isa, { memory, cpuAddress: HART }).compile([job]);
  if (!module) throw new Error('no region came of it');
  if (!WebAssembly.validate(module)) throw new Error('the module is not valid');
  return `${source.join('\n')}\n\n${listing(module)}`;
}

/** Every golden file: name and content. */
export function goldenFiles(): ReadonlyMap<string, string> {
  const files = new Map([['rows.txt', irOfRows()]]);
  for (const [name, write] of Object.entries(REGIONS)) files.set(`region-${name}.txt`, region(write));
  return files;
}
