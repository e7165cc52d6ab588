/**
 * What the VGA shows, as RGBA: the mode follows from the registers at the moment of drawing.
 *
 * Spec: IBM VGA technical reference, "CRT Controller" and "Attribute Controller".
 * Departures, QEMU's: dots of a halved dot clock are drawn twice and scan lines as often as they are shown, so that mode
 * 13h is a picture of 640 x 400; no overscan border; the split screen (line compare) exists in graphics modes alone.
 */
import type { Clock } from '../../hw/clock.ts';
import type { DisplaySize, RowRange } from '../../hw/display.ts';
import { dispiGeometry } from './dispi.ts';
import { EXPAND, type Vram } from './planes.ts';
import { type TextMode, TextRenderer, textMode } from './render-text.ts';
import {
  ATTR,
  ATTR_MODE,
  ATTR_SCREEN_ON,
  CLOCKING,
  CRTC,
  DISPI,
  DISPI_ENABLE,
  GFX,
  GFX_MISC_GRAPHICS,
  SEQ,
  type VgaState,
  vbeEnabled,
} from './vga-state.ts';

const BLACK = 0xff00_0000;
/** How a row of pixels is made of memory. */
type Depth = 'planar' | 'cga' | 8 | 15 | 16 | 24 | 32;

interface GraphicsMode {
  readonly kind: 'graphics';
  readonly depth: Depth;
  /** Pixels of memory in a row, before doubling. */
  readonly pixels: number;
  readonly doubled: boolean;
  readonly width: number;
  readonly height: number;
  /** Byte address of the first row and bytes from row to row. */
  readonly start: number;
  readonly pitch: number;
  /** Scan lines of one row of memory, less one. */
  readonly repeats: number;
  /** The scan line after which the picture begins again at address 0. */
  readonly split: number;
}
type Mode = GraphicsMode | TextMode | { readonly kind: 'blank' };

export class Renderer {
  private readonly state: VgaState;
  private readonly vram: Vram;
  private readonly text: TextRenderer;
  private readonly palette = new Uint32Array(256);
  private row = new Uint32Array(0);
  /** A blank screen keeps the size of what it showed. */
  private last: DisplaySize = { width: 640, height: 480 };

  constructor(state: VgaState, vram: Vram, clock: Clock) {
    this.state = state;
    this.vram = vram;
    this.text = new TextRenderer(state, vram, clock);
  }

  size(): DisplaySize {
    const mode = this.mode();
    if (mode.kind !== 'blank') this.last = { width: mode.width, height: mode.height };
    return this.last;
  }

  render(into: Uint8Array | Uint8ClampedArray): RowRange {
    const { width, height } = this.size();
    if (into.length < width * height * 4) throw new RangeError(`a picture of ${width} x ${height} needs more room`);
    const canvas = new Canvas(new Uint32Array(into.buffer, into.byteOffset, width * height), width);
    if (this.row.length < 2 * width + 16) this.row = new Uint32Array(2 * width + 16);
    const mode = this.mode();
    if (mode.kind === 'blank') {
      this.row.fill(BLACK);
      for (let y = 0; y < height; y++) canvas.put(y, this.row);
    } else if (mode.kind === 'text') {
      this.text.draw(mode, this.palette16(), this.row, canvas);
    } else this.graphics(mode, canvas);
    return canvas.changed();
  }

