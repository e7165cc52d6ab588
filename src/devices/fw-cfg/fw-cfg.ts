/**
 * fw_cfg: named blobs that the board hands to firmware, over MMIO or, on PCs,
 * over ports; with DMA.
 *
 * Spec: QEMU, docs/specs/fw_cfg ("QEMU Firmware Configuration (fw_cfg) Device").
 */
import { readU32be, readU64be, swap16, writeU16, writeU16be, writeU32, writeU32be } from '../../bits/endian.ts';
import { latin1, utf8 } from '../../bits/text.ts';
import type { AccessSize, Device, DeviceLog, Dma, Mmio, Wiring } from '../../hw/device.ts';
import { create, json, layout, u16, u32 } from '../../state/layout.ts';

/** Well-known items. */
export const FW_CFG = {
  SIGNATURE: 0x00,
  ID: 0x01,
  UUID: 0x02,
  RAM_SIZE: 0x03,
  NOGRAPHIC: 0x04,
  NB_CPUS: 0x05,
  KERNEL_ADDR: 0x07,
  KERNEL_SIZE: 0x08,
  INITRD_ADDR: 0x0a,
  INITRD_SIZE: 0x0b,
  NUMA: 0x0d,
  BOOT_MENU: 0x0e,
  MAX_CPUS: 0x0f,
  KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12,
  CMDLINE_ADDR: 0x13,
  CMDLINE_SIZE: 0x14,
  CMDLINE_DATA: 0x15,
  SETUP_ADDR: 0x16,
  SETUP_SIZE: 0x17,
  SETUP_DATA: 0x18,
  FILE_DIR: 0x19,
  FILE_FIRST: 0x20,
  /** x86: whether the PIT's IRQ 0 arrives at I/O APIC pin 2. */
  IRQ0_OVERRIDE: 0x8002,
};

/** Where the windows lie on a PC. */
export const FW_CFG_PORTS = { control: 0x510, dma: 0x514 };

const SELECTOR = 8;
const DMA_ADDRESS = 16;
const WINDOW = 24;
const WRITE_SELECTED = 0x4000; // historical bit of the selector
const CONTROL = { ERROR: 1, READ: 2, SKIP: 4, SELECT: 8, WRITE: 16 };
const DMA_SIGNATURE = utf8('QEMU CFG');
const INTERFACE = 0b11; // traditional and DMA
const MAX_NAME = 55;

const STATE = layout('fw-cfg', 1, {
  selected: u16,
  offset: u32,
  dmaHigh: u32,
  /** What the guest has written into files that it may write, by their numbers. */
  written: json<Record<string, number[]>>(() => ({})),
});

