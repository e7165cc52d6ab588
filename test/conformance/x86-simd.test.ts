/** Integer and data-moving vector operations of x86 against this machine's processor. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import type { Code } from '../../src/ir/code.ts';
import { wrap, type I32, i32, or32, shl32, type Value } from '../../src/ir/value.ts';
import * as aes from '../../src/isa/x86/simd/aes.ts';
import * as arithmetic from '../../src/isa/x86/simd/arithmetic.ts';
import * as carryless from '../../src/isa/x86/simd/carryless.ts';
import * as mmx from '../../src/isa/x86/simd/mmx.ts';
import type { Binary, BinaryImm, Unary, UnaryImm } from '../../src/isa/x86/simd/operation.ts';
import * as permute from '../../src/isa/x86/simd/permute.ts';
import * as sha from '../../src/isa/x86/simd/sha.ts';
import * as shift from '../../src/isa/x86/simd/shift.ts';
import * as shuffle from '../../src/isa/x86/simd/shuffle.ts';
import * as strings from '../../src/isa/x86/simd/strings.ts';
import { random64 } from './float-cases.ts';
import { CASE, differences, nativeRunner, type Operands, type Subject, webAssemblyRunner } from './x86-simd-bench.ts';

const SEED = BigInt(testSeed(process.env));
const COUNT = 300;
const subjects: Subject[] = [];

const put = (name: string, type: Subject['type'], c: string, ir: Subject['ir']): void => {
  subjects.push({ name, type, c, ir });
};
const one = (name: string, c: string, f: Unary): void => put(name, 'v128', c, (code, { a }) => f(code, a));
const two = (name: string, c: string, f: Binary): void => put(name, 'v128', c, (code, { a, b }) => f(code, a, b));
const IMMEDIATES = [0, 1, 2, 3, 4, 7, 8, 14, 15, 16, 17, 27, 31, 32, 63, 64, 0x1b, 0x4e, 0x93, 0x8d, 0xa5, 0xff];
const oneImm = (name: string, c: (imm: number) => string, f: UnaryImm, immediates = IMMEDIATES): void => {
  for (const imm of immediates) put(`${name} ${imm}`, 'v128', c(imm), (code, { a }) => f(code, a, imm));
};
const twoImm = (name: string, c: (imm: number) => string, f: BinaryImm, immediates = IMMEDIATES): void => {
  for (const imm of immediates) put(`${name} ${imm}`, 'v128', c(imm), (code, { a, b }) => f(code, a, b, imm));
};

/** Mnemonic (a function of that name) and intrinsic, of two operands. */
const TWO: Readonly<Record<string, string>> = {
  ...{ paddb: 'add_epi8', paddw: 'add_epi16', paddd: 'add_epi32', paddq: 'add_epi64', psubb: 'sub_epi8' },
  ...{ psubw: 'sub_epi16', psubd: 'sub_epi32', psubq: 'sub_epi64', paddsb: 'adds_epi8', paddsw: 'adds_epi16' },
  ...{ paddusb: 'adds_epu8', paddusw: 'adds_epu16', psubsb: 'subs_epi8', psubsw: 'subs_epi16' },
  ...{ psubusb: 'subs_epu8', psubusw: 'subs_epu16', pavgb: 'avg_epu8', pavgw: 'avg_epu16' },
  ...{ pminub: 'min_epu8', pminuw: 'min_epu16', pminud: 'min_epu32', pminsb: 'min_epi8', pminsw: 'min_epi16' },
  ...{ pminsd: 'min_epi32', pmaxub: 'max_epu8', pmaxuw: 'max_epu16', pmaxud: 'max_epu32', pmaxsb: 'max_epi8' },
  ...{ pmaxsw: 'max_epi16', pmaxsd: 'max_epi32', pcmpeqb: 'cmpeq_epi8', pcmpeqw: 'cmpeq_epi16' },
  ...{ pcmpeqd: 'cmpeq_epi32', pcmpeqq: 'cmpeq_epi64', pcmpgtb: 'cmpgt_epi8', pcmpgtw: 'cmpgt_epi16' },
  ...{ pcmpgtd: 'cmpgt_epi32', pcmpgtq: 'cmpgt_epi64', pand: 'and_si128', pandn: 'andnot_si128', por: 'or_si128' },
  ...{ pxor: 'xor_si128', pmullw: 'mullo_epi16', pmulld: 'mullo_epi32', pmaddwd: 'madd_epi16' },
  ...{ pmulhw: 'mulhi_epi16', pmulhuw: 'mulhi_epu16', pmuludq: 'mul_epu32', pmuldq: 'mul_epi32' },
  ...{ pmulhrsw: 'mulhrs_epi16', pmaddubsw: 'maddubs_epi16', psadbw: 'sad_epu8', psignb: 'sign_epi8' },
  ...{ psignw: 'sign_epi16', psignd: 'sign_epi32', phaddw: 'hadd_epi16', phaddd: 'hadd_epi32' },
  ...{ phaddsw: 'hadds_epi16', phsubw: 'hsub_epi16', phsubd: 'hsub_epi32', phsubsw: 'hsubs_epi16' },
  ...{ packsswb: 'packs_epi16', packuswb: 'packus_epi16', packssdw: 'packs_epi32', packusdw: 'packus_epi32' },
  ...{ punpcklbw: 'unpacklo_epi8', punpcklwd: 'unpacklo_epi16', punpckldq: 'unpacklo_epi32' },
  ...{ punpcklqdq: 'unpacklo_epi64', punpckhbw: 'unpackhi_epi8', punpckhwd: 'unpackhi_epi16' },
  ...{ punpckhdq: 'unpackhi_epi32', punpckhqdq: 'unpackhi_epi64', pshufb: 'shuffle_epi8' },
  ...{ vpsllvd: 'sllv_epi32', vpsrlvd: 'srlv_epi32', vpsravd: 'srav_epi32' },
  ...{ vpsllvq: 'sllv_epi64', vpsrlvq: 'srlv_epi64' },
};
const BINARY: Readonly<Record<string, unknown>> = { ...arithmetic, ...shuffle, ...shift };
for (const [name, intrinsic] of Object.entries(TWO)) two(name, `_mm_${intrinsic}(a, b)`, BINARY[name] as Binary);

