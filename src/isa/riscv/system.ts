/**
 * Zicsr and the privileged instructions.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "Zicsr"; Privileged ISA 20240411,
 * "Machine-Mode Privileged Instructions", "Supervisor Instructions",
 * "Svinval".
 */
import {
  and,
  and32,
  eq32,
  eqz32,
  i32,
  i64,
  ltU32,
  not,
  or,
  or32,
  select,
  shrU,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { csrs } from './csr.ts';
import { firmwareCall, tlbFlush, tlbFlushPage } from '../isa.ts';
import { extension, type Instruction, insn, type Operands, type RiscvInsn } from './insn.ts';
import { Cause, Mstatus, PRIV_M, PRIV_S, PRIV_U } from './state.ts';
import { mret, sret } from './trap.ts';

type Combine = (old: Value, operand: Value) => Value;

/** An access to CSR k; `operand` is undefined where the instruction does not write. */
function access(m: RiscvInsn, o: Operands, operand: Value | undefined, combine: Combine): void {
  const csr = csrs.get(o.k);
  const writes = operand !== undefined;
  if (!csr || (writes && o.k >> 10 === 3)) {
    m.illegal();
    return;
  }
  const priv = (o.k >> 8) & 3;
  if (priv > 0) m.if(ltU32(m.get('priv'), priv), () => m.illegal());
  if (csr.denied) m.if(csr.denied(m), () => m.illegal());
  const old = m.let(csr.read(m));
  const changed = operand && csr.write?.(m, m.let(combine(old, operand)));
  m.setX(o.d, old);
  if (changed) m.check(changed);
  else if (writes && csr.write && !csr.inert) m.system();
}

/** Whether an access ends a run of plain instructions: it writes what others depend on, or reads the counters. */
function disturbs(k: number, writes: boolean): boolean {
  const csr = csrs.get(k);
  return csr !== undefined && (csr.counts === true || (writes && csr.write !== undefined && !csr.inert && !csr.tells));
}
const CSR = (name: string, funct3: string, combine: Combine, alwaysWrites: boolean, immediate: boolean): Instruction =>
  insn(
    name,
    immediate ? `kkkkkkkkkkkk zzzzz ${funct3} ddddd 1110011` : `kkkkkkkkkkkk aaaaa ${funct3} ddddd 1110011`,
    (m, o) => {
      const none = immediate ? o.z === 0 : o.a === 0;
      const operand = none && !alwaysWrites ? undefined : immediate ? i64(o.z) : m.let(m.x(o.a));
      access(m, o, operand, combine);
    },
    { system: (o) => disturbs(o.k, alwaysWrites || (immediate ? o.z : o.a) !== 0) },
  );

const WRITE: Combine = (_old, operand) => operand;
const SET: Combine = (old, operand) => or(old, operand);
const CLEAR: Combine = (old, operand) => and(old, not(operand));

export const zicsr: readonly Instruction[] = extension('zicsr', [
  CSR('csrrw', '001', WRITE, true, false),
  CSR('csrrs', '010', SET, false, false),
  CSR('csrrc', '011', CLEAR, false, false),
  CSR('csrrwi', '101', WRITE, true, true),
  CSR('csrrsi', '110', SET, false, true),
  CSR('csrrci', '111', CLEAR, false, true),
]);

const statusBit = (m: RiscvInsn, bit: number): Value => wrap(and(shrU(m.get('mstatus'), bit), 1));
const P = (name: string, bits: string, semantics: Instruction['semantics']): Instruction =>
  insn(name, bits, semantics, { system: true });

/** S-mode memory management: illegal in U-mode, and in S-mode when mstatus.TVM says so. */
function memoryManagement(m: RiscvInsn): void {
  const priv = m.let(m.get('priv'));
  m.if(or32(eq32(priv, PRIV_U), and32(eq32(priv, PRIV_S), statusBit(m, Mstatus.TVM))), () => m.illegal());
}
function flush(m: RiscvInsn, { a, b }: Operands): void {
  // A register given as number 0 means "all"; any other register gives an address or an address space.
  if (a === 0) m.call(tlbFlush, b === 0 ? i32(0) : i32(1));
  else m.call(tlbFlushPage, m.x(a));
  m.system();
}

export const privileged: readonly Instruction[] = extension('s', [
  P('ecall', '000000000000 00000 000 00000 1110011', (m) => {
    const priv = m.let(m.get('priv'));
    m.if(
      and32(eq32(priv, PRIV_S), m.get('sbi')),
      () => m.call(firmwareCall),
      () =>
        m.raise(
          select(
            eq32(priv, PRIV_U),
            i32(Cause.ecallU),
            select(eq32(priv, PRIV_S), i32(Cause.ecallS), i32(Cause.ecallM)),
          ),
          i64(0),
        ),
    );
    m.system();
  }),
  P('sret', '0001000 00010 00000 000 00000 1110011', (m) => {
    const priv = m.let(m.get('priv'));
    m.if(or32(eq32(priv, PRIV_U), and32(eq32(priv, PRIV_S), statusBit(m, Mstatus.TSR))), () => m.illegal());
    m.system(m.call(sret));
  }),
  P('mret', '0011000 00010 00000 000 00000 1110011', (m) => {
    m.if(ltU32(m.get('priv'), PRIV_M), () => m.illegal());
    m.system(m.call(mret));
  }),
  P('wfi', '0001000 00101 00000 000 00000 1110011', (m) => {
    const priv = m.let(m.get('priv'));
    m.if(or32(eq32(priv, PRIV_U), and32(eq32(priv, PRIV_S), statusBit(m, Mstatus.TW))), () => m.illegal());
    m.put('waiting', 1);
    m.system();
  }),
  P('sfence.vma', '0001001 bbbbb aaaaa 000 00000 1110011', (m, o) => {
    memoryManagement(m);
    flush(m, o);
  }),
  P('sinval.vma', '0001011 bbbbb aaaaa 000 00000 1110011', (m, o) => {
    memoryManagement(m);
    flush(m, o);
  }),
  P('sfence.w.inval', '0001100 00000 00000 000 00000 1110011', (m) => {
    m.if(eqz32(m.get('priv')), () => m.illegal());
    m.system();
  }),
  P('sfence.inval.ir', '0001100 00001 00000 000 00000 1110011', (m) => {
    m.if(eqz32(m.get('priv')), () => m.illegal());
    m.system();
  }),
]);
