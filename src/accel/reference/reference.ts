/**
 * The reference accelerator: evaluates each instruction's IR, one at a time.
 * Slow and plain; the oracle of the others.
 */
import type { IrqLine } from '../../hw/device.ts';
import { type Datum, Evaluator, GuestFault, type World } from '../../ir/evaluate.ts';
import type { AccessSize } from '../../ir/op.ts';
import type { Intent } from '../../ir/code.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import { type Operands, RiscvInsn } from '../../isa/riscv/insn.ts';
import { Access, type Mmu, mmu } from '../../isa/riscv/mmu.ts';
import { rows } from '../../isa/riscv/rows.ts';
import { Cause, Mstatus } from '../../isa/riscv/state.ts';
import { takeInterrupt, trap, updateFloat, wakes } from '../../isa/riscv/trap.ts';
import { i64 } from '../../ir/value.ts';
import type { Board, Exit, Vcpu } from '../accelerator.ts';
import type { RiscvHart } from '../riscv-hart.ts';
import type { Space } from '../space.ts';

const M64 = (1n << 64n) - 1n;

/** An instruction word made into IR, once. */
interface Prepared {
  readonly insn: RiscvInsn;
  readonly length: number;
  readonly fp: 'none' | 'read' | 'write';
}

export class ReferenceVcpu implements Vcpu, World {
  readonly index: number;
  readonly hart: RiscvHart;
  readonly memory: DataView;
  readonly cpu: number;
  private readonly space: Space;
  private readonly board: Board;
  private readonly mmu: Mmu;
  private readonly decoder: Decoder;
  private readonly evaluator: Evaluator;
  private readonly prepared = new Map<number, Prepared | undefined>();
  readonly registers = {
    get: (reg: number): bigint => (reg < 32 ? this.hart.get64('x', reg) : this.hart.get64('f', reg - 32)),
    set: (reg: number, value: bigint): void => {
      if (reg < 32) this.hart.set64('x', value, reg);
      else this.hart.set64('f', value, reg - 32);
    },
  };
  private kicked = false;
  private readonly onWritten: (address: number, length: number) => void;

  constructor(space: Space, hart: RiscvHart, board: Board, onWritten: (address: number, length: number) => void) {
    this.space = space;
    this.hart = hart;
    this.index = hart.index;
    this.board = board;
    this.memory = space.view;
    this.cpu = hart.at;
    this.mmu = mmu(space.ram);
    this.decoder = new Decoder(rows);
    this.evaluator = new Evaluator(this);
    this.onWritten = onWritten;
  }

  get instructions(): number {
    return this.hart.getNumber('instret');
  }
  irq(input: number): IrqLine {
    return this.hart.irq(input);
  }
  reset(): void {
    this.hart.reset();
  }
  kick(): void {
    this.kicked = true;
  }
  registerNames(): readonly string[] {
    return this.hart.registerNames();
  }
  readRegister(name: string): bigint {
    return this.hart.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.hart.writeRegister(name, value);
  }
  translate(virtual: bigint): number | undefined {
    const priv = this.evaluator.call(this.mmu.dataPrivilege, []);
    const pa = this.physical(BigInt.asUintN(64, virtual), Access.load, priv as number);
    return pa < 0n ? undefined : Number(pa);
  }

  run(instructions: number): Exit {
    for (let n = 0; n < instructions; n++) {
      const exit = this.step();
      if (exit.kind !== 'budget') return exit;
      if (this.kicked) {
        this.kicked = false;
        break;
      }
    }
    return { kind: 'budget' };
  }

  step(): Exit {
    const { hart } = this;
    if (hart.get32('stopped')) return { kind: 'stopped' };
    const ticks = this.ticks();
    const deadline = hart.compareTime(ticks);
    if (hart.get32('waiting')) {
      if (this.evaluator.call(wakes, []) === 0) return { kind: 'halt', deadline: deadline * 100 };
      hart.set32('waiting', 0);
    }
    hart.set32('attention', 0);
    if (this.evaluator.call(takeInterrupt, []) !== 0) return { kind: 'budget' };
    const pc = hart.get64('pc');
    try {
      this.instruction(pc);
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.evaluator.call(trap, [BigInt(fault.cause), fault.tval, pc]);
    }
    return { kind: 'budget' };
  }

  private ticks(): number {
    return Math.floor(this.board.now() / 100);
  }

  private instruction(pc: bigint): void {
    const { hart, evaluator } = this;
    const word = this.fetch(pc);
    let prepared = this.prepared.get(word);
    if (prepared === undefined && !this.prepared.has(word)) {
      prepared = this.prepare(word);
      this.prepared.set(word, prepared);
    }
    if (!prepared) throw new GuestFault(Cause.illegalInstruction, BigInt(word >>> 0));
    if (prepared.fp !== 'none') {
      if (!hart.get32('fpOn')) throw new GuestFault(Cause.illegalInstruction, BigInt(word >>> 0));
      if (prepared.fp === 'write' && !hart.get32('fpDirty')) {
        hart.set64('mstatus', hart.get64('mstatus') | (3n << BigInt(Mstatus.FS)));
        evaluator.call(updateFloat, []);
      }
    }
    const { insn } = prepared;
    evaluator.pc = pc;
    const locals: Datum[] = insn.locals.map((type) => (type === 'i64' || type === 'f64' ? 0n : 0));
    evaluator.statements(insn.statements, locals);
    const { end } = insn;
    let next = (pc + BigInt(prepared.length)) & M64;
    if (end.kind === 'jump' || end.kind === 'system') next = evaluator.value(end.target, locals) as bigint;
    else if (end.kind === 'branch' && evaluator.value(end.condition, locals) !== 0)
      next = evaluator.value(end.target, locals) as bigint;
    hart.set64('pc', next);
    hart.set64('instret', hart.get64('instret') + 1n);
  }

