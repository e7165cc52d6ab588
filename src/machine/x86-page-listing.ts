/**
 * `info mem` and `info tlb`: what the page tables of a processor map, in the lines of QEMU 7.2's monitor.
 *
 * Spec: SDM volume 3, "Paging"; QEMU 7.2's monitor, whose masks of physical addresses these are.
 * Departure: tables of a hostile guest lead everywhere, so that a listing ends after so many entries, and says so.
 */
import type { StateAccess } from '../isa/isa.ts';
import { Cr0, Cr4, Efer } from '../isa/x86/state.ts';

const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const RIGHTS = PRESENT | WRITABLE | USER;
const ADDRESS = 0x3_ffff_ffff_f000n;
/** Entries that are looked at: many times what Linux has. */
const MAX_ENTRIES = 1 << 21;
const MAX_LINES = 1 << 18;

/** Physical memory; undefined where there is none. */
export type ReadPhysical = (address: number, length: number) => Uint8Array | undefined;

interface Leaf {
  readonly virtual: bigint;
  readonly entry: bigint;
  readonly shift: number;
  /** Rights of all levels. */
  readonly rights: bigint;
}

interface Level {
  readonly shift: number;
  readonly bits: number;
  /** A large page may be here. */
  readonly large: boolean;
  /** The entry has no rights of its own. */
  readonly neutral?: boolean;
}

interface Tables {
  readonly levels: readonly Level[];
  readonly entrySize: 4 | 8;
  readonly root: bigint;
  readonly width: number;
}

const LONG: readonly Level[] = [
  { shift: 48, bits: 9, large: false },
  { shift: 39, bits: 9, large: false },
  { shift: 30, bits: 9, large: true },
  { shift: 21, bits: 9, large: true },
  { shift: 12, bits: 9, large: false },
];

function tablesOf(state: StateAccess): Tables | undefined {
  if (!(state.get64('cr0') & BigInt.asUintN(64, BigInt(Cr0.pg >>> 0)))) return undefined;
  const cr3 = state.get64('cr3');
  const cr4 = state.get64('cr4');
  const has = (bit: number) => (cr4 & BigInt(bit >>> 0)) !== 0n;
  if (!has(Cr4.pae)) {
    const levels = [
      { shift: 22, bits: 10, large: has(Cr4.pse) },
      { shift: 12, bits: 10, large: false },
    ];
    return { levels, entrySize: 4, root: cr3 & 0xffff_f000n, width: 32 };
  }
  if (state.get64('efer') & BigInt(Efer.lma)) {
    const five = has(Cr4.la57);
    return { levels: five ? LONG : LONG.slice(1), entrySize: 8, root: cr3 & ADDRESS, width: five ? 57 : 48 };
  }
  const levels = [{ shift: 30, bits: 2, large: false, neutral: true }, ...LONG.slice(3)];
  return { levels, entrySize: 8, root: cr3 & 0xffff_ffe0n, width: 32 };
}

/** Every mapping in order of address, and holes as leaves without rights; undefined at the end where there are too many. */
function* walk(tables: Tables, read: ReadPhysical): Generator<Leaf | undefined> {
  const { levels, entrySize } = tables;
  let left = MAX_ENTRIES;
  function* level(depth: number, table: bigint, base: bigint, rights: bigint): Generator<Leaf | undefined> {
    const { shift, bits, large, neutral } = levels[depth];
    const bytes = read(Number(table), entrySize << bits);
    const view = bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let n = 0; n < 1 << bits; n++) {
      if (--left < 0) return;
      const virtual = base + (BigInt(n) << BigInt(shift));
      const at = n * entrySize;
      const entry = view ? (entrySize === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true)) : 0n;
      const isLeaf = depth === levels.length - 1 || (large && (entry & LARGE) !== 0n);
      if (!(entry & PRESENT)) yield { virtual, entry, shift, rights: 0n };
      else if (isLeaf) yield { virtual, entry, shift, rights: rights & entry & RIGHTS };
      else yield* level(depth + 1, entry & ADDRESS, virtual, neutral ? rights : rights & entry);
      if (left < 0) return;
    }
  }
  yield* level(0, tables.root, 0n, RIGHTS);
  if (left < 0) yield undefined;
}

const hex = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');

/** Sign-extended as the processor has addresses; 32-bit ones stay. */
function canonical(address: bigint, width: number): bigint {
  if (width === 32) return address;
  return (address >> BigInt(width - 1)) & 1n ? address - (1n << BigInt(width)) : address;
}

const TOO_MANY = 'there is more than this; the listing ends here';

/** `info mem`: stretches with the same rights. */
export function mappedStretches(state: StateAccess, read: ReadPhysical): string {
  const tables = tablesOf(state);
  if (!tables) return 'PG disabled';
  const { width } = tables;
  const lines: string[] = [];
  let start = 0n;
  let last = 0n;
  const upTo = (end: bigint, rights: bigint) => {
    if (rights === last) return;
    if (last !== 0n) {
      const from = canonical(start, width);
      const to = canonical(end, width);
      const letters = `${last & USER ? 'u' : '-'}r${last & WRITABLE ? 'w' : '-'}`;
      lines.push(`${hex(from)}-${hex(to)} ${hex(to - from)} ${letters}`);
    }
    start = end;
    last = rights;
  };
  for (const leaf of walk(tables, read)) {
    if (!leaf || lines.length >= MAX_LINES) return [...lines, TOO_MANY].join('\n');
    upTo(leaf.virtual, leaf.rights);
  }
  upTo(1n << BigInt(width), 0n);
  return lines.join('\n');
}

const FLAGS: readonly (readonly [string, bigint])[] = [
  ['X', 1n << 63n],
  ['G', 0x100n],
  ['P', LARGE],
  ['D', 0x40n],
  ['A', 0x20n],
  ['C', 0x10n],
  ['T', 8n],
  ['U', USER],
  ['W', WRITABLE],
];

/** `info tlb`: each page. */
export function mappedPages(state: StateAccess, read: ReadPhysical): string {
  const tables = tablesOf(state);
  if (!tables) return 'PG disabled';
  const lines: string[] = [];
  for (const leaf of walk(tables, read)) {
    if (!leaf || lines.length >= MAX_LINES) return [...lines, TOO_MANY].join('\n');
    const { virtual, shift, rights } = leaf;
    if (rights === 0n) continue;
    // Bit 7 of a small page says something else.
    const entry = shift === 12 ? leaf.entry & ~LARGE : leaf.entry;
    const physical = entry & ADDRESS & ~((1n << BigInt(shift)) - 1n);
    const flags = FLAGS.map(([letter, bit]) => (entry & bit ? letter : '-')).join('');
    lines.push(`${hex(canonical(virtual, tables.width))}: ${hex(physical)} ${flags}`);
  }
  return lines.join('\n');
}
