/** The line to a compiler in another thread. Modules come back compiled. */
import type { CompilerOptions, Job } from './compiler.ts';

export type ToCompiler = { readonly kind: 'begin'; readonly options: CompilerOptions } | { readonly kind: 'job'; readonly job: Job };

export interface FromCompiler {
  readonly module: WebAssembly.Module | undefined;
  readonly imports: readonly string[];
  readonly regions: readonly { readonly id: number; readonly instructions: number }[];
}

export interface CompilerPort {
  post(message: ToCompiler): void;
  /** What has come back, without waiting. */
  receive(): FromCompiler | undefined;
  close(): void;
}
