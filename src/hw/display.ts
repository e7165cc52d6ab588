/**
 * What shows a picture: a graphics card as VNC, the console and `screendump` see it.
 *
 * The picture is RGBA, 4 bytes a pixel, rows from the top without gaps; alpha
 * is always 255.
 */
export interface DisplaySize {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** The rows [first, end) of a picture; empty when they are equal. */
export interface RowRange {
  readonly first: number;
  readonly end: number;
}

export interface DisplaySource {
  /** The picture's size now; the guest changes it when it likes. */
  size(): DisplaySize;
  /**
   * Draws the whole picture into `into`, which holds at least width * height * 4 bytes at an offset divisible by 4, and
   * says between which rows a pixel differs from what was there. A caller that keeps its buffer learns what
   * changed since it last looked; several callers do not disturb each other.
   */
  render(into: Uint8Array | Uint8ClampedArray): RowRange;
}
