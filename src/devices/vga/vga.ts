/**
 * Standard VGA with the Bochs display interface: QEMU's `-vga std` without its bus side (vga-pci.ts has that).
 *
 * Spec: IBM VGA technical reference ("Sequencer", "CRT Controller", "Graphics Controller", "Attribute Controller",
 * "Video DAC"); Bochs VBE extensions; QEMU 7.2, "QEMU Standard VGA".
 * Departures: the retrace bits of input status 1 change at every read, as QEMU's do; no light pen, no
 * retrace interrupt; the CGA compatible bits of the CRTC are those that QEMU has.
 *
 * What the guest draws outlives a reset; contents of video memory belong to its MemoryArea, not to this state.
 */
import { bank } from '../../hw/bank.ts';
import type { AccessSize, Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import type { DisplaySize, DisplaySource, RowRange } from '../../hw/display.ts';
import type { MemoryArea } from '../../hw/memory-area.ts';
import { readDispi, writeDispi } from './dispi.ts';
import { readWindow, type Vram, writeWindow } from './planes.ts';
import { Renderer } from './render.ts';
import { CRTC, powerOn, STATE } from './vga-state.ts';

const STATUS1 = { DISPLAY_OFF: 0x01, RETRACE: 0x08 };
const SEQ_MASKS = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff];
const GFX_MASKS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0];
const ATTR_MASKS = [...new Array(16).fill(0x3f), 0xef, 0xff, 0x3f, 0x0f, 0x0f];
const CRTC_LAST = 0x18;

/** Offsets from port 0x3b0. The CRTC and status 1 answer at 0x3b? on a monochrome screen, at 0x3d? on a colour one. */
const REGISTERS = bank<Vga>(
  0x30,
  {
    CRTC_INDEX_MONO: { at: 0x04, read: (vga) => vga.crtcIndex(false), write: (vga, v) => vga.setCrtcIndex(false, v) },
    CRTC_DATA_MONO: { at: 0x05, read: (vga) => vga.readCrtc(false), write: (vga, v) => vga.writeCrtc(false, v) },
    STATUS1_MONO: { at: 0x0a, read: (vga) => vga.readStatus1(false), write: (vga, v) => vga.setFeature(false, v) },
    ATTR: { at: 0x10, read: (vga) => vga.state.attrIndex, write: (vga, v) => vga.writeAttribute(v) },
    ATTR_READ: { at: 0x11, read: (vga) => vga.state.attr[vga.state.attrIndex & 0x1f], write: () => {} },
    MISC: { at: 0x12, read: () => 0, write: (vga, v) => vga.setMisc(v) }, // reads as input status 0
    VIDEO_ENABLE: { at: 0x13, read: () => 1, write: () => {} },
    SEQ_INDEX: { at: 0x14, field: 'seqIndex', mask: 7 },
    SEQ: { at: 0x15, read: (vga) => vga.state.seq[vga.state.seqIndex], write: (vga, v) => vga.writeSequencer(v) },
    DAC_MASK: { at: 0x16, field: 'dacMask' },
    DAC_READ: { at: 0x17, read: (vga) => vga.state.dacState, write: (vga, v) => vga.setDacRead(v) },
    DAC_WRITE: { at: 0x18, read: (vga) => vga.state.dacWrite, write: (vga, v) => vga.setDacWrite(v) },
    DAC: { at: 0x19, read: (vga) => vga.readDac(), write: (vga, v) => vga.writeDac(v) },
    FEATURE_READ: { at: 0x1a, read: (vga) => vga.state.feature, write: () => {} },
    MISC_READ: { at: 0x1c, read: (vga) => vga.state.misc, write: () => {} },
    GFX_INDEX: { at: 0x1e, field: 'gfxIndex', mask: 0x0f },
    GFX: { at: 0x1f, read: (vga) => vga.state.gfx[vga.state.gfxIndex], write: (vga, v) => vga.writeGraphics(v) },
    CRTC_INDEX: { at: 0x24, read: (vga) => vga.crtcIndex(true), write: (vga, v) => vga.setCrtcIndex(true, v) },
    CRTC_DATA: { at: 0x25, read: (vga) => vga.readCrtc(true), write: (vga, v) => vga.writeCrtc(true, v) },
    STATUS1: { at: 0x2a, read: (vga) => vga.readStatus1(true), write: (vga, v) => vga.setFeature(true, v) },
  },
  { width: 1, access: [1] },
);

