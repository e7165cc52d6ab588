/** The registers of x86 instructions: the files that compiled code keeps in locals, and the general ones by number. */
import type { RegisterFile } from '../../ir/insn.ts';
import { AT } from './state.ts';

/** The registers that live in locals of compiled code, by their number in the list. */
export const GPR: RegisterFile = { first: 0, offset: AT.gpr, type: 'i64' };
export const CC_OP: RegisterFile = { first: 16, offset: AT.ccOp, type: 'i32', stride: 4 };
/** ccA, ccB, ccC. */
export const CC: RegisterFile = { first: 17, offset: AT.ccA, type: 'i64' };
export const XMM: RegisterFile = { first: 24, offset: AT.xmm, type: 'v128', stride: 16 };
export const YMMH: RegisterFile = { first: 40, offset: AT.ymmh, type: 'v128', stride: 16 };

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
