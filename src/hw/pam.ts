/**
 * Programmable attribute maps: whether reads and writes of the thirteen
 * segments between 768 KiB and 1 MiB go to RAM or to the bus (option ROMs, BIOS).
 *
 * Spec: Intel 82441FX (290549-001), "PAM - Programmable Attribute Map
 * Registers"; 3 Series Express Chipset (316966-002) has the same.
 */

/** A segment of the shadow area; the last 64 KiB are the first segment. */
export interface PamSegment {
  /** 0..12. */
  readonly index: number;
  readonly base: number;
  /** Bytes. */
  readonly size: number;
}

export const PAM_SEGMENTS: readonly PamSegment[] = Array.from({ length: 13 }, (_, index) =>
  index === 0
    ? { index, base: 0xf_0000, size: 0x1_0000 }
    : { index, base: 0xc_0000 + (index - 1) * 0x4000, size: 0x4000 },
);

export const PAM_REGISTERS = 7;
const READ = 1;
const WRITE = 2;

/** What a board does with its memory when the guest programs the north bridge. */
export interface ShadowControl {
  /** Reads and writes of a segment go to RAM, or to what lies on the bus there. Called for changes and after a reset. */
  pam(segment: PamSegment, readRam: boolean, writeRam: boolean): void;
  /** System management RAM changed. */
  smram(smram: Smram): void;
}

export interface Smram {
  /** Everybody sees the RAM at 0xa0000..0xbffff (not the video memory). */
  readonly open: boolean;
  /** In system management mode the RAM is there. */
  readonly enabled: boolean;
  /** That RAM shows at 0xfeda0000..0xfedbffff instead (q35). */
  readonly high: boolean;
  /** Bytes at the top of the RAM below 4 GiB that only system management mode sees; 0 for none (q35). */
  readonly tseg: number;
}

/** Tells the board what has changed in the seven registers since the last call. */
export class Pam {
  private readonly control: ShadowControl;
  private readonly attributes: number[] = new Array(13).fill(-1);

  constructor(control: ShadowControl) {
    this.control = control;
  }

  /** `registers` are the bytes PAM0..PAM6. */
  update(registers: Uint8Array): void {
    for (const segment of PAM_SEGMENTS) {
      const { index } = segment;
      const bits = (registers[(index + 1) >> 1] >> (index & 1 ? 0 : 4)) & (READ | WRITE);
      if (bits === this.attributes[index]) continue;
      this.attributes[index] = bits;
      this.control.pam(segment, (bits & READ) !== 0, (bits & WRITE) !== 0);
    }
  }
}
