/**
 * A, atomic instructions: Zalrsc and Zaamo.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "A Extension for Atomic
 * Instructions". A reservation is an address and the value seen there: SC
 * succeeds when the value still stands, as compare-and-swap machines do.
 * Misaligned addresses raise as stores do.
 */
import {
  add,
  and,
  eq,
  eqz,
  eqz32,
  gtS,
  gtU,
  type I64,
  i64,
  ltS,
  ltU,
  or,
  select,
  sext32,
  type Value,
  xor,
} from '../../ir/value.ts';
import { extension, type Instruction, insn, type RiscvInsn } from './insn.ts';
import { Cause } from './state.ts';

type Word = 'i32' | 'i64';
const bytesOf = (w: Word) => (w === 'i32' ? 4 : 8);

function aligned(m: RiscvInsn, address: Value, w: Word, cause: number): void {
  m.if(eqz32(eqz(and(address, bytesOf(w) - 1))), () => m.raise(cause, address));
}

const LR = (name: string, bits: string, w: Word): Instruction =>
  insn(name, bits, (m, { a, d }) => {
    const address = m.let(m.x(a));
    aligned(m, address, w, Cause.loadMisaligned);
    const value = m.load(w, address);
    m.put('reservation', address);
    m.put('reserved', value);
    m.put('reservationValid', 1);
    m.setX(d, value);
  });

const SC = (name: string, bits: string, w: Word): Instruction =>
  insn(name, bits, (m, { a, b, d }) => {
    const address = m.let(m.x(a));
    aligned(m, address, w, Cause.storeMisaligned);
    const now = m.loadForStore(w, address);
    const failed = m.var(i64(1));
    m.if(m.get('reservationValid'), () =>
      m.if(eq(m.get('reservation'), address), () =>
        m.if(eq(m.get('reserved'), now), () => {
          m.storeTo(w, address, m.x(b));
          failed.set(0);
        }),
      ),
    );
    m.put('reservationValid', 0);
    m.setX(d, failed.value);
  });

const AMO = (name: string, funct5: string, f: (x: Value, y: Value) => Value, w: Word): Instruction =>
  insn(
    `${name}.${w === 'i32' ? 'w' : 'd'}`,
    `${funct5}-- bbbbb aaaaa ${w === 'i32' ? '010' : '011'} ddddd 0101111`,
    (m, { a, b, d }) => {
      const address = m.let(m.x(a));
      aligned(m, address, w, Cause.storeMisaligned);
      const old = m.loadForStore(w, address);
      const operand = w === 'i32' ? m.let(sext32(m.x(b))) : m.x(b);
      m.storeTo(w, address, f(old, operand));
      m.setX(d, old);
    },
  );

const pick =
  (better: (x: I64, y: I64) => Value) =>
  (x: Value, y: Value): Value =>
    select(better(x, y), x, y);
// Sign-extended words compare as unsigned words do.
const OPERATIONS: readonly [string, string, (x: Value, y: Value) => Value][] = [
  ['amoswap', '00001', (_x, y) => y],
  ['amoadd', '00000', add],
  ['amoxor', '00100', xor],
  ['amoand', '01100', and],
  ['amoor', '01000', or],
  ['amomin', '10000', pick(ltS)],
  ['amomax', '10100', pick(gtS)],
  ['amominu', '11000', pick(ltU)],
  ['amomaxu', '11100', pick(gtU)],
];

export const rv64a: readonly Instruction[] = extension('a', [
  LR('lr.w', '00010-- 00000 aaaaa 010 ddddd 0101111', 'i32'),
  LR('lr.d', '00010-- 00000 aaaaa 011 ddddd 0101111', 'i64'),
  SC('sc.w', '00011-- bbbbb aaaaa 010 ddddd 0101111', 'i32'),
  SC('sc.d', '00011-- bbbbb aaaaa 011 ddddd 0101111', 'i64'),
  ...OPERATIONS.flatMap(([name, funct5, f]) => [AMO(name, funct5, f, 'i32'), AMO(name, funct5, f, 'i64')]),
]);
