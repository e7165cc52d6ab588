/** x86-64 and its older modes as accelerators see them. */
import { define } from '../../ir/code.ts';
import type { Insn } from '../../ir/insn.ts';
import { type Decoded as IsaDecoded, type Isa, type IsaFunctions, type PhysicalMemory, registersOf } from '../isa.ts';
import { commonInstructions } from './common.ts';
import { x86Cpu } from './cpu.ts';
import { type Decoded, Decoder, SHORT } from './decode.ts';
import { watch } from './debug.ts';
import { takeInterrupt, wakes } from './events.ts';
import { faultNumber } from './fault.ts';
import { gatesOf } from './gates.ts';
import { operationLeaves, operationOf, type X86HandlerKey } from './handler.ts';
import { X86Insn } from './insn.ts';
import { constantLeaves } from './leaves.ts';
import { CC, CC_OP, GPR, XMM, YMMH } from './registers.ts';
import { setEflags } from './eflags.ts';
import { farCall, farJump } from './far.ts';
import { farReturn, interruptReturn } from './far-return.ts';
import { flagFunctions } from './flags.ts';
import { deliver, raise } from './interrupt.ts';
import { checkIo } from './io.ts';
import { readMsr, writeMsr } from './msr.ts';
import { divide128, mulHighS, mulHighU } from './multiply.ts';
import { writeCr0, writeCr3, writeCr4 } from './paging.ts';
import { loadSegment, segLinear } from './segment.ts';
import { swap32, swap64 } from './swap.ts';
import { resumeFromSmm } from './smm.ts';
import { syscall, sysret } from './syscall.ts';
import { mmu } from './mmu.ts';
import { updateMode, updateUnits } from './mode.ts';
import { timeStampNow } from './time-stamp.ts';
import { X86Operations } from './operations.ts';
import { rows } from './rows/index.ts';
import { AT, bitsOf, MODES, PLACE, REGIMES, regimeOf, Vector, X86_CPU } from './state.ts';

const bound = new WeakMap<PhysicalMemory, IsaFunctions>();

const refresh = define('refresh', [], undefined, (f) => {
  f.call(updateMode);
});

/** What `after` says, by what it depends on: the row, the operands' sizes, counts, and whether it repeats. */
const afters = new Map<number, number | undefined | 'kept' | 'follows'>();
function afterKey({ index, osize, rep, row, operands }: Decoded): number {
  let key = (index * 4 + (osize >> 5)) * 4 + (Math.clz32(operands[0]?.size || 1) & 3);
  operands.forEach((operand, n) => {
    // Counts of shifts: of none flags stay, and of some rotates through carry.
    const count = operand.kind === 'imm' && row.operands[n] === 'Ib' ? Number(operand.value) & 63 : 0;
    key = key * 64 + count;
  });
  // Repeated no times an instruction leaves the flags.
  return (key * 8 + operands.length) * 2 + (rep === 0 ? 0 : 1);
}

export interface X86Decoded extends IsaDecoded {
  readonly x86: Decoded;
}

function build(decoded: Decoded, context: unknown, prologue?: (m: Insn) => void): X86Insn {
  const insn = new X86Insn(decoded, constantLeaves(decoded), context as number | undefined);
  prologue?.(insn);
  decoded.row.semantics(insn);
  insn.finish();
  return insn;
}

