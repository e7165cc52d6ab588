/** Guest registers in WebAssembly locals, each given one when it is first used. */
import * as op from '../../ir/op.ts';
import { F, X } from '../../isa/riscv/insn.ts';
import { pushCell, storeCell } from './access.ts';
import type { Emitter } from './emit.ts';

export class RegisterLocals {
  private readonly e: Emitter;
  private readonly locals = new Map<number, number>();

  constructor(e: Emitter) {
    this.e = e;
  }

  private local(reg: number): number {
    let index = this.locals.get(reg);
    if (index === undefined) {
      index = this.e.newLocal(reg < 32 ? 'i64' : 'f64');
      this.locals.set(reg, index);
    }
    return index;
  }

  push(reg: number): void {
    this.e.get(this.local(reg));
  }
  /** Sets the register to what is on the stack. */
  pop(reg: number): void {
    this.e.set(this.local(reg));
  }

  /** From the CPU's state. */
  load(reg: number): void {
    pushCell(this.e, addressOf(reg), reg < 32 ? op.I64_LOAD : op.F64_LOAD);
    this.pop(reg);
  }
  /** To the CPU's state. */
  store(reg: number): void {
    storeCell(this.e, addressOf(reg), () => this.push(reg), reg < 32 ? op.I64_STORE : op.F64_STORE);
  }
}

function addressOf(reg: number): number {
  const file = reg < 32 ? X : F;
  return file.offset + (reg - file.first) * 8;
}
