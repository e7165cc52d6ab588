/**
 * x87 instructions against this machine's processor: from random registers,
 * singly and in sequences, FXSAVE images and memory compared.
 *
 * Not held: the transcendental functions' last places (test/conformance has
 * them) and what an empty register holds. What the manual leaves undefined is
 * as AMD's processors have it; on another this test may find differences.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { Evaluated, type Tier } from './evaluated.ts';
import { nativeRunner } from './native.ts';
import { type Case, DATA, DATA_BYTES, newRegisters, type Outcome, pattern } from './record.ts';

/** Printed; TRAPFRAME_SEED repeats a run, X87_COUNT makes it longer. */
const SEED = testSeed(process.env);
const COUNT = Number(process.env['X87_COUNT'] ?? 1500);

/** Opcode and digit of everything on registers. */
const REGISTER_FORMS: readonly (readonly [number, number])[] = [
  ...[0xd8, 0xdc].flatMap((byte) => [0, 1, 2, 3, 4, 5, 6, 7].map((digit) => [byte, digit] as const)),
  ...[0, 1, 2, 4, 5, 6, 7].map((digit) => [0xde, digit] as const),
  ...[0, 1, 2, 3].flatMap((digit) => [[0xda, digit] as const, [0xdb, digit] as const]),
  ...[0, 1, 3].map((digit) => [0xd9, digit] as const),
  ...[0, 1, 2, 3, 4, 5].map((digit) => [0xdd, digit] as const),
  ...[0, 1, 2, 3].map((digit) => [0xdf, digit] as const),
];
/** FCOMI and its kin leave C1 alone on AMD's processors, where the manual has it cleared. */
const FLAG_FORMS: readonly (readonly [number, number])[] = [5, 6].flatMap((digit) => [
  [0xdb, digit] as const,
  [0xdf, digit] as const,
]);
const C1 = 0x200;
/** Whole instructions. */
const EXACT: readonly (readonly [number, number])[] = [
  ...[0xd0, 0xe0, 0xe1, 0xe4, 0xe5, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee].map((modrm) => [0xd9, modrm] as const),
  ...[0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xfa, 0xfc, 0xfd].map((modrm) => [0xd9, modrm] as const),
  [0xda, 0xe9],
  [0xde, 0xd9],
  [0xdb, 0xe0],
  [0xdb, 0xe1],
  [0xdb, 0xe2],
  [0xdb, 0xe3],
  [0xdb, 0xe4],
  [0xdf, 0xe0],
];
/** Without FYL2XP1: beyond a small range its operand gives nothing that is defined. */
const TRANSCENDENTAL: readonly (readonly [number, number])[] = [0xf0, 0xf1, 0xf2, 0xf3, 0xfb, 0xfe, 0xff].map(
  (modrm) => [0xd9, modrm] as const,
);
const MEMORY_FORMS: readonly (readonly [number, number])[] = [
  ...[0xd8, 0xda, 0xdc, 0xde].flatMap((byte) => [0, 1, 2, 3, 4, 5, 6, 7].map((digit) => [byte, digit] as const)),
  ...[0, 2, 3, 5, 6, 7].map((digit) => [0xd9, digit] as const),
  ...[0, 1, 2, 3, 5, 7].map((digit) => [0xdb, digit] as const),
  ...[0, 1, 2, 3, 6, 7].map((digit) => [0xdd, digit] as const),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((digit) => [0xdf, digit] as const),
];
/** What loads a state, of which only hand-made images make sense: it is done with what FNSTENV and FNSAVE left. */
const PAIRS: readonly (readonly [number, number, number])[] = [
  [0xd9, 6, 4],
  [0xdd, 6, 4],
];

const RDI = 7;
/** A memory operand: an address, or RDI with a displacement. */
function memory(random: Random, byte: number, digit: number, at: number): number[] {
  const bytes = (value: number) => [0, 8, 16, 24].map((shift) => (value >> shift) & 255);
  if (random.chance(0.5)) return [byte, (digit << 3) | 4, 0x25, ...bytes(DATA + at)];
  return [byte, 0x80 | (digit << 3) | RDI, ...bytes(at - 0x800)];
}

