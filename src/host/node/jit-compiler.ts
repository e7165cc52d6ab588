/**
 * The JIT's compiler in a worker thread. Starting one takes a tenth of a
 * second or two, so a program that will need it calls `prepareCompiler` first.
 */
import { availableParallelism } from 'node:os';
import type { MessagePort, Worker } from 'node:worker_threads';
import type { CompilerPort, FromCompiler, ToCompiler } from '../../accel/jit/compiler-port.ts';
import { startThread } from './thread.ts';

interface Started {
  readonly worker: Worker;
  readonly port: MessagePort;
}

let ready: Started | undefined;

function start(isa?: string): Started {
  const { MessageChannel } = process.getBuiltinModule('node:worker_threads');
  const { port1, port2 } = new MessageChannel();
  const worker = startThread('jit-worker', {
    workerData: { port: port2, isa },
    transferList: [port2],
    // It makes much garbage and keeps little: with less room a quarter of its time goes to collecting it.
    resourceLimits: { maxYoungGenerationSizeMb: 32 },
  });
  worker.unref();
  port1.unref();
  return { worker, port: port1 };
}

/**
 * Lets a worker start while the program gets its other things together; `isa` names the instruction set that it will be
 * asked for, as far as is known.
 */
export function prepareCompiler(isa?: string): void {
  if (availableParallelism() > 1) ready ??= start(isa);
}

/** A compiler of its own for one machine; undefined on a single processor. */
export function openCompiler(): CompilerPort | undefined {
  if (availableParallelism() === 1) return undefined;
  const { worker, port } = ready ?? start();
  ready = undefined;
  const { receiveMessageOnPort } = process.getBuiltinModule('node:worker_threads');
  return {
    post: (message: ToCompiler) => port.postMessage(message),
    receive: () => receiveMessageOnPort(port)?.message as FromCompiler | undefined,
    close: () => void worker.terminate(),
  };
}
