/**
 * One hart's state in the space, and what of a RISC-V vCPU is the same under
 * every accelerator: registers by name, interrupt inputs, reset.
 */
import type { IrqLine } from '../hw/device.ts';
import { csrs } from '../isa/riscv/csr.ts';
import { registerName } from '../isa/riscv/decode.ts';
import { AT, HART, PLACE, Interrupt } from '../isa/riscv/state.ts';
import { create, type Field } from '../state/layout.ts';
import type { Space } from './space.ts';

type FieldName = keyof typeof AT;

export class RiscvHart {
  readonly index: number;
  /** Where the state lies in the space. */
  readonly at: number;
  readonly space: Space;
  private readonly view: DataView;

  constructor(space: Space, index: number, at: number) {
    this.space = space;
    this.view = space.view;
    this.index = index;
    this.at = at;
    this.reset();
  }

  static readonly size = PLACE.size;

  reset(): void {
    const values = create(HART) as Record<string, unknown>;
    for (const [name, field] of Object.entries(HART.fields) as [FieldName, Field][]) {
      const value = values[name];
      if (field.kind === 'array') for (const [n, v] of (value as bigint[]).entries()) this.set64(name, v, n);
      else if (typeof value === 'bigint') this.set64(name, value);
      else this.set32(name, value as number);
    }
    this.set64('hartid', BigInt(this.index));
    // Hardware updates A and D until software asks for faults, as QEMU's rv64 does.
    this.set64('menvcfg', 1n << 61n);
  }

  get32(name: FieldName): number {
    return this.view.getUint32(this.at + AT[name], true);
  }
  set32(name: FieldName, value: number): void {
    this.view.setUint32(this.at + AT[name], value, true);
  }
  get64(name: FieldName, index = 0): bigint {
    return this.view.getBigUint64(this.at + AT[name] + index * 8, true);
  }
  set64(name: FieldName, value: bigint, index = 0): void {
    this.view.setBigUint64(this.at + AT[name] + index * 8, BigInt.asUintN(64, value), true);
  }
  /** A 64-bit field as a number; exact below 2^53. */
  getNumber(name: FieldName, index = 0): number {
    const at = this.at + AT[name] + index * 8;
    return this.view.getUint32(at + 4, true) * 0x1_0000_0000 + this.view.getUint32(at, true);
  }

  /** The interrupt input that drives bit `input` of mip. */
  irq(input: number): IrqLine {
    return { set: (level) => this.setLine(input, level) };
  }

  setLine(input: number, level: boolean): void {
    const lines = this.get32('lines');
    const next = level ? lines | (1 << input) : lines & ~(1 << input);
    if (next === lines) return;
    this.set32('lines', next);
    if (level) this.set32('attention', 1);
  }

  /** Makes an interrupt pending that software clears, by its bit of mip. */
  raise(input: number): void {
    this.set64('mip', this.get64('mip') | (1n << BigInt(input)));
    this.set32('attention', 1);
  }

  /** Sstc: lets STIP follow the comparator. Returns its deadline in ticks, or Infinity. */
  compareTime(ticks: number): number {
    if ((this.get64('menvcfg') >> 63n) & 1n) {
      const deadline = this.getNumber('stimecmp');
      this.setLine(Interrupt.sti, ticks >= deadline);
      return deadline >= 2 ** 53 ? Infinity : deadline;
    }
    return Infinity;
  }

  registerNames(): readonly string[] {
    return NAMES;
  }

  /** How a name is found in the state: field and element. */
  readRegister(name: string): bigint {
    const found = locate(name);
    if (found) return found.wide ? this.get64(found.field, found.index) : BigInt(this.get32(found.field));
    throw new RangeError(`no register ${name}`);
  }

  writeRegister(name: string, value: bigint): void {
    const found = locate(name);
    if (!found) throw new RangeError(`no register ${name}`);
    if (found.field === 'x' && found.index === 0) return;
    if (found.wide) this.set64(found.field, value, found.index);
    else this.set32(found.field, Number(value));
  }
}

interface Location {
  readonly field: FieldName;
  readonly index: number;
  readonly wide: boolean;
}

const ABI = new Map(Array.from({ length: 32 }, (_, n) => [registerName(n), n]));
const CSR_NAMES = [...csrs.values()].map(({ name }) => name).filter((name) => name in AT);

function locate(name: string): Location | undefined {
  const numbered = /^([xf])(\d+)$/.exec(name);
  if (numbered && Number(numbered[2]) < 32)
    return { field: numbered[1] as 'x' | 'f', index: Number(numbered[2]), wide: true };
  const abi = ABI.get(name);
  if (abi !== undefined) return { field: 'x', index: abi, wide: true };
  if (!(name in AT)) return undefined;
  const field = HART.fields[name as FieldName];
  return { field: name as FieldName, index: 0, wide: field.kind === 'scalar' && field.size === 8 };
}

const NAMES: readonly string[] = [
  'pc',
  ...Array.from({ length: 32 }, (_, n) => `x${n}`),
  ...Array.from({ length: 32 }, (_, n) => `f${n}`),
  'priv',
  ...CSR_NAMES,
];
