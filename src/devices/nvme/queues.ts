/** Submission and completion queues, as a snapshot holds them. Addresses are guest-physical, indices in entries. */

/** Queue identifiers are below this, the admin queues' 0 among them. */
export const QUEUES = 65;
/** Entries of a queue, less one. */
export const MAX_ENTRIES = 0x7ff;

export type SubmissionQueue = { id: number; cq: number; base: number; size: number; head: number; tail: number };
type Completion = { sq: number; head: number; id: number; status: number; result: number };
export type CompletionQueue = {
  id: number;
  base: number;
  size: number;
  head: number;
  tail: number;
  phase: number;
  vector: number;
  interrupts: boolean;
  /** What waits for room. */
  waiting: Completion[];
};
export function newCompletionQueue(
  id: number,
  base: number,
  size: number,
  vector: number,
  interrupts: boolean,
): CompletionQueue {
  return { id, base, size, head: 0, tail: 0, phase: 1, vector, interrupts, waiting: [] };
}
