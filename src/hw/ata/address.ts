/**
 * Which sectors a command means: 28-bit and 48-bit addresses, and cylinder,
 * head and sector in the geometry that the host has chosen.
 *
 * Spec: ATA/ATAPI-6, "General operational requirements", addressing.
 */
import { COMMAND, DEVICE } from './ata.ts';

/** The registers, each with the byte that was written before in its high half. */
export interface AddressRegisters {
  device: number;
  count: number;
  lbaLow: number;
  lbaMid: number;
  lbaHigh: number;
}

/** `heads` and `sectors` (of a track) are those of CHS addresses; `capacity` in sectors. */
export interface AddressSpace {
  readonly heads: number;
  readonly sectors: number;
  readonly capacity: number;
}

export interface Range {
  readonly lba: number;
  readonly sectors: number;
}

/** Commands that move sectors, by 28-bit and by 48-bit address. */
export const TRANSFERS: ReadonlySet<number> = new Set<number>([
  ...[COMMAND.READ_SECTORS, COMMAND.READ_SECTORS_NO_RETRY, COMMAND.READ_MULTIPLE, COMMAND.READ_DMA],
  ...[COMMAND.READ_DMA_NO_RETRY, COMMAND.WRITE_SECTORS, COMMAND.WRITE_SECTORS_NO_RETRY, COMMAND.WRITE_VERIFY],
  ...[COMMAND.WRITE_MULTIPLE, COMMAND.WRITE_DMA, COMMAND.WRITE_DMA_NO_RETRY],
]);
export const EXTENDED: ReadonlySet<number> = new Set<number>([
  ...[COMMAND.READ_SECTORS_EXT, COMMAND.READ_MULTIPLE_EXT, COMMAND.READ_DMA_EXT],
  ...[COMMAND.WRITE_SECTORS_EXT, COMMAND.WRITE_MULTIPLE_EXT, COMMAND.WRITE_DMA_EXT],
]);

/** The sectors that the registers name, or undefined when they are not all on the disk. */
export function rangeOf(registers: AddressRegisters, space: AddressSpace, extended: boolean): Range | undefined {
  const { device, count, lbaLow, lbaMid, lbaHigh } = registers;
  const low = (lbaLow & 0xff) | ((lbaMid & 0xff) << 8) | ((lbaHigh & 0xff) << 16);
  let lba: number;
  if (extended) lba = ((lbaLow >> 8) | (lbaMid & 0xff00) | ((lbaHigh >> 8) << 16)) * 0x100_0000 + low;
  else if (device & DEVICE.LBA) lba = low + (device & DEVICE.HEAD) * 0x100_0000;
  else lba = ((low >> 8) * space.heads + (device & DEVICE.HEAD)) * space.sectors + (low & 0xff) - 1;
  const sectors = extended ? count || 0x1_0000 : count & 0xff || 0x100;
  return lba >= 0 && lba + sectors <= space.capacity ? { lba, sectors } : undefined;
}

export function setAddress(registers: AddressRegisters, lba: number, extended: boolean): void {
  const at = Math.max(0, lba);
  const byte = (n: number) => Math.floor(at / 2 ** (8 * n)) & 0xff;
  registers.lbaLow = byte(0) | (extended ? byte(3) << 8 : 0);
  registers.lbaMid = byte(1) | (extended ? byte(4) << 8 : 0);
  registers.lbaHigh = byte(2) | (extended ? byte(5) << 8 : 0);
  if (!extended) registers.device = (registers.device & ~DEVICE.HEAD) | (byte(3) & DEVICE.HEAD);
}

/** After a transfer the registers hold the sector behind it, and a count of 0. */
export function addressBehind(registers: AddressRegisters, space: AddressSpace, extended: boolean): void {
  const range = rangeOf(registers, space, extended);
  if (!range) return;
  const next = range.lba + range.sectors;
  registers.count = 0;
  if (extended || registers.device & DEVICE.LBA) {
    setAddress(registers, next, extended);
    return;
  }
  const track = Math.floor(next / space.sectors);
  const cylinder = Math.floor(track / space.heads);
  registers.lbaLow = (next % space.sectors) + 1;
  registers.lbaMid = cylinder & 0xff;
  registers.lbaHigh = (cylinder >> 8) & 0xff;
  registers.device = (registers.device & ~DEVICE.HEAD) | ((track % space.heads) & DEVICE.HEAD);
}
