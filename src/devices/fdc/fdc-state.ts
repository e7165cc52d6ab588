/** What a snapshot holds of the floppy disk controller, and the status that follows from it. */
import { array, f64, initially, json, layout, type StateOf, u1, u8 } from '../../state/layout.ts';
import { RATE } from './floppy-drive.ts';

/** Digital output register. */
export const DOR = { RUNS: 4, DMA: 8 } as const;

export const PHASE = { COMMAND: 0, IN: 1, OUT: 2, RESULT: 3, DISK: 4 } as const;

export const STATE = layout('fdc', 1, {
  dor: initially(u8, DOR.RUNS | DOR.DMA),
  tdr: u8,
  rate: initially(u8, RATE.K250),
  phase: u8,
  interrupt: u1,
  command: json<number[]>(() => []), // the bytes so far
  results: json<number[]>(() => []), // the bytes still to be read
  senses: json<number[]>(() => []), // ST0 of interrupts that SENSE INTERRUPT has not taken
  tracks: array(u8, 2), // where the heads are
  changed: initially(u8, 3), // a bit a drive: the disk change line
  specify: array(u8, 2),
  noDma: u1,
  configure: initially(u8, 0x60),
  precompensation: u8,
  perpendicular: u8,
  lock: u1,
  lastSector: initially(u8, 18),
  // The transfer of the command that runs: bytes of the image from `offset` on.
  busy: u8,
  buffer: json<Uint8Array>(() => new Uint8Array(0)),
  position: f64,
  offset: f64,
  uncut: u1, // all data moved and nobody gave TC: the cylinder ended
});
export const BUSY = { NOTHING: 0, READING: 1, WRITING: 2, VERIFYING: 3, FORMATTING: 4 } as const;
export type FdcState = StateOf<typeof STATE>;

const MSR = { READY: 0x80, TO_HOST: 0x40, NO_DMA: 0x20, BUSY: 0x10 };

/** The main status register: whose turn it is to move a byte. */
export function mainStatus({ phase, command, dor, noDma }: FdcState): number {
  if (!(dor & DOR.RUNS)) return 0;
  const execution = noDma ? MSR.NO_DMA | MSR.READY : 0;
  switch (phase) {
    case PHASE.COMMAND:
      return MSR.READY | (command.length ? MSR.BUSY : 0);
    case PHASE.IN:
      return MSR.BUSY | execution | MSR.TO_HOST;
    case PHASE.OUT:
      return MSR.BUSY | execution;
    case PHASE.RESULT:
      return MSR.READY | MSR.TO_HOST | MSR.BUSY;
    default:
      return MSR.BUSY;
  }
}