  private prepare(word: number): Prepared | undefined {
    const decoded = this.decoder.decode(word);
    if (!decoded) return undefined;
    const insn = new RiscvInsn(decoded.length, i64(BigInt(decoded.word)));
    decoded.row.semantics(insn, { ...decoded.operands, i: i64(decoded.operands.i ?? 0) } as unknown as Operands);
    insn.finish();
    return { insn, length: decoded.length, fp: decoded.row.fp };
  }

  /** The instruction word at `pc`: 16 or 32 bits. */
  private fetch(pc: bigint): number {
    const low = this.fetchHalf(pc);
    if ((low & 3) !== 3) return low;
    return (low | (this.fetchHalf((pc + 2n) & M64) << 16)) >>> 0;
  }

  private fetchHalf(at: bigint): number {
    const pa = this.physical(at, Access.fetch, this.hart.get32('priv'));
    if (pa < 0n) throw new GuestFault(Number(-1n - pa), at);
    const host = this.hostOf(Number(pa), 2);
    if (host === undefined) {
      // Code in a device's memory: flash.
      const value = this.board.mmioRead(Number(pa), 2);
      if (value === undefined) throw new GuestFault(Cause.instructionAccess, at);
      return value;
    }
    return this.memory.getUint16(host, true);
  }

  private physical(va: bigint, access: number, priv: number): bigint {
    return BigInt.asIntN(64, this.evaluator.call(this.mmu.translate, [va, access, priv]) as bigint);
  }

  private hostOf(pa: number, size: number): number | undefined {
    const { base, size: ramSize, host } = this.space.ram;
    return pa >= base && pa + size <= base + ramSize ? pa - base + host : undefined;
  }

  /** Translates every page that an access touches before any byte moves. */
  private pieces(va: bigint, size: number, access: number): { pa: number; length: number }[] {
    const priv = this.evaluator.call(this.mmu.dataPrivilege, []) as number;
    const inPage = 4096 - Number(va & 0xfffn);
    const lengths = inPage >= size ? [size] : [inPage, size - inPage];
    let at = va;
    return lengths.map((length) => {
      const pa = this.physical(at, access, priv);
      if (pa < 0n) throw new GuestFault(Number(-1n - pa), at);
      const piece = { pa: Number(pa), length };
      // A load looks at its first page before it translates the second.
      if (lengths.length > 1 && access === Access.load && this.hostOf(piece.pa, length) === undefined)
        throw new GuestFault(Cause.loadAccess, va);
      at = (at + BigInt(length)) & M64;
      return piece;
    });
  }

  load(va: bigint, size: AccessSize, intent: Intent): bigint {
    const store = intent === 'store';
    const pieces = this.pieces(va, size, store ? Access.store : Access.load);
    let value = 0n;
    let shift = 0n;
    for (const { pa, length } of pieces) {
      const host = this.hostOf(pa, length);
      if (host !== undefined) {
        for (let n = 0; n < length; n++, shift += 8n) value |= BigInt(this.memory.getUint8(host + n)) << shift;
      } else {
        // Devices answer no atomic operations.
        const read = pieces.length === 1 && !store ? this.mmioRead(pa, size) : undefined;
        if (read === undefined) throw new GuestFault(store ? Cause.storeAccess : Cause.loadAccess, va);
        value = read;
      }
    }
    return value;
  }

  private mmioRead(pa: number, size: number): bigint | undefined {
    if (pa % size !== 0) return undefined;
    if (size < 8) {
      const value = this.board.mmioRead(pa, size as 1 | 2 | 4);
      return value === undefined ? undefined : BigInt(value >>> 0);
    }
    let value = 0n;
    for (let n = 0; n < size; n += 4) {
      const word = this.board.mmioRead(pa + n, 4);
      if (word === undefined) return undefined;
      value |= BigInt(word >>> 0) << BigInt(8 * n);
    }
    return value;
  }

  store(va: bigint, size: AccessSize, value: bigint): void {
    const pieces = this.pieces(va, size, Access.store);
    let rest = value;
    for (const { pa, length } of pieces) {
      const host = this.hostOf(pa, length);
      if (host !== undefined) {
        for (let n = 0; n < length; n++, rest >>= 8n) this.memory.setUint8(host + n, Number(rest & 0xffn));
        this.onWritten(pa, length);
      } else if (pieces.length > 1 || pa % size !== 0 || !this.mmioWrite(pa, size, value)) {
        throw new GuestFault(Cause.storeAccess, va);
      }
    }
  }

  private mmioWrite(pa: number, size: number, value: bigint): boolean {
    if (size < 8) return this.board.mmioWrite(pa, size as 1 | 2 | 4, Number(value));
    for (let n = 0; n < size; n += 4) {
      if (!this.board.mmioWrite(pa + n, 4, Number((value >> BigInt(8 * n)) & 0xffffffffn))) return false;
    }
    return true;
  }

  host(name: string, _args: readonly Datum[]): Datum {
    switch (name) {
      case 'read_time':
        return this.ticks();
      case 'firmware_call':
        this.board.firmwareCall?.(this);
        return 0;
      default:
        return 0; // there is no cached translation to drop
    }
  }
}
