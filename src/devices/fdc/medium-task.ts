/**
 * What a command of the floppy disk controller that looks at the medium is about to do, or why it cannot; and
 * the disk's part of it.
 *
 * Spec: Intel 82078 data sheet (1995), "Data Transfer Commands", "Control Commands" (READ ID, FORMAT TRACK).
 */
import { MT, OP, ST1, ST2 } from './commands.ts';
import { BUSY, type FdcState } from './fdc-state.ts';
import { type FloppyDrive, SECTOR } from './floppy-drive.ts';
import { formatTrack, SIZE_CODE } from './track.ts';

const IMPLIED_SEEK = 0x40;

export type MediumTask =
  /** Status registers of the failure, and the track that the head has come to all the same. */
  | { readonly st1: number; readonly st2?: number; readonly seek?: number }
  /** READ ID: C, H, R, N. */
  | { readonly id: readonly number[] }
  /** Bytes to be moved; where they are in the image; the track to step to first. */
  | { readonly busy: number; readonly bytes: number; readonly offset: number; readonly seek?: number };

export function mediumTask(op: number, state: FdcState, drive: FloppyDrive | undefined): MediumTask {
  const [first, select, track, head, sector, code, end] = state.command;
  const medium = drive?.inserted;
  if (!drive || !medium || drive.format.rate !== state.rate) return { st1: ST1.MISSING_MARK };
  const writes = op === OP.WRITE || op === OP.WRITE_DELETED || op === OP.FORMAT;
  if (writes && medium.readOnly) return { st1: ST1.NOT_WRITABLE };
  const position = state.tracks[select & 3];
  if (op === OP.READ_ID) return { id: [position, (select >> 2) & 1, 1, SIZE_CODE] };
  const { format } = drive;
  if (op === OP.FORMAT) {
    const [, , size, sectors] = state.command;
    if (size !== SIZE_CODE || sectors === 0 || sectors > format.sectors) return { st1: ST1.NO_DATA };
    return { busy: BUSY.FORMATTING, bytes: 4 * sectors, offset: 0 };
  }
  const seeks = (state.configure & IMPLIED_SEEK) !== 0 && track < format.tracks;
  const onTrack = seeks || track === position;
  const start = op === OP.READ_TRACK ? 1 : sector;
  const last = op === OP.READ_TRACK ? Math.min(end, format.sectors) : end;
  const found = onTrack && track < format.tracks && head < format.heads && start >= 1 && code === SIZE_CODE;
  if (!found || start > format.sectors || last < start || last > format.sectors)
    return { st1: ST1.NO_DATA, st2: onTrack ? 0 : ST2.WRONG_CYLINDER, ...(seeks ? { seek: track } : {}) };
  const bothSides = (first & MT) !== 0 && head === 0 && format.heads === 2;
  const sectors = last - start + 1 + (bothSides ? last : 0);
  return {
    busy: writes ? BUSY.WRITING : op === OP.VERIFY ? BUSY.VERIFYING : BUSY.READING,
    bytes: sectors * SECTOR,
    offset: ((track * format.heads + head) * format.sectors + start - 1) * SECTOR,
    ...(seeks ? { seek: track } : {}),
  };
}

/** The disk's part of the command that runs: to or from the buffer. Throws what the host's disk throws. */
export async function workOnMedium(state: FdcState, drive: FloppyDrive | undefined): Promise<void> {
  const medium = drive?.inserted;
  if (!drive || !medium) throw new Error('the medium is gone');
  if (state.busy === BUSY.FORMATTING) {
    const track = state.tracks[state.command[1] & 1];
    return formatTrack(medium, drive.format, track, state.command, state.buffer.slice());
  }
  const fits = state.offset + state.buffer.length <= medium.size;
  if (!fits) throw new Error('the medium is smaller now');
  if (state.busy === BUSY.WRITING) await medium.write(state.offset, state.buffer);
  else await medium.read(state.offset, state.buffer);
}
