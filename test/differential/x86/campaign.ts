/** Many cases on an oracle and on our side; the shortest that differs, in words. */
import type { Row } from '../../../src/isa/x86/opcode.ts';
import { Random } from '../random.ts';
import { makeCase } from './cases.ts';
import { describeCase, differences } from './compare.ts';
import { Evaluated, type Tier } from './evaluated.ts';
import type { Runner } from './native.ts';
import { type Case, type Outcome, pattern, type Segments } from './record.ts';
import { Undefined } from './undefined.ts';

/** Cases that share a process and a data pattern. */
const BATCH = 400;

/** Runs cases on our side; undefined: no end. */
export interface Ours {
  run(c: Case): Outcome | undefined;
}

export interface Failure {
  readonly tier: string;
  readonly rows: readonly Row[];
  readonly case: Case;
  readonly lines: readonly string[];
}

export interface Campaign {
  readonly bits: 16 | 32 | 64;
  readonly segments?: Segments;
  readonly runner: Runner;
  readonly wide: boolean;
  /** The rows of the next case. */
  readonly next: (random: Random) => readonly Row[];
  /** Who runs them in place of the two ways of evaluating. */
  readonly instead?: (pattern: Uint8Array) => Readonly<Record<string, Ours>>;
}

interface Expected {
  readonly case: Case;
  readonly rows: readonly Row[];
  readonly undefined: Undefined;
}

const TIERS: readonly Tier[] = ['operations', 'constants'];

/** One batch of cases of a seed. */
export class Batch {
  private readonly campaign: Campaign;
  private readonly pattern: Uint8Array;
  private readonly random: Random;
  private readonly ours: Readonly<Record<string, Ours>>;
  private readonly first: Evaluated;

  constructor(campaign: Campaign, seed: number) {
    this.campaign = campaign;
    this.random = new Random(seed);
    this.pattern = pattern(seed);
    this.first = new Evaluated(TIERS[0], this.pattern);
    this.ours = campaign.instead?.(this.pattern) ?? {
      [TIERS[0]]: this.first,
      [TIERS[1]]: new Evaluated(TIERS[1], this.pattern),
    };
  }

  run(count: number): { compared: number; failures: Failure[] } {
    const cases: Expected[] = [];
    for (let n = 0; n < count; n++) {
      const rows = this.campaign.next(this.random);
      const c = makeCase(this.random, { ...this.campaign, rows });
      const expected = this.expect(c, rows);
      if (expected) cases.push(expected);
    }
    const outcomes = this.campaign.runner.run(
      cases.map((e) => e.case),
      this.pattern,
    );
    const failures: Failure[] = [];
    for (const [n, right] of outcomes.entries()) failures.push(...this.compare(cases[n], right));
    if (outcomes.length < cases.length) {
      const { case: c, rows } = cases[outcomes.length];
      failures.push({ tier: 'oracle', rows, case: c, lines: ['the oracle comes to no end, ours does'] });
    }
    return { compared: outcomes.length, failures };
  }

  /** What is undefined after a case; undefined where nothing can be said, or it has no end. */
  private expect(c: Case, rows: readonly Row[]): Expected | undefined {
    const flags = new Undefined();
    if (!this.first.run(c, (decoded, state) => flags.watch(decoded?.x86, state)) || flags.tainted) return undefined;
    return { case: c, rows, undefined: flags };
  }

  private compare({ case: c, rows, undefined: flags }: Expected, right: Outcome): Failure[] {
    const failures: Failure[] = [];
    for (const [tier, side] of Object.entries(this.ours)) {
      let lines: string[];
      try {
        const outcome = side.run(c);
        lines = outcome ? differences(c, outcome, right, flags, this.campaign.wide) : ['ours comes to no end'];
      } catch (thrown) {
        lines = [`ours throws ${(thrown as Error).stack?.split('\n').slice(0, 4).join(' ')}`];
      }
      if (lines.length > 0) failures.push({ tier, rows, case: c, lines });
    }
    return failures;
  }

  /** The failure with as few of its instructions as still fail in the same tier. */
  shrink(failure: Failure): Failure {
    let best = failure;
    for (let n = best.rows.length - 1; n >= 0 && best.rows.length > 1; n--) {
      const rows = best.rows.filter((_, k) => k !== n);
      const c = { ...best.case, code: best.case.code.filter((_, k) => k !== n) };
      const expected = this.expect(c, rows);
      if (!expected) continue;
      const [right] = this.campaign.runner.run([c], this.pattern);
      const again = right && this.compare(expected, right).find(({ tier }) => tier === failure.tier);
      if (again) best = again;
    }
    return best;
  }
}

const size = ({ case: { code } }: Failure): number =>
  code.reduce((sum, bytes) => sum + bytes.length, 0) + 100 * code.length;

/** Runs `count` cases; the shortest failure in words, or undefined, and how many were compared. */
export function runCampaign(
  campaign: Campaign,
  seed: number,
  count: number,
): { compared: number; failure: string | undefined } {
  let compared = 0;
  for (let n = 0; compared < count; n++) {
    const batch = new Batch(campaign, (seed + n) >>> 0);
    const result = batch.run(Math.min(BATCH, count - compared));
    compared += result.compared;
    // What depends on undefined flags is left out: a small batch may have nothing else.
    if (n > 50 && compared === 0) throw new Error('no case could be compared');
    if (result.failures.length === 0) continue;
    const [shortest] = result.failures.toSorted((p, q) => size(p) - size(q));
    const failure = batch.shrink(shortest);
    return {
      compared,
      failure: [
        `seed ${(seed + n) >>> 0}, ${failure.tier}: ${failure.rows.map((row) => `${row.mnemonic} (${row.text})`).join('; ')}`,
        ...failure.lines,
        ...describeCase(failure.case, campaign.wide),
      ].join('\n'),
    };
  }
  return { compared, failure: undefined };
}
