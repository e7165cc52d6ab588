/** Signals that end the emulator, as QEMU treats them. */
import { constants } from 'node:os';

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const INTERRUPTED = 128;

/**
 * Calls `end` at the first signal that asks the process to end. A second one
 * does not wait for anything. Returns how to stop listening.
 */
export function onEndingSignal(end: (name: string, number: number) => void): () => void {
  let seen = false;
  const listener = (name: NodeJS.Signals) => {
    const number = constants.signals[name];
    if (seen) process.exit(INTERRUPTED + number);
    seen = true;
    end(name, number);
  };
  for (const name of ENDING) process.on(name, listener);
  return () => {
    for (const name of ENDING) process.off(name, listener);
  };
}
