import type { Space } from '../space.ts';
import type { CodeCache } from './code-cache.ts';
import type { Linker } from './linker.ts';
import type { Runtime } from './runtime.ts';
export class Regions {
  private readonly cache: CodeCache;
  constructor(_linker: Linker, cache: CodeCache, _run: Runtime, _space: Space, _goto: never) {
    this.cache = cache;
  }
  compile(pa: number, regime: number): void {
    this.cache.decline(this.cache.page(pa - (pa % 4096), regime), pa % 4096);
  }
}
