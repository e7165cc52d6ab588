/**
 * Making a machine's WebAssembly memory, and letting go of it.
 *
 * Departure from the plain way, `initial` pages at once: V8 counts what a
 * memory begins with as garbage to come and marks its whole heap when a new one
 * is made, untouched though it is: 5 to 25 ms in the middle of a machine's
 * start. What a memory grows by V8 does not count. So memories begin small, and
 * it is told of them when machines were closed and much would stay behind.
 */
const PAGE = 65536;
/** Bytes of closed machines at which V8 is told. */
const MUCH = 2 ** 29;

/** Bytes of memories that were let go of and are still there. */
let behind = 0;
const gone = new FinalizationRegistry<number>((bytes) => {
  behind -= bytes;
});

/** A shared memory of so many pages, all zero. Throws RangeError where the host has not so much. */
export function makeSharedMemory(pages: number): WebAssembly.Memory {
  if (pages > 1)
    try {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: pages, shared: true });
      memory.grow(pages - 1);
      return memory;
    } catch {
      // No room to grow: made at once, V8 looks for garbage before it gives up.
    }
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** The memory's machine was closed; `bytes` of it may have been touched. */
export function releaseSharedMemory(memory: WebAssembly.Memory, bytes: number): void {
  gone.register(memory, bytes);
  behind += bytes;
  if (behind < MUCH) return;
  try {
    // A memory that is dropped at once: V8 counts it, and begins to collect.
    new WebAssembly.Memory({ initial: MUCH / PAGE, maximum: MUCH / PAGE, shared: true });
  } catch {
    // The host has no room for it; then V8 has looked for garbage already.
  }
}
