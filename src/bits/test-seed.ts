/**
 * The seed of every randomised test, wherever it stands; whoever uses it prints it.
 *
 * TRAPFRAME_SEED=n repeats a run, TRAPFRAME_SEED=random takes a new one; without it the seed is 1, so that a short test
 * finds the same thing each time.
 */

const USUAL = 1;
/** One for the whole process, however many tests ask. */
let picked: number | undefined;

/** `environment` is process.env; this layer knows no Node. */
export function testSeed(environment: Readonly<Record<string, string | undefined>>): number {
  const given = environment['TRAPFRAME_SEED'] ?? '';
  if (given === '') return USUAL;
  if (given === 'random') return (picked ??= Math.floor(Math.random() * 2 ** 32));
  if (!/^\d+$/.test(given) || Number(given) >= 2 ** 32)
    throw new RangeError(`TRAPFRAME_SEED=${given}: a number below 2^32, or random`);
  return Number(given);
}
