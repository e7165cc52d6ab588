/** The handlers made so far, by key; each is made when an instruction first needs it. */
import type { Callable } from '../../ir/code.ts';
import { i64 } from '../../ir/value.ts';
import type { Instruction } from '../../isa/riscv/insn.ts';
import { RiscvInsn } from '../../isa/riscv/insn.ts';
import { trap } from '../../isa/riscv/trap.ts';
import { calleesOf } from './callees.ts';
import {
  emitFixed,
  emitHandler,
  emitStraddleKnown,
  Fixed,
  HANDLER,
  HANDLER_LIMIT,
  type HandlerKey,
  HandlerLowering,
  operandsFor,
  type Reach,
  Reason,
} from './handlers.ts';
import type { Linker } from './linker.ts';
import type { Runtime } from './runtime.ts';

/** More handlers than are asked for between two looks at `full`. */
const RESERVE = 256;

export class HandlerTable {
  private readonly linker: Linker;
  private readonly runtime: Runtime;
  private readonly rows: readonly Instruction[];
  private readonly known = new Map<number, number>();
  private next: number = Fixed.first;
  private wanted: { readonly number: number; readonly key: HandlerKey }[] = [];

  constructor(linker: Linker, runtime: Runtime, rows: readonly Instruction[]) {
    this.linker = linker;
    this.runtime = runtime;
    this.rows = rows;
    const fixed = linker.link([runtime.fetchHalf], (builder, calleeOf) => {
      const lowering = new HandlerLowering(linker.cpuAddress, runtime, calleeOf);
      const known = builder.declare('straddleKnown', HANDLER);
      builder.define(known, emitStraddleKnown(lowering, runtime, builder.type(HANDLER)));
      builder.export('straddleKnown', known);
      for (const [name, reason] of FIXED) {
        const at = builder.declare(name, HANDLER);
        builder.define(at, emitFixed(lowering, reason));
        builder.export(name, at);
      }
    });
    for (const [number, [name]] of FIXED.entries()) linker.table.set(number, fixed[name]);
    linker.table.set(Fixed.straddleKnown, fixed.straddleKnown);
    linker.table.set(Fixed.tail, fixed.undecoded);
  }

  /** The handler's number. It stands in the table once `flush` has been called. */
  number(key: HandlerKey): number {
    const id = idOf(key);
    let number = this.known.get(id);
    if (number === undefined) {
      number = this.next++;
      if (number >= HANDLER_LIMIT) throw new RangeError('too many handlers');
      this.known.set(id, number);
      this.wanted.push({ number, key });
    }
    return number;
  }

  /** Compiles what was asked for since the last time, as one module. */
  flush(): void {
    if (this.wanted.length === 0) return;
    const wanted = this.wanted;
    this.wanted = [];
    const { slowLoad, slowStore, commitStore, dirtyFloat } = this.runtime;
    const callees: Callable[] = [trap, slowLoad, slowStore, commitStore, dirtyFloat];
    for (const { key } of wanted) {
      const row = this.rows[key.row];
      const insn = new RiscvInsn(4, i64(0), ['i32', 'i32']);
      row.semantics(insn, operandsFor(row, key));
      callees.push(...calleesOf(insn.statements));
    }
    const exports = this.linker.link(callees, (builder, calleeOf) => {
      const lowering = new HandlerLowering(this.linker.cpuAddress, this.runtime, calleeOf);
      const type = builder.type(HANDLER);
      for (const { number, key } of wanted) {
        const at = builder.declare(String(number), HANDLER);
        builder.define(at, emitHandler(lowering, this.runtime, this.rows[key.row], key, type));
        builder.export(String(number), at);
      }
    });
    for (const { number } of wanted) this.linker.table.set(number, exports[String(number)]);
  }

  /** Whether there may soon be no numbers left: a guest can make a handler of each CSR instruction it invents. */
  get full(): boolean {
    return this.next > HANDLER_LIMIT - RESERVE;
  }

  /** Gives all numbers out anew; no operation may have one. */
  clear(): void {
    this.known.clear();
    this.wanted = [];
    this.next = Fixed.first;
  }
}

const REACHES: readonly Reach[] = ['none', 'forward', 'backward', 'far'];

/** A number below 2^53 for each key: a row has either rounding mode or CSR number, and the latter's immediate. */
function idOf({ row, reach, constants: { a, b, c, d, k = 0, r = 0, z = 0 } }: HandlerKey): number {
  const zeros = (a === 0 ? 1 : 0) | (b === 0 ? 2 : 0) | (c === 0 ? 4 : 0) | (d === 0 ? 8 : 0);
  return ((row * 4 + REACHES.indexOf(reach)) * 16 + zeros) * (1 << 20) + (k | (r << 12) | (z << 15));
}

const FIXED: readonly [string, number][] = [
  ['undecoded', Reason.decode],
  ['pageEnd', Reason.next],
  ['straddle', Reason.straddle],
  ['illegal', Reason.illegal],
];
