/** RV64GC as accelerators see it. */
import { define } from '../../ir/code.ts';
import { extendU, i64 } from '../../ir/value.ts';
import { type Isa, type IsaFunctions, type PhysicalMemory, registersOf } from '../isa.ts';
import { riscvCpu } from './cpu.ts';
import { type Decoded, Decoder } from './decode.ts';
import { handlerKey, operandsFor, REGISTER_LETTERS, type RiscvHandlerKey } from './handler.ts';
import { F, type Operands, RiscvInsn, X } from './insn.ts';
import { mmu } from './mmu.ts';
import { Operations } from './operations.ts';
import { rows } from './rows.ts';
import { AT, Cause, HART, PLACE } from './state.ts';
import { takeInterrupt, trap, updateFloat, updateRegime, wakes } from './trap.ts';

const decoder = new Decoder(rows);

const raise = define('raise', ['i32', 'i64', 'i64'], undefined, (f, cause, tval, pc) => {
  f.call(trap, extendU(cause), tval, pc);
});
const refresh = define('refresh', [], undefined, (f) => {
  f.call(updateRegime);
  f.call(updateFloat);
});
const bound = new WeakMap<PhysicalMemory, IsaFunctions>();

export const isa: Isa<Decoded, RiscvHandlerKey> = {
  name: 'riscv64',
  granule: 2,
  maxLength: 4,
  // A mode is a regime: see state.ts.
  modes: 4,
  regimes: 4,
  regimeOf: (mode) => mode,
  unaligned: false,
  openBus: false,
  coherentCode: false,
  tickNs: 100,
  layout: HART,
  stateSize: PLACE.size,
  at: AT,
  fields: {
    pc: AT.pc,
    mode: AT.regime,
    waiting: AT.waiting,
    stopped: AT.stopped,
    attention: AT.attention,
    instructions: AT.instret,
    lastGlobal: AT.lastGlobal,
    lastShift: AT.lastShift,
    floatFast: AT.fpFast,
  },
  registers: registersOf([
    { file: X, count: 32 },
    { file: F, count: 32 },
  ]),
  faults: { load: Cause.loadAccess, store: Cause.storeAccess, fetch: Cause.instructionAccess },
  illegalCause: Cause.illegalInstruction,
  illegal(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const half = view.getUint16(0, true);
    const word = Decoder.length(half) === 4 ? view.getUint32(0, true) : half;
    return { cause: Cause.illegalInstruction, tval: BigInt(word) };
  },

  decode(view, at, left) {
    if (left < 2) return 'beyond';
    const half = view.getUint16(at, true);
    if (Decoder.length(half) === 2) return decoder.decode(half);
    return left < 4 ? 'beyond' : decoder.decode(view.getUint32(at, true));
  },
  operation({ row, index, operands }) {
    const { fields } = row.encoding;
    const constants: Record<string, number> = {};
    const registers: number[] = [];
    for (const letter of REGISTER_LETTERS) {
      if (!fields.some((field) => field.letter === letter)) continue;
      if (letter === 'd' && operands.d === 0) constants.d = 0;
      registers.push(operands[letter] * 8);
    }
    for (const letter of ['k', 'r', 'z']) if (letter in operands) constants[letter] = operands[letter];
    const [b2 = 0, b3 = 0, b4 = 0, b5 = 0] = registers;
    return { key: handlerKey(row, index, constants), low: b2 | (b3 << 8), high: operands.i ?? b4 | (b5 << 8) };
  },
  operations: (numbers) => new Operations(rows, numbers),
  build({ row, length, word, operands }, _mode, _context, prologue) {
    const insn = new RiscvInsn(length, i64(word));
    prologue?.(insn);
    row.semantics(insn, { ...operands, i: i64(operands.i ?? 0) } as unknown as Operands);
    insn.finish();
    return insn;
  },
  handler({ row, constants, length }, locals, prologue) {
    const insn = new RiscvInsn(length, i64(0), [...locals]);
    prologue(insn);
    const { semantics } = rows[row];
    semantics(insn, operandsFor(rows[row], constants));
    insn.finish();
    return insn;
  },

  bind(memory) {
    let functions = bound.get(memory);
    if (!functions) {
      functions = { translate: mmu(memory).translate, raise, takeInterrupt, wakes, refresh };
      bound.set(memory, functions);
    }
    return functions;
  },
  cpu: riscvCpu,
};
