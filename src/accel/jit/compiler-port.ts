/** The line to a compiler in another thread. Modules come back compiled. */
import type { CompilerOptions, Job, RegionResult } from './compiler.ts';

export type ToCompiler =
  | { readonly kind: 'begin'; readonly options: CompilerOptions }
  | { readonly kind: 'jobs'; readonly jobs: readonly Job[] };

export interface FromCompiler {
  readonly module: WebAssembly.Module | undefined;
  readonly imports: readonly string[];
  readonly regions: readonly RegionResult[];
}

export interface CompilerPort {
  post(message: ToCompiler): void;
  /** What has come back, without waiting. */
  receive(): FromCompiler | undefined;
  close(): void;
}
