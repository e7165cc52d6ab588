/** When V8 optimises the WebAssembly that the JIT makes. */
import { setFlagsFromString } from 'node:v8';

/**
 * V8 optimises a function when it has executed about this many bytes of it.
 * The interpreter's handlers are small and all hot; of regions some are worth
 * it, and their optimisation takes a processor.
 */
const HANDLERS_BUDGET = 200_000;
const REGIONS_BUDGET = 10_000_000;

/** Runs `make`; WebAssembly modules made in it are optimised soon. */
export function hot<T>(make: () => T): T {
  setFlagsFromString(`--wasm-tiering-budget=${HANDLERS_BUDGET}`);
  try {
    return make();
  } finally {
    setFlagsFromString(`--wasm-tiering-budget=${REGIONS_BUDGET}`);
  }
}
