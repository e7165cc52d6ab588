/** Page tables built as data: sound mappings for code, random ones to fault on. */
import type { Random } from './random.ts';

export const PTE = { V: 1n, R: 2n, W: 4n, X: 8n, U: 16n, G: 32n, A: 64n, D: 128n } as const;

/** satp.MODE by the number of levels. */
export const satpMode = (levels: 3 | 4 | 5): bigint => BigInt(levels + 5);

export class PageTables {
  readonly levels: 3 | 4 | 5;
  /** Physical address of the root. */
  readonly root: number;
  private readonly view: DataView;
  private readonly ramBase: number;
  private next: number;
  private readonly end: number;

  /** Tables are taken from the physical range `from` to `end`; `ram` begins at `ramBase`. */
  constructor(ram: Uint8Array, ramBase: number, from: number, end: number, levels: 3 | 4 | 5) {
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
    this.ramBase = ramBase;
    this.levels = levels;
    this.next = from;
    this.end = end;
    this.root = this.table();
  }

  private table(): number {
    if (this.next >= this.end) throw new RangeError('no room for page tables');
    const at = this.next;
    this.next += 4096;
    return at;
  }

  /** Physical address of the entry that maps `va` at a level (0 = 4 KiB), made reachable. */
  entry(va: bigint, level = 0): number {
    let table = this.root;
    for (let n = this.levels - 1; ; n--) {
      const at = table + Number((va >> BigInt(12 + 9 * n)) & 511n) * 8;
      if (n === level) return at;
      const old = this.view.getBigUint64(at - this.ramBase, true);
      if ((old & PTE.V) !== 0n && (old & 14n) === 0n) table = Number((old >> 10n) << 12n);
      else {
        table = this.table();
        this.view.setBigUint64(at - this.ramBase, (BigInt(table >>> 12) << 10n) | PTE.V, true);
      }
    }
  }

  set(va: bigint, entry: bigint, level = 0): number {
    const at = this.entry(va, level);
    this.view.setBigUint64(at - this.ramBase, entry, true);
    return at;
  }

  map(va: bigint, pa: number, flags: bigint, level = 0): number {
    return this.set(va, leaf(pa, flags), level);
  }
}

export const leaf = (pa: number | bigint, flags: bigint): bigint => ((BigInt(pa) >> 12n) << 10n) | flags | PTE.V;

/** An entry as a guest's mistake or cunning would leave it: mostly a leaf that works in part.
 * `portable`: only what QEMU takes alike. */
export function randomLeaf(random: Random, pages: readonly number[], user: boolean, portable = false): bigint {
  const { R, W, X, U, G, A, D, V } = PTE;
  const on = (bit: bigint, probability: number) => (random.chance(probability) ? bit : 0n);
  let entry = leaf(random.pick(pages), 0n);
  entry |= random.weighted<bigint>([
    [10, R | W],
    [4, R],
    [3, R | W | X],
    [2, R | X],
    [2, X],
    [1, W], // reserved
    [1, W | X], // reserved
    [1, 0n], // a pointer
  ]);
  entry |= on(A, 0.75) | on(D, 0.6) | on(G, 0.2);
  entry |= on(U, user ? 0.85 : 0.2);
  if (random.chance(0.06)) entry &= ~V;
  // QEMU 7.2 takes reserved bits and the reserved PBMT, and sets A and D before it looks at the size of NAPOT.
  if (!portable && random.chance(0.06)) entry |= 1n << BigInt(random.between(54, 60)); // reserved
  if (random.chance(0.08)) entry |= BigInt(random.below(portable ? 3 : 4)) << 61n; // PBMT
  if (random.chance(0.1)) {
    entry |= 1n << 63n; // NAPOT of 64 KiB, sometimes with a wrong size
    if (portable || random.chance(0.8)) entry = (entry & ~(15n << 10n)) | (8n << 10n);
  }
  if (!portable && random.chance(0.03)) entry |= random.u64() & 0x3f_ffff_ffff_fc00n; // anywhere
  return entry;
}