const ONE: Readonly<Record<string, string>> = {
  ...{ pabsb: 'abs_epi8', pabsw: 'abs_epi16', pabsd: 'abs_epi32', phminposuw: 'minpos_epu16' },
  ...{ pmovsxbw: 'cvtepi8_epi16', pmovsxbd: 'cvtepi8_epi32', pmovsxbq: 'cvtepi8_epi64' },
  ...{ pmovsxwd: 'cvtepi16_epi32', pmovsxwq: 'cvtepi16_epi64', pmovsxdq: 'cvtepi32_epi64' },
  ...{ pmovzxbw: 'cvtepu8_epi16', pmovzxbd: 'cvtepu8_epi32', pmovzxbq: 'cvtepu8_epi64' },
  ...{ pmovzxwd: 'cvtepu16_epi32', pmovzxwq: 'cvtepu16_epi64', pmovzxdq: 'cvtepu32_epi64' },
};
for (const [name, intrinsic] of Object.entries(ONE)) one(name, `_mm_${intrinsic}(a)`, BINARY[name] as Unary);

// Shifts by immediates and by vectors; a count is often small.
const SHIFTS: Readonly<Record<string, string>> = {
  ...{ psllw: 'll_epi16', pslld: 'll_epi32', psllq: 'll_epi64', psrlw: 'rl_epi16', psrld: 'rl_epi32' },
  ...{ psrlq: 'rl_epi64', psraw: 'ra_epi16', psrad: 'ra_epi32' },
};
for (const [name, rest] of Object.entries(SHIFTS)) {
  const f = BINARY[name] as (code: Code, a: Value, count: number | Value) => Value;
  const immediate = rest.replace('l_', 'li_').replace('a_', 'ai_');
  oneImm(name, (imm) => `_mm_s${immediate}(a, ${imm})`, f);
  two(`${name} vector`, `_mm_s${rest}(a, b)`, f);
}
oneImm('pslldq', (imm) => `_mm_slli_si128(a, ${imm})`, shift.pslldq);
oneImm('psrldq', (imm) => `_mm_srli_si128(a, ${imm})`, shift.psrldq);
oneImm('pshufd', (imm) => `_mm_shuffle_epi32(a, ${imm})`, shuffle.pshufd);
oneImm('pshuflw', (imm) => `_mm_shufflelo_epi16(a, ${imm})`, shuffle.pshuflw);
oneImm('pshufhw', (imm) => `_mm_shufflehi_epi16(a, ${imm})`, shuffle.pshufhw);
twoImm('shufps', (imm) => `SI(_mm_shuffle_ps(PS(a), PS(b), ${imm}))`, shuffle.shufps);
twoImm('shufpd', (imm) => `DI(_mm_shuffle_pd(PD(a), PD(b), ${imm & 3}))`, shuffle.shufpd);
twoImm('palignr', (imm) => `_mm_alignr_epi8(a, b, ${imm})`, shuffle.palignr);
twoImm('pblendw', (imm) => `_mm_blend_epi16(a, b, ${imm})`, shuffle.pblendw);
twoImm('blendps', (imm) => `SI(_mm_blend_ps(PS(a), PS(b), ${imm & 15}))`, shuffle.blendps);
twoImm('blendpd', (imm) => `DI(_mm_blend_pd(PD(a), PD(b), ${imm & 3}))`, shuffle.blendpd);
twoImm('insertps', (imm) => `SI(_mm_insert_ps(PS(a), PS(b), ${imm}))`, shuffle.insertps);
twoImm('mpsadbw', (imm) => `_mm_mpsadbw_epu8(a, b, ${imm & 7})`, arithmetic.mpsadbw, [0, 1, 2, 3, 4, 5, 6, 7]);
two('movhlps', 'SI(_mm_movehl_ps(PS(a), PS(b)))', shuffle.movhlps);
one('movshdup', 'SI(_mm_movehdup_ps(PS(a)))', shuffle.movshdup);
one('movsldup', 'SI(_mm_moveldup_ps(PS(a)))', shuffle.movsldup);
one('movddup', 'DI(_mm_movedup_pd(PD(a)))', shuffle.movddup);
for (const size of [1, 2, 4, 8] as const)
  one(
    `broadcast ${size}`,
    `_mm_broadcast${'bwd?q'[size >> 1]}_epi${8 * size}(a)`.replace('?', 'd'),
    shuffle.broadcast(size),
  );
