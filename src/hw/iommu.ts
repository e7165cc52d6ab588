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

/** Writes `bytes` to guest memory; returns how many could be written. */
export function storeBytes(dma: Dma, address: number, bytes: Uint8Array): number {
  if (!dma.stretch) {
    const target = dma.writable(address, bytes.length);
    target?.set(bytes);
    return target ? bytes.length : 0;
  }
  let done = 0;
  while (done < bytes.length) {
    const piece = dma.stretch(address + done, bytes.length - done, true);
    const target = piece > 0 ? dma.writable(address + done, piece) : undefined;
    if (!target) break;
    target.set(bytes.subarray(done, done + piece));
    done += piece;
  }
  return done;
}

/** Reads guest memory into `into`; returns how many bytes could be read. */
export function fetchBytes(dma: Dma, address: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const piece = dma.stretch ? dma.stretch(address + done, into.length - done, false) : into.length;
    const source = piece > 0 ? dma.readable(address + done, piece) : undefined;
    if (!source) break;
    into.set(source, done);
    done += piece;
  }
  return done;
}
