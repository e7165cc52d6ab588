/** Instructions against the host's processor: some seconds of it. TRAPFRAME_COUNT: how many of each kind. */
import { userInstructionTests } from './user-instructions.ts';

userInstructionTests({ count: Number(process.env.TRAPFRAME_COUNT ?? 800), jit: 300, hot: 5, reference: 100 });
