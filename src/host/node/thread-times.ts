/**
 * How long a thread of this process was ready and waited for a processor.
 *
 * Spec: Linux documentation, "Scheduler Statistics", /proc/<pid>/schedstat.
 */
import { closeSync, openSync, readSync } from 'node:fs';

const bytes = Buffer.alloc(128);
/** This thread's, which stays open. */
let own: number | undefined;

/** Nanoseconds; undefined where the system does not count them. Without number: of this thread. */
export function waitedTime(thread?: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    if (thread === undefined) return waitedIn((own ??= openSync('/proc/thread-self/schedstat', 'r')));
    const file = openSync(`/proc/self/task/${thread}/schedstat`, 'r');
    try {
      return waitedIn(file);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // not mounted, or the thread has ended
  }
}

/** Time run, time waited, turns. A kernel that counts nothing has a thread that never ran. */
function waitedIn(file: number): number | undefined {
  const [ran, waited] = bytes
    .toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0))
    .split(' ')
    .map(Number);
  return ran > 0 && waited >= 0 ? waited : undefined;
}
