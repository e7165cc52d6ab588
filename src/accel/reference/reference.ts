/**
 * The reference accelerator: evaluates each instruction's IR, one at a time.
 * Slow and plain; the oracle of the others.
 */
import type { IrqLine } from '../../hw/device.ts';
import { type Datum, Evaluator, GuestFault, type World } from '../../ir/evaluate.ts';
import type { AccessSize } from '../../ir/op.ts';
import type { Intent } from '../../ir/code.ts';
import type { Insn } from '../../ir/insn.ts';
import { Access, type Decoded, type IsaFunctions, passGates, type Register } from '../../isa/isa.ts';
import type { Board, Exit, StateVcpu } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import { hostFunctions, readDevice, writeDevice } from '../device-access.ts';
import { Fetcher } from '../fetch.ts';
import type { Space } from '../space.ts';

const M64 = (1n << 64n) - 1n;
/** Bytes that a CPU needs behind its state. */
export const SCRATCH = 16;

/** A part of an access that lies in one page. */
interface Piece {
  readonly pa: number;
  readonly length: number;
}

export class ReferenceVcpu implements StateVcpu, World {
  readonly index: number;
  readonly state: CpuState;
  readonly memory: DataView;
  readonly cpu: number;
  private readonly isa: CpuState['isa'];
  private readonly space: Space;
  private readonly board: Board;
  private readonly functions: IsaFunctions;
  private readonly evaluator: Evaluator;
  private readonly fetcher: Fetcher<Decoded>;
  private readonly hosts: ReturnType<typeof hostFunctions>;
  /** Instructions made into IR, by mode and bytes. */
  private readonly prepared = new Map<string, Insn>();
  readonly registers = {
    get: (reg: number): bigint => this.register(this.isa.registers[reg]),
    set: (reg: number, value: bigint): void => this.setRegister(this.isa.registers[reg], value),
  };
  private kicked = false;
  /** SCRATCH bytes behind the state, for `guest_read`. */
  private readonly scratch: number;
  private fault: GuestFault | undefined;
  /** Data accesses are told of. */
  private watched = false;
  private readonly onWritten: (address: number, length: number) => void;

  constructor(state: CpuState, board: Board, onWritten: (address: number, length: number) => void) {
    const { space, isa } = state;
    this.space = space;
    this.state = state;
    this.isa = isa;
    this.index = state.index;
    this.board = board;
    this.memory = space.view;
    this.cpu = state.at;
    this.scratch = state.at + isa.stateSize;
    this.functions = isa.bind(space.physical);
    this.evaluator = new Evaluator(this);
    this.fetcher = new Fetcher(
      isa,
      space,
      board,
      (va) => this.physical(va, Access.fetch),
      (view, left, mode) => isa.decode(view, 0, left, mode),
    );
    this.hosts = hostFunctions(board, isa, () => state.index);
    this.onWritten = onWritten;
  }

  get instructions(): number {
    return this.state.instructions;
  }
  irq(input: number): IrqLine {
    return this.state.irq(input);
  }
  reset(): void {
    this.state.reset();
    this.evaluator.call(this.functions.refresh, []);
  }
  refresh(): void {
    this.evaluator.call(this.functions.refresh, []);
  }
  kick(): void {
    this.kicked = true;
  }
  registerNames(): readonly string[] {
    return this.state.registerNames();
  }
  readRegister(name: string): bigint {
    return this.state.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.state.writeRegister(name, value);
    this.evaluator.call(this.functions.refresh, []);
  }
  translate(virtual: bigint): number | undefined {
    const pa = this.physical(BigInt.asUintN(64, virtual), Access.load);
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
    const { state, isa, evaluator, functions } = this;
    if (state.stopped) return { kind: 'stopped' };
    const deadline = state.compareTime(Math.floor(this.board.now() / isa.tickNs));
    if (state.waiting) {
      if (evaluator.call(functions.wakes, []) === 0) return { kind: 'halt', deadline: deadline * isa.tickNs };
      state.setWord(isa.fields.waiting, 0);
    }
    state.attention = false;
    const taken = evaluator.call(functions.takeInterrupt, []);
    if (taken === 1) return { kind: 'budget' };
    this.watched = taken === 2 && functions.watch !== undefined;
    const { pc } = state;
    try {
      this.instruction(pc);
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      evaluator.call(functions.raise, [fault.cause, fault.tval, pc]);
    }
    return { kind: 'budget' };
  }

  private instruction(pc: bigint): void {
    const { state, evaluator, fetcher, isa } = this;
    const { mode } = state;
    const fetched = fetcher.fetch(pc, mode);
    if (fetched.fault !== undefined) throw new GuestFault(fetched.fault, fetched.address);
    const { decoded } = fetched;
    if (!decoded) {
      const { cause, tval } = isa.illegal(fetcher.bytes, mode);
      throw new GuestFault(cause, tval);
    }
    const insn = this.prepare(decoded, mode);
    evaluator.pc = pc;
    const locals: Datum[] = insn.locals.map((type) => (type === 'i32' || type === 'f32' ? 0 : 0n));
    evaluator.statements(insn.statements, locals);
    const { end } = insn;
    let next = (pc + BigInt(decoded.length)) & M64;
    if (end.kind === 'jump' || end.kind === 'system') next = evaluator.value(end.target, locals) as bigint;
    else if (end.kind === 'branch' && evaluator.value(end.condition, locals) !== 0)
      next = evaluator.value(end.target, locals) as bigint;
    state.pc = next;
    state.retire(1);
  }