put('pblendvb', 'v128', '_mm_blendv_epi8(a, b, c)', (code, { a, b, c }) => shuffle.pblendvb(code, a, b, c));
put('blendvps', 'v128', 'SI(_mm_blendv_ps(PS(a), PS(b), PS(c)))', (code, { a, b, c }) =>
  shuffle.blendvps(code, a, b, c),
);
put('blendvpd', 'v128', 'DI(_mm_blendv_pd(PD(a), PD(b), PD(c)))', (code, { a, b, c }) =>
  shuffle.blendvpd(code, a, b, c),
);
put('pmovmskb', 'i32', '_mm_movemask_epi8(a)', (_, { a }) => shuffle.pmovmskb(a));
put('movmskps', 'i32', '_mm_movemask_ps(PS(a))', (_, { a }) => shuffle.movmskps(a));
put('movmskpd', 'i32', '_mm_movemask_pd(PD(a))', (_, { a }) => shuffle.movmskpd(a));
put('pinsrw', 'v128', '_mm_insert_epi16(a, m, 5)', (_, { a, m }) => shuffle.pinsrw(a, wrap(m), 13));
put('pinsrb', 'v128', '_mm_insert_epi8(a, m, 5)', (_, { a, m }) => shuffle.pinsrb(a, wrap(m), 21));
put('pextrw', 'i32', '_mm_extract_epi16(a, 5)', (_, { a }) => shuffle.pextrw(a, 13));
put('pextrq', 'i64', '_mm_extract_epi64(a, 1)', (_, { a }) => shuffle.pextrq(a, 3));
put('ptest zf', 'i32', '_mm_testz_si128(a, b)', (code, { a, b }) => arithmetic.ptestZero(code, a, b));
put('ptest cf', 'i32', '_mm_testc_si128(a, b)', (code, { a, b }) => arithmetic.ptestCarry(code, a, b));
put('vtestps zf', 'i32', '_mm_testz_ps(PS(a), PS(b))', (code, { a, b }) => arithmetic.vtestpsZero(code, a, b));
put('vtestps cf', 'i32', '_mm_testc_ps(PS(a), PS(b))', (code, { a, b }) => arithmetic.vtestpsCarry(code, a, b));
put('vtestpd zf', 'i32', '_mm_testz_pd(PD(a), PD(b))', (code, { a, b }) => arithmetic.vtestpdZero(code, a, b));
put('vtestpd cf', 'i32', '_mm_testc_pd(PD(a), PD(b))', (code, { a, b }) => arithmetic.vtestpdCarry(code, a, b));

