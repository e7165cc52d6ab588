/**
 * Threads that make code give way to those that run guests: where processors
 * are few, compiling what is worth it soon would take the time of what runs now
 * (a boot on two processors took a quarter longer).
 */
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

/**
 * How much less of a processor they ask for, in steps of nice(2): code that is not there yet comes before code that V8
 * makes better (a kernel's paths run slowly until they are compiled: the first page faults gain a sixth).
 */
const STEPS = { compiler: 5, v8: 10 } as const;
const LEAST = 19;

/** Only Linux has priorities of threads: elsewhere it would be the process's. */
const isLinux = process.platform === 'linux';

function lower(thread: number, steps: number): void {
  try {
    os.setPriority(thread, Math.min(os.getPriority(process.pid) + steps, LEAST));
  } catch {
    // It has ended, or may not be changed: only a matter of speed.
  }
}

/** The calling thread gives way. */
export function giveWay(): void {
  if (isLinux) lower(0, STEPS.compiler);
}

/** V8's own threads give way: they compile, optimise and collect garbage beside the JavaScript. */
export function letV8GiveWay(): void {
  if (!isLinux) return;
  const tasks = '/proc/self/task';
  for (const thread of readdirSync(tasks))
    if (nameOf(`${tasks}/${thread}/comm`).includes('V8Worker')) lower(Number(thread), STEPS.v8);
}

function nameOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
