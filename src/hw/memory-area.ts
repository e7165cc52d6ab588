/**
 * Guest-physical memory that is not RAM: a frame buffer, an option ROM, flash
 * that reads like memory. The guest reads and writes the bytes directly, with no
 * callback; a device shows, moves and hides them.
 */
export interface MemoryArea {
  /** The contents, shared with the guest; the length is the area's size. */
  readonly bytes: Uint8Array;
  /** Shows the area at a page-aligned guest-physical address; undefined shows it nowhere. */
  place(at: number | undefined): void;
  /** While true, guest writes change nothing. */
  readOnly: boolean;
}
