/**
 * System instructions on the reference interpreter and on KVM, for as long as one likes.
 *
 *   node test/differential/x86-kvm/run.ts [CASES] [MODE] [KIND]      TRAPFRAME_SEED=n repeats a run
 */
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { MODES, type ModeName } from '../x86-system/environment.ts';
import { Both } from './both.ts';
import { makeCase } from './cases.ts';
import { known } from './known.ts';

const [count = '1000', onlyMode, onlyKind] = process.argv.slice(2);
const seed = testSeed(process.env);
const both = new Both();
const cannot = new Map<string, number>();
const different = new Map<string, { count: number; example: string }>();
let same = 0;
let explained = 0;
for (let n = 0; n < Number(count); n++) {
  const random = new Random(seed + n);
  const mode = (onlyMode && onlyMode !== 'all' ? onlyMode : MODES[n % MODES.length]) as ModeName;
  const user = mode !== 'real' && random.chance(0.3);
  const c = makeCase(random, mode, user, onlyKind);
  const verdict = both.run(c);
  const title = `${mode}${user ? ' user' : ''}: ${c.name}`;
  if (verdict.kind === 'same') same++;
  else if (verdict.kind === 'cannot')
    cannot.set(`${title}: ${verdict.why}`, (cannot.get(`${title}: ${verdict.why}`) ?? 0) + 1);
  else if (verdict.kind === 'endless') continue;
  else if (both.partial && known(c, verdict.lines) !== undefined) explained++;
  else {
    const code = c.code.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const entry = different.get(title) ?? {
      count: 0,
      example: `seed ${seed + n} ${code} rbx ${c.registers.get(3)?.toString(16)} ${c.memory.map(([, bytes]) => bytes.map((b) => b.toString(16).padStart(2, '0')).join(' ')).join(' | ')}\n      ${verdict.lines.slice(0, 8).join('\n      ')}`,
    };
    entry.count++;
    different.set(title, entry);
  }
}
both.close();
for (const [title, times] of [...cannot].sort()) console.log(`cannot ${times} ${title}`);
for (const [title, { count: times, example }] of [...different].sort())
  console.log(`DIFFERENT ${times} ${title}\n    ${example}`);
console.log(
  `seed ${seed}: ${count} cases, ${same} the same, ${explained} known to differ, ${[...cannot.values()].reduce((a, b) => a + b, 0)} KVM cannot`,
);
