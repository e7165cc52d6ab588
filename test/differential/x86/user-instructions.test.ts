/** Instructions against the host's processor: some seconds of it. TRAPFRAME_COUNT: how many of each kind. */
import { userInstructionTests } from './user-instructions.ts';

userInstructionTests({ count: Number(process.env.TRAPFRAME_COUNT ?? 400), jit: 120, hot: 3, reference: 40 });
