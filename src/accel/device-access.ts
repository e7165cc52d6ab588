/** Accesses of any size and alignment to devices, which answer aligned ones of 1, 2 and 4 bytes. */
import type { Isa } from '../isa/isa.ts';
import type { Board } from './accelerator.ts';

/** The largest aligned access at `pa` of at most `left` bytes. */
function pieceAt(pa: number, left: number): 1 | 2 | 4 {
  if (left >= 4 && pa % 4 === 0) return 4;
  return left >= 2 && pa % 2 === 0 ? 2 : 1;
}

/** Reads `size` bytes at guest-physical `pa` into `view` at `at`; false where nothing answers, if that is a fault. */
export function readDevice(board: Board, isa: Isa, pa: number, size: number, view: DataView, at: number): boolean {
  for (let n = 0; n < size; ) {
    const piece = pieceAt(pa + n, size - n);
    const value = board.mmioRead(pa + n, piece) ?? (isa.openBus ? 0xffffffff : undefined);
    if (value === undefined) return false;
    if (piece === 4) view.setUint32(at + n, value, true);
    else if (piece === 2) view.setUint16(at + n, value, true);
    else view.setUint8(at + n, value);
    n += piece;
  }
  return true;
}

/** Writes `size` bytes of `view` at `at` to guest-physical `pa`; false where nothing answers, if that is a fault. */
export function writeDevice(board: Board, isa: Isa, pa: number, size: number, view: DataView, at: number): boolean {
  for (let n = 0; n < size; ) {
    const piece = pieceAt(pa + n, size - n);
    const value =
      piece === 4 ? view.getUint32(at + n, true) : piece === 2 ? view.getUint16(at + n, true) : view.getUint8(at + n);
    if (!board.mmioWrite(pa + n, piece, value) && !isa.openBus) return false;
    n += piece;
  }
  return true;
}

/** The functions of the host that an Isa's code calls, for the CPU that `cpu` gives; addresses and times are numbers. */
export function hostFunctions(board: Board, isa: Isa, cpu: () => number) {
  return {
    read_time: () => Math.floor(board.now() / isa.tickNs),
    firmware_call: () => board.firmwareCall?.(cpu()),
    port_read: (port: number, size: number) => board.portRead?.(port, size as 1 | 2 | 4) ?? -1,
    port_write: (port: number, size: number, value: number) => board.portWrite?.(port, size as 1 | 2 | 4, value),
    acknowledge: () => board.acknowledge?.(cpu()) ?? -1,
    host_call: (number: number, a: number, b: number) => board.hostCall?.(cpu(), number, a, b) ?? 0,
  };
}
