/**
 * The CFI query table of an Intel-command-set flash chip.
 *
 * Spec: JEDEC JESD68.01, "Common Flash Interface", and Intel's extended query
 * table (28FxxxJ3 data sheet, "Common Flash Interface").
 */
import { writeU16 } from '../../bits/endian.ts';

/** log2 of the write buffer of one chip, bytes. */
export const WRITE_BUFFER_LOG2 = 11;

/** `chipSize` and `blockSize` are those of one chip, in bytes. */
export function cfiTable(chipSize: number, blockSize: number): Uint8Array {
  const table = new Uint8Array(0x52);
  const blocks = chipSize / blockSize;
  table.set([0x51, 0x52, 0x59], 0x10); // QRY
  writeU16(table, 0x13, 0x0001); // Intel/Sharp extended command set
  writeU16(table, 0x15, 0x0031); // where its table is
  // System interface: voltages 4.5 to 5.5 V, log2 of the usual and the longest times.
  table.set([0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04, 0x00], 0x1b);
  table[0x27] = Math.log2(chipSize);
  writeU16(table, 0x28, 0x0002); // x8 and x16
  writeU16(table, 0x2a, WRITE_BUFFER_LOG2);
  table[0x2c] = 1; // one region of equal blocks
  writeU16(table, 0x2d, blocks - 1);
  writeU16(table, 0x2f, blockSize >> 8);
  table.set([0x50, 0x52, 0x49, 0x31, 0x30], 0x31); // PRI, version 1.0
  return table;
}
