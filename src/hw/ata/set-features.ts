/**
 * SET FEATURES of a disk: transfer modes and the write cache; the rest is taken and changes nothing.
 *
 * Spec: ATA/ATAPI-6, "SET FEATURES".
 */

/** What of a disk's state it reads and changes. */
export interface Settings {
  readonly features: number;
  readonly count: number;
  mode: number;
  writeCache: number;
}

/** The highest mode of each kind: PIO default, PIO, single-word, multi-word, Ultra DMA. */
const TRANSFER_MODES: Readonly<Record<number, number>> = { 0: 1, 1: 4, 2: 2, 4: 2, 8: 5 };

/** How the command ends; `flush`: once what is in the cache is on the disk. */
export function setFeatures(state: Settings): 'complete' | 'abort' | 'flush' {
  switch (state.features & 0xff) {
    case 0x02:
      state.writeCache = 1;
      return 'complete';
    case 0x82: // write cache off: what is in it goes to the disk first
      state.writeCache = 0;
      return 'flush';
    case 0x03: {
      const mode = state.count & 0xff;
      const limit = TRANSFER_MODES[mode >> 3];
      if (limit === undefined || (mode & 7) > limit) return 'abort';
      state.mode = mode;
      return 'complete';
    }
    case 0x05: // advanced power management, acoustics, look-ahead, power-on defaults, release interrupts: taken
    case 0x85:
    case 0x42:
    case 0xc2:
    case 0x55:
    case 0xaa:
    case 0x66:
    case 0xcc:
    case 0x67:
    case 0x69:
    case 0x96:
    case 0x9a:
      return 'complete';
    default:
      return 'abort';
  }
}
