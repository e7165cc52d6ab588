/** Guest registers in WebAssembly locals, each given one when it is first used. */
import type { Register } from '../../isa/isa.ts';
import { pushRegister, storeRegister } from './access.ts';
import type { Emitter } from './emit.ts';

export class RegisterLocals {
  private readonly e: Emitter;
  private readonly registers: readonly Register[];
  private readonly locals = new Map<number, number>();

  constructor(e: Emitter, registers: readonly Register[]) {
    this.e = e;
    this.registers = registers;
  }

  private local(reg: number): number {
    let index = this.locals.get(reg);
    if (index === undefined) {
      index = this.e.newLocal(this.registers[reg].type);
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
    pushRegister(this.e, this.registers[reg]);
    this.pop(reg);
  }
  /** To the CPU's state. */
  store(reg: number): void {
    storeRegister(this.e, this.registers[reg], () => this.push(reg));
  }
}
