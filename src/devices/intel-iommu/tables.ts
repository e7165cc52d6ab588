/**
 * The tables by which DMA is remapped: root, context, second-level pages.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), legacy mode: "Root Entry", "Context Entry",
 * "Second-Stage Paging Entries". Accessed and dirty bits, and transient mappings, are not there.
 */
import { readU32 } from '../../bits/endian.ts';
import type { Dma } from '../../hw/device.ts';
import { FAULT, type Refusal } from './faults.ts';

export const ACCESS = { READ: 1, WRITE: 2 } as const;

/** What the unit can do, as far as tables are concerned. */
export interface TableRules {
  /** Widest addresses, of requests and of tables: 39 or 48 bits. */
  readonly addressBits: number;
  readonly passThrough: boolean;
  readonly snoopControl: boolean;
}

/** What a requester's context entry says. */
export interface Context {
  readonly domain: number;
  /** Addresses are taken as they are. */
  readonly pass: boolean;
  /** The first table and how many levels there are. */
  readonly table: number;
  readonly levels: number;
  /** The first address that is too wide. */
  readonly end: number;
  /** Faults are not recorded. */
  readonly quiet: boolean;
}

/** A page: addresses from `base` on are those from `host` on. */
export interface Page {
  readonly base: number;
  readonly host: number;
  readonly size: number;
  readonly access: number;
}

const ROOT = { PRESENT: 1, RESERVED: 0xffe } as const;
const CONTEXT = { PRESENT: 1, QUIET: 2, RESERVED: 0xff0, RESERVED_HIGH: 0xff00_0080 } as const;
const TYPE = { TABLES: 0, PASS: 2 } as const;
const PAGE = { LARGE: 0x80, SNOOP: 0x800, IGNORED: 0xbff0_0000 } as const;
const ENTRY = 16;

/** Bits of an entry's high word that no address has. */
const tooHigh = (bits: number): number => ~(2 ** (bits - 32) - 1);
const addressOf = (low: number, high: number): number => high * 2 ** 32 + ((low & ~0xfff) >>> 0);

export const isRefusal = (found: object): found is Refusal => 'fault' in found;

/** The context entry of a requester. */
export function contextOf(memory: Dma, root: number, source: number, rules: TableRules): Context | Refusal {
  const refuse = (fault: number, quiet = false): Refusal => ({ fault, quiet });
  const high = tooHigh(rules.addressBits);
  const first = memory.readable(root + ENTRY * (source >>> 8), ENTRY);
  if (!first) return refuse(FAULT.ROOT_ACCESS);
  const rootLow = readU32(first, 0);
  const rootHigh = readU32(first, 4);
  if (!(rootLow & ROOT.PRESENT)) return refuse(FAULT.ROOT_PRESENT);
  if (rootLow & ROOT.RESERVED || rootHigh & high || readU32(first, 8) || readU32(first, 12))
    return refuse(FAULT.ROOT_RESERVED);
  const entry = memory.readable(addressOf(rootLow, rootHigh) + ENTRY * (source & 0xff), ENTRY);
  if (!entry) return refuse(FAULT.CONTEXT_ACCESS);
  const words = [0, 4, 8, 12].map((at) => readU32(entry, at));
  const quiet = (words[0] & CONTEXT.QUIET) !== 0;
  if (!(words[0] & CONTEXT.PRESENT)) return refuse(FAULT.CONTEXT_PRESENT, quiet);
  if (words[0] & CONTEXT.RESERVED || words[1] & high || words[2] & CONTEXT.RESERVED_HIGH || words[3])
    return refuse(FAULT.CONTEXT_RESERVED, quiet);
  const width = words[2] & 7;
  const type = (words[0] >>> 2) & 3;
  // 1 is 39 bits in three levels, 2 is 48 in four.
  const bits = width === 1 ? 39 : width === 2 ? 48 : Infinity;
  const known = type === TYPE.TABLES || (type === TYPE.PASS && rules.passThrough);
  if (bits > rules.addressBits || !known) return refuse(FAULT.CONTEXT_INVALID, quiet);
  return {
    domain: (words[2] >>> 8) & 0xffff,
    pass: type === TYPE.PASS,
    table: addressOf(words[0], words[1]),
    levels: width + 2,
    end: 2 ** bits,
    quiet,
  };
}

/** The page of an address that is not too wide; the fault when it may not be had for `wanted`. One entry a level is read. */
export function pageOf(
  memory: Dma,
  { table, levels }: Context,
  address: number,
  wanted: number,
  rules: TableRules,
): Page | number {
  const high = tooHigh(rules.addressBits) & ~PAGE.IGNORED;
  let at = table;
  let access: number = ACCESS.READ | ACCESS.WRITE;
  for (let level = levels; level > 0; level--) {
    const size = 2 ** (3 + 9 * level);
    const entry = memory.readable(at + 8 * (Math.floor(address / size) % 512), 8);
    if (!entry) return FAULT.PAGE_ACCESS;
    const low = readU32(entry, 0);
    const upper = readU32(entry, 4);
    if (!(low & wanted)) return wanted === ACCESS.WRITE ? FAULT.WRITE : FAULT.READ;
    const leaf = level === 1 || (low & PAGE.LARGE) !== 0;
    const host = addressOf(low, upper & ~PAGE.IGNORED);
    const large = leaf && level > 1;
    if (upper & high || (low & PAGE.SNOOP && !(leaf && rules.snoopControl)) || (large && (level > 3 || host % size)))
      return FAULT.PAGE_RESERVED;
    access &= low;
    if (leaf) return { base: address - (address % size), host, size, access };
    at = host;
  }
  return FAULT.PAGE_ACCESS;
}
