/**
 * Invalidations, as registers and descriptors of the queue tell them.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Register-based Invalidation Interface", "Queued
 * Invalidation Interface". Descriptors have 128 bits; there are no device TLBs, so none of theirs.
 */
import { readU32 } from '../../bits/endian.ts';
import type { Caches } from './caches.ts';

/** Of the second field that says how much goes: all, a domain's, a device's or some pages'. */
export const GRANULE = { NONE: 0, ALL: 1, DOMAIN: 2, PART: 3 } as const;
/** The most pages that go at once: 2 to the power of this. */
export const MOST_PAGES = 18;
export const DESCRIPTOR = 16;

const TYPE = { CONTEXT: 1, PAGES: 2, INTERRUPTS: 4, WAIT: 5 } as const;
/** Bits of the four words that must be 0. */
const RESERVED: Readonly<Record<number, readonly [number, number, number, number]>> = {
  [TYPE.CONTEXT]: [0xffc0, ~0x3_ffff, -1, -1],
  [TYPE.PAGES]: [0xff00, -1, 0xf80, 0],
  [TYPE.INTERRUPTS]: [0x7ff_ffe0, ~0xffff, -1, -1],
  [TYPE.WAIT]: [~0x7f, 0, 3, 0],
};

/** Bits of a requester's number that a function mask says not to look at. */
const FUNCTION_MASKS = [0, 4, 6, 7];

/** Drops context entries; returns what was dropped: what was asked for, or NONE. */
export function dropContexts(caches: Caches, granule: number, domain: number, source: number, mask: number): number {
  if (granule === GRANULE.ALL) caches.dropContexts();
  else if (granule === GRANULE.DOMAIN) caches.dropContexts(domain);
  else if (granule === GRANULE.PART) caches.dropDevice(source, FUNCTION_MASKS[mask & 3]);
  return granule;
}

/** Drops pages. `low` and `high` are the words of the address, with how many pages in the lowest bits. */
export function dropPages(caches: Caches, granule: number, domain: number, low: number, high: number): number {
  if (granule === GRANULE.ALL) caches.dropPages();
  else if (granule === GRANULE.DOMAIN) caches.dropPages(domain);
  else if (granule === GRANULE.PART) {
    const power = low & 0x3f;
    if (power > MOST_PAGES) return GRANULE.NONE;
    const length = 4096 * 2 ** power;
    const address = high * 2 ** 32 + ((low & ~0xfff) >>> 0);
    caches.dropRange(domain, address - (address % length), length);
  }
  return granule;
}

export interface WaitDescriptor {
  /** Where `data` is to be written. */
  readonly status: { readonly address: number; readonly data: number } | undefined;
  readonly interrupt: boolean;
}

export interface QueueTarget {
  readonly caches: Caches;
  /** Entries of the table of interrupts changed. */
  interruptsChanged(): void;
  wait(descriptor: WaitDescriptor): void;
}

/** Carries a descriptor out; false when it is none. */
export function perform(bytes: Uint8Array, target: QueueTarget): boolean {
  const [a, b, c, d] = [0, 4, 8, 12].map((at) => readU32(bytes, at));
  const type = a & 15;
  const reserved = RESERVED[type];
  if (!reserved || a & reserved[0] || b & reserved[1] || c & reserved[2] || d & reserved[3]) return false;
  const granule = (a >>> 4) & 3;
  switch (type) {
    case TYPE.CONTEXT:
      return dropContexts(target.caches, granule, a >>> 16, b & 0xffff, (b >>> 16) & 3) !== GRANULE.NONE;
    case TYPE.PAGES:
      return dropPages(target.caches, granule, a >>> 16, c, d) !== GRANULE.NONE;
    case TYPE.INTERRUPTS:
      target.interruptsChanged();
      return true;
    default: {
      const status = a & 0x20 ? { address: d * 2 ** 32 + c, data: b } : undefined;
      target.wait({ status, interrupt: (a & 0x10) !== 0 });
      return true;
    }
  }
}
