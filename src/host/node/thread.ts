/**
 * Starts a module of this directory, or of one below, in a thread of its own:
 * `NAME-worker.ts`, or in a bundle its file beside ours.
 */
import { fileURLToPath } from 'node:url';
import type { Worker, WorkerOptions } from 'node:worker_threads';

export interface ThreadOptions extends Omit<WorkerOptions, 'eval' | 'workerData'> {
  readonly workerData: object;
}

const LOAD = `
const { loader, entry, codeCache } = require('node:worker_threads').workerData;
require(loader).load(entry, codeCache);
`;

export function startThread(name: `${string}-worker`, { workerData, ...options }: ThreadOptions): Worker {
  // Loaded when a thread is started: a single vCPU under KVM needs none.
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  const { url, codeCache } = import.meta;
  if (url.endsWith('.ts')) return new Worker(new URL(`./${name}.ts`, url), { ...options, workerData });
  const entry = new URL(`./${name.slice(name.lastIndexOf('/') + 1)}.cjs`, url);
  const loader = fileURLToPath(new URL('./bundle-loader.cjs', url));
  return new Worker(LOAD, {
    ...options,
    eval: true,
    workerData: { ...workerData, loader, entry: fileURLToPath(entry), codeCache },
  });
}
