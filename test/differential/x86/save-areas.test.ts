/**
 * FXSAVE, XSAVE and their kin against this machine's processor: what they
 * write, but for the pointers to the last x87 instruction, which processors
 * keep in ways of their own; and what comes back.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { makeCase } from './cases.ts';
import { describeCase, differences } from './compare.ts';
import { Evaluated } from './evaluated.ts';
import { hostFeatures, nativeRunner } from './native.ts';
import { type Case, DATA, type Outcome, type Patch, pattern } from './record.ts';
import { Undefined } from './undefined.ts';

const AREA = 0x400;
const RDI = 7;
const HEADER = AREA + 512;
const COUNT = 60;

/** A case from random registers: RDI points to an area, EDX:EAX asks for `components`. */
function caseOf(
  random: Random,
  bits: 32 | 64,
  code: readonly (readonly number[])[],
  components: number,
  area = AREA,
): Case {
  const made = makeCase(random, { bits, segments: 'flat', rows: [], wide: true });
  made.start.gpr[RDI] = BigInt(DATA + area);
  made.start.gpr[0] = BigInt(components);
  made.start.gpr[2] = 0n;
  return { ...made, code: code.map((bytes) => Uint8Array.from(bytes)), patches: [] };
}
const withPatches = (c: Case, patches: readonly Patch[]): Case => ({ ...c, patches });

/** Words of an area of which the processor's own bits are left out (opcode, pointers; AMD's bit 17 of MXCSR). */
const COMPARED = new Map([
  [AREA, (1n << 48n) - 1n],
  [AREA + 8, 0n],
  [AREA + 16, 0n],
  [AREA + 24, (1n << 48n) - 1n],
]);
function comparable(outcome: Outcome): Outcome {
  const words = new Map<number, bigint>();
  for (const [at, value] of outcome.words) {
    const mask = COMPARED.get(at);
    if (mask !== 0n) words.set(at, mask === undefined ? value : value & mask);
  }
  return { ...outcome, words };
}

// Register rdi; sizes of code of both widths.
const MODRM = (digit: number): number => (digit << 3) | RDI;
const fxsave = [0x0f, 0xae, MODRM(0)];
const fxrstor = [0x0f, 0xae, MODRM(1)];
const xsave = [0x0f, 0xae, MODRM(4)];
const xrstor = [0x0f, 0xae, MODRM(5)];
const xsaveopt = [0x0f, 0xae, MODRM(6)];
const xsavec = [0x0f, 0xc7, MODRM(4)];
const long = (code: readonly number[]): number[] => [0x48, ...code];
/** vxorps xmm0, xmm0, xmm0; vmovups [rdi + 512], ymm0; vmovups [rdi + 544], ymm0 */
const clearHeader = [
  [0xc5, 0xf8, 0x57, 0xc0],
  [0xc5, 0xfc, 0x11, 0x87, 0x00, 0x02, 0x00, 0x00],
  [0xc5, 0xfc, 0x11, 0x87, 0x20, 0x02, 0x00, 0x00],
];
/** vzeroall; fninit; ldmxcsr [rdi - 128] */
const forget = [
  [0xc5, 0xfc, 0x77],
  [0xdb, 0xe3],
  [0x0f, 0xae, 0x57, 0x80],
];

type Make = (random: Random, bits: 32 | 64) => Case;
const some = (random: Random): number => random.pick([7, 7, 3, 1, 2, 4, 5, 6]);
const widths = (random: Random, bits: 32 | 64, code: readonly number[]): readonly number[] =>
  bits === 64 && random.chance(0.5) ? long(code) : code;
/** The header's first words, and an MXCSR with or without bits that do not exist. */
const header = (random: Random, present: bigint, layout: bigint): Patch[] => [
  { at: HEADER, value: present },
  { at: HEADER + 8, value: layout },
  { at: HEADER + 16, value: random.chance(0.1) ? 1n : 0n },
  { at: AREA + 24, value: BigInt(random.u32() & (random.chance(0.9) ? 0xffff : 0x1_ffff)) },
];
const KINDS: Readonly<Record<string, { readonly feature: string; readonly make: Make }>> = {
  fxsave: {
    feature: 'fxsr',
    make: (r, bits) => caseOf(r, bits, [widths(r, bits, fxsave)], 0, AREA + (r.chance(0.1) ? 8 : 0)),
  },
  fxrstor: {
    feature: 'fxsr',
    make: (r, bits) =>
      withPatches(caseOf(r, bits, [widths(r, bits, fxrstor)], 0), [
        { at: AREA, value: 0x037fn | (BigInt(r.u32() & 0x3f3f) << 16n) | (BigInt(r.below(256)) << 32n) },
        { at: AREA + 24, value: BigInt(r.u32() & (r.chance(0.9) ? 0xffff : 0x1_ffff)) },
      ]),
  },
  xsave: {
    feature: 'xsave',
    make: (r, bits) => caseOf(r, bits, [widths(r, bits, xsave)], some(r), AREA + (r.chance(0.1) ? 32 : 0)),
  },
  xsaveopt: { feature: 'xsaveopt', make: (r, bits) => caseOf(r, bits, [widths(r, bits, xsaveopt)], some(r)) },
  xsavec: { feature: 'xsavec', make: (r, bits) => caseOf(r, bits, [widths(r, bits, xsavec)], some(r)) },
  'xrstor, standard': {
    feature: 'xsave',
    make: (r, bits) => {
      const present = BigInt(r.chance(0.9) ? r.below(8) : 0x1_0000_0000_0000);
      const layout = r.chance(0.95) ? 0n : 2n;
      return withPatches(caseOf(r, bits, [widths(r, bits, xrstor)], some(r)), header(r, present, layout));
    },
  },
  'xsave and back': {
    feature: 'xsave',
    make: (r, bits) =>
      withPatches(caseOf(r, bits, [...clearHeader, xsave, ...forget, xrstor], some(r)), [
        { at: AREA - 128, value: 0x5fa0n },
      ]),
  },
  'xsavec and back': {
    feature: 'xsavec',
    make: (r, bits) => caseOf(r, bits, [...clearHeader, xsavec, ...forget.slice(0, 2), xrstor], some(r)),
  },
};

for (const bits of [64, 32] as const) {
  const runner = nativeRunner(bits);
  if (typeof runner === 'string') {
    test(`${bits}-bit save areas`, { skip: runner });
    continue;
  }
  after(() => runner.close());
  for (const [name, { feature, make }] of Object.entries(KINDS)) {
    const skip = hostFeatures().has(feature) ? false : `the processor has no ${feature}`;
    test(`${bits}-bit code: ${name}`, { skip }, (t) => {
      const seed = testSeed(process.env);
      t.diagnostic(`TRAPFRAME_SEED=${seed}`);
      const random = new Random(seed);
      const data = pattern(seed);
      const cases = Array.from({ length: COUNT }, () => make(random, bits));
      const outcomes = runner.run(cases, data);
      assert.equal(outcomes.length, COUNT);
      for (const tier of ['operations', 'constants'] as const) {
        const ours = new Evaluated(tier, data);
        cases.forEach((c, n) => {
          const outcome = ours.run(c);
          assert.ok(outcome, 'it comes to no end');
          const lines = differences(c, comparable(outcome), comparable(outcomes[n]), new Undefined(), true);
          if (lines.length > 0) assert.fail([`case ${n}, ${tier}`, ...lines, ...describeCase(c, true)].join('\n'));
        });
      }
    });
  }
}
