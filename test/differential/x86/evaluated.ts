/**
 * Our side without an accelerator: the rows' IR, evaluated over a flat memory.
 * As the JIT has it, with constant operands and what is known of the flags,
 * or as the interpreter tier has it, with operands from an operation.
 */
import { type Datum, Evaluator, GuestFault, type World } from '../../../src/ir/evaluate.ts';
import type { Insn } from '../../../src/ir/insn.ts';
import type { Register, StateAccess } from '../../../src/isa/isa.ts';
import { passGates } from '../../../src/isa/isa.ts';
import { ccOp } from '../../../src/isa/x86/flags.ts';
import { errorOf, faultNumber, vectorOf } from '../../../src/isa/x86/fault.ts';
import type { X86HandlerKey } from '../../../src/isa/x86/handler.ts';
import { isa, type X86Decoded } from '../../../src/isa/x86/isa.ts';
import { AT, Attr, Cr0, Cr4, Efer, Eflags, FIELD_32, Mode, Seg, Vector, X86_CPU } from '../../../src/isa/x86/state.ts';
import { readEflags } from '../../../src/isa/x86/cpu.ts';
import { create, type Field } from '../../../src/state/layout.ts';
import {
  type Case,
  CODE,
  CODE_BYTES,
  CODE_LIMIT,
  codeOf,
  DATA,
  DATA_BYTES,
  DATA_LIMIT,
  type Fault,
  FLAGS,
  FS_BASE,
  GS_BASE,
  newRegisters,
  type Outcome,
  READ_ONLY_BYTES,
  type Registers,
  STOP,
} from './record.ts';

export type Tier = 'constants' | 'operations';

/** Where an operation stands in the host memory, behind the CPU's state. */
const OPERATION = (isa.stateSize + 63) & ~63;

/** The CPU's state as bytes. */
class State implements StateAccess {
  readonly view: DataView;
  constructor(view: DataView) {
    this.view = view;
  }
  get32(field: string, index = 0): number {
    return this.view.getUint32(isa.at[field] + 4 * index, true);
  }
  set32(field: string, value: number, index = 0): void {
    this.view.setUint32(isa.at[field] + 4 * index, value, true);
  }
  get64(field: string, index = 0): bigint {
    return this.view.getBigUint64(isa.at[field] + 8 * index, true);
  }
  set64(field: string, value: bigint, index = 0): void {
    this.view.setBigUint64(isa.at[field] + 8 * index, BigInt.asUintN(64, value), true);
  }
  getNumber(field: string, index = 0): number {
    return Number(this.get64(field, index));
  }
}

/** Puts a case's registers into a CPU's state, and what its code runs in. */
export function setRegisters(state: StateAccess, { bits, segments, start }: Case): void {
  const { gpr, flags, fx, ymmh } = start;
  for (let n = 0; n < 16; n++) state.set64('gpr', gpr[n], n);
  state.set32('ccOp', ccOp('flags'));
  state.set64('ccA', flags & BigInt(Eflags.arithmetic));
  state.set32('eflags', (Number(flags) & ~Eflags.arithmetic) | Eflags.fixed | Eflags.if);
  const view = new DataView(fx.buffer, fx.byteOffset);
  const high = new DataView(ymmh.buffer, ymmh.byteOffset);
  for (let n = 0; n < 32; n++) {
    state.set64('xmm', view.getBigUint64(160 + 8 * n, true), n);
    state.set64('ymmh', high.getBigUint64(8 * n, true), n);
  }
  for (const field of ['fop', 'fcs', 'fds']) state.set32(field, 0);
  for (const field of ['fip', 'fdp']) state.set64(field, 0n);
  const status = view.getUint16(2, true);
  const top = (status >> 11) & 7;
  state.set32('fcw', view.getUint16(0, true));
  state.set32('fsw', status & ~0x3800);
  state.set32('ftop', top);
  let tags = 0;
  for (let n = 0; n < 8; n++) {
    const low = view.getBigUint64(32 + 16 * ((n - top) & 7), true);
    const upper = view.getBigUint64(40 + 16 * ((n - top) & 7), true) & 0xffffn;
    state.set64('fpr', low, 2 * n);
    state.set64('fpr', upper, 2 * n + 1);
    const exponent = upper & 0x7fffn;
    const valid = exponent !== 0x7fffn && low >> 63n === 1n && exponent !== 0n;
    const tag = valid ? 0 : exponent === 0n && low === 0n ? 1 : 2;
    tags |= ((fx[4] >> n) & 1 ? tag : 3) << (2 * n);
  }
  state.set32('ftag', tags);
  state.set32('mxcsr', view.getUint32(24, true));
  setUser(state, bits, segments === 'based');
}

