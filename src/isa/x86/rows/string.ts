/**
 * String instructions, and input and output.
 *
 * With a repeat prefix an instruction does one element and then goes to
 * itself, so that interrupts are taken between elements. What moves or fills
 * plain memory does as many at once as lie in a page.
 *
 * Spec: SDM volume 2, "REP/REPE/REPZ/REPNE/REPNZ", "MOVS", "STOS", "IN" ...;
 * volume 1, "String Operations".
 */
import {
  add,
  and,
  and32,
  divU,
  eq,
  eqz,
  eqz32,
  extendU,
  gtU,
  gtU32,
  i32,
  i64,
  ltS,
  ltU32,
  mul,
  ne,
  ne32,
  or,
  or32,
  select,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import { plainPlace, portRead, portWrite } from '../../isa.ts';
import { checkIo } from '../io.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RCX, RDI, RDX, RSI } from '../registers.ts';
import type { Size } from '../flags.ts';
import { insn, type Row } from '../opcode.ts';
import { Seg } from '../state.ts';

type Semantics = (m: X86Insn) => void;

/** A pointer register, cut to the address size. */
const pointer = (m: X86Insn, n: number): Value => m.let(zeroExtend(m.r(n), m.decoded.asize));

/**
 * Does `element` once, or with a repeat prefix while the count is not zero. `element` gives whether to go on, where that
 * depends on what it found. `bulk` may do many elements at once, given their count: it returns how many it did, i64.
 */
function repeat(
  m: X86Insn,
  pointers: readonly number[],
  bytes: number,
  element: () => Value | undefined,
  bulk?: (count: Value) => Value,
): void {
  const { rep, asize } = m.decoded;
  const move = m.let(m.direction(bytes));
  if (rep === 0) {
    element();
    for (const n of pointers) m.setR(n, add(m.r(n), move), asize);
    return;
  }
  const count = m.let(zeroExtend(m.r(RCX), asize));
  const some = m.let(ne(count, 0));
  const goOn = m.var(i32(0));
  const done = m.var(i64(0));
  m.if(some, () => {
    if (bulk) m.if(ltS(0, move), () => done.set(bulk(count)));
    const found = m.var(i32(1));
    m.if(eqz(done.value), () => {
      const more = element();
      if (more) found.set(more);
      done.set(i64(1));
    });
    goOn.set(and32(ne(zeroExtend(sub(count, done.value), asize), 0), found.value));
  });
  const by = m.let(mul(done.value, move));
  // A register of 32 bits is not even cleared above where nothing happened.
  const keep = (n: number, changed: Value) =>
    m.setR(n, asize === 32 ? select(some, zeroExtend(changed, 32), m.r(n)) : changed, asize === 32 ? 64 : asize);
  for (const n of pointers) keep(n, add(m.r(n), by));
  keep(RCX, sub(m.r(RCX), done.value));
  m.branch(goOn.value, m.pc);
}

/** Fewer bytes than this are not worth a look. */
const LEAST_BULK = 32;

/** Whether elements can be done many at once: where segments have no limits to be looked at. */
const hasBulk = (m: X86Insn, reads: boolean): boolean =>
  !m.segmented && (!reads || m.bits === 64 || m.segment() < Seg.fs);

/** How many of `count` elements of `bytes` lie in one page from each of the addresses on. */
function within(m: X86Insn, count: Value, bytes: number, addresses: readonly Value[]): Value {
  const most = 4096 / bytes;
  let n: Value = select(gtU(count, most), i64(most), count);
  for (const address of addresses) {
    const room = m.let(divU(sub(4096, and(address, 4095)), bytes));
    n = m.let(n);
    n = select(gtU(n, room), room, n);
  }
  return m.let(n);
}

const moveString =
  (size: (m: X86Insn) => Size): Semantics =>
  (m) => {
    const bits = size(m);
    const bytes = bits / 8;
    const element = () => {
      const value = m.loadAt(m.segment(), pointer(m, RSI), bits);
      m.storeAt(Seg.es, pointer(m, RDI), bits, value);
      return undefined;
    };
    const bulk = (count: Value): Value => {
      const done = m.var(i64(0));
      const from = m.let(m.linear(m.segment(), pointer(m, RSI), bytes, false));
      const to = m.let(m.linear(Seg.es, pointer(m, RDI), bytes, true));
      const n = within(m, count, bytes, [from, to]);
      const length = m.let(wrap(mul(n, bytes)));
      m.if(gtU32(length, LEAST_BULK), () => {
        const source = m.let(m.call(plainPlace, from, length, i32(0)));
        const target = m.let(m.call(plainPlace, to, length, i32(1)));
        // Into what is still to be read an element at a time is something else than all at once.
        const overlaps = ltU32(sub32(target, source), length);
        m.if(and32(and32(ne32(source, 0), ne32(target, 0)), eqz32(overlaps)), () => {
          m.copy(target, source, length);
          done.set(n);
        });
      });
      return done.value;
    };
    repeat(m, [RSI, RDI], bytes, element, hasBulk(m, true) ? bulk : undefined);
  };
const storeString =
  (size: (m: X86Insn) => Size): Semantics =>
  (m) => {
    const bits = size(m);
    const bytes = bits / 8;
    const element = () => {
      m.storeAt(Seg.es, pointer(m, RDI), bits, m.r(RAX));
      return undefined;
    };
    const bulk = (count: Value): Value => {
      const done = m.var(i64(0));
      const to = m.let(m.linear(Seg.es, pointer(m, RDI), bytes, true));
      const n = within(m, count, bytes, [to]);
      const length = m.let(wrap(mul(n, bytes)));
      // All bytes of the element equal: nearly always zero.
      const low = m.let(and(m.r(RAX), 0xff));
      const same = eq(zeroExtend(mul(low, i64(0x0101_0101_0101_0101n)), bits), zeroExtend(m.r(RAX), bits));
      m.if(and32(gtU32(length, LEAST_BULK), same), () => {
        const target = m.let(m.call(plainPlace, to, length, i32(1)));
        m.if(target, () => {
          m.fill(target, wrap(low), length);
          done.set(n);
        });
      });
      return done.value;
    };
    repeat(m, [RDI], bytes, element, hasBulk(m, false) ? bulk : undefined);
  };
const loadString =
  (size: (m: X86Insn) => Size): Semantics =>
  (m) => {
    const bits = size(m);
    const old = m.r(RAX);
    const value = m.var(old);
    repeat(m, [RSI], bits / 8, () => {
      const loaded = m.loadAt(m.segment(), pointer(m, RSI), bits);
      value.set(bits >= 32 ? loaded : merge(old, loaded, bits));
      return undefined;
    });
    m.setR(RAX, value.value);
  };
const merge = (old: Value, value: Value, bits: number): Value => {
  const mask = 2 ** bits - 1;
  return or(and(old, i64(~BigInt(mask))), value);
};

/** CMPS and SCAS: F3 goes on while equal, F2 while not. */
const compare =
  (size: (m: X86Insn) => Size, scan: boolean): Semantics =>
  (m) => {
    const bits = size(m);
    const a = m.var(i64(0));
    const b = m.var(i64(0));
    const { rep, asize } = m.decoded;
    const some = rep === 0 ? i32(1) : m.let(ne(zeroExtend(m.r(RCX), asize), 0));
    repeat(m, scan ? [RDI] : [RSI, RDI], bits / 8, () => {
      // rDI first: its fault is the one that is raised.
      b.set(m.loadAt(Seg.es, pointer(m, RDI), bits));
      a.set(scan ? zeroExtend(m.r(RAX), bits) : m.loadAt(m.segment(), pointer(m, RSI), bits));
      const equal = eq(a.value, b.value);
      return rep === 0xf3 ? equal : xor32(equal, 1);
    });
    if (rep === 0) m.flags('sub', bits, a.value, b.value);
    else m.flagsIf(some, 'sub', bits, a.value, b.value);
  };

// Input and output: afterwards interrupts are looked at.

const allow = (m: X86Insn, port: Value, bytes: number): void => m.raiseIf(m.call(checkIo, port, i32(bytes)));
const lookUp = (m: X86Insn): void => m.check(or32(ne32(m.state('lines'), 0), ne32(m.state('attention'), 0)));
const portOf = (m: X86Insn, n: number): Value =>
  m.let(and32(wrap(m.get(n)), m.operand(n).kind === 'imm' ? 0xff : 0xffff));

/** rAX at 8, 16 or 32 bits: ports have no more. */
const ioSize = (m: X86Insn): 16 | 32 => (m.osize === 16 ? 16 : 32);

const input =
  (size: (m: X86Insn) => 8 | 16 | 32): Semantics =>
  (m) => {
    const bits = size(m);
    const port = portOf(m, 0);
    allow(m, port, bits / 8);
    m.setR(RAX, extendU(m.call(portRead, port, i32(bits / 8))), bits);
    lookUp(m);
  };
const output =
  (size: (m: X86Insn) => 8 | 16 | 32): Semantics =>
  (m) => {
    const bits = size(m);
    const port = portOf(m, 0);
    allow(m, port, bits / 8);
    m.call(portWrite, port, i32(bits / 8), wrap(zeroExtend(m.r(RAX), bits)));
    lookUp(m);
  };
const inputString =
  (size: (m: X86Insn) => 8 | 16 | 32): Semantics =>
  (m) => {
    const bits = size(m);
    const port = m.let(and32(wrap(m.r(RDX)), 0xffff));
    allow(m, port, bits / 8);
    repeat(m, [RDI], bits / 8, () => {
      const offset = pointer(m, RDI);
      // The destination must be writable before the port is read.
      const address = m.let(m.linear(Seg.es, offset, bits / 8, true));
      void m.loadLinear(address, bits, true);
      m.storeLinear(address, bits, extendU(m.call(portRead, port, i32(bits / 8))));
      return undefined;
    });
  };
const outputString =
  (size: (m: X86Insn) => 8 | 16 | 32): Semantics =>
  (m) => {
    const bits = size(m);
    const port = m.let(and32(wrap(m.r(RDX)), 0xffff));
    allow(m, port, bits / 8);
    repeat(m, [RSI], bits / 8, () => {
      const value = m.loadAt(m.segment(), pointer(m, RSI), bits);
      m.call(portWrite, port, i32(bits / 8), wrap(value));
      return undefined;
    });
  };

const byte = () => 8 as const;
const word = (m: X86Insn) => m.osize;

const string = { string: true } as const;

export const strings = (): readonly Row[] => [
  insn('movsb', 'A4', '', moveString(byte), string),
  insn('movs', 'A5', '', moveString(word), string),
  insn('cmpsb', 'A6', '', compare(byte, false), string),
  insn('cmps', 'A7', '', compare(word, false), string),
  insn('stosb', 'AA', '', storeString(byte), string),
  insn('stos', 'AB', '', storeString(word), string),
  insn('lodsb', 'AC', '', loadString(byte), string),
  insn('lods', 'AD', '', loadString(word), string),
  insn('scasb', 'AE', '', compare(byte, true), string),
  insn('scas', 'AF', '', compare(word, true), string),
  insn('insb', '6C', '', inputString(byte), string),
  insn('ins', '6D', '', inputString(ioSize), string),
  insn('outsb', '6E', '', outputString(byte), string),
  insn('outs', '6F', '', outputString(ioSize), string),
  insn('in', 'E4', 'Ib', input(byte), { flow: 'check' }),
  insn('in', 'E5', 'Ib', input(ioSize), { flow: 'check' }),
  insn('out', 'E6', 'Ib', output(byte), { flow: 'check' }),
  insn('out', 'E7', 'Ib', output(ioSize), { flow: 'check' }),
  insn('in', 'EC', 'DX', input(byte), { flow: 'check' }),
  insn('in', 'ED', 'DX', input(ioSize), { flow: 'check' }),
  insn('out', 'EE', 'DX', output(byte), { flow: 'check' }),
  insn('out', 'EF', 'DX', output(ioSize), { flow: 'check' }),
];
