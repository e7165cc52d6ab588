/** Accesses in any width to a bank of registers of several widths: what is wider than a register goes to its neighbours too. */
import type { Bank, Banked, Registers } from '../../hw/bank.ts';
import type { AccessSize, Mmio } from '../../hw/device.ts';

export function anyWidth<D extends Banked>(bank: Bank<D>, registers: Registers<D>, device: D): Mmio {
  // Bytes of the register around each offset; 0 where there is none, which reads as 0.
  const widths = new Uint8Array(bank.size);
  for (const { at, size = 4, count = 1 } of Object.values(registers)) widths.fill(size, at, at + size * count);
  const whole = (offset: number, size: AccessSize) => size === 1 || (widths[offset] >= size && offset % size === 0);
  const read = (offset: number, size: AccessSize): number => {
    if (whole(offset, size)) return widths[offset] ? bank.read(device, offset, size) : 0;
    const half = (size / 2) as AccessSize;
    return read(offset, half) + read(offset + half, half) * 2 ** (8 * half);
  };
  const write = (offset: number, size: AccessSize, value: number): void => {
    if (whole(offset, size)) {
      if (widths[offset]) bank.write(device, offset, size, value);
      return;
    }
    const half = (size / 2) as AccessSize;
    write(offset, half, value % 2 ** (8 * half));
    write(offset + half, half, Math.floor(value / 2 ** (8 * half)));
  };
  return { read, write };
}