/** CPL 3, everything switched on. */
function setUser(state: StateAccess, bits: 16 | 32 | 64, based: boolean): void {
  const data = Attr.s | Attr.present | Attr.writable | Attr.accessed | Attr.dpl;
  const big = bits === 16 ? 0 : Attr.big;
  const granular = based ? 0 : Attr.granular;
  const segment = (seg: number, selector: number, base: number, attr: number, limit = -1) => {
    state.set32('segSelector', selector, seg);
    state.set64('segBase', BigInt(base), seg);
    state.set32('segLimit', limit, seg);
    state.set32('segAttr', attr, seg);
  };
  // The selectors are those of Linux, and of the native runner.
  const code = data | Attr.code | granular | (bits === 64 ? Attr.long : big);
  if (based) {
    segment(Seg.cs, bits === 16 ? 0x07 : 0x17, CODE, code, CODE_LIMIT);
    for (const seg of [Seg.es, Seg.ss, Seg.ds]) segment(seg, bits === 16 ? 0x0f : 0x1f, DATA, data | big, DATA_LIMIT);
  } else {
    segment(Seg.cs, bits === 64 ? 0x33 : 0x23, 0, code);
    segment(Seg.ss, 0x2b, 0, data | Attr.big | granular);
    for (const seg of [Seg.es, Seg.ds]) segment(seg, bits === 64 ? 0 : 0x2b, 0, data | Attr.big | granular);
  }
  segment(Seg.fs, bits === 64 ? 0 : 0x63, FS_BASE, data | Attr.big | Attr.granular);
  segment(Seg.gs, bits === 64 ? 0 : 0x6b, GS_BASE, data | Attr.big | Attr.granular);
  state.set32('cpl', 3);
  state.set64('cr0', BigInt(Cr0.pe | Cr0.mp | Cr0.et | Cr0.ne | Cr0.wp | Cr0.am) | BigInt(Cr0.pg >>> 0));
  const on = Cr4.pae | Cr4.osfxsr | Cr4.osxmmexcpt | Cr4.osxsave | Cr4.fsgsbase | Cr4.umip;
  state.set64('cr4', BigInt(on));
  state.set64('efer', BigInt(Efer.sce | Efer.lme | Efer.lma | Efer.nxe));
  state.set64('xcr0', 7n);
}

/** The registers of a CPU's state, flags as FLAGS has them. */
export function getRegisters(state: StateAccess): Registers {
  const registers = newRegisters();
  const { gpr, fx, ymmh } = registers;
  for (let n = 0; n < 16; n++) gpr[n] = state.get64('gpr', n);
  registers.flags = readEflags(state) & FLAGS;
  const view = new DataView(fx.buffer);
  const high = new DataView(ymmh.buffer);
  for (let n = 0; n < 32; n++) {
    view.setBigUint64(160 + 8 * n, state.get64('xmm', n), true);
    high.setBigUint64(8 * n, state.get64('ymmh', n), true);
  }
  const top = state.get32('ftop');
  view.setUint16(0, state.get32('fcw'), true);
  view.setUint16(2, state.get32('fsw') | (top << 11), true);
  for (let n = 0; n < 8; n++) {
    view.setBigUint64(32 + 16 * ((n - top) & 7), state.get64('fpr', 2 * n), true);
    view.setUint16(40 + 16 * ((n - top) & 7), Number(state.get64('fpr', 2 * n + 1)) & 0xffff, true);
    if (((state.get32('ftag') >> (2 * n)) & 3) !== 3) fx[4] |= 1 << n;
  }
  view.setUint32(24, state.get32('mxcsr'), true);
  return registers;
}

/** Instructions that one case may take: strings repeat. */
const STEPS = 40_000;

/** What is told of each instruction before it is executed; undefined: there is none. */
export type Watch = (decoded: X86Decoded | undefined, state: StateAccess) => void;

