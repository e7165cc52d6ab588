/** Instructions against the host's processor: minutes of it. TRAPFRAME_COUNT: how many of each kind. */
import { userInstructionTests } from './user-instructions.ts';

const count = Number(process.env.TRAPFRAME_COUNT ?? 40_000);
userInstructionTests({ count, jit: count / 4, hot: count / 200, reference: count / 20 });
