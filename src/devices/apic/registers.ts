/**
 * The local APIC's registers in their window.
 *
 * Spec: Intel SDM volume 3, "The Local APIC Block Diagram" (address map).
 */
import { type Banked, bank } from '../../hw/bank.ts';
import type { ApicState } from './apic-state.ts';

/** Integrated APIC with six LVT entries, as QEMU says. */
const VERSION = 0x0005_0014;

/** A local APIC as its registers see it. */
export interface ApicRegisters extends Banked {
  readonly state: ApicState;
  readonly timer: { load(count: number): void; arm(): void; currentCount(): number };
  tpr: number;
  readonly ppr: number;
  readonly ldr: number;
  endOfInterrupt(): void;
  writeSvr(value: number): void;
  writeLvt(index: number, value: number): void;
  latchErrors(): void;
  /** The low half of the ICR was written. */
  send(low: number): void;
}

const row = { stride: 0x10 };
const ignore = () => {};

export const REGISTERS = bank<ApicRegisters>(0x1000, {
  ID: {
    at: 0x020,
    read: ({ state }) => (state.x2apic ? state.id : state.id << 24),
    write: ({ state }, value) => {
      state.id = value >>> 24;
    },
  },
  VERSION: { at: 0x030, read: () => VERSION, write: ignore },
  TPR: {
    at: 0x080,
    read: (apic) => apic.tpr,
    write: (apic, value) => {
      apic.tpr = value;
    },
  },
  APR: { at: 0x090, read: () => 0, write: ignore },
  PPR: { at: 0x0a0, read: (apic) => apic.ppr, write: ignore },
  EOI: { at: 0x0b0, read: () => 0, write: (apic) => apic.endOfInterrupt() },
  RRD: { at: 0x0c0, read: () => 0, write: ignore },
  LDR: {
    at: 0x0d0,
    read: (apic) => apic.ldr,
    write: ({ state }, value) => {
      state.ldr = value >>> 24;
    },
  },
  DFR: {
    at: 0x0e0,
    read: ({ state }) => (state.dfr << 28) | 0x0fff_ffff,
    write: ({ state }, value) => {
      state.dfr = value >>> 28;
    },
  },
  SVR: { at: 0x0f0, read: ({ state }) => state.svr, write: (apic, value) => apic.writeSvr(value) },
  ISR: { at: 0x100, count: 8, ...row, read: ({ state }, index) => state.isr[index], write: ignore },
  TMR: { at: 0x180, count: 8, ...row, read: ({ state }, index) => state.tmr[index], write: ignore },
  IRR: { at: 0x200, count: 8, ...row, read: ({ state }, index) => state.irr[index], write: ignore },
  ESR: { at: 0x280, read: ({ state }) => state.esr, write: (apic) => apic.latchErrors() },
  ICR_LOW: { at: 0x300, read: ({ state }) => state.icr[0], write: (apic, value) => apic.send(value) },
  ICR_HIGH: {
    at: 0x310,
    read: ({ state }) => state.icr[1],
    write: ({ state }, value) => {
      state.icr[1] = value;
    },
  },
  LVT: {
    at: 0x320,
    count: 6,
    ...row,
    read: ({ state }, index) => state.lvt[index],
    write: (apic, value, index) => apic.writeLvt(index, value),
  },
  INITIAL_COUNT: {
    at: 0x380,
    read: ({ state }) => state.initialCount,
    write: (apic, value) => apic.timer.load(value),
  },
  CURRENT_COUNT: { at: 0x390, read: (apic) => apic.timer.currentCount(), write: ignore },
  DIVIDE: {
    at: 0x3e0,
    read: ({ state }) => state.divide,
    write: (apic, value) => {
      apic.state.divide = value & 0xb;
      apic.timer.arm();
    },
  },
});

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Registers that exist, by offset / 16. */
export const PRESENT: ReadonlySet<number> = new Set([
  ...[0x02, 0x03, ...range(0x08, 0x0f), ...range(0x10, 0x28)],
  ...[0x30, 0x31, ...range(0x32, 0x37), 0x38, 0x39, 0x3e],
]);
