/**
 * What may stand between the functions of a PCI bus and memory: an IOMMU, which gives each requester an address space
 * of its own and may send its interrupt messages elsewhere.
 *
 * A requester is known by 16 bits: bus number, device and function, as transactions carry them.
 */
import type { Dma } from './device.ts';

export interface Iommu {
  /** Memory as one requester reaches it. `requester` is asked at each access: software numbers buses. */
  space(requester: () => number): Dma;
  /** A requester writes `data` to `address`, and means an interrupt. */
  message(address: number, data: number, requester: number): void;
}

/** How many stretches of a range `reaches` looks at. */
const STRETCHES = 4;

/**
 * Whether [address, address+length) can be read, or written. Behind an IOMMU a long range in many pieces is looked at
 * from its start only; the rest shows when the data moves.
 */
export function reaches(dma: Dma, address: number, length: number, write: boolean): boolean {
  if (!dma.stretch) return dma.readable(address, length) !== undefined;
  let done = 0;
  for (let n = 0; n < STRETCHES && done < length; n++) {
    const piece = dma.stretch(address + done, length - done, write);
    if (piece === 0) return false;
    done += piece;
  }
  return true;
}

/** Writes `bytes` to guest memory; false when not all of it is there to be written. */
export function storeBytes(dma: Dma, address: number, bytes: Uint8Array): boolean {
  let done = 0;
  while (done < bytes.length) {
    const piece = dma.stretch ? dma.stretch(address + done, bytes.length - done, true) : bytes.length;
    const target = piece > 0 ? dma.writable(address + done, piece) : undefined;
    if (!target) return false;
    target.set(done === 0 && piece === bytes.length ? bytes : bytes.subarray(done, done + piece));
    done += piece;
  }
  return true;
}