two('vpermilps', 'SI(_mm_permutevar_ps(PS(a), b))', permute.vpermilps);
two('vpermilpd', 'DI(_mm_permutevar_pd(PD(a), b))', permute.vpermilpd);
oneImm('vpermilps imm', (imm) => `SI(_mm_permute_ps(PS(a), ${imm}))`, permute.vpermilpsImm);
oneImm('vpermilpd imm', (imm) => `DI(_mm_permute_pd(PD(a), ${imm & 3}))`, permute.vpermilpdImm);
const wide = (name: string, c: string, ir: Subject['ir']): void => put(name, 'wide', c, ir);
wide('vpermd', '_mm256_permutevar8x32_epi32(WIDE(a, b), WIDE(c, a))', (code, { a, b, c }) =>
  permute.vpermd(code, { low: c, high: a }, { low: a, high: b }),
);
for (const imm of IMMEDIATES) {
  wide(`vpermq ${imm}`, `_mm256_permute4x64_epi64(WIDE(a, b), ${imm})`, (code, { a, b }) =>
    permute.vpermq(code, { low: a, high: b }, imm),
  );
  wide(`vperm2i128 ${imm}`, `_mm256_permute2x128_si256(WIDE(a, b), WIDE(b, c), ${imm})`, (code, { a, b, c }) =>
    permute.vperm2x128(code, { low: a, high: b }, { low: b, high: c }, imm),
  );
}
wide('vpmovsxbd', '_mm256_cvtepi8_epi32(a)', (code, { a }) => ({
  low: shuffle.pmovsxbd(code, a),
  high: shuffle.pmovsxbd(code, code.let(permute.from(a, 4))),
}));

const call = (f: Parameters<Code['call']>[0], ...names: (keyof Operands)[]): Subject['ir'] => {
  return (code, operands) => code.call(f, ...names.map((name) => operands[name]));
};
put('aesenc', 'v128', '_mm_aesenc_si128(a, b)', call(aes.aesenc, 'a', 'b'));
put('aesenclast', 'v128', '_mm_aesenclast_si128(a, b)', call(aes.aesenclast, 'a', 'b'));
put('aesdec', 'v128', '_mm_aesdec_si128(a, b)', call(aes.aesdec, 'a', 'b'));
put('aesdeclast', 'v128', '_mm_aesdeclast_si128(a, b)', call(aes.aesdeclast, 'a', 'b'));
put('aesimc', 'v128', '_mm_aesimc_si128(a)', call(aes.aesimc, 'a'));
oneImm('aeskeygenassist', (imm) => `_mm_aeskeygenassist_si128(a, ${imm})`, aes.aeskeygenassist, [0, 1, 0x36, 0xff]);
twoImm('pclmulqdq', (imm) => `_mm_clmulepi64_si128(a, b, ${imm})`, carryless.pclmulqdq, [0, 1, 16, 17, 0xee]);
for (const [bits, type] of [
  [8, 'unsigned char'],
  [16, 'unsigned short'],
  [32, 'unsigned'],
  [64, 'unsigned long long'],
] as const)
  put(`crc32 ${bits}`, 'i32', `_mm_crc32_u${bits}((unsigned)m, (${type})n)`, (code, { m, n }) =>
    code.call(carryless.crc32, wrap(m), n, i32(bits)),
  );
for (const n of [0, 1, 2, 3])
  put(`sha1rnds4 ${n}`, 'v128', `_mm_sha1rnds4_epu32(a, b, ${n})`, call(sha.sha1rnds4[n], 'a', 'b'));
