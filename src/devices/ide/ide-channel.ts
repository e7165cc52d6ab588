/**
 * An IDE channel: the command and control block registers of two drives, one
 * interrupt, and the bus master of a PCI controller.
 *
 * Spec: ATA/ATAPI-6, "Register descriptions"; SFF-8038i 1.0, "Bus Master IDE".
 * Departures: a PRD table is walked when its transfer begins, not while it
 * runs; what is left of it when a guest stops the bus master is not moved.
 *
 * By itself (without `dma`) this is QEMU's `isa-ide`.
 */
import { readU32 } from '../../bits/endian.ts';
import { COMMAND, DEVICE, STATUS } from '../../hw/ata/ata.ts';
import type { AtaDrive, AtaHost } from '../../hw/ata/ata-drive.ts';
import { PHASE } from '../../hw/ata/ata-state.ts';
import { readRegister, writeRegister } from '../../hw/ata/command-block.ts';
import type { AccessSize, Device, DeviceLog, Dma, IrqLine, Mmio } from '../../hw/device.ts';
import type { Segment } from '../../hw/virtqueue.ts';
import { create, layout, u1, u8, u32 } from '../../state/layout.ts';

/** Device control register. */
const CONTROL = { NIEN: 2, SRST: 4, HOB: 0x80 };
/** Bus master registers. */
const BM_COMMAND = { START: 1, TO_MEMORY: 8 };
const BM_STATUS = { ACTIVE: 1, ERROR: 2, INTERRUPT: 4, CAPABLE: 0x60 };
const PRD_END = 0x8000_0000;
/** A PRD table lies in 64 KiB. */
const PRD_ENTRIES = 8192;

const STATE = layout('ide-channel', 1, {
  control: u8,
  selected: u1,
  bmCommand: u8,
  bmStatus: u8,
  prdTable: u32,
});

export interface IdeChannelOptions {
  readonly log: DeviceLog;
  readonly irq: IrqLine;
  /** Memory as the bus master reaches it; absent when there is none (ISA). */
  readonly dma?: Dma;
}

export class IdeChannel implements Device<typeof STATE>, AtaHost {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly wholeChunks = false;
  readonly queueDepth = 0;
  /** 8 ports: 0x1f0 or 0x170. */
  readonly commandBlock: Mmio;
  /** 1 port: 0x3f6 or 0x376. */
  readonly controlBlock: Mmio;
  /** 8 ports of the bus master. */
  readonly busMaster: Mmio;
  private readonly options: IdeChannelOptions;
  private readonly drives: [AtaDrive | undefined, AtaDrive | undefined] = [undefined, undefined];
  private raised = false;
  /** The PRD table had more than the drive asked for, so the bus master stays active. */
  private stays = false;

