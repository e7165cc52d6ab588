/** The line to a compiler in another thread. Modules come back compiled. */
import type { CommonHandler } from './common-handlers.ts';
import type { CompilerOptions, Job, RegionResult } from './compiler.ts';
import type { Caller } from './kept-regions.ts';

export type ToCompiler =
  | { readonly kind: 'begin'; readonly options: CompilerOptions }
  /** Make the Isa's common handlers; they come back as a message of their own. */
  | { readonly kind: 'handlers' }
  | { readonly kind: 'jobs'; readonly jobs: readonly Job[] };

export interface FromCompiler {
  readonly module: WebAssembly.Module | undefined;
  readonly imports: readonly string[];
  /** As in `Compiled`. */
  readonly callers?: ReadonlyMap<string, Caller>;
  readonly regions: readonly RegionResult[];
  /** `KnownStarts` of regions that the compiler has kept. */
  readonly starts?: Uint8Array<ArrayBuffer>;
  /** The module holds handlers, exported by their position here. */
  readonly handlers?: readonly CommonHandler[];
}

export interface CompilerPort {
  post(message: ToCompiler): void;
  /** What has come back, without waiting. */
  receive(): FromCompiler | undefined;
  close(): void;
}
