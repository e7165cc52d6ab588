/** What a remapping unit is made of, and what its registers hold. */
import type { DeviceLog, Dma } from '../../hw/device.ts';
import type { InterruptMessage } from '../../hw/interrupt-message.ts';
import { array, initially, layout, u32 } from '../../state/layout.ts';
import { EVENT } from './faults.ts';
import type { TableRules } from './tables.ts';

const pair = array(u32, 2);
const masked = initially(u32, EVENT.MASKED);
export const STATE = layout('intel-iommu', 1, {
  gsts: u32,
  rtaddr: pair, // as written
  root: pair, // as in use since GCMD.SRTP
  ccmd: pair,
  fsts: u32,
  fectl: masked,
  fedata: u32,
  feaddr: u32,
  feuaddr: u32,
  iqh: u32,
  iqt: u32,
  iqa: pair,
  ics: u32,
  iectl: masked,
  iedata: u32,
  ieaddr: u32,
  ieuaddr: u32,
  irta: pair, // as written
  interrupts: pair, // as in use since GCMD.SIRTP
  iva: pair,
  iotlb: pair,
  frcd: array(u32, 4),
});

export type UnitField = keyof typeof STATE.fields & string;

/** Of GCMD and GSTS. */
export const COMMAND = {
  TRANSLATE: 0x8000_0000,
  SET_ROOT: 0x4000_0000,
  QUEUE: 0x400_0000,
  INTERRUPTS: 0x200_0000,
  SET_INTERRUPTS: 0x100_0000,
  COMPATIBILITY: 0x80_0000,
} as const;
export interface IntelIommuOptions extends TableRules {
  readonly name: string;
  readonly log: DeviceLog;
  /** Memory itself. */
  readonly memory: Dma;
  /** There is interrupt remapping, with destinations of 32 bits. */
  readonly interrupts: boolean;
  readonly extendedInterrupts: boolean;
  readonly dmaTranslation: boolean;
  readonly cachingMode: boolean;
  readonly drain: boolean;
  /** A message on its way to the local APICs. */
  deliver(message: InterruptMessage): void;
  /** One that is not remapped. */
  pass(address: number, data: number): void;
  /** Messages mean something else from now on. */
  interruptsChanged?(): void;
}
