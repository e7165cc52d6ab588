/** What generated code outlives its process in. */

/** Keeps generated code for later processes that run the very same program. What is kept may be gone at any time. */
export interface CodeStore {
  read(name: string): Uint8Array | undefined;
  write(name: string, bytes: Uint8Array): void;
}
