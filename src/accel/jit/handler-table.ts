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
  Fixed,
  HANDLER,
  HANDLER_LIMIT,
  type HandlerKey,
  HandlerLowering,
  keyText,
  operandsFor,
  Reason,
} from './handlers.ts';
import type { Linker } from './linker.ts';
import type { Runtime } from './runtime.ts';

export class HandlerTable {
  private readonly linker: Linker;
  private readonly runtime: Runtime;
  private readonly rows: readonly Instruction[];
  private readonly known = new Map<string, number>();
  private next: number = Fixed.first;
  private wanted: { readonly number: number; readonly key: HandlerKey }[] = [];

  constructor(linker: Linker, runtime: Runtime, rows: readonly Instruction[]) {
    this.linker = linker;
    this.runtime = runtime;
    this.rows = rows;
    const fixed = linker.link([], (builder, calleeOf) => {
      const lowering = new HandlerLowering(linker.cpuAddress, runtime, calleeOf);
      for (const [name, reason] of FIXED) {
        const at = builder.declare(name, HANDLER);
        builder.define(at, emitFixed(lowering, reason));
        builder.export(name, at);
      }
    });
    FIXED.forEach(([name], number) => linker.table.set(number, fixed[name]));
  }

  /** The handler's number. It stands in the table once `flush` has been called. */
  number(key: HandlerKey): number {
    const text = keyText(key);
    let number = this.known.get(text);
    if (number === undefined) {
      number = this.next++;
      if (number >= HANDLER_LIMIT) throw new RangeError('too many handlers');
      this.known.set(text, number);
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

  get count(): number {
    return this.next;
  }
}

const FIXED: readonly [string, number][] = [
  ['undecoded', Reason.decode],
  ['pageEnd', Reason.next],
  ['straddle', Reason.straddle],
  ['illegal', Reason.illegal],
];
