/** Sectors of a track: what is behind one, and how a track is formatted. */
import type { Disk } from '../../hw/disk.ts';
import { MT, OP } from './commands.ts';
import { type Format, SECTOR } from './floppy-drive.ts';

/** N in a sector's ID: 128 << 2 bytes. */
export const SIZE_CODE = 2;

/** The ID (C, H, R, N) behind the last of `sectors` sectors that a READ or WRITE moved. */
export function idBehind(command: readonly number[], sectors: number): number[] {
  const [first, , track, head, start, code, end] = command;
  const next = ((first & 0x1f) === OP.READ_TRACK ? 1 : start) + sectors;
  if (next <= end) return [track, head, next, code];
  if (!(first & MT)) return [track + 1, head, 1, code];
  if (head) return [track + 1, 0, 1, code];
  const other = next - end;
  return other <= end ? [track, 1, other, code] : [track + 1, 0, 1, code];
}

/** FORMAT TRACK: each sector that the host names in `ids` (C, H, R, N) is filled; those that are not there are not. */
export async function formatTrack(
  medium: Disk,
  format: Format,
  track: number,
  command: readonly number[],
  ids: Uint8Array,
): Promise<void> {
  const head = (command[1] >> 2) & 1;
  const fill = new Uint8Array(SECTOR).fill(command[5]);
  for (let at = 0; at + 4 <= ids.length; at += 4) {
    const sector = ids[at + 2];
    if (track >= format.tracks || head >= format.heads || sector < 1 || sector > format.sectors) continue;
    await medium.write(((track * format.heads + head) * format.sectors + sector - 1) * SECTOR, fill);
  }
}
