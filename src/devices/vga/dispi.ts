/**
 * The Bochs display interface ("VBE dispi"): modes of any size and depth by writing a few 16-bit registers.
 *
 * Spec: Bochs VBE extensions, version 5 of the interface (ID 0xb0c5), as QEMU's "standard VGA" document describes it.
 * Values that do not fit are made to fit, as QEMU does it, and read back changed.
 */
import { CRTC, DISPI, DISPI_ENABLE, DISPI_ID, GFX, type VgaState, vbeEnabled } from './vga-state.ts';

const MAX = { XRES: 16000, YRES: 12000, BPP: 32 };
const DEPTHS = [4, 8, 15, 16, 24, 32];

export interface DispiGeometry {
  readonly width: number;
  readonly height: number;
  readonly bpp: number;
  /** Bytes from one row to the next in video memory. */
  readonly pitch: number;
  /** Where the first row begins, bytes. */
  readonly start: number;
}

const bitsOf = (bpp: number) => (bpp === 15 ? 16 : bpp);

/** The picture that the registers describe; they have been made to fit. */
export function dispiGeometry({ dispi }: VgaState): DispiGeometry {
  const bpp = dispi[DISPI.BPP];
  const bits = bitsOf(bpp);
  const pitch = (dispi[DISPI.VIRT_WIDTH] * bits) >> 3;
  const offset = ((dispi[DISPI.X_OFFSET] * bits) >> 3) + dispi[DISPI.Y_OFFSET] * pitch;
  return { width: dispi[DISPI.XRES], height: dispi[DISPI.YRES], bpp, pitch, start: offset & ~3 };
}

/** The register chosen by the index; 0 where there is none. */
export function readDispi(state: VgaState, vramSize: number): number {
  const { dispiIndex: index, dispi } = state;
  if (index === DISPI.VIDEO_MEMORY_64K) return vramSize >> 16;
  if (index > DISPI.Y_OFFSET) return 0;
  if (dispi[DISPI.ENABLE] & DISPI_ENABLE.GETCAPS) {
    if (index === DISPI.XRES) return MAX.XRES;
    if (index === DISPI.YRES) return MAX.YRES;
    if (index === DISPI.BPP) return MAX.BPP;
  }
  return dispi[index];
}

export function writeDispi(state: VgaState, vram: Uint8Array, value: number): void {
  const { dispi, dispiIndex: index } = state;
  switch (index) {
    case DISPI.ID:
      if (value >= DISPI_ID && value <= (DISPI_ID | 5)) dispi[DISPI.ID] = value;
      return;
    case DISPI.XRES:
    case DISPI.YRES:
    case DISPI.BPP:
    case DISPI.VIRT_WIDTH:
    case DISPI.X_OFFSET:
    case DISPI.Y_OFFSET:
      dispi[index] = value;
      fit(state, vram.length);
      return;
    case DISPI.BANK: {
      const banks = (vram.length >> 16) - 1;
      dispi[DISPI.BANK] = value & (dispi[DISPI.BPP] === 4 ? banks >> 2 : banks);
      state.bank = dispi[DISPI.BANK] << 16;
      return;
    }
    case DISPI.ENABLE:
      enable(state, vram, value);
      return;
  }
}

function enable(state: VgaState, vram: Uint8Array, value: number): void {
  const { dispi } = state;
  const before = dispi[DISPI.ENABLE];
  dispi[DISPI.ENABLE] = value;
  state.bank = 0;
  if (!(value & DISPI_ENABLE.ENABLED) || before & DISPI_ENABLE.ENABLED) return;
  dispi[DISPI.BANK] = 0;
  dispi[DISPI.VIRT_WIDTH] = 0;
  dispi[DISPI.X_OFFSET] = 0;
  dispi[DISPI.Y_OFFSET] = 0;
  fit(state, vram.length);
  if (value & DISPI_ENABLE.NO_CLEAR) return;
  const { height, pitch } = dispiGeometry(state);
  vram.fill(0, 0, height * pitch);
}

/** Makes the registers of an enabled mode describe a picture inside video memory. */
function fit(state: VgaState, vramSize: number): void {
  if (!vbeEnabled(state)) return;
  const { dispi } = state;
  const clamp = (index: number, low: number, high: number) => {
    dispi[index] = Math.min(Math.max(dispi[index], low), high);
  };
  if (!DEPTHS.includes(dispi[DISPI.BPP])) dispi[DISPI.BPP] = 8;
  dispi[DISPI.XRES] &= ~7;
  clamp(DISPI.XRES, 8, MAX.XRES);
  dispi[DISPI.VIRT_WIDTH] &= ~7;
  clamp(DISPI.VIRT_WIDTH, dispi[DISPI.XRES], MAX.XRES);
  const bits = bitsOf(dispi[DISPI.BPP]);
  const pitch = (dispi[DISPI.VIRT_WIDTH] * bits) >> 3;
  const lines = Math.floor(vramSize / pitch);
  clamp(DISPI.YRES, 1, Math.min(MAX.YRES, lines));
  clamp(DISPI.X_OFFSET, 0, MAX.XRES);
  clamp(DISPI.Y_OFFSET, 0, MAX.YRES);
  dispi[DISPI.VIRT_HEIGHT] = Math.min(lines, 0xffff);
  const left = (dispi[DISPI.X_OFFSET] * bits) >> 3;
  const shown = dispi[DISPI.YRES] * pitch;
  if (left + dispi[DISPI.Y_OFFSET] * pitch + shown > vramSize) {
    dispi[DISPI.Y_OFFSET] = 0;
    if (left + shown > vramSize) dispi[DISPI.X_OFFSET] = 0;
  }
  showOnVga(state, pitch);
}

/** The VGA registers follow the mode, so that what looks at them finds a graphics mode of this size. */
function showOnVga(state: VgaState, pitch: number): void {
  const { dispi, gfx, crtc } = state;
  const last = dispi[DISPI.YRES] - 1;
  gfx[GFX.MISC] = (gfx[GFX.MISC] & ~0x0c) | 0x05; // graphics, 64 KiB at 0xa0000
  crtc[CRTC.MODE] |= 3;
  crtc[CRTC.OFFSET] = (pitch >> 3) & 0xff;
  crtc[CRTC.H_DISPLAY_END] = ((dispi[DISPI.XRES] >> 3) - 1) & 0xff;
  crtc[CRTC.V_DISPLAY_END] = last & 0xff;
  crtc[CRTC.LINE_COMPARE] = 0xff;
  crtc[CRTC.OVERFLOW] = (crtc[CRTC.OVERFLOW] & ~0x42) | ((last >> 7) & 0x02) | ((last >> 3) & 0x40) | 0x10;
  crtc[CRTC.MAX_SCAN] = (crtc[CRTC.MAX_SCAN] & ~0x9f) | 0x40;
  const planar = dispi[DISPI.BPP] === 4;
  gfx[GFX.MODE] = (gfx[GFX.MODE] & ~0x60) | (planar ? 0 : 0x40);
}
