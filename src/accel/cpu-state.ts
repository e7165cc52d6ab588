/** One CPU's state in the space, and what of a vCPU is the same under every accelerator. */
import type { IrqLine } from '../hw/device.ts';
import type { Isa, StateAccess } from '../isa/isa.ts';
import { create, type Field } from '../state/layout.ts';
import type { Space } from './space.ts';

export class CpuState implements StateAccess {
  readonly isa: Isa;
  readonly index: number;
  /** Where the state lies in the space. */
  readonly at: number;
  readonly space: Space;
  private readonly view: DataView;
  private readonly places: Isa['at'];
  // Where in the view these lie: they are looked at with every slice and every exit.
  private readonly stoppedAt: number;
  private readonly waitingAt: number;
  private readonly attentionAt: number;

  constructor(isa: Isa, space: Space, index: number, at: number) {
    this.isa = isa;
    this.space = space;
    this.view = space.view;
    this.index = index;
    this.at = at;
    this.places = isa.at;
    this.stoppedAt = at + isa.fields.stopped;
    this.waitingAt = at + isa.fields.waiting;
    this.attentionAt = at + isa.fields.attention;
    this.reset();
  }

  reset(): void {
    const { layout, cpu } = this.isa;
    const values = create(layout) as Record<string, unknown>;
    for (const [name, field] of Object.entries(layout.fields)) this.put(name, field, values[name]);
    cpu.reset(this, this.index);
  }

  private put(name: string, field: Field, value: unknown): void {
    const at = this.at + this.places[name];
    if (field.kind === 'bytes') this.space.bytes.set(value as Uint8Array, at);
    else {
      const list = field.kind === 'array' ? (value as (bigint | number)[]) : [value as bigint | number];
      const size = field.kind === 'array' ? field.of.size : field.kind === 'scalar' ? field.size : 0;
      for (const [n, one] of list.entries()) {
        if (typeof one === 'bigint') this.set64(name, one, n);
        else if (size === 4) this.set32(name, one, n);
        else throw new TypeError(`${name}: CPU states hold words of 4 and 8 bytes`);
      }
    }
  }

  get32(field: string, index = 0): number {
    return this.view.getUint32(this.at + this.places[field] + index * 4, true);
  }
  set32(field: string, value: number, index = 0): void {
    this.view.setUint32(this.at + this.places[field] + index * 4, value, true);
  }
  get64(field: string, index = 0): bigint {
    return this.view.getBigUint64(this.at + this.places[field] + index * 8, true);
  }
  set64(field: string, value: bigint, index = 0): void {
    this.view.setBigUint64(this.at + this.places[field] + index * 8, BigInt.asUintN(64, value), true);
  }
  getNumber(field: string, index = 0): number {
    return this.numberAt(this.places[field] + index * 8);
  }

  // By byte offset in the state, for what accelerators look at.
  word(offset: number): number {
    return this.view.getUint32(this.at + offset, true);
  }
  setWord(offset: number, value: number): void {
    this.view.setUint32(this.at + offset, value, true);
  }
  get pc(): bigint {
    return this.view.getBigUint64(this.at + this.isa.fields.pc, true);
  }
  set pc(value: bigint) {
    this.view.setBigUint64(this.at + this.isa.fields.pc, BigInt.asUintN(64, value), true);
  }
  get mode(): number {
    return this.word(this.isa.fields.mode);
  }
  get stopped(): boolean {
    return this.view.getUint32(this.stoppedAt, true) !== 0;
  }
  set stopped(value: boolean) {
    this.view.setUint32(this.stoppedAt, value ? 1 : 0, true);
  }
  get waiting(): boolean {
    return this.view.getUint32(this.waitingAt, true) !== 0;
  }
  set attention(value: boolean) {
    this.view.setUint32(this.attentionAt, value ? 1 : 0, true);
  }
  /** Instructions retired, as of the last run. */
  get instructions(): number {
    return this.numberAt(this.isa.fields.instructions);
  }
  retire(count: number): void {
    const at = this.at + this.isa.fields.instructions;
    this.view.setBigUint64(at, BigInt.asUintN(64, this.view.getBigUint64(at, true) + BigInt(count)), true);
  }
  private numberAt(offset: number): number {
    const at = this.at + offset;
    return this.view.getUint32(at + 4, true) * 0x1_0000_0000 + this.view.getUint32(at, true);
  }

  irq(input: number): IrqLine {
    return { set: (level) => this.setLine(input, level) };
  }
  setLine(input: number, level: boolean): void {
    this.isa.cpu.setLine(this, input, level);
  }
  /** Lets the CPU's own timer act as of now; gives its deadline in ticks of the Isa, or Infinity. */
  compareTime(ticks: number): number {
    return this.isa.cpu.compareTime(this, ticks);
  }

  registerNames(): readonly string[] {
    return this.isa.cpu.registerNames();
  }
  readRegister(name: string): bigint {
    const value = this.isa.cpu.readRegister(this, name);
    if (value === undefined) throw new RangeError(`no register ${name}`);
    return value;
  }
  writeRegister(name: string, value: bigint): void {
    if (!this.isa.cpu.writeRegister(this, name, value)) throw new RangeError(`no register ${name}`);
  }
}