  private mode(): Mode {
    const { state } = this;
    const { crtc, gfx, seq, attrIndex } = state;
    if (!(attrIndex & ATTR_SCREEN_ON)) return { kind: 'blank' };
    if (vbeEnabled(state)) return this.vbeMode();
    if (seq[SEQ.CLOCKING] & CLOCKING.SCREEN_OFF) return { kind: 'blank' };
    if (!(gfx[GFX.MISC] & GFX_MISC_GRAPHICS)) return textMode(state);
    const shift = (gfx[GFX.MODE] >> 5) & 3;
    const depth: Depth = shift === 0 ? 'planar' : shift === 1 ? 'cga' : 8;
    const dots = (crtc[CRTC.H_DISPLAY_END] + 1) * 8;
    const halfClock = (seq[SEQ.CLOCKING] & CLOCKING.HALF_DOT_CLOCK) !== 0;
    const doubled = depth === 8 || halfClock;
    const width = depth !== 8 && halfClock ? dots * 2 : dots;
    const overflow = crtc[CRTC.OVERFLOW];
    const scan = crtc[CRTC.MAX_SCAN];
    const doubleScan = scan >> 7;
    return {
      kind: 'graphics',
      depth,
      pixels: doubled ? width >> 1 : width,
      doubled,
      width,
      height: (crtc[CRTC.V_DISPLAY_END] | ((overflow & 0x02) << 7) | ((overflow & 0x40) << 3)) + 1,
      start: 4 * ((crtc[CRTC.START_HIGH] << 8) | crtc[CRTC.START_LOW]),
      pitch: crtc[CRTC.OFFSET] << 3,
      // With the CGA's addressing each scan line of a row is a row of pixels of its own.
      repeats: crtc[CRTC.MODE] & 1 ? (((scan & 0x1f) + 1) << doubleScan) - 1 : doubleScan,
      split: crtc[CRTC.LINE_COMPARE] | ((overflow & 0x10) << 4) | ((scan & 0x40) << 3),
    };
  }

  private vbeMode(): GraphicsMode {
    const { width, height, bpp, pitch, start } = dispiGeometry(this.state);
    const depth = bpp === 4 ? 'planar' : (bpp as Depth);
    const pixels = { pixels: width, doubled: false, width, height };
    return { kind: 'graphics', depth, ...pixels, start, pitch, repeats: 0, split: Infinity };
  }

  /** The DAC's colours as pixels. */
  private dacPalette(): Uint32Array {
    const { palette } = this;
    const { dac, dispi } = this.state;
    const wide = (dispi[DISPI.ENABLE] & DISPI_ENABLE.DAC_8BIT) !== 0;
    const level = wide ? (value: number) => value : (value: number) => ((value & 63) << 2) | ((value & 1) * 3);
    for (let i = 0; i < 256; i++) {
      palette[i] = BLACK | (level(dac[3 * i + 2]) << 16) | (level(dac[3 * i + 1]) << 8) | level(dac[3 * i]);
    }
    return palette;
  }

  /** The 16 colours of the attribute controller as pixels. */
  private palette16(): Uint32Array {
    const colours = this.dacPalette();
    const { attr, dacMask } = this.state;
    const select = attr[ATTR.COLOUR_SELECT];
    const narrow = (attr[ATTR.MODE] & ATTR_MODE.PALETTE_45) !== 0;
    return Uint32Array.from({ length: 16 }, (_, i) => {
      const index = narrow ? ((select & 15) << 4) | (attr[i] & 15) : ((select & 12) << 4) | attr[i];
      return colours[index & dacMask];
    });
  }

  private graphics(mode: GraphicsMode, canvas: Canvas): void {
    const { row, state } = this;
    const { depth, pixels, doubled, pitch, repeats } = mode;
    const colours = depth === 'planar' || depth === 'cga' ? this.palette16() : this.dacPalette();
    const crtcMode = vbeEnabled(state) ? 3 : state.crtc[CRTC.MODE];
    const panning = vbeEnabled(state) ? 0 : this.panning(depth);
    let address = mode.start;
    let line = 0;
    let left = repeats;
    let fresh = true;
    for (let y = 0; y < mode.height; y++) {
      if (fresh) {
        this.drawRow(depth, interleaved(address, line, crtcMode), pixels + panning, colours);
        if (panning) row.copyWithin(0, panning, pixels + panning);
        if (doubled) for (let x = pixels - 1; x >= 0; x--) row[2 * x] = row[2 * x + 1] = row[x];
      }
      canvas.put(y, row);
      fresh = left === 0;
      if (fresh) {
        // In the CGA's modes two or four rows share an address.
        const sharing = (crtcMode & 3) ^ 3;
        if ((line & sharing) === sharing) address += pitch;
        line++;
        left = repeats;
      } else left--;
      if (y === mode.split) {
        address = 0;
        fresh = true;
      }
    }
  }

  private panning(depth: Depth): number {
    const pan = this.state.attr[ATTR.PIXEL_PANNING] & 7;
    return depth === 'planar' ? pan : depth === 8 ? pan >> 1 : 0;
  }

