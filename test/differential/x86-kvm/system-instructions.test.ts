import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { skip } from '../../kvm/real-mode.ts';
import { Random } from '../random.ts';
import { MODES } from '../x86-system/environment.ts';
import { Both } from './both.ts';
import { KINDS, makeCase } from './cases.ts';
import { known } from './known.ts';

const seed = testSeed(process.env);
const COUNT = 1600;

test(`system instructions do on the reference interpreter what KVM does (TRAPFRAME_SEED=${seed})`, { skip }, (t) => {
  const both = new Both();
  const cannot = new Map<string, number>();
  const explained = new Map<string, number>();
  const count = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
  const found: string[] = [];
  let same = 0;
  try {
    for (let n = 0; n < COUNT; n++) {
      const random = new Random(seed + n);
      const mode = MODES[n % MODES.length];
      const user = mode !== 'real' && random.chance(0.3);
      const c = makeCase(random, mode, user, KINDS[Math.floor(n / MODES.length) % KINDS.length]);
      const verdict = both.run(c);
      if (verdict.kind === 'same') same++;
      else if (verdict.kind === 'cannot') {
        assert.ok(both.partial, `${c.name} in ${mode}: ${verdict.why}`);
        count(
          cannot,
          /^(paging|virtual)/.test(verdict.why) ? verdict.why : `${c.name}: ${verdict.why.replace(/ .*/, '')}`,
        );
      } else if (verdict.kind === 'different') {
        const why = both.partial ? known(c, verdict.lines) : undefined;
        if (why !== undefined) count(explained, why);
        else
          found.push(
            `seed ${seed + n} ${mode}${user ? ' user' : ''} ${c.name}: ${verdict.lines.slice(0, 6).join('; ')}`,
          );
      }
    }
  } finally {
    both.close();
  }
  t.diagnostic(`${same} of ${COUNT} the same`);
  for (const [why, times] of cannot) t.diagnostic(`KVM here cannot, ${times} times: ${why}`);
  for (const [why, times] of explained) t.diagnostic(`KVM here differs, ${times} times: ${why}`);
  assert.deepEqual(found, []);
  // Even a partial KVM executes most of what there is.
  assert.ok(same > COUNT / 2, `${same} of ${COUNT}`);
});

test('SYSCALL of 64-bit user code arrives in the kernel, whatever KVM makes of it', { skip }, () => {
  const both = new Both();
  let tried = 0;
  try {
    for (let n = 0; n < 40; n++) {
      const c = makeCase(new Random(seed + n), 'long', true, 'fast system calls');
      if (c.name !== 'syscall') continue;
      tried++;
      const verdict = both.run(c);
      assert.ok(verdict.kind === 'same' || verdict.kind === 'different', verdict.kind);
      if (verdict.kind === 'same') continue;
      // A partial KVM makes a page fault of it first, which leaves its frame and CR2; IF is always set in R11.
      assert.ok(both.partial);
      for (const line of verdict.lines) assert.match(line, /^(gpr\[11\]: reference 0x2, KVM 0x202$|cr2:|RAM 0x6e)/);
    }
  } finally {
    both.close();
  }
  assert.ok(tried > 3, `${tried} cases`);
});
