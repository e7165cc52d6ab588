/**
 * Register banks: a device's registers as data, like the summary table of its
 * data sheet. Widths, alignment and reports of guest mistakes belong here, so
 * that a device file holds nothing but what its registers do.
 *
 * A register is backed by a field of the device's state (`field`, with `after`
 * as its side effect) or by functions (`read`, `write`). One without any way
 * to read it is write-only, and the other way round: using it wrongly is a
 * guest error, reads as 0 and changes nothing.
 */
import type { Field, Layout } from '../state/layout.ts';
import type { AccessSize, DeviceLog, Mmio } from './device.ts';

/** What the bank must know about a device. */
export interface Banked {
  readonly name: string;
  readonly layout: Layout;
  readonly state: object;
  readonly log: DeviceLog;
}

export interface Register<D extends Banked> {
  /** Offset in the window, bytes. */
  readonly at: number;
  /** Width in bytes; the bank's width when absent. */
  readonly size?: AccessSize;
  /** A row of equal registers; `read` and `write` are told which one. */
  readonly count?: number;
  /** Distance between the registers of a row; their width when absent. */
  readonly stride?: number;
  /** The state field (an array field for a row) that the register shows. */
  readonly field?: keyof D['state'] & string;
  /** The bits of `field` that a write can change; all bits of the field when absent. */
  readonly mask?: number;
  readonly read?: (device: D, index: number) => number;
  readonly write?: (device: D, value: number, index: number) => void;
  /** Runs after a write changed `field`. */
  readonly after?: (device: D, index: number) => void;
}

export type Registers<D extends Banked> = Readonly<Record<string, Register<D>>>;

export interface BankOptions {
  /** Width of a register that does not say otherwise. */
  readonly width?: AccessSize;
  /**
   * Access widths that the device accepts; its register width when absent. A wider access than the
   * register reads and writes that register alone; a narrower one its lane.
   */
  readonly access?: readonly AccessSize[];
}

interface Cell<D extends Banked> {
  readonly name: string;
  readonly register: Register<D>;
  readonly index: number;
  readonly size: AccessSize;
}

export class Bank<D extends Banked> {
  /** The window's size, bytes. */
  readonly size: number;
  private readonly cells = new Map<number, Cell<D>>();
  private readonly access: readonly AccessSize[];

  constructor(size: number, registers: Registers<D>, options: BankOptions) {
    const width = options.width ?? 4;
    this.size = size;
    this.access = options.access ?? [width];
    for (const [name, register] of Object.entries(registers)) {
      const cellSize = register.size ?? width;
      for (let index = 0; index < (register.count ?? 1); index++) {
        const at = register.at + index * (register.stride ?? cellSize);
        if (at + cellSize > size) throw new RangeError(`register ${name} lies outside its window`);
        if (this.cells.has(at)) throw new RangeError(`register ${name} overlaps ${this.cells.get(at)?.name}`);
        this.cells.set(at, { name, register, index, size: cellSize });
      }
    }
  }

  /** The bank as one device's window on a bus. */
  on(device: D): Mmio {
    return {
      read: (offset, size) => this.read(device, offset, size),
      write: (offset, size, value) => this.write(device, offset, size, value),
      widths: this.access,
    };
  }

  read(device: D, offset: number, size: AccessSize): number {
    const cell = this.find(offset, size);
    if (!cell) return this.refuse(device, 'read', offset, size);
    const { register, index } = cell;
    let value: number;
    if (register.read) value = register.read(device, index);
    else if (register.field) value = fieldOf(device, register.field, index);
    else return this.refuse(device, 'read', offset, size, cell.name);
    const lane = offset & (cell.size - 1);
    if (lane) value >>>= lane * 8;
    return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
  }

  write(device: D, offset: number, size: AccessSize, value: number): void {
    const cell = this.find(offset, size);
    if (!cell || !(cell.register.write || (cell.register.field && !cell.register.read) || cell.register.after)) {
      this.refuse(device, 'write', offset, size, cell?.name);
      return;
    }
    const { register, index } = cell;
    const lane = (offset & (cell.size - 1)) * 8;
    let whole = (value << lane) >>> 0;
    if (register.field) {
      const written = size < cell.size ? ((1 << (size * 8)) - 1) << lane : -1;
      const mask = (register.mask ?? -1) & maskOf(device.layout.fields[register.field]) & written;
      whole = ((fieldOf(device, register.field, index) & ~mask) | (whole & mask)) >>> 0;
      setField(device, register.field, index, whole);
      register.after?.(device, index);
    } else if (cell.size < 4) whole &= cell.size === 2 ? 0xffff : 0xff;
    register.write?.(device, whole, index);
  }

  private find(offset: number, size: AccessSize): Cell<D> | undefined {
    if (!this.access.includes(size) || offset & (size - 1)) return undefined;
    const cell = this.cells.get(offset);
    if (cell) return cell;
    // A lane of a wider register.
    for (const width of [2, 4]) {
      const wider = width > size ? this.cells.get(offset - (offset & (width - 1))) : undefined;
      if (wider && wider.size === width) return wider;
    }
    return undefined;
  }

  private refuse(device: D, what: string, offset: number, size: number, name?: string): 0 {
    const where = name ? `${name} (offset 0x${offset.toString(16)})` : `offset 0x${offset.toString(16)}`;
    device.log.guestError(device.name, `bad ${what} of ${size} bytes at ${where}`);
    return 0;
  }
}

/** Declares a bank: the window's size in bytes and its registers by the data sheet's names. */
export function bank<D extends Banked>(size: number, registers: Registers<D>, options: BankOptions = {}): Bank<D> {
  return new Bank(size, registers, options);
}

/** Read-only registers of fixed value, 4 bytes apart (peripheral IDs). */
export function constants(at: number, values: readonly number[]): Registers<Banked> {
  return { [`ID@${at.toString(16)}`]: { at, count: values.length, stride: 4, read: (_, index) => values[index] } };
}

function fieldOf(device: Banked, field: string, index: number): number {
  const value = (device.state as Record<string, number | number[]>)[field];
  return typeof value === 'number' ? value : value[index];
}

function setField(device: Banked, field: string, index: number, value: number): void {
  const state = device.state as Record<string, number | number[]>;
  const old = state[field];
  if (typeof old === 'number') state[field] = value;
  else old[index] = value;
}

function maskOf(field: Field): number {
  const scalar = field.kind === 'array' ? field.of : field;
  if (scalar.kind !== 'scalar') return 0;
  return scalar.name === 'u1' || scalar.name === 'bool' ? 1 : scalar.size >= 4 ? -1 : (1 << (scalar.size * 8)) - 1;
}
