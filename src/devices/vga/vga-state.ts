/** The declared state of the standard VGA, and names of the registers and bits that several of its files look at. */
import { array, bytes, create, initially, layout, type StateOf, u1, u8, u16, u32 } from '../../state/layout.ts';

export const SEQ = { CLOCKING: 1, MAP_MASK: 2, CHARACTER_MAP: 3, MEMORY_MODE: 4 };
export const CLOCKING = { DOTS_8: 0x01, HALF_DOT_CLOCK: 0x08, SCREEN_OFF: 0x20 };
export const CHAIN_4 = 0x08;

export const GFX = {
  SET_RESET: 0,
  ENABLE_SET_RESET: 1,
  COLOUR_COMPARE: 2,
  ROTATE: 3,
  READ_MAP: 4,
  MODE: 5,
  MISC: 6,
  COLOUR_DONT_CARE: 7,
  BIT_MASK: 8,
};
export const GFX_MODE = { READ_COMPARE: 0x08, ODD_EVEN: 0x10 };
export const GFX_MISC_GRAPHICS = 1;

export const ATTR = { MODE: 0x10, PLANE_ENABLE: 0x12, PIXEL_PANNING: 0x13, COLOUR_SELECT: 0x14 };
export const ATTR_MODE = { LINE_GRAPHICS: 0x04, BLINK: 0x08, PALETTE_45: 0x80 };
/** In the attribute index: the palette feeds the screen. */
export const ATTR_SCREEN_ON = 0x20;

export const CRTC = {
  H_DISPLAY_END: 0x01,
  V_TOTAL: 0x06,
  OVERFLOW: 0x07,
  MAX_SCAN: 0x09,
  CURSOR_START: 0x0a,
  CURSOR_END: 0x0b,
  START_HIGH: 0x0c,
  START_LOW: 0x0d,
  CURSOR_HIGH: 0x0e,
  CURSOR_LOW: 0x0f,
  V_SYNC_END: 0x11,
  V_DISPLAY_END: 0x12,
  OFFSET: 0x13,
  UNDERLINE: 0x14,
  MODE: 0x17,
  LINE_COMPARE: 0x18,
};

export const DISPI = {
  ID: 0,
  XRES: 1,
  YRES: 2,
  BPP: 3,
  ENABLE: 4,
  BANK: 5,
  VIRT_WIDTH: 6,
  VIRT_HEIGHT: 7,
  X_OFFSET: 8,
  Y_OFFSET: 9,
  VIDEO_MEMORY_64K: 10,
};
export const DISPI_ENABLE = { ENABLED: 0x01, GETCAPS: 0x02, DAC_8BIT: 0x20, LFB: 0x40, NO_CLEAR: 0x80 };
export const DISPI_ID = 0xb0c0;

export const STATE = layout('vga', 1, {
  misc: u8,
  feature: u8,
  seqIndex: u8,
  seq: array(u8, 8),
  gfxIndex: u8,
  gfx: array(u8, 16),
  attrIndex: u8,
  attrData: u1, // the next write to the attribute controller is data
  attr: array(u8, 32),
  crtcIndex: u8,
  crtc: array(u8, 256),
  status1: u8,
  latch: u32, // plane 0 in the low byte
  dacMask: initially(u8, 0xff),
  dacState: u8, // 3: reading, 0: writing
  dacRead: u8,
  dacWrite: u8,
  dacStep: u8,
  dacPending: array(u8, 3),
  dac: bytes(768), // as written: 6 bits a component, or 8
  dispiIndex: u16,
  dispi: array(u16, 10),
  bank: u32, // of the 64 KiB window, bytes
});
export type VgaState = StateOf<typeof STATE>;

export function powerOn(): VgaState {
  const state = create(STATE);
  state.dispi[DISPI.ID] = DISPI_ID | 5;
  return state;
}

export function vbeEnabled(state: VgaState): boolean {
  return (state.dispi[DISPI.ENABLE] & DISPI_ENABLE.ENABLED) !== 0;
}

/** The memory mode of the sequencer; modes of the Bochs interface have their own, which its registers do not show. */
export function isChain4(state: VgaState): boolean {
  if (vbeEnabled(state)) return state.dispi[DISPI.BPP] !== 4;
  return (state.seq[SEQ.MEMORY_MODE] & CHAIN_4) !== 0;
}

/** The planes that a write changes. */
export function mapMaskOf(state: VgaState): number {
  return vbeEnabled(state) && isChain4(state) ? 15 : state.seq[SEQ.MAP_MASK] & 15;
}