  /** Makes `count` pixels of the memory at a byte address; addresses wrap around video memory. */
  private drawRow(depth: Depth, at: number, count: number, colours: Uint32Array): void {
    const { row } = this;
    const { bytes, words } = this.vram;
    const mask = bytes.length - 1;
    switch (depth) {
      case 'planar': {
        const planes = EXPAND[this.state.attr[ATTR.PLANE_ENABLE] & 15];
        for (let x = 0; x < count; x += 8) {
          const word = words[((at + (x >> 1)) & mask) >> 2] & planes;
          for (let bit = 7; bit >= 0; bit--) {
            const shifted = word >>> bit;
            const colour = (shifted & 1) | ((shifted >> 7) & 2) | ((shifted >> 14) & 4) | ((shifted >> 21) & 8);
            row[x + 7 - bit] = colours[colour];
          }
        }
        return;
      }
      case 'cga': {
        const planes = EXPAND[this.state.attr[ATTR.PLANE_ENABLE] & 15];
        for (let x = 0; x < count; x += 4) {
          // Planes 0 and 1 take turns with four pixels each; planes 2 and 3 add the high bits.
          const word = (words[((at + (x >> 1)) & mask) >> 2] & planes) >>> (x & 4 ? 8 : 0);
          for (let i = 0; i < 4; i++) {
            const shift = 6 - 2 * i;
            row[x + i] = colours[((word >> shift) & 3) | (((word >> (16 + shift)) & 3) << 2)];
          }
        }
        return;
      }
      case 8: {
        const { dacMask } = this.state;
        for (let x = 0; x < count; x++) row[x] = colours[bytes[(at + x) & mask] & dacMask];
        return;
      }
      case 15:
        for (let x = 0; x < count; x++) {
          const from = (at + 2 * x) & mask;
          const pixel = bytes[from] | (bytes[(from + 1) & mask] << 8);
          row[x] = pack(widen5(pixel >> 10), widen5(pixel >> 5), widen5(pixel));
        }
        return;
      case 16:
        for (let x = 0; x < count; x++) {
          const from = (at + 2 * x) & mask;
          const pixel = bytes[from] | (bytes[(from + 1) & mask] << 8);
          const green = (pixel >> 5) & 63;
          row[x] = pack(widen5(pixel >> 11), (green << 2) | (green >> 4), widen5(pixel));
        }
        return;
      case 24:
        for (let x = 0; x < count; x++) {
          const from = at + 3 * x;
          row[x] = pack(bytes[(from + 2) & mask], bytes[(from + 1) & mask], bytes[from & mask]);
        }
        return;
      case 32:
        for (let x = 0; x < count; x++) {
          const word = words[((at + 4 * x) & mask) >> 2];
          row[x] = BLACK | ((word & 0xff) << 16) | (word & 0xff00) | ((word >> 16) & 0xff);
        }
        return;
    }
  }
}

const widen5 = (value: number): number => ((value & 31) << 3) | ((value & 31) >> 2);
const pack = (red: number, green: number, blue: number): number => BLACK | (blue << 16) | (green << 8) | red;

/** The CGA's interleaving: low bits of the row's number replace address bits. */
function interleaved(address: number, line: number, crtcMode: number): number {
  let at = address;
  if (!(crtcMode & 1)) {
    const bit = 14 + ((crtcMode >> 6) & 1);
    at = (at & ~(1 << bit)) | ((line & 1) << bit);
  }
  if (!(crtcMode & 2)) at = (at & ~0x8000) | ((line & 2) << 14);
  return at;
}

/** A picture that remembers which of its rows have changed. */
export class Canvas {
  private readonly pixels: Uint32Array;
  private readonly width: number;
  private first = -1;
  private end = 0;

  constructor(pixels: Uint32Array, width: number) {
    this.pixels = pixels;
    this.width = width;
  }

  /** Puts the first `width` pixels of `row` into row y. */
  put(y: number, row: Uint32Array): void {
    const { pixels, width } = this;
    const at = y * width;
    let x = 0;
    while (x < width && pixels[at + x] === row[x]) x++;
    if (x === width) return;
    pixels.set(row.subarray(x, width), at + x);
    if (this.first < 0) this.first = y;
    this.end = y + 1;
  }

  changed(): RowRange {
    return { first: Math.max(this.first, 0), end: this.end };
  }
}