  constructor(name: string, options: IdeChannelOptions) {
    this.name = name;
    this.options = options;
    this.commandBlock = {
      read: (offset, size) => (offset === 0 && size > 1 ? this.readData(size) : this.bytes(offset, size)),
      write: (offset, size, value) => {
        if (offset === 0 && size > 1) this.writeData(size, value);
        else for (let i = 0; i < size; i++) this.writeCommandBlock(offset + i, (value >>> (8 * i)) & 0xff);
      },
    };
    this.controlBlock = {
      widths: [1],
      read: () => this.alternateStatus(),
      write: (_, __, value) => this.writeControl(value & 0xff),
    };
    this.busMaster = {
      read: (offset, size) => {
        let value = 0;
        for (let i = 0; i < size; i++) value |= this.readBusMaster(offset + i) << (8 * i);
        return value >>> 0;
      },
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++) this.writeBusMaster(offset + i, (value >>> (8 * i)) & 0xff);
      },
    };
  }

  /** Plugs a drive in: 0 is the master, 1 the slave. Before the machine starts. */
  attach(unit: 0 | 1, drive: AtaDrive): void {
    if (this.drives[unit]) throw new RangeError(`${this.name}: unit ${unit} is taken`);
    this.drives[unit] = drive;
    drive.host = this;
  }

  drive(unit: 0 | 1): AtaDrive | undefined {
    return this.drives[unit];
  }

  /** The drives are devices of their own, and reset by themselves. */
  reset(): void {
    Object.assign(this.state, create(STATE));
    this.output();
  }

  resumed(): void {
    this.raised = this.level;
    this.options.irq.set(this.raised);
  }

  private get selected(): AtaDrive | undefined {
    return this.drives[this.state.selected];
  }

  private get level(): boolean {
    return this.selected?.state.interrupt === 1 && !(this.state.control & CONTROL.NIEN);
  }

  private output(): void {
    const { level } = this;
    if (level && !this.raised) this.state.bmStatus |= BM_STATUS.INTERRUPT;
    this.raised = level;
    this.options.irq.set(level);
  }

  // The drives' side.

  interrupt(): void {
    this.output();
  }

  data(): void {} // the guest moves it

  finished(): void {}

  dma(drive: AtaDrive): void {
    if (!this.options.dma) drive.refuseDma();
    else this.begin();
  }

  dmaEnded(_drive: AtaDrive, faulty: boolean): void {
    if (!this.stays) this.state.bmStatus &= ~BM_STATUS.ACTIVE;
    if (faulty) this.state.bmStatus |= BM_STATUS.ERROR;
  }

  // The guest's side.

  private readData(size: AccessSize): number {
    return this.selected?.readData(size === 4 ? 4 : 2) ?? 0;
  }

  private writeData(size: AccessSize, value: number): void {
    this.selected?.writeData(size === 4 ? 4 : 2, value);
  }

  private bytes(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.readCommandBlock(offset + i) << (8 * i);
    return value >>> 0;
  }

  private readCommandBlock(register: number): number {
    const drive = this.selected;
    if (register === 0) return 0xff; // the data register has no bytes
    if (!drive) return 0;
    const value = readRegister(drive.state, register, (this.state.control & CONTROL.HOB) !== 0);
    if (register === 7) drive.setInterrupt(false);
    return value;
  }

  private writeCommandBlock(register: number, value: number): void {
    const { state } = this;
    state.control &= ~CONTROL.HOB;
    if (register === 7) this.command(value);
    if (register === 0 || register === 7 || this.selected?.busy) return;
    for (const drive of this.drives) if (drive) writeRegister(drive.state, register, value);
    if (register !== 6) return;
    state.selected = value & DEVICE.DEV ? 1 : 0;
    this.output();
  }

  private command(command: number): void {
    const drive = this.selected;
    if (!drive || (drive.busy && !(drive.packet && command === COMMAND.DEVICE_RESET))) return;
    if (command === COMMAND.EXECUTE_DIAGNOSTIC) {
      // Both drives run it; the first one answers for both.
      this.drives[1]?.softReset();
      this.state.selected = this.drives[0] ? 0 : 1;
      for (const each of this.drives) if (each) writeRegister(each.state, 6, 0);
    }
    this.selected?.execute(command);
  }

  private alternateStatus(): number {
    return this.selected?.state.status ?? 0;
  }

  private writeControl(value: number): void {
    const { state } = this;
    const falls = state.control & CONTROL.SRST & ~value;
    const rises = value & CONTROL.SRST & ~state.control;
    state.control = value;
    if (rises || falls) {
      for (const drive of this.drives) {
        if (!drive) continue;
        drive.softReset();
        if (rises) drive.state.status = STATUS.BSY;
        if (falls) writeRegister(drive.state, 6, 0);
      }
      state.selected = 0;
      state.bmStatus &= ~BM_STATUS.ACTIVE;
    }
    this.output();
  }

  private readBusMaster(register: number): number {
    const { state } = this;
    if (register === 0) return state.bmCommand;
    if (register === 2) return state.bmStatus;
    return register >= 4 ? (state.prdTable >>> (8 * (register - 4))) & 0xff : 0xff;
  }

  private writeBusMaster(register: number, value: number): void {
    const { state } = this;
    if (register === 0) {
      const changed = (value ^ state.bmCommand) & BM_COMMAND.START;
      state.bmCommand = value & (BM_COMMAND.START | BM_COMMAND.TO_MEMORY);
      if (!changed) return;
      if (value & BM_COMMAND.START) {
        state.bmStatus |= BM_STATUS.ACTIVE;
        this.begin();
      } else {
        for (const drive of this.drives) drive?.stopTransfer();
        state.bmStatus &= ~BM_STATUS.ACTIVE;
      }
    } else if (register === 2) {
      const cleared = value & (BM_STATUS.ERROR | BM_STATUS.INTERRUPT);
      state.bmStatus = (state.bmStatus & ~cleared & ~BM_STATUS.CAPABLE) | (value & BM_STATUS.CAPABLE);
    } else if (register >= 4) {
      const shift = 8 * (register - 4);
      state.prdTable = ((state.prdTable & ~(0xff << shift)) | ((value << shift) & ~3)) >>> 0;
    }
  }

  /** DMA begins when both sides are ready. */
  private begin(): void {
    const drive = this.selected;
    const { dma } = this.options;
    if (!dma || !(this.state.bmStatus & BM_STATUS.ACTIVE) || drive?.state.phase !== PHASE.DMA) return;
    drive.transfer(this.walk(dma, drive.dmaLength), dma);
  }

  /** The PRD table as far as `wanted` bytes need it; a table outside RAM ends there. */
  private walk(dma: Dma, wanted: number): Segment[] {
    const segments: Segment[] = [];
    let length = 0;
    this.stays = false;
    for (let entry = 0; entry < PRD_ENTRIES; entry++) {
      const prd = dma.readable(this.state.prdTable + 8 * entry, 8);
      if (!prd) {
        this.state.bmStatus |= BM_STATUS.ERROR;
        break;
      }
      const control = readU32(prd, 4);
      const size = control & 0xfffe || 0x1_0000;
      const used = Math.min(size, wanted - length);
      segments.push({ address: (readU32(prd, 0) & ~1) >>> 0, length: used });
      length += used;
      const last = (control & PRD_END) !== 0;
      if (length === wanted) this.stays = !last || used < size;
      if (length === wanted || last) break;
    }
    return segments;
  }
}
