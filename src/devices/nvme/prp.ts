/**
 * Physical region pages: where in guest memory a command's data lies.
 *
 * Spec: NVM Express 1.4, "Physical Region Page Entry and List".
 */
import { readU64 } from '../../bits/endian.ts';
import type { Dma } from '../../hw/device.ts';
import { reaches } from '../../hw/iommu.ts';
import type { Segment } from '../../hw/virtqueue.ts';
import { STATUS } from './commands.ts';

/**
 * The segments of `length` bytes (bounded by the caller), or the status that says what is wrong. A walk reads at most
 * one entry for each page of data and one for each page of entries. `write`: the command writes to guest memory.
 */
export function prpSegments(
  dma: Dma,
  prp1: number,
  prp2: number,
  length: number,
  page: number,
  write: boolean,
): Segment[] | number {
  const segments: Segment[] = [];
  let left = length;
  const add = (address: number): boolean => {
    const size = Math.min(left, page - (address % page));
    left -= size;
    segments.push({ address, length: size });
    return reaches(dma, address, size, write);
  };
  if (!add(prp1)) return STATUS.DATA_TRANSFER;
  if (left === 0) return segments;
  if (left <= page) {
    if (prp2 % page) return STATUS.PRP_OFFSET;
    return add(prp2) ? segments : STATUS.DATA_TRANSFER;
  }
  if (prp2 % 8) return STATUS.PRP_OFFSET;
  let list = prp2;
  while (left > 0) {
    const bytes = dma.readable(list, 8);
    if (!bytes) return STATUS.DATA_TRANSFER;
    const entry = readU64(bytes, 0);
    if (entry % page) return STATUS.PRP_OFFSET;
    // The last entry of a page of a list leads to the next page, unless it is the last one needed.
    if (list % page === page - 8 && left > page) {
      const first = dma.readable(entry, 8);
      if (!first) return STATUS.DATA_TRANSFER;
      const target = readU64(first, 0);
      if (target % page) return STATUS.PRP_OFFSET;
      if (!add(target)) return STATUS.DATA_TRANSFER;
      list = entry + 8;
    } else {
      if (!add(entry)) return STATUS.DATA_TRANSFER;
      list += 8;
    }
  }
  return segments;
}
