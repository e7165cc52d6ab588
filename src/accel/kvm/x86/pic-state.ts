/**
 * The pair of 8259s and the I/O APIC to and from the kernel's.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_IRQCHIP; Intel 8259A;
 * Intel 82093AA.
 */
import { IoapicState, PicState } from './abi-irqchip.ts';

/** As our model of the pair has it: a value for the first and one for the second. */
export interface PicFields {
  irr: number[];
  imr: number[];
  isr: number[];
  wires: number[];
  elcr: number[];
  base: number[];
  first: number[];
  expects: number[];
  needsIcw4: number[];
  autoEoi: number[];
  rotateOnAutoEoi: number[];
  specialFullyNested: number[];
  specialMask: number[];
  readIsr: number[];
  poll: number[];
}

const PIC_BYTES: readonly (readonly [keyof PicFields, number])[] = [
  ['irr', PicState.irr],
  ['imr', PicState.imr],
  ['isr', PicState.isr],
  ['first', PicState.priorityAdd],
  ['base', PicState.irqBase],
  ['readIsr', PicState.readRegSelect],
  ['poll', PicState.poll],
  ['specialMask', PicState.specialMask],
  ['expects', PicState.initState],
  ['autoEoi', PicState.autoEoi],
  ['rotateOnAutoEoi', PicState.rotateOnAutoEoi],
  ['specialFullyNested', PicState.specialFullyNestedMode],
  ['needsIcw4', PicState.init4],
  ['elcr', PicState.elcr],
];
const ELCR_MASK = [0xf8, 0xde];
/** The first one's input that the second drives: a level with us, a pulse in the kernel. */
const CASCADE = 1 << 2;

export function encodePic(from: PicFields, chip: 0 | 1, to: DataView): void {
  for (const [name, at] of PIC_BYTES) to.setUint8(at, from[name][chip]);
  to.setUint8(PicState.lastIrr, from.wires[chip] & (chip === 0 ? ~CASCADE : 0xff));
  to.setUint8(PicState.elcrMask, ELCR_MASK[chip]);
}

/** But the wires, which are the board's to know. */
export function decodePic(from: DataView, chip: 0 | 1, to: PicFields): void {
  for (const [name, at] of PIC_BYTES) to[name][chip] = from.getUint8(at);
}

/** As our model of the I/O APIC has it. */
export interface IoapicFields {
  id: number;
  select: number;
  wires: number;
  low: number[];
  high: number[];
}

const LEVEL = 0x8000;
const MASKED = 0x1_0000;

/** `masked`: all inputs are, and nothing is asked for. A wire that is high is no edge: that has been heard already. */
export function encodeIoapic(from: IoapicFields, base: number, to: DataView, masked = false): void {
  to.setBigUint64(IoapicState.baseAddress, BigInt(base), true);
  to.setUint32(IoapicState.ioregsel, from.select, true);
  to.setUint32(IoapicState.id, from.id, true);
  let irr = 0;
  for (let pin = 0; pin < IoapicState.pins; pin++) {
    const low = masked ? from.low[pin] | MASKED : from.low[pin];
    if (!masked && low & (LEVEL | MASKED) && from.wires & (1 << pin)) irr |= 1 << pin;
    to.setUint32(IoapicState.redirtbl + 8 * pin, low, true);
    to.setUint32(IoapicState.redirtbl + 8 * pin + 4, from.high[pin], true);
  }
  to.setUint32(IoapicState.irr, irr >>> 0, true);
}

/** But the wires. */
export function decodeIoapic(from: DataView, to: IoapicFields): void {
  to.select = from.getUint32(IoapicState.ioregsel, true) & 0xff;
  to.id = from.getUint32(IoapicState.id, true) & 15;
  for (let pin = 0; pin < IoapicState.pins; pin++) {
    // Messages are delivered at once: no delivery status.
    to.low[pin] = from.getUint32(IoapicState.redirtbl + 8 * pin, true) & 0x1_efff;
    to.high[pin] = from.getUint32(IoapicState.redirtbl + 8 * pin + 4, true);
  }
}
