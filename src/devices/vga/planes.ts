/**
 * The processor's way to video memory through the window at 0xa0000: chain-4, odd/even (text) and the planar read and
 * write modes.
 *
 * Spec: IBM VGA technical reference, "Graphics Controller" and "Sequencer".
 *
 * Byte p of each 32-bit word of video memory is plane p: the plane bytes of one address lie together, and chain-4
 * memory is linear. Odd/even addresses are packed (planes 0 and 1 of word n are addresses 2n and 2n + 1).
 */
import { GFX, GFX_MODE, isChain4, mapMaskOf, type VgaState } from './vga-state.ts';

/** Four plane bits to four bytes of all zeros or all ones. */
export const EXPAND = Uint32Array.from({ length: 16 }, (_, bits) => {
  let word = 0;
  for (let plane = 0; plane < 4; plane++) if (bits & (1 << plane)) word |= 0xff << (8 * plane);
  return word >>> 0;
});
const ONES = 0x0101_0101;

export interface Vram {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** Where an offset in the 128 KiB window lies in the address space of the planes; -1 where nothing answers. */
function locate(state: VgaState, offset: number): number {
  switch ((state.gfx[GFX.MISC] >> 2) & 3) {
    case 0:
      return offset;
    case 1:
      return offset < 0x1_0000 ? offset + state.bank : -1;
    case 2:
      return offset >= 0x1_0000 && offset < 0x1_8000 ? offset - 0x1_0000 : -1;
    default:
      return offset >= 0x1_8000 ? offset - 0x1_8000 : -1;
  }
}

/** One byte; loads the latches in planar modes when `latching`. */
export function readWindow(state: VgaState, vram: Vram, offset: number, latching: boolean): number {
  const at = locate(state, offset);
  if (at < 0) return 0xff;
  const { gfx } = state;
  if (isChain4(state)) return vram.bytes[at] ?? 0xff;
  if (gfx[GFX.MODE] & GFX_MODE.ODD_EVEN) {
    const plane = (gfx[GFX.READ_MAP] & 2) | (at & 1);
    return vram.bytes[((at & ~1) << 1) | plane] ?? 0xff;
  }
  if (at >= vram.words.length) return 0xff;
  const word = vram.words[at];
  if (latching) state.latch = word;
  if (!(gfx[GFX.MODE] & GFX_MODE.READ_COMPARE)) return (word >>> (8 * (gfx[GFX.READ_MAP] & 3))) & 0xff;
  // A bit is 1 where all planes that count have the wanted colour.
  let differs = (word ^ EXPAND[gfx[GFX.COLOUR_COMPARE] & 15]) & EXPAND[gfx[GFX.COLOUR_DONT_CARE] & 15];
  differs |= differs >>> 16;
  differs |= differs >>> 8;
  return ~differs & 0xff;
}

/** Writes one byte. */
export function writeWindow(state: VgaState, vram: Vram, offset: number, value: number): void {
  const at = locate(state, offset);
  if (at < 0) return;
  const { gfx } = state;
  const mapMask = mapMaskOf(state);
  if (isChain4(state)) {
    if (mapMask & (1 << (at & 3)) && at < vram.bytes.length) vram.bytes[at] = value;
  } else if (gfx[GFX.MODE] & GFX_MODE.ODD_EVEN) {
    const plane = (gfx[GFX.READ_MAP] & 2) | (at & 1);
    const place = ((at & ~1) << 1) | plane;
    if (mapMask & (1 << plane) && place < vram.bytes.length) vram.bytes[place] = value;
  } else if (at < vram.words.length) {
    const written = EXPAND[mapMask];
    vram.words[at] = (vram.words[at] & ~written) | (planar(state, value) & written);
  }
}

/** What a byte from the processor becomes on all four planes. */
function planar(state: VgaState, value: number): number {
  const { gfx, latch } = state;
  const mode = gfx[GFX.MODE] & 3;
  if (mode === 1) return latch;
  const rotation = gfx[GFX.ROTATE] & 7;
  const rotated = ((value >>> rotation) | (value << (8 - rotation))) & 0xff;
  const colour = EXPAND[gfx[GFX.SET_RESET] & 15];
  let bitMask = gfx[GFX.BIT_MASK];
  let word: number;
  if (mode === 0) {
    const set = EXPAND[gfx[GFX.ENABLE_SET_RESET] & 15];
    word = (Math.imul(rotated, ONES) & ~set) | (colour & set);
  } else if (mode === 2) word = EXPAND[value & 15];
  else {
    word = colour;
    bitMask &= rotated;
  }
  switch ((gfx[GFX.ROTATE] >> 3) & 3) {
    case 1:
      word &= latch;
      break;
    case 2:
      word |= latch;
      break;
    case 3:
      word ^= latch;
      break;
  }
  const changed = Math.imul(bitMask, ONES);
  return (word & changed) | (latch & ~changed);
}
