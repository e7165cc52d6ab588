/**
 * The SSE unit on the CPU's state: MXCSR, the exception it raises.
 *
 * Spec: SDM volume 1, 10.2.3 "MXCSR Control and Status Register"; volume 3,
 * "SIMD Floating-Point Exception (#XM)": #UD where CR4.OSXMMEXCPT is clear.
 */
import { and, ne } from '../../ir/value.ts';
import { get, put } from './field.ts';
import type { X86Insn } from './insn.ts';
import { isFast } from './simd/mxcsr.ts';
import { Sse } from './simd/sse.ts';
import { AT, Cr4, Vector } from './state.ts';

export const sse = new Sse({
  mxcsr: AT.mxcsr,
  fast: () => get('sseFast'),
  after: (code) => put(code, 'sseFast', isFast(get('mxcsr'))),
});

/** The bits of MXCSR that exist. */
export const MXCSR_MASK = 0xffff;

export const simdFault = (m: X86Insn) => (): void => {
  m.if(ne(and(m.state('cr4'), Cr4.osxmmexcpt), 0), () => m.fault(Vector.xm));
  m.ud();
};
