/** Guest-physical memory as a debugger or a monitor reads and writes it. */
import type { MachineParts } from './machine-parts.ts';

/** A copy; undefined where there is neither RAM nor a device that can be looked at without a trace. */
export function readMemory(
  accel: MachineParts['accel'],
  board: MachineParts['board'],
  address: number,
  length: number,
): Uint8Array | undefined {
  const pieces = accel.space.pieces(address, length);
  if (!pieces) return board.bus.peek(address, length)?.slice();
  const bytes = new Uint8Array(length);
  for (const piece of pieces) bytes.set(piece.bytes, piece.address - address);
  return bytes;
}

/** False, and nothing is written, where it is not all RAM. */
export function writeMemory(accel: MachineParts['accel'], address: number, data: Uint8Array): boolean {
  const pieces = accel.space.pieces(address, data.length, true);
  if (!pieces) return false;
  for (const piece of pieces) {
    const at = piece.address - address;
    piece.bytes.set(data.subarray(at, at + piece.bytes.length));
  }
  accel.written(address, data.length);
  return true;
}