function register(random: Random, forms: typeof REGISTER_FORMS): number[] {
  const [byte, digit] = random.pick(forms);
  return [byte, 0xc0 | (digit << 3) | random.below(8)];
}
function instruction(random: Random): number[][] {
  const kind = random.below(20);
  const at = random.below(DATA_BYTES / 4 - 16);
  if (kind < 9) {
    return [register(random, REGISTER_FORMS)];
  }
  if (kind < 12) return [[...random.pick(EXACT)]];
  if (kind === 12) return [[0x9b]];
  if (kind === 13) {
    const [byte, saves, restores] = random.pick(PAIRS);
    const narrow = random.chance(0.3) ? [0x66] : [];
    const save = [...narrow, ...memory(random, byte, saves, at)];
    return [save, [...narrow, ...memory(random, byte, restores, at)]];
  }
  const [byte, digit] = random.pick(MEMORY_FORMS);
  return [memory(random, byte, digit, at)];
}

/** A register's significand and sign with exponent. */
function number80(random: Random): readonly [bigint, number] {
  const sign = random.below(2) << 15;
  const top = 1n << 63n;
  const bits = BigInt.asUintN(63, (BigInt(random.below(2 ** 31)) << 32n) | BigInt(random.below(2 ** 31)));
  const sparse = random.pick([
    0n,
    1n,
    top - 1n,
    top >> 1n,
    (top >> 1n) | 1n,
    bits,
    bits,
    bits & ~0x7ffn,
    bits & ~0xff_ffff_ffffn,
  ]);
  switch (random.below(12)) {
    case 0:
      return [0n, sign];
    case 1:
      return [sparse, sign]; // denormal
    case 2:
      return [top | sparse, sign]; // pseudo-denormal
    case 3:
      return [top | (random.chance(0.5) ? 0n : sparse), sign | 0x7fff];
    case 4:
      return [sparse, sign | random.pick([1, 0x3fff, 0x7fff])]; // unsupported
    case 5:
      return [top | sparse, sign | random.pick([1, 2, 0x40, 0x7ffe, 0x7ffd, 0x7fbf])];
    case 6:
      return [
        top | sparse,
        sign | (0x3fff + random.pick([-1074, -1022, -149, -126, 127, 128, 1023, 1024, 63, 64, 62])),
      ];
    default:
      return [top | sparse, sign | (0x3fff + random.below(100) - 40)];
  }
}

function makeCase(random: Random, code: number[][], bits: 32 | 64 = 64): Case {
  const start = newRegisters();
  const view = new DataView(start.fx.buffer);
  const control = random.chance(0.7) ? 0x37f | (random.below(4) << 10) : 0x40 | (random.below(0x2000) & 0x1f3f);
  view.setUint16(0, control, true);
  // Exceptions that wait now and then.
  const flags = random.chance(0.3) ? random.below(0x40) : 0;
  const waits = flags & ~control & 0x3f ? 0x8080 : 0;
  view.setUint16(2, flags | waits | (random.below(8) << 8) | (random.below(8) << 11) | (random.below(2) << 14), true);
  start.fx[4] = random.chance(0.4) ? 0xff : random.below(256);
  for (let n = 0; n < 8; n++) {
    const [significand, upper] = number80(random);
    view.setBigUint64(32 + 16 * n, significand, true);
    view.setUint16(40 + 16 * n, upper, true);
  }
  view.setUint32(24, 0x1f80, true);
  start.flags = BigInt(2 | (random.below(2 ** 12) & 0x8d5));
  for (let n = 0; n < 16; n++) start.gpr[n] = BigInt(random.below(2 ** 31));
  start.gpr[RDI] = BigInt(DATA + 0x800);
  return { bits, at: 0x100, code: code.map((bytes) => Uint8Array.from(bytes)), start, patches: [] };
}

