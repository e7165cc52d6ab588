/**
 * Which of an instruction's accesses are to the stack: an address that is not
 * canonical is a stack fault then, and a general protection fault otherwise.
 * Asked only when such a fault has been found.
 *
 * Spec: SDM volume 3, "Stack Fault Exception (#SS)".
 */
import type { Isa, StateAccess } from '../isa.ts';
import type { Decoded } from './decode.ts';
import { Seg } from './state.ts';

/** Instructions that push, pop, or look at a frame. */
const STACK_USER = /^(push|pop|call|ret|enter|leave|iret)/;
const RSP = 4;
/** Bytes around the stack pointer that such an instruction touches. */
const NEAR = 16n;

/** For the host call of this name: `result` and `result2` hold the instruction, `faultAddress` the address. */
export function isStackAccess(isa: Pick<Isa, 'decode' | 'maxLength'>, state: StateAccess): boolean {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, state.get64('result'), true);
  view.setBigUint64(8, state.get64('result2'), true);
  const found = isa.decode(view, 0, isa.maxLength, state.get32('mode'));
  if (found === undefined || found === 'beyond') return false;
  const { operands, row } = (found as unknown as { readonly x86: Decoded }).x86;
  const memory = operands.find((operand) => operand.kind === 'mem');
  if (STACK_USER.test(row.mnemonic)) {
    const distance = BigInt.asIntN(64, state.get64('faultAddress') - state.get64('gpr', RSP));
    if (!memory || (distance >= -NEAR && distance < NEAR)) return true;
  }
  return memory?.seg === Seg.ss;
}
