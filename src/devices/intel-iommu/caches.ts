/**
 * What a remapping unit remembers of its tables: context entries by requester, pages by domain. Only what was there is
 * remembered, and it goes when software says so, or when there is no room.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Caching Translation Information".
 */
import type { Context, Page } from './tables.ts';

const CONTEXTS = 1024;
const PAGES = 1024;
const SIZES: readonly number[] = [2 ** 12, 2 ** 21, 2 ** 30];

type PageMap = Map<number, Page>;

export class Caches {
  private readonly contexts = new Map<number, Context>();
  /** By domain: a map for each size of page, its keys numbers of pages. */
  private readonly domains = new Map<number, readonly PageMap[]>();
  private pages = 0;

  context(source: number): Context | undefined {
    return this.contexts.get(source);
  }

  addContext(source: number, context: Context): void {
    if (this.contexts.size >= CONTEXTS) this.contexts.clear();
    this.contexts.set(source, context);
  }

  page(domain: number, address: number): Page | undefined {
    const maps = this.domains.get(domain);
    if (!maps) return undefined;
    for (let n = 0; n < SIZES.length; n++) {
      const page = maps[n].size > 0 ? maps[n].get(Math.floor(address / SIZES[n])) : undefined;
      if (page) return page;
    }
    return undefined;
  }

  addPage(domain: number, page: Page): void {
    if (this.pages >= PAGES) this.dropPages();
    let maps = this.domains.get(domain);
    if (!maps) {
      maps = SIZES.map(() => new Map());
      this.domains.set(domain, maps);
    }
    const map = maps[SIZES.indexOf(page.size)];
    const before = map.size;
    map.set(page.base / page.size, page);
    this.pages += map.size - before;
  }

  // Invalidation

  dropAll(): void {
    this.contexts.clear();
    this.dropPages();
  }

  dropContexts(domain?: number): void {
    if (domain === undefined) this.contexts.clear();
    else for (const [source, context] of this.contexts) if (context.domain === domain) this.contexts.delete(source);
  }

  /** Of one device, or of several of its functions: `mask` has the bits of the number that do not count. */
  dropDevice(source: number, mask: number): void {
    for (const known of this.contexts.keys()) if (((known ^ source) & ~mask) === 0) this.contexts.delete(known);
  }

  dropPages(domain?: number): void {
    if (domain === undefined) {
      this.domains.clear();
      this.pages = 0;
      return;
    }
    for (const map of this.domains.get(domain) ?? []) this.pages -= map.size;
    this.domains.delete(domain);
  }

  /** Whatever of [address, address+length) is known. */
  dropRange(domain: number, address: number, length: number): void {
    this.domains.get(domain)?.forEach((map, n) => {
      const first = Math.floor(address / SIZES[n]);
      const last = Math.floor((address + length - 1) / SIZES[n]);
      const before = map.size;
      if (last - first < before) for (let key = first; key <= last; key++) map.delete(key);
      else for (const key of map.keys()) if (key >= first && key <= last) map.delete(key);
      this.pages -= before - map.size;
    });
  }
}