/** Registers ST(n) of an image that are not empty. */
function* held(fx: Uint8Array): Iterable<readonly [number, bigint, number]> {
  const view = new DataView(fx.buffer, fx.byteOffset);
  const top = (fx[3] >> 3) & 7;
  for (let n = 0; n < 8; n++) {
    if (!((fx[4] >> ((top + n) & 7)) & 1)) continue;
    yield [n, view.getBigUint64(32 + 16 * n, true), view.getUint16(40 + 16 * n, true)];
  }
}
/** Numbers in order, neighbours one apart. */
const place = (significand: bigint, exponent: number) => (BigInt(exponent) << 63n) + (significand & ((1n << 63n) - 1n));
/** Takes for `theirs` what of `ours` is this many last places away at most. */
const LAST_PLACES = 8n;
function settle(ours: Outcome, theirs: Outcome): Outcome {
  const fx = ours.end.fx.slice();
  const right = [...held(theirs.end.fx)];
  for (const [n, significand, upper] of held(fx)) {
    const same = right.find(([m]) => m === n);
    if (!same) continue;
    const apart = place(significand, upper) - place(same[1], same[2]);
    if (apart <= LAST_PLACES && apart >= -LAST_PLACES)
      fx.set(theirs.end.fx.subarray(32 + 16 * n, 42 + 16 * n), 32 + 16 * n);
  }
  return { ...ours, end: { ...ours.end, fx } };
}
/** An outcome as text, without status bits `but`. */
function show({ end: { fx, gpr, flags }, ip, fault, words }: Outcome, but: number): string[] {
  const view = new DataView(fx.buffer, fx.byteOffset);
  const changed = [...words].sort(([a], [b]) => a - b).map(([at, value]) => `${at.toString(16)}=${value.toString(16)}`);
  return [
    `fcw ${view.getUint16(0, true).toString(16)}`,
    `fsw ${(view.getUint16(2, true) & ~but).toString(16)}`,
    `tags ${fx[4].toString(2)}`,
    ...[...held(fx)].map(([n, low, high]) => `st${n} ${high.toString(16)}:${low.toString(16)}`),
    `rax ${gpr[0].toString(16)} flags ${flags.toString(16)} ip ${ip.toString(16)}`,
    fault ? `fault ${fault.vector}` : '',
    ...changed,
  ];
}
const hex = (c: Case): string => c.code.map((bytes) => Buffer.from(bytes).toString('hex')).join(' ');

/** Cases whose outcomes differ; `loose`: by more than last places. */
function differing(
  cases: readonly Case[],
  theirs: readonly Outcome[],
  ours: readonly Outcome[],
  but: number,
  loose: boolean,
): string[] {
  return cases.flatMap((c, n) => {
    const expected = show(theirs[n], but);
    const actual = show(loose ? settle(ours[n], theirs[n]) : ours[n], but);
    if (JSON.stringify(expected) === JSON.stringify(actual)) return [];
    const start = show({ end: c.start, ip: 0n, fault: undefined, words: new Map() }, 0);
    const lines = expected.filter((line) => !actual.includes(line)).map((line) => `  processor ${line}`);
    const other = actual.filter((line) => !expected.includes(line)).map((line) => `  here      ${line}`);
    return [[`${hex(c)} from ${start.slice(0, 11).join(', ')}`, ...lines, ...other].join('\n')];
  });
}

const runner = nativeRunner(64);
const data = pattern(87);
const skip = typeof runner === 'string' && runner;

function compare(
  t: { diagnostic(text: string): void },
  make: (random: Random) => number[][],
  tier: Tier,
  but = 0,
  loose = false,
): void {
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  assert.ok(typeof runner !== 'string');
  const random = new Random(SEED);
  const cases = Array.from({ length: COUNT }, () => makeCase(random, make(random)));
  const theirs = runner.run(cases, data);
  assert.equal(theirs.length, cases.length);
  const evaluated = new Evaluated(tier, data);
  const ours = cases.map((c) => evaluated.run(c) as Outcome);
  const found = differing(cases, theirs, ours, but, loose);
  assert.equal(found.length, 0, `${found.length} of ${cases.length} differ:\n${found.slice(0, 12).join('\n')}`);
}

test('single x87 instructions', { skip }, (t) => compare(t, (random) => instruction(random), 'constants'));
test('single x87 instructions as operations', { skip }, (t) =>
  compare(t, (random) => instruction(random), 'operations'),
);
test('sequences of x87 instructions', { skip }, (t) =>
  compare(t, (random) => Array.from({ length: 4 }, () => instruction(random)).flat(), 'constants'),
);
test('FCOMI and its kin, but for C1', { skip }, (t) =>
  compare(t, (random) => [register(random, FLAG_FORMS)], 'constants', C1),
);
test('transcendental instructions, but for the last places', { skip }, (t) =>
  compare(t, (random) => [[...random.pick(TRANSCENDENTAL)]], 'constants', C1, true),
);