export class Evaluated implements World {
  readonly memory = new DataView(new ArrayBuffer(OPERATION + 64));
  readonly cpu = 0;
  readonly state = new State(this.memory);
  private readonly evaluator = new Evaluator(this);
  private readonly tier: Tier;
  private readonly code = new Uint8Array(CODE_BYTES).fill(STOP);
  private readonly data = new Uint8Array(DATA_BYTES + READ_ONLY_BYTES);
  private readonly view = new DataView(this.data.buffer);
  private readonly pattern: Uint8Array;
  private readonly handlers = new Map<number | string, Insn>();
  private readonly initial = new Uint8Array(isa.stateSize);

  constructor(tier: Tier, pattern: Uint8Array) {
    this.tier = tier;
    this.pattern = pattern;
    const values = create(X86_CPU) as Record<string, unknown>;
    for (const [name, field] of Object.entries(X86_CPU.fields) as [string, Field][]) {
      if (field.kind === 'bytes') continue;
      const list = (field.kind === 'array' ? values[name] : [values[name]]) as (number | bigint)[];
      for (const [n, value] of list.entries()) {
        if (FIELD_32.has(name)) this.state.set32(name, Number(value), n);
        else this.state.set64(name, BigInt(value), n);
      }
    }
    isa.cpu.reset(this.state, 0);
    this.initial.set(new Uint8Array(this.memory.buffer, 0, isa.stateSize));
  }

  readonly registers = {
    get: (n: number): bigint => {
      const { offset, type } = isa.registers[n];
      if (type === 'i32') return BigInt(this.memory.getUint32(offset, true));
      const low = this.memory.getBigUint64(offset, true);
      return type === 'v128' ? low | (this.memory.getBigUint64(offset + 8, true) << 64n) : low;
    },
    set: (n: number, value: bigint): void => {
      const { offset, type }: Register = isa.registers[n];
      if (type === 'i32') this.memory.setUint32(offset, Number(value), true);
      else this.memory.setBigUint64(offset, BigInt.asUintN(64, value), true);
      if (type === 'v128') this.memory.setBigUint64(offset + 8, value >> 64n, true);
    },
  };

  /** Where bytes at a linear address lie; faults as pages do. */
  private place(address: bigint, size: number, write: boolean): readonly [DataView, number] {
    const canonical = BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
    const last = BigInt.asUintN(64, address + BigInt(size - 1));
    if (!canonical || BigInt.asUintN(64, BigInt.asIntN(48, last)) !== last)
      throw new GuestFault(faultNumber(Vector.gp, 0), 0n);
    const at = Number(address) - DATA;
    const end = at + size;
    const writable = write ? DATA_BYTES : this.data.length;
    if (at >= 0 && end <= writable) return [this.view, at];
    const from = Number(address) - CODE;
    if (from >= 0 && from + size <= CODE_BYTES) return [new DataView(this.code.buffer), from];
    const user = 4 | (write ? 2 : 0);
    // The first byte that cannot be reached.
    let bad = address;
    if (at >= 0 && at < writable) bad = BigInt(DATA + writable);
    if (from >= 0 && from < CODE_BYTES) bad = BigInt(CODE + CODE_BYTES);
    const present = bad >= DATA && bad < DATA + this.data.length ? 1 : 0;
    throw new GuestFault(faultNumber(Vector.pf, user | present), bad);
  }
  load(address: bigint, size: number, intent: 'load' | 'store'): bigint {
    const [view, at] = this.place(address, size, intent === 'store');
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(view.getUint8(at + n));
    return value;
  }
  store(address: bigint, size: number, value: bigint): void {
    const [view, at] = this.place(address, size, true);
    for (let n = 0; n < size; n++) view.setUint8(at + n, Number((value >> BigInt(8 * n)) & 0xffn));
  }
  host(name: string): Datum {
    if (name === 'plain_place') return 0; // element by element
    throw new Error(`no ${name} here`);
  }

