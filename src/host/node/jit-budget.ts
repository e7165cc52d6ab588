/** V8 optimises a WebAssembly function when it has executed about this many bytes of it: our usual setting. */
export const REGIONS_BUDGET = 10_000_000;
export const budgetFlag = (bytes: number): string => `--wasm-tiering-budget=${bytes}`;