/** A window of I/O ports for the board's port bus. The later ones lie over the earlier ones. */
export interface VgaPorts {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly mmio: Mmio;
  readonly priority: number;
}

export class Vga implements Device<typeof STATE>, DisplaySource {
  readonly name: string;
  readonly layout = STATE;
  readonly state = powerOn();
  readonly log: DeviceLog;
  /** Ports 0x3b0 to 0x3df. */
  readonly registers: Mmio;
  /** Every port: the registers, and the Bochs interface at 0x1ce (index), 0x1cf and 0x1d0 (data). */
  readonly ports: readonly VgaPorts[];
  /** Guest-physical 0xa0000, 128 KiB. */
  readonly window: Mmio;
  readonly vram: MemoryArea;
  private readonly memory: Vram;
  private readonly renderer: Renderer;

  /** `vram` is 64 KiB times a power of two, up to 256 MiB (QEMU's vgamem_mb=16). */
  constructor(name: string, wiring: Wiring, vram: MemoryArea) {
    const { bytes } = vram;
    if (bytes.length < 0x1_0000 || bytes.length & (bytes.length - 1) || bytes.byteOffset & 3)
      throw new RangeError(`${name}: video memory of ${bytes.length} bytes`);
    this.name = name;
    this.log = wiring.log;
    this.vram = vram;
    this.memory = { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2) };
    this.renderer = new Renderer(this.state, this.memory, wiring.clock);
    this.registers = REGISTERS.on(this);
    this.window = this.legacyWindow();
    const at = (suffix: string, base: number, size: number, mmio: Mmio, priority = 0): VgaPorts => ({
      name: name + suffix,
      base,
      size,
      mmio,
      priority,
    });
    this.ports = [
      at('', 0x3b0, 0x30, this.registers),
      at('-dispi-index', 0x1ce, 2, this.dispiPort(true)),
      at('-dispi-data', 0x1cf, 2, this.dispiPort(false), 1),
      at('-dispi-data2', 0x1d0, 2, this.dispiPort(false), 2),
    ];
  }

  reset(): void {
    Object.assign(this.state, powerOn());
  }

  size(): DisplaySize {
    return this.renderer.size();
  }

  render(into: Uint8Array | Uint8ClampedArray): RowRange {
    return this.renderer.render(into);
  }

  /** One of the Bochs interface's registers by number, as the registers of the PCI card show them. */
  readDispi(index: number): number {
    this.state.dispiIndex = index;
    return readDispi(this.state, this.vram.bytes.length);
  }

  writeDispi(index: number, value: number): void {
    this.state.dispiIndex = index;
    writeDispi(this.state, this.vram.bytes, value);
  }

  private dispiPort(index: boolean): Mmio {
    const { state } = this;
    return {
      read: (_, size) =>
        (index ? state.dispiIndex : readDispi(state, this.vram.bytes.length)) & (size === 1 ? 0xff : 0xffff),
      write: (_, size, value) => {
        if (index) state.dispiIndex = value & 0xffff;
        else if (size === 2) writeDispi(state, this.vram.bytes, value & 0xffff);
        else this.log.guestError(this.name, `write of ${size} bytes to a register of 16 bits`);
      },
      widths: [2],
    };
  }

  private legacyWindow(): Mmio {
    const { state, memory } = this;
    return {
      read: (offset, size) => {
        let value = 0;
        for (let i = 0; i < size; i++) value |= readWindow(state, memory, offset + i, true) << (8 * i);
        return value >>> 0;
      },
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++) writeWindow(state, memory, offset + i, (value >>> (8 * i)) & 0xff);
      },
      peek: (offset, length) => Uint8Array.from({ length }, (_, i) => readWindow(state, memory, offset + i, false)),
    };
  }

  /** Whether the CRTC answers at the colour addresses. */
  private isColour(colour: boolean): boolean {
    return (this.state.misc & 1) === (colour ? 1 : 0);
  }

  setMisc(value: number): void {
    this.state.misc = value & ~0x10;
  }

  setFeature(colour: boolean, value: number): void {
    if (this.isColour(colour)) this.state.feature = value & 0x10;
  }

  crtcIndex(colour: boolean): number {
    return this.isColour(colour) ? this.state.crtcIndex : 0xff;
  }

  setCrtcIndex(colour: boolean, value: number): void {
    if (this.isColour(colour)) this.state.crtcIndex = value;
  }

  readCrtc(colour: boolean): number {
    return this.isColour(colour) ? this.state.crtc[this.state.crtcIndex] : 0xff;
  }

  writeCrtc(colour: boolean, value: number): void {
    const { crtc, crtcIndex: index } = this.state;
    if (!this.isColour(colour) || index > CRTC_LAST) return;
    if (crtc[CRTC.V_SYNC_END] & 0x80 && index <= CRTC.OVERFLOW) {
      // Registers 0 to 7 are protected, but for one bit of the line compare.
      if (index === CRTC.OVERFLOW) crtc[index] = (crtc[index] & ~0x10) | (value & 0x10);
      return;
    }
    crtc[index] = value;
  }

  /** Input status 1; the attribute controller expects an index next. */
  readStatus1(colour: boolean): number {
    if (!this.isColour(colour)) return 0xff;
    this.state.status1 ^= STATUS1.DISPLAY_OFF | STATUS1.RETRACE;
    this.state.attrData = 0;
    return this.state.status1;
  }

  writeAttribute(value: number): void {
    const { state } = this;
    const index = state.attrIndex & 0x1f;
    if (!state.attrData) state.attrIndex = value & 0x3f;
    // The palette proper can only be written while it does not feed the screen; few guests know, so it can.
    else if (index < ATTR_MASKS.length) state.attr[index] = value & ATTR_MASKS[index];
    state.attrData ^= 1;
  }

  writeSequencer(value: number): void {
    const { seq, seqIndex } = this.state;
    seq[seqIndex] = value & SEQ_MASKS[seqIndex];
  }

  writeGraphics(value: number): void {
    const { gfx, gfxIndex } = this.state;
    gfx[gfxIndex] = value & GFX_MASKS[gfxIndex];
  }

  setDacRead(value: number): void {
    Object.assign(this.state, { dacRead: value, dacState: 3, dacStep: 0 });
  }

  setDacWrite(value: number): void {
    Object.assign(this.state, { dacWrite: value, dacState: 0, dacStep: 0 });
  }

  readDac(): number {
    const { state } = this;
    const value = state.dac[state.dacRead * 3 + state.dacStep];
    if (++state.dacStep === 3) {
      state.dacStep = 0;
      state.dacRead = (state.dacRead + 1) & 0xff;
    }
    return value;
  }

  writeDac(value: number): void {
    const { state } = this;
    state.dacPending[state.dacStep] = value;
    if (++state.dacStep < 3) return;
    state.dac.set(state.dacPending, state.dacWrite * 3);
    state.dacStep = 0;
    state.dacWrite = (state.dacWrite + 1) & 0xff;
  }
}

/** Splits an access of a card's memory-mapped registers into the bytes that they are. */
export function bytewise(mmio: Mmio, offset: number, size: AccessSize, value?: number): number {
  let result = 0;
  for (let i = 0; i < size; i++) {
    if (value === undefined) result |= mmio.read(offset + i, 1) << (8 * i);
    else mmio.write(offset + i, 1, (value >>> (8 * i)) & 0xff);
  }
  return result >>> 0;
}