  /** undefined: it comes to no end. */
  run(c: Case, watch?: Watch): Outcome | undefined {
    const { state, tier } = this;
    this.data.set(this.pattern);
    this.data.set(this.pattern.subarray(0, READ_ONLY_BYTES), DATA_BYTES);
    for (const { at, value } of c.patches) this.view.setBigUint64(at, value, true);
    const code = codeOf(c);
    this.code.fill(STOP);
    this.code.set(code, c.at);
    new Uint8Array(this.memory.buffer).set(this.initial);
    setRegisters(state, c);
    const based = c.segments === 'based' ? Mode.segmentedUser : Mode.flatUser;
    state.set32('mode', c.bits === 64 ? Mode.longUser : c.bits === 16 ? Mode.smallUser : based);
    state.set64('stackMask', c.bits === 64 ? -1n : c.bits === 16 ? 0xffffn : 0xffff_ffffn);
    for (const unit of ['x87On', 'sseOn', 'avxOn']) state.set32(unit, 1);
    state.set32('sseFast', (c.start.fx[24] | (c.start.fx[25] << 8)) >>> 5 === 0x1fa0 >>> 5 ? 1 : 0);
    let pc = BigInt(CODE + c.at);
    let context: unknown;
    let fault: Fault | undefined;
    const view = new DataView(this.code.buffer);
    for (let n = 0; ; n++) {
      if (n > STEPS) return undefined;
      const at = Number(pc) - CODE;
      const inside = at >= c.at && at < c.at + code.length;
      if (!inside && at >= 0 && at < CODE_BYTES) break;
      try {
        if (!inside) throw this.unreachable(pc);
        const mode = state.get32('mode');
        const decoded = isa.decode(view, at, CODE_BYTES - at, mode);
        if (decoded === 'beyond') throw new RangeError('code at the end of its page');
        watch?.(decoded, state);
        if (!decoded) throw new GuestFault(isa.illegal(this.code.subarray(at), mode).cause, 0n);
        const insn = tier === 'constants' ? this.constants(decoded, mode, context) : this.handler(decoded, mode);
        const next = this.execute(insn, pc, decoded.length);
        // What is known holds for the instruction behind alone.
        context = next === pc + BigInt(decoded.length) ? isa.after?.(decoded, mode, context) : undefined;
        pc = next;
      } catch (thrown) {
        if (!(thrown instanceof GuestFault)) throw thrown;
        const vector = vectorOf(thrown.cause);
        const page = vector === Vector.pf;
        fault = { vector, error: errorOf(thrown.cause) ?? 0, address: page ? BigInt.asUintN(64, thrown.tval) : 0n };
        break;
      }
    }
    const words = new Map<number, bigint>();
    const before = new DataView(this.pattern.buffer, this.pattern.byteOffset);
    for (let at = 0; at < DATA_BYTES; at += 8) {
      const value = this.view.getBigUint64(at, true);
      if (value !== before.getBigUint64(at, true)) words.set(at, value);
    }
    return { end: getRegisters(state), ip: pc, fault, words };
  }

  /** Code that lies nowhere. */
  private unreachable(pc: bigint): GuestFault {
    if (BigInt.asUintN(64, BigInt.asIntN(48, pc)) !== pc) return new GuestFault(faultNumber(Vector.gp, 0), 0n);
    const at = Number(pc) - DATA;
    const present = at >= 0 && at < this.data.length;
    return new GuestFault(faultNumber(Vector.pf, 0x14 | (present ? 1 : 0)), pc);
  }

  private constants(decoded: X86Decoded, mode: number, context: unknown): Insn {
    return isa.build(decoded, mode, context, (m) => passGates(m, decoded.gates));
  }
  private handler(decoded: X86Decoded, mode: number): Insn {
    const { key, low, high, spill } = isa.operation(decoded, mode);
    let insn = this.handlers.get(key.id);
    if (!insn) {
      insn = isa.handler(key as X86HandlerKey, ['i32'], (m) => passGates(m, key.gates));
      this.handlers.set(key.id, insn);
    }
    this.memory.setUint16(OPERATION + 2, low, true);
    this.memory.setInt32(OPERATION + 4, high, true);
    this.memory.setInt32(OPERATION + 12, spill ?? 0x5555_5555, true);
    return insn;
  }

  private execute(insn: Insn, pc: bigint, length: number): bigint {
    const { evaluator } = this;
    evaluator.pc = pc;
    const locals: Datum[] = insn.locals.map((type) => (type === 'i32' || type === 'f32' ? 0 : 0n));
    locals[0] = this.tier === 'operations' ? OPERATION : locals[0];
    this.memory.setBigUint64(AT.pc, pc, true);
    evaluator.statements(insn.statements, locals);
    const { end } = insn;
    const goes = end.kind === 'jump' || end.kind === 'system';
    if (goes || (end.kind === 'branch' && evaluator.value(end.condition, locals) !== 0))
      return BigInt.asUintN(64, evaluator.value(end.target, locals) as bigint);
    return BigInt.asUintN(64, pc + BigInt(length));
  }
}