/** What does not depend on the CPU's features. */
const common: Omit<Isa<X86Decoded, X86HandlerKey>, 'illegal' | 'decode'> = {
  name: 'x86_64',
  granule: 1,
  maxLength: 15,
  modes: MODES,
  regimes: REGIMES,
  regimeOf,
  unaligned: true,
  openBus: true,
  coherentCode: true,
  tickNs: 1,
  layout: X86_CPU,
  stateSize: PLACE.size,
  at: AT,
  fields: {
    pc: AT.pc,
    mode: AT.mode,
    waiting: AT.waiting,
    stopped: AT.stopped,
    attention: AT.attention,
    instructions: AT.instret,
    lastGlobal: AT.lastGlobal,
    lastShift: AT.lastShift,
    floatFast: AT.sseFast,
  },
  registers: registersOf([
    { file: GPR, count: 16 },
    { file: CC_OP, count: 1 },
    { file: CC, count: 3 },
    { file: XMM, count: 16 },
    { file: YMMH, count: 16 },
  ]),
  faults: { load: 0, store: 0, fetch: faultNumber(Vector.gp, 0) },
  illegalCause: undefined,
  operation: ({ x86 }) => operationOf(x86),
  build: ({ x86 }, _mode, context, prologue) => build(x86, context, prologue),
  after({ x86 }, _mode, context) {
    const key = afterKey(x86);
    let known = afters.get(key);
    if (known === undefined && !afters.has(key)) {
      const { ccAfter, ccFollows } = build(x86, undefined);
      known = ccFollows ? 'follows' : ccAfter;
      afters.set(key, known);
    }
    if (known === 'kept') return context;
    // It is what it was before that says what it is now.
    return known === 'follows' ? build(x86, context).ccAfter : known;
  },
  handler({ sample }, locals, prologue) {
    const insn = new X86Insn(sample, operationLeaves(sample), undefined, [...locals]);
    prologue(insn);
    sample.row.semantics(insn);
    insn.finish();
    return insn;
  },

  shared: [
    ...flagFunctions,
    segLinear,
    mulHighS,
    mulHighU,
    divide128,
    swap32,
    swap64,
    checkIo,
    loadSegment,
    readMsr,
    writeMsr,
    timeStampNow,
    writeCr0,
    writeCr3,
    writeCr4,
    updateMode,
    updateUnits,
    setEflags,
    syscall,
    sysret,
    farJump,
    farCall,
    farReturn,
    interruptReturn,
    resumeFromSmm,
    deliver,
  ],

  bind(memory) {
    let functions = bound.get(memory);
    if (!functions) {
      functions = { translate: mmu(memory).translate, raise, takeInterrupt, wakes, refresh, watch };
      bound.set(memory, functions);
    }
    return functions;
  },
  cpu: x86Cpu,
};

/** The instruction set of a CPU without these features. */
function make(lacks: readonly string[]): Isa<X86Decoded, X86HandlerKey> {
  let made: Decoder | undefined;
  const decoder = () => (made ??= new Decoder(rows(), new Set(lacks)));
  return {
    ...common,
    lacks,
    without: (others) => make([...lacks, ...others]),
    illegal(bytes, mode) {
      const decoded = decoder().decode((n) => bytes[n], mode);
      const tooLong = decoded !== SHORT && 'illegal' in decoded && decoded.tooLong;
      return { cause: tooLong ? faultNumber(Vector.gp, 0) : faultNumber(Vector.ud), tval: 0n };
    },
    decode(view, at, left, mode) {
      const x86 = decoder().decode((n) => (n < left ? view.getUint8(at + n) : undefined), mode);
      if (x86 === SHORT) return 'beyond';
      if ('illegal' in x86) return undefined;
      const { length, flow, target, ends, row } = x86;
      // A 16-bit instruction pointer wraps: where code lies in its page does not say where its jumps go.
      return { length, flow, target, ends, gates: gatesOf(row.traits.gate), interpreted: bitsOf(mode) === 16, x86 };
    },
    operations: (numbers) => new X86Operations(decoder(), rows(), numbers),
    *common() {
      for (const { bytes, mode, reach } of commonInstructions()) {
        const decoded = decoder().decode((n) => bytes[n], mode);
        if (decoded === SHORT || 'illegal' in decoded) continue;
        yield [operationOf(decoded).key, reach];
      }
    },
  };
}

export const isa: Isa<X86Decoded, X86HandlerKey> = make([]);