export class FwCfg implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  /** Ports 0x510 and 0x511: a 16-bit selector and 8 bits of data. */
  readonly controlPorts: Mmio;
  /** Ports 0x514 to 0x51b: the DMA address, big-endian. */
  readonly dmaPorts: Mmio;
  static readonly windowSize = WINDOW;
  static readonly controlSize = 2;
  static readonly dmaSize = 8;
  private readonly dma: Dma;
  private readonly items = new Map<number, Uint8Array>();
  private readonly files = new Map<string, number>();
  private readonly writable = new Set<number>();
  /** Items whose content depends on what firmware has set up by the time that it asks, and their lengths once known. */
  private readonly late = new Map<number, { readonly build: () => Uint8Array; length?: number | undefined }>();

  constructor(name: string, wiring: Wiring) {
    this.name = name;
    this.log = wiring.log;
    this.dma = wiring.dma;
    this.items.set(FW_CFG.SIGNATURE, utf8('QEMU'));
    this.add32(FW_CFG.ID, INTERFACE);
    this.mmio = {
      read: (offset, size) => this.read(offset, size),
      write: (offset, size, value) => this.write(offset, size, value),
    };
    this.controlPorts = {
      read: () => this.readData(1),
      write: (offset, size, value) => {
        if (size === 2 && offset === 0) this.select(value);
        else if (size === 4) this.log.guestError(this.name, `write of ${size} bytes at port 0x510`);
        // A byte is data for an item that could be written once.
      },
    };
    this.dmaPorts = {
      read: (offset, size) => this.read(DMA_ADDRESS + offset, size),
      write: (offset, size, value) => this.write(DMA_ADDRESS + offset, size, value),
    };
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
  }

  /** An item by number; `content` is used as it is. */
  add(key: number, content: Uint8Array): void {
    this.items.set(key, content);
  }

  add16(key: number, value: number): void {
    const bytes = new Uint8Array(2);
    writeU16(bytes, 0, value);
    this.items.set(key, bytes);
  }

  add32(key: number, value: number): void {
    const bytes = new Uint8Array(4);
    writeU32(bytes, 0, value);
    this.items.set(key, bytes);
  }

  /** A named file. Throws RangeError for a name that does not fit or is taken. */
  addFile(name: string, content: Uint8Array): void {
    if (!name || utf8(name).length > MAX_NAME)
      throw new RangeError(`fw_cfg: the name ${name} is not 1 to ${MAX_NAME} bytes long`);
    if (this.files.has(name)) throw new RangeError(`fw_cfg: there are two files ${name}`);
    const key = FW_CFG.FILE_FIRST + this.files.size;
    this.files.set(name, key);
    this.items.set(key, content);
    this.items.delete(FW_CFG.FILE_DIR);
  }

  /**
   * A named file that is made when firmware selects it, each time; it always has the length of `build`'s first answer,
   * cut or filled up with zeros. Where `length` is given that is it, and nothing is made before it is selected.
   */
  addLateFile(name: string, build: () => Uint8Array, length?: number): void {
    this.addFile(name, new Uint8Array(0));
    const key = this.files.get(name) as number;
    this.items.delete(key);
    this.late.set(key, { build, length });
  }

  /** A named file that the guest may write into, by DMA and within its length; a reset gives back `content`. */
  addWritableFile(name: string, content: Uint8Array): void {
    this.addFile(name, content);
    this.writable.add(this.files.get(name) as number);
  }

  /** What a file holds now. */
  contentOf(name: string): Uint8Array {
    return this.item(this.files.get(name) ?? -1) ?? new Uint8Array(0);
  }

  /** An item's content; the directory and late files are made when they are first wanted. */
  private item(key: number): Uint8Array | undefined {
    const written = this.writable.has(key) ? this.state.written[key] : undefined;
    return written ? Uint8Array.from(written) : (this.items.get(key) ?? this.make(key));
  }

  private make(key: number): Uint8Array | undefined {
    const made = key === FW_CFG.FILE_DIR ? this.directory() : this.late.has(key) ? this.build(key) : undefined;
    if (made) this.items.set(key, made);
    return made;
  }

  private build(key: number): Uint8Array {
    const late = this.late.get(key) as { readonly build: () => Uint8Array; length?: number };
    const built = late.build();
    late.length ??= built.length;
    const content = new Uint8Array(late.length);
    content.set(built.subarray(0, late.length));
    return content;
  }

  /** The directory: its count, then size, selector and name of each file in order of name. */
  private directory(): Uint8Array {
    const names = [...this.files.keys()].sort();
    const bytes = new Uint8Array(4 + 64 * names.length);
    writeU32be(bytes, 0, names.length);
    names.forEach((name, index) => {
      const at = 4 + 64 * index;
      const key = this.files.get(name) as number;
      writeU32be(bytes, at, this.late.get(key)?.length ?? this.item(key)?.length ?? 0);
      writeU16be(bytes, at + 4, key);
      bytes.set(utf8(name), at + 8);
    });
    return bytes;
  }

  private read(offset: number, size: AccessSize): number {
    if (offset < SELECTOR) return this.readData(size);
    if (offset >= DMA_ADDRESS) {
      let value = 0;
      for (let i = 0; i < size; i++) value |= DMA_SIGNATURE[offset - DMA_ADDRESS + i] << (8 * i);
      return value >>> 0;
    }
    this.log.guestError(this.name, `read of ${size} bytes at offset ${offset}`);
    return 0;
  }

  /** The data register gives the item's bytes in order, whatever the width; zeros behind its end. */
  private readData(size: AccessSize): number {
    const { state } = this;
    const item = this.item(state.selected & ~WRITE_SELECTED);
    let value = 0;
    for (let i = 0; i < size && item && state.offset < item.length; i++) value |= item[state.offset++] << (8 * i);
    return value >>> 0;
  }

  private write(offset: number, size: AccessSize, value: number): void {
    const { state } = this;
    if (offset === SELECTOR && size === 2) this.select(swap16(value));
    else if (offset === DMA_ADDRESS && size === 4) state.dmaHigh = value;
    else if (offset === DMA_ADDRESS + 4 && size === 4) {
      const bytes = new Uint8Array(8);
      writeU32(bytes, 0, state.dmaHigh);
      writeU32(bytes, 4, value);
      state.dmaHigh = 0;
      this.transfer(readU64be(bytes, 0));
    } else this.log.guestError(this.name, `write of ${size} bytes at offset ${offset}`);
  }

  private select(key: number): void {
    this.state.selected = key;
    this.state.offset = 0;
    if (this.late.has(key & ~WRITE_SELECTED)) this.make(key & ~WRITE_SELECTED);
  }

  /** Carries out the access structure at `address`: control, length and buffer address, all big-endian. */
  private transfer(address: number): void {
    const access = this.dma.readable(address, 16);
    if (!access) {
      this.log.guestError(this.name, `DMA structure outside RAM at 0x${address.toString(16)}`);
      return;
    }
    const control = readU32be(access, 0);
    if (control & CONTROL.SELECT) this.select(control >>> 16);
    const ok = this.move(control, readU32be(access, 4), readU64be(access, 8));
    const answer = this.dma.writable(address, 4);
    if (answer) writeU32be(answer, 0, ok ? 0 : CONTROL.ERROR);
  }

  private move(control: number, length: number, buffer: number): boolean {
    const { state } = this;
    const item = this.item(state.selected & ~WRITE_SELECTED) ?? new Uint8Array(0);
    const left = Math.max(0, item.length - state.offset);
    if (control & CONTROL.READ) {
      const target = this.dma.writable(buffer, length);
      if (!target) return false;
      const count = Math.min(left, length);
      target.set(item.subarray(state.offset, state.offset + count));
      target.fill(0, count);
      state.offset += count;
      return true;
    }
    if (control & CONTROL.WRITE) {
      const key = state.selected & ~WRITE_SELECTED;
      const source = this.writable.has(key) && length <= left ? this.dma.readable(buffer, length) : undefined;
      if (source) {
        const content = [...item];
        content.splice(state.offset, length, ...source);
        state.written[key] = content;
        state.offset += length;
        return true;
      }
      this.log.guestError(this.name, `write to item 0x${state.selected.toString(16)}`);
      return false;
    }
    if (control & CONTROL.SKIP) state.offset += Math.min(left, length);
    return true;
  }

  /** For `info fw_cfg`-like dumps: names and sizes of the files. */
  describe(): string[] {
    return [...this.files].map(([name, key]) => {
      const item = this.item(key) ?? new Uint8Array(0);
      return `${name}: ${item.length} bytes: ${latin1(item.subarray(0, 16)).replace(/[^ -~]/g, '.')}`;
    });
  }
}