  private prepare(decoded: Decoded, mode: number): Insn {
    const key = String.fromCharCode(mode, ...this.fetcher.bytes);
    let insn = this.prepared.get(key);
    if (!insn) {
      insn = this.isa.build(decoded, mode, undefined, (m) => passGates(m, decoded.gates));
      this.prepared.set(key, insn);
    }
    return insn;
  }

  private register({ offset, type }: Register): bigint {
    const at = this.cpu + offset;
    if (type === 'i32') return BigInt(this.memory.getUint32(at, true));
    const low = this.memory.getBigUint64(at, true);
    return type === 'v128' ? low | (this.memory.getBigUint64(at + 8, true) << 64n) : low;
  }

  private setRegister({ offset, type }: Register, value: bigint): void {
    const at = this.cpu + offset;
    if (type === 'i32') this.memory.setUint32(at, Number(value), true);
    else {
      this.memory.setBigUint64(at, value & M64, true);
      if (type === 'v128') this.memory.setBigUint64(at + 8, value >> 64n, true);
    }
  }

  private physical(va: bigint, access: number): bigint {
    return BigInt.asIntN(64, this.evaluator.call(this.functions.translate, [va, access]) as bigint);
  }

  /** Translates every page that an access touches before any byte moves. */
  private pieces(va: bigint, size: number, access: number): Piece[] {
    const { unaligned, faults } = this.isa;
    const inPage = 4096 - Number(va & 0xfffn);
    const lengths = inPage >= size ? [size] : [inPage, size - inPage];
    let at = va;
    return lengths.map((length) => {
      const pa = this.physical(at, access);
      if (pa < 0n) throw new GuestFault(Number(-1n - pa), at);
      const piece = { pa: Number(pa), length };
      // Where devices want alignment, a load looks at its first page before it translates the second.
      if (!unaligned && lengths.length > 1 && access === Access.load && this.space.hostAt(piece.pa) === undefined)
        throw new GuestFault(faults.load, va);
      at = (at + BigInt(length)) & M64;
      return piece;
    });
  }

  load(va: bigint, size: AccessSize, intent: Intent): bigint {
    const value = this.loadAs(va, size, intent === 'store' ? Access.store : Access.load);
    this.watch(va, size, intent === 'store');
    return value;
  }

  private loadAs(va: bigint, size: number, access: number): bigint {
    const { unaligned, faults } = this.isa;
    const store = access === Access.store;
    const pieces = this.pieces(va, size, access);
    let value = 0n;
    let shift = 0n;
    for (const { pa, length } of pieces) {
      const host = this.space.hostAt(pa);
      // Devices that want alignment answer no atomic operations.
      const answers = unaligned || (pieces.length === 1 && !store && pa % size === 0);
      if (host === undefined && !(answers && readDevice(this.board, this.isa, pa, length, this.device, 0)))
        throw new GuestFault(store ? faults.store : faults.load, va);
      const [view, at] = host === undefined ? [this.device, 0] : [this.memory, host];
      for (let n = 0; n < length; n++, shift += 8n) value |= BigInt(view.getUint8(at + n)) << shift;
    }
    return value;
  }

  store(va: bigint, size: AccessSize, value: bigint): void {
    this.storeAs(va, size, value, Access.store);
    this.watch(va, size, true);
  }

  private watch(va: bigint, size: number, store: boolean): void {
    const { watch } = this.functions;
    if (this.watched && watch) this.evaluator.call(watch, [va, size, store ? 1 : 0]);
  }

  private storeAs(va: bigint, size: number, value: bigint, access: number): void {
    const { unaligned, faults } = this.isa;
    const pieces = this.pieces(va, size, access);
    let rest = value;
    for (const { pa, length } of pieces) {
      const host = this.space.hostAt(pa, true);
      const [view, at] = host === undefined ? [this.device, 0] : [this.memory, host];
      for (let n = 0; n < length; n++, rest >>= 8n) view.setUint8(at + n, Number(rest & 0xffn));
      if (host !== undefined) this.onWritten(pa, length);
      else {
        const answers = unaligned || (pieces.length === 1 && pa % size === 0);
        if (!(answers && writeDevice(this.board, this.isa, pa, length, this.device, 0)))
          throw new GuestFault(faults.store, va);
      }
    }
  }
  private readonly device = new DataView(new ArrayBuffer(16));

  host(name: string, args: readonly Datum[]): Datum {
    switch (name) {
      case 'tlb_flush':
      case 'tlb_flush_page':
        return 0; // there is no cached translation to drop
      case 'plain_place':
        return 0; // element by element
      case 'guest_read':
        return this.guest(() => {
          const value = this.loadAs(args[0] as bigint, args[1] as number, args[2] as number);
          this.memory.setBigUint64(this.scratch, value & M64, true);
          this.memory.setBigUint64(this.scratch + 8, value >> 64n, true);
          return this.scratch;
        });
      case 'guest_write':
        return this.guest(() => {
          this.storeAs(args[0] as bigint, args[1] as number, args[3] as bigint, args[2] as number);
          return 1;
        });
      case 'guest_fault':
        return this.fault?.cause ?? 0;
      case 'guest_fault_address':
        return this.fault?.tval ?? 0n;
      default: {
        const f = this.hosts[name as keyof typeof this.hosts] as ((...args: Datum[]) => number | undefined) | undefined;
        if (!f) throw new Error(`the host has no function ${name}`);
        return f(...args) ?? 0;
      }
    }
  }

  /** 0 where `access` faults. */
  private guest(access: () => number): number {
    try {
      return access();
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.fault = fault;
      return 0;
    }
  }
}
