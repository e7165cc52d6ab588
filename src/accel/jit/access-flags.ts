/** Flags beside the size in the second parameter of `slowLoad` and `slowStore`. */
export const Flag = {
  size: 0x1f,
  /** From the interpreter: MMIO and stores across pages are done, by way of `scratch`. */
  interpreter: 0x100,
  /** A load that a store will follow. */
  atomic: 0x200,
  /** With `atomic`: the store will go to the same place without another look, which must be RAM. */
  both: 0x400,
  /** No look into the TLB has been taken. */
  look: 0x800,
} as const;
