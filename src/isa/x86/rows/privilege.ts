/**
 * What system instructions ask before they do anything.
 *
 * Spec: SDM volume 3, "System Instruction Summary"; volume 2, "UMIP" on the
 * pages of the mnemonics.
 */
import { and, and32, eqz, ne, ne32, or32, type Value } from '../../../ir/value.ts';
import type { X86Insn } from '../insn.ts';
import { Cr0, Cr4, Eflags } from '../state.ts';

export const system = { flow: 'system' } as const;

export const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);
/** Faults with #UD in real-address and virtual-8086 mode. */
export const needsProtectedMode = (m: X86Insn): void => {
  const v86 = ne32(and32(m.state('eflags'), Eflags.vm), 0);
  m.if(or32(eqz(and(m.state('cr0'), Cr0.pe)), v86), () => m.ud());
};
/** UMIP keeps user code from looking at system structures. */
export const mayLook = (m: X86Insn): void => {
  m.if(and32(has(m.state('cr4'), Cr4.umip), ne32(m.state('cpl'), 0)), () => m.gp());
};
