/**
 * Text modes: characters in plane 0, attributes in plane 1, fonts in plane 2.
 *
 * Spec: IBM VGA technical reference, "Alphanumeric modes", "Character Map Select", "Attribute Controller".
 * Attribute bit 7 blinks or lightens the background as the mode register says (QEMU never blinks).
 */
import type { Clock } from '../../hw/clock.ts';
import type { Vram } from './planes.ts';
import { ATTR, ATTR_MODE, CLOCKING, CRTC, SEQ, type VgaState } from './vga-state.ts';

/** The cursor changes after 16 frames, characters after 32. */
const CURSOR_HALF_PERIOD_NS = 16e9 / 60;
const MONOCHROME_UNDERLINE = 0x01;

export interface TextMode {
  readonly kind: 'text';
  readonly columns: number;
  readonly rows: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly width: number;
  readonly height: number;
}

export function textMode({ crtc, seq }: VgaState): TextMode {
  const cellHeight = (crtc[CRTC.MAX_SCAN] & 0x1f) + 1;
  const clocking = seq[SEQ.CLOCKING];
  const cellWidth = clocking & CLOCKING.HALF_DOT_CLOCK ? 16 : clocking & CLOCKING.DOTS_8 ? 8 : 9;
  const overflow = crtc[CRTC.OVERFLOW];
  const lines = (crtc[CRTC.V_DISPLAY_END] | ((overflow & 0x02) << 7) | ((overflow & 0x40) << 3)) + 1;
  const columns = crtc[CRTC.H_DISPLAY_END] + 1;
  // The CGA's 160 x 100 trick: 100 rows of two lines.
  const rows = crtc[CRTC.V_TOTAL] === 100 ? 100 : Math.max(1, Math.floor(lines / cellHeight));
  return {
    kind: 'text',
    columns,
    rows,
    cellWidth,
    cellHeight,
    width: columns * cellWidth,
    height: rows * cellHeight,
  };
}

interface Rows {
  put(y: number, row: Uint32Array): void;
}

export class TextRenderer {
  private readonly state: VgaState;
  private readonly vram: Vram;
  private readonly clock: Clock;

  constructor(state: VgaState, vram: Vram, clock: Clock) {
    this.state = state;
    this.vram = vram;
    this.clock = clock;
  }

  /** Draws every scan line by way of `row`, which holds at least the mode's width. */
  draw(mode: TextMode, colours: Uint32Array, row: Uint32Array, canvas: Rows): void {
    const { crtc, attr } = this.state;
    const { bytes, words } = this.vram;
    const { columns, cellWidth, cellHeight } = mode;
    const phase = Math.floor(this.clock.now() / CURSOR_HALF_PERIOD_NS);
    const fonts = fontOffsets(this.state.seq[SEQ.CHARACTER_MAP]);
    const blinking = (attr[ATTR.MODE] & ATTR_MODE.BLINK) !== 0;
    const hidden = blinking && (phase & 2) !== 0;
    const nineGraphics = (attr[ATTR.MODE] & ATTR_MODE.LINE_GRAPHICS) !== 0;
    const start = (crtc[CRTC.START_HIGH] << 8) | crtc[CRTC.START_LOW];
    const pitch = crtc[CRTC.OFFSET] << 1;
    const cursor = phase & 1 ? undefined : this.cursor(cellHeight);
    const underline = crtc[CRTC.UNDERLINE] & 0x1f;
    const wrap = words.length - 1;
    for (let y = 0; y < mode.height; y++) {
      const line = y % cellHeight;
      const first = start + Math.floor(y / cellHeight) * pitch;
      for (let column = 0; column < columns; column++) {
        const at = (first + column) & wrap;
        const cell = words[at];
        const character = cell & 0xff;
        const attribute = (cell >> 8) & 0xff;
        let dots = bytes[(4 * (fonts[(attribute >> 3) & 1] + 32 * character + line) + 2) & (bytes.length - 1)];
        let ninth = nineGraphics && (character & 0xe0) === 0xc0 ? dots & 1 : 0;
        if (hidden && attribute & 0x80) dots = ninth = 0;
        if (line === underline && (attribute & 0x77) === MONOCHROME_UNDERLINE) {
          dots = 0xff;
          ninth = 1;
        }
        if (cursor && at === cursor.at && line >= cursor.first && line <= cursor.last) {
          dots = 0xff;
          ninth = 1;
        }
        const ink = colours[attribute & 15];
        const paper = colours[(attribute >> 4) & (blinking ? 7 : 15)];
        const x = column * cellWidth;
        if (cellWidth === 16) {
          for (let i = 0; i < 16; i++) row[x + i] = dots & (0x80 >> (i >> 1)) ? ink : paper;
        } else {
          for (let i = 0; i < 8; i++) row[x + i] = dots & (0x80 >> i) ? ink : paper;
          if (cellWidth === 9) row[x + 8] = ninth ? ink : paper;
        }
      }
      canvas.put(y, row);
    }
  }

  private cursor(cellHeight: number): { at: number; first: number; last: number } | undefined {
    const { crtc } = this.state;
    const first = crtc[CRTC.CURSOR_START] & 0x1f;
    const last = Math.min(crtc[CRTC.CURSOR_END] & 0x1f, cellHeight - 1);
    if (crtc[CRTC.CURSOR_START] & 0x20 || first > last) return undefined;
    return { at: (crtc[CRTC.CURSOR_HIGH] << 8) | crtc[CRTC.CURSOR_LOW], first, last };
  }
}

/** Where the fonts of attribute bit 3 = 0 and 1 begin in plane 2. */
function fontOffsets(select: number): readonly [number, number] {
  // Two bits choose 16 KiB, the third its half.
  const map = (low: number, high: number) => 0x2000 * (((select >> high) & 1) | (((select >> low) & 3) << 1));
  return [map(0, 4), map(2, 5)];
}