put('sha1nexte', 'v128', '_mm_sha1nexte_epu32(a, b)', call(sha.sha1nexte, 'a', 'b'));
put('sha1msg1', 'v128', '_mm_sha1msg1_epu32(a, b)', call(sha.sha1msg1, 'a', 'b'));
put('sha1msg2', 'v128', '_mm_sha1msg2_epu32(a, b)', call(sha.sha1msg2, 'a', 'b'));
put('sha256rnds2', 'v128', '_mm_sha256rnds2_epu32(a, b, c)', call(sha.sha256rnds2, 'a', 'b', 'c'));
put('sha256msg1', 'v128', '_mm_sha256msg1_epu32(a, b)', call(sha.sha256msg1, 'a', 'b'));
put('sha256msg2', 'v128', '_mm_sha256msg2_epu32(a, b)', call(sha.sha256msg2, 'a', 'b'));

/** Index and all flags in one number. */
function stringSubjects(imm: number): void {
  const join = (result: strings.StringResult, index: Value): Value => {
    const at = (x: Value, by: number): Value => shl32(x, by as I32);
    const flags = or32(
      or32(at(result.carry, 8), at(result.zero, 9)),
      or32(at(result.sign, 10), at(result.overflow, 11)),
    );
    return or32(index, flags);
  };
  const c = (kind: string, x: string): string =>
    `_mm_cmp${kind}stri(${x}, ${imm}) | _mm_cmp${kind}strc(${x}, ${imm}) << 8 | _mm_cmp${kind}strz(${x}, ${imm}) << 9 |` +
    ` _mm_cmp${kind}strs(${x}, ${imm}) << 10 | _mm_cmp${kind}stro(${x}, ${imm}) << 11`;
  const implicit = (code: Code, { a, b }: Operands) => {
    const [la, lb] = [a, b].map((x) => code.let(strings.implicitLength(imm, x)));
    return strings.compareStrings(code, imm, a, b, la, lb);
  };
  const explicit = (code: Code, { a, b, m, n }: Operands) => {
    const [la, lb] = [m, n].map((x) => code.let(strings.explicitLength(code, imm, wrap(x))));
    return strings.compareStrings(code, imm, a, b, la, lb);
  };
  put(`pcmpistri ${imm}`, 'i32', c('i', 'a, b'), (code, operands) => {
    const result = implicit(code, operands);
    return join(result, strings.stringIndex(imm, result));
  });
  put(`pcmpestri ${imm}`, 'i32', c('e', 'a, (int)m, b, (int)n'), (code, operands) => {
    const result = explicit(code, operands);
    return join(result, strings.stringIndex(imm, result));
  });
  put(`pcmpistrm ${imm}`, 'v128', `_mm_cmpistrm(a, b, ${imm})`, (code, operands) =>
    strings.stringMask(imm, implicit(code, operands)),
  );
  put(`pcmpestrm ${imm}`, 'v128', `_mm_cmpestrm(a, (int)m, b, (int)n, ${imm})`, (code, operands) =>
    strings.stringMask(imm, explicit(code, operands)),
  );
}
for (let imm = 0; imm < 0x80; imm++) stringSubjects(imm);

// MMX: a C expression over M64(m), M64(n).
const mmxTwo = (name: string, intrinsic: string, f: mmx.MmxBinary): void =>
  put(`mmx ${name}`, 'i64', `(long long)_mm_${intrinsic}(M64(m), M64(n))`, (code, { m, n }) => f(code, m, n));
