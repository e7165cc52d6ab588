/** What a snapshot holds of the floppy disk controller. */
import { array, f64, initially, json, layout, u1, u8 } from '../../state/layout.ts';
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
