/** When V8 optimises the WebAssembly that the JIT makes. */
import { setFlagsFromString } from 'node:v8';
import { budgetFlag, REGIONS_BUDGET } from './jit-budget.ts';

/**
 * V8 optimises a function when it has executed about this many bytes of it.
 * The interpreter's handlers are small and all hot; of regions some are worth
 * it, and their optimisation takes a processor.
 */
const HANDLERS_BUDGET = 200_000;

/** Runs `make`; WebAssembly modules made in it are optimised soon. */
export function hot<T>(make: () => T): T {
  setFlagsFromString(budgetFlag(HANDLERS_BUDGET));
  try {
    return make();
  } finally {
    setFlagsFromString(budgetFlag(REGIONS_BUDGET));
  }
}