mmxTwo('paddb', 'add_pi8', mmx.lanewise(arithmetic.paddb));
mmxTwo('pmaddwd', 'madd_pi16', mmx.lanewise(arithmetic.pmaddwd));
mmxTwo('pmulhw', 'mulhi_pi16', mmx.lanewise(arithmetic.pmulhw));
mmxTwo('pmuludq', 'mul_su32', mmx.lanewise(arithmetic.pmuludq));
mmxTwo('psadbw', 'sad_pu8', mmx.lanewise(arithmetic.psadbw));
mmxTwo('psllw', 'sll_pi16', mmx.lanewise(shift.psllw));
mmxTwo('packsswb', 'packs_pi16', mmx.gathered(shuffle.packsswb));
mmxTwo('packssdw', 'packs_pi32', mmx.gathered(shuffle.packssdw));
mmxTwo('packuswb', 'packs_pu16', mmx.gathered(shuffle.packuswb));
mmxTwo('phaddw', 'hadd_pi16', mmx.gathered(arithmetic.phaddw));
mmxTwo('phsubd', 'hsub_pi32', mmx.gathered(arithmetic.phsubd));
mmxTwo('punpcklbw', 'unpacklo_pi8', mmx.lanewise(shuffle.punpcklbw));
mmxTwo('punpckhbw', 'unpackhi_pi8', mmx.upper(shuffle.punpcklbw));
mmxTwo('punpckhdq', 'unpackhi_pi32', mmx.upper(shuffle.punpckldq));
mmxTwo('pshufb', 'shuffle_pi8', mmx.pshufb);
for (const imm of [0, 3, 8, 11, 15, 16, 200])
  put(`mmx palignr ${imm}`, 'i64', `(long long)_mm_alignr_pi8(M64(m), M64(n), ${imm})`, (code, { m, n }) =>
    mmx.palignrMmx(code, m, n, imm),
  );
put('mmx pshufw', 'i64', '(long long)_mm_shuffle_pi16(M64(m), 0x8d)', (code, { m }) => mmx.pshufw(code, m, 0x8d));
put('mmx pmovmskb', 'i32', '_mm_movemask_pi8(M64(m))', (_, { m }) => mmx.pmovmskb(m));
put('mmx pabsw', 'i64', '(long long)_mm_abs_pi16(M64(m))', (code, { m }) => mmx.one(arithmetic.pabsw)(code, m));

const random = random64(SEED);
/** Sixteen bytes: random, of few values, with zeros, or small numbers as counts are. */
function operand(): [bigint, bigint] {
  const bytes = (pick: () => bigint): bigint => {
    let all = 0n;
    for (let n = 0; n < 8; n++) all = (all << 8n) | pick();
    return all;
  };
  const few = [0n, 1n, 0x7fn, 0x80n, 0x81n, 0xffn];
  const letters = () => 0x61n + (random() & 3n);
  switch (random() & 7n) {
    case 0n:
    case 1n:
      return [random(), random()];
    case 2n:
      return [bytes(() => few[Number(random() % 6n)]), bytes(() => few[Number(random() % 6n)])];
    case 3n:
      return [bytes(() => (random() & 15n ? letters() : 0n)), bytes(() => (random() & 7n ? letters() : 0n))];
    case 4n:
      return [random() & 0x7fn, random() & 0x7fn];
    case 5n:
      return [(random() & 0x3fn) | ((random() & 0x3fn) << 32n), (random() & 0x3fn) | ((random() & 0x3fn) << 32n)];
    case 6n:
      return [0x8000_8000_8000_8000n, (random() & 0x8000_8000_8000_8000n) | 1n];
    default:
      return [bytes(letters), bytes(letters)];
  }
}
function makeCases(): Uint8Array {
  const cases = new Uint8Array(COUNT * CASE);
  const view = new DataView(cases.buffer);
  for (let at = 0; at < cases.length; at += CASE) {
    for (const offset of [0, 16, 32]) {
      const [low, high] = operand();
      view.setBigUint64(at + offset, low, true);
      view.setBigUint64(at + offset + 8, high, true);
    }
    view.setUint32(at + 80, 0x1f80, true);
    const small = () => ((random() % 41n) - 20n) & 0xffff_ffff_ffff_ffffn;
    for (const offset of [88, 96]) view.setBigUint64(at + offset, random() & 1n ? small() : operand()[0], true);
  }
  return cases;
}

const native = nativeRunner(subjects);
test('x86 vectors against the processor', { skip: typeof native === 'string' ? native : false }, async (t) => {
  assert.ok(typeof native !== 'string');
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  const cases = makeCases();
  const ours = webAssemblyRunner(subjects, COUNT)(cases);
  const theirs = native(cases);
  for (const [n, { name, type }] of subjects.entries())
    await t.test(name, () => assert.deepEqual(differences(cases, ours[n], theirs[n], type), []));
});
