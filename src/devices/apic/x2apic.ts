/**
 * The local APIC's registers as MSRs 0x800..0x8ff.
 *
 * Spec: Intel SDM volume 3, "x2APIC Register Address Space". An access that it
 * forbids is a value, which the vCPU turns into #GP.
 */
import { LVT_READ_ONLY, LVT_WRITABLE } from './lvt.ts';
import { type ApicRegisters, REGISTERS } from './registers.ts';
import { ICR_WRITABLE } from './icr.ts';

const SELF = 1 << 18; // shorthand of the ICR
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** x2APIC MSRs, by number - 0x800: those that can be read, and the bits that can be written. */
const X2APIC = {
  ICR: 0x30,
  SELF_IPI: 0x3f,
  readable: new Set([
    ...[0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, ...range(0x10, 0x28)],
    ...[0x30, ...range(0x32, 0x37), 0x38, 0x39, 0x3e],
  ]),
  writable: new Map<number, number>([
    ...([
      [0x08, 0xff], // TPR
      [0x0b, 0], // EOI
      [0x0f, 0x1ff], // SVR
      [0x28, 0], // ESR
      [0x30, ICR_WRITABLE], // ICR
      [0x38, -1], // initial count
      [0x3e, 0xb], // divide configuration
      [0x3f, 0xff], // self IPI
    ] as const),
    // Linux writes the read-only bits of LINT0 when it shuts down.
    ...LVT_WRITABLE.map((writable, index) => [0x32 + index, writable | LVT_READ_ONLY] as const),
  ]),
};

/** Reads register `index` (MSR - 0x800): low and high half, or undefined. */
export function readX2apic(apic: ApicRegisters, index: number): readonly [number, number] | undefined {
  if (!X2APIC.readable.has(index)) return undefined;
  return [REGISTERS.read(apic, index << 4, 4), index === X2APIC.ICR ? apic.state.icr[1] : 0];
}

/** Writes register `index`; false when it, or a bit of the value, is reserved. */
export function writeX2apic(apic: ApicRegisters, index: number, low: number, high: number): boolean {
  const writable = X2APIC.writable.get(index);
  if (writable === undefined || low & ~writable) return false;
  if (index === X2APIC.ICR) apic.state.icr[1] = high >>> 0;
  else if (high) return false;
  if (index === X2APIC.SELF_IPI) apic.send(SELF | low);
  else REGISTERS.write(apic, index << 4, 4, low >>> 0);
  return true;
}
