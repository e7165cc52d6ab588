/**
 * SSE4.1 and SSE4.2, AES, PCLMULQDQ, SHA, and their AVX forms.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, 12.8 to 12.13.
 */
import { and32, extendU, i32, or, select, type Value, wrap } from '../../../ir/value.ts';
import type { IrFunction } from '../../../ir/code.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RCX, RDX, XMM } from '../registers.ts';
import type { Row } from '../opcode.ts';
import * as aes from '../simd/aes.ts';
import * as A from '../simd/arithmetic.ts';
import { pclmulqdq } from '../simd/carryless.ts';
import type { Binary, Unary } from '../simd/operation.ts';
import { from } from '../simd/permute.ts';
import * as sha from '../simd/sha.ts';
import * as S from '../simd/shuffle.ts';
import { compareStrings, explicitLength, implicitLength, stringIndex, stringMask } from '../simd/strings.ts';
import { Eflags } from '../state.ts';
import { imm8, isWide, setVector, setWide, setXmm, vector, wide, xmm } from '../vector-operand.ts';
import { first, legacy, map1, map2, map2Imm, packed, type Semantics, vex } from './vector-forms.ts';

const integer = (name: string, byte: string, operation: Binary, feature = 'sse4.1'): Row[] =>
  packed(name, `66 0F 38 ${byte} /r`, 'Vx Hx Wx', map2(operation), feature, 'avx2');

/** The source has the lanes of the result at a half, a quarter or an eighth (`parts`) of their width. */
const extension = (name: string, byte: string, parts: 2 | 4 | 8, operation: Unary): Row[] => {
  const text = `66 0F 38 ${byte} /r`;
  const size = { 1: 'w', 2: 'd', 4: 'q', 8: 'dq' } as const;
  // Bytes that a result of 128 bits is made of.
  const bytes = (16 / parts) as 2 | 4 | 8;
  const operands = (wider: boolean) => `V${wider ? 'qq' : 'dq'} W${size[wider ? bytes : ((bytes / 2) as 1 | 2 | 4)]}`;
  const semantics: Semantics = (m) => {
    const a = vector(m, 1);
    if (!isWide(m)) setVector(m, 0, operation(m, a));
    else {
      const above = m.let(from(a, bytes));
      setWide(m, 0, { low: operation(m, a), high: operation(m, above) });
    }
  };
  return [
    legacy(name, text, operands(false), semantics, { feature: 'sse4.1' }),
    vex(name, text, 'VEX.128', operands(false), semantics),
    vex(name, text, 'VEX.256', operands(true), semantics, { feature: 'avx2' }),
  ];
};

/** Legacy blends by XMM0; VEX ones by a fourth register. */
const variableBlend = (
  name: string,
  legacyByte: string,
  vexByte: string,
  wideFeature: 'avx' | 'avx2',
  operation: typeof S.pblendvb,
): Row[] => {
  const byRegister0: Semantics = (m) => {
    const mask = xmm(m, 0);
    const a = vector(m, 0);
    setVector(m, 0, operation(m, a, vector(m, 1), mask));
  };
  const byRegister: Semantics = (m) => {
    if (!isWide(m)) {
      const a = vector(m, 1);
      const b = vector(m, 2);
      setVector(m, 0, operation(m, a, b, vector(m, 3)));
    } else {
      const [a, b, mask] = [wide(m, 1), wide(m, 2), wide(m, 3)];
      setWide(m, 0, { low: operation(m, a.low, b.low, mask.low), high: operation(m, a.high, b.high, mask.high) });
    }
  };
  return [
    legacy(name, `66 0F 38 ${legacyByte} /r`, 'Vdq Wdq', byRegister0, { feature: 'sse4.1' }),
    vex(name, `66 0F 3A ${vexByte} /r`, 'VEX.128.W0', 'Vx Hx Wx Lx', byRegister),
    vex(name, `66 0F 3A ${vexByte} /r`, 'VEX.256.W0', 'Vx Hx Wx Lx', byRegister, { feature: wideFeature }),
  ];
};

// Lanes from and to general registers. ModRM names a register of 32 bits where memory has fewer.

const insertLane =
  (operation: (a: Value, x: Value, imm: number) => Value): Semantics =>
  (m) => {
    const n = first(m);
    const given = m.get(n + 1);
    const lane = m.size(n + 1) === 64 ? given : wrap(given);
    setVector(m, 0, operation(vector(m, n), m.let(lane), imm8(m, n + 2)));
  };
/** 32 or 64 bits as VEX.W or REX.W says. */
const insertWide: Semantics = (m) => insertLane(m.size(first(m) + 1) === 64 ? S.pinsrq : S.pinsrd)(m);
const extractLane =
  (operation: (a: Value, imm: number) => Value): Semantics =>
  (m) =>
    m.set(0, extendU(operation(vector(m, 1), imm8(m, 2))));
const extractWide: Semantics = (m) => {
  if (m.size(0) === 64) m.set(0, S.pextrq(vector(m, 1), imm8(m, 2)));
  else extractLane(S.pextrd)(m);
};
/** Of memory it is the lane itself. */
const insertSingle: Semantics = (m) => {
  const n = first(m);
  const imm = m.isMemory(n + 1) ? imm8(m, n + 2) & 0x3f : imm8(m, n + 2);
  const a = vector(m, n);
  setVector(m, 0, S.insertps(m, a, vector(m, n + 1), imm));
};

// Flags.

const flagBits = (...flags: readonly (readonly [Value, number])[]): Value =>
  flags.map(([flag, bit]) => extendU(select(flag, i32(bit), i32(0)))).reduce((all, flag) => or(all, flag));

/** ZF and CF from whether two ANDs have no bit set. */
export const testRows =
  (isZero: Binary, isCarry: Binary): Semantics =>
  (m) => {
    const all = (question: Binary): Value => {
      if (!isWide(m)) return question(m, vector(m, 0), vector(m, 1));
      const [a, b] = sources;
      return and32(question(m, a.low, b.low), question(m, a.high, b.high));
    };
    const sources = isWide(m) ? [wide(m, 0), wide(m, 1)] : [];
    m.setFlags(flagBits([all(isZero), Eflags.zf], [all(isCarry), Eflags.cf]));
  };

type StringForm = { readonly explicit: boolean; readonly gives: 'index' | 'mask' };
const compareText =
  ({ explicit, gives }: StringForm): Semantics =>
  (m) => {
    const imm = imm8(m, 2);
    const a = vector(m, 0, false);
    const b = vector(m, 1, false);
    const length = (n: number, text: Value): Value => {
      if (!explicit) return implicitLength(imm, text);
      const register = m.r(n);
      return explicitLength(m, imm, m.decoded.w && m.bits === 64 ? register : wrap(register));
    };
    const result = compareStrings(m, imm, a, b, m.let(length(RAX, a)), m.let(length(RDX, b)));
    if (gives === 'index') m.setR(RCX, extendU(stringIndex(imm, result)), 32);
    else setXmm(m, 0, stringMask(imm, result));
    m.setFlags(
      flagBits(
        [result.carry, Eflags.cf],
        [result.zero, Eflags.zf],
        [result.sign, Eflags.sf],
        [result.overflow, Eflags.of],
      ),
    );
  };
const stringRows = (name: string, byte: string, form: StringForm): Row[] =>
  packed(name, `66 0F 3A ${byte} /r`, 'Vdq Wdq Ib', compareText(form), 'sse4.2');

// Cryptography.

const round = (name: string, byte: string, f: IrFunction): Row[] =>
  packed(
    name,
    `66 0F 38 ${byte} /r`,
    'Vdq Hdq Wdq',
    map2((m, a, b) => m.call(f, a, b)),
    'aes',
  );
const shaRow = (name: string, byte: string, operation: (m: X86Insn, a: Value, b: Value) => Value): Row =>
  legacy(name, `NP 0F 38 ${byte} /r`, 'Vdq Wdq', map2(operation), { feature: 'sha-ni' });
const shaFunction = (name: string, byte: string, f: IrFunction): Row =>
  shaRow(name, byte, (m, a, b) => m.call(f, a, b));

export const sse4 = (): readonly Row[] => [
  ...variableBlend('pblendvb', '10', '4C', 'avx2', S.pblendvb),
  ...variableBlend('blendvps', '14', '4A', 'avx', S.blendvps),
  ...variableBlend('blendvpd', '15', '4B', 'avx', S.blendvpd),
  ...packed('pblendw', '66 0F 3A 0E /r', 'Vx Hx Wx Ib', map2Imm(S.pblendw), 'sse4.1', 'avx2'),
  ...packed('blendps', '66 0F 3A 0C /r', 'Vx Hx Wx Ib', map2Imm(S.blendps, 4), 'sse4.1', 'avx'),
  ...packed('blendpd', '66 0F 3A 0D /r', 'Vx Hx Wx Ib', map2Imm(S.blendpd, 2), 'sse4.1', 'avx'),
  ...packed('mpsadbw', '66 0F 3A 42 /r', 'Vx Hx Wx Ib', map2Imm(A.mpsadbw, 3), 'sse4.1', 'avx2'),
  ...packed('ptest', '66 0F 38 17 /r', 'Vx Wx', testRows(A.ptestZero, A.ptestCarry), 'sse4.1', 'avx'),
  ...extension('pmovsxbw', '20', 2, S.pmovsxbw),
  ...extension('pmovsxbd', '21', 4, S.pmovsxbd),
  ...extension('pmovsxbq', '22', 8, S.pmovsxbq),
  ...extension('pmovsxwd', '23', 2, S.pmovsxwd),
  ...extension('pmovsxwq', '24', 4, S.pmovsxwq),
  ...extension('pmovsxdq', '25', 2, S.pmovsxdq),
  ...extension('pmovzxbw', '30', 2, S.pmovzxbw),
  ...extension('pmovzxbd', '31', 4, S.pmovzxbd),
  ...extension('pmovzxbq', '32', 8, S.pmovzxbq),
  ...extension('pmovzxwd', '33', 2, S.pmovzxwd),
  ...extension('pmovzxwq', '34', 4, S.pmovzxwq),
  ...extension('pmovzxdq', '35', 2, S.pmovzxdq),
  ...integer('pmuldq', '28', A.pmuldq),
  ...integer('pcmpeqq', '29', A.pcmpeqq),
  ...integer('packusdw', '2B', S.packusdw),
  ...integer('pcmpgtq', '37', A.pcmpgtq, 'sse4.2'),
  ...integer('pminsb', '38', A.pminsb),
  ...integer('pminsd', '39', A.pminsd),
  ...integer('pminuw', '3A', A.pminuw),
  ...integer('pminud', '3B', A.pminud),
  ...integer('pmaxsb', '3C', A.pmaxsb),
  ...integer('pmaxsd', '3D', A.pmaxsd),
  ...integer('pmaxuw', '3E', A.pmaxuw),
  ...integer('pmaxud', '3F', A.pmaxud),
  ...integer('pmulld', '40', A.pmulld),
  ...packed('phminposuw', '66 0F 38 41 /r', 'Vdq Wdq', map1(A.phminposuw), 'sse4.1'),
  ...packed('pinsrb', '66 0F 3A 20 /r reg', 'Vdq Hdq Rd Ib', insertLane(S.pinsrb), 'sse4.1'),
  ...packed('pinsrb', '66 0F 3A 20 /r mem', 'Vdq Hdq Mb Ib', insertLane(S.pinsrb), 'sse4.1'),
  ...packed('insertps', '66 0F 3A 21 /r', 'Vdq Hdq Wd Ib', insertSingle, 'sse4.1'),
  ...packed('pinsrd', '66 0F 3A 22 /r', 'Vdq Hdq Ey Ib', insertWide, 'sse4.1'),
  ...packed('pextrb', '66 0F 3A 14 /r reg', 'Rd Vdq Ib', extractLane(S.pextrb), 'sse4.1'),
  ...packed('pextrb', '66 0F 3A 14 /r mem', 'Mb Vdq Ib', extractLane(S.pextrb), 'sse4.1'),
  ...packed('pextrw', '66 0F 3A 15 /r reg', 'Rd Vdq Ib', extractLane(S.pextrw), 'sse4.1'),
  ...packed('pextrw', '66 0F 3A 15 /r mem', 'Mw Vdq Ib', extractLane(S.pextrw), 'sse4.1'),
  ...packed('pextrd', '66 0F 3A 16 /r', 'Ey Vdq Ib', extractWide, 'sse4.1'),
  ...packed('extractps', '66 0F 3A 17 /r', 'Ed Vdq Ib', extractLane(S.pextrd), 'sse4.1'),
  ...stringRows('pcmpestrm', '60', { explicit: true, gives: 'mask' }),
  ...stringRows('pcmpestri', '61', { explicit: true, gives: 'index' }),
  ...stringRows('pcmpistrm', '62', { explicit: false, gives: 'mask' }),
  ...stringRows('pcmpistri', '63', { explicit: false, gives: 'index' }),
  ...packed('pclmulqdq', '66 0F 3A 44 /r', 'Vdq Hdq Wdq Ib', map2Imm(pclmulqdq), 'pclmulqdq'),
  ...round('aesenc', 'DC', aes.aesenc),
  ...round('aesenclast', 'DD', aes.aesenclast),
  ...round('aesdec', 'DE', aes.aesdec),
  ...round('aesdeclast', 'DF', aes.aesdeclast),
  ...packed(
    'aesimc',
    '66 0F 38 DB /r',
    'Vdq Wdq',
    map1((m, a) => m.call(aes.aesimc, a)),
    'aes',
  ),
  ...packed(
    'aeskeygenassist',
    '66 0F 3A DF /r',
    'Vdq Wdq Ib',
    map1((m, a) => aes.aeskeygenassist(m, a, imm8(m, 2))),
    'aes',
  ),
  shaFunction('sha1nexte', 'C8', sha.sha1nexte),
  shaFunction('sha1msg1', 'C9', sha.sha1msg1),
  shaFunction('sha1msg2', 'CA', sha.sha1msg2),
  shaRow('sha256rnds2', 'CB', (m, a, b) => m.call(sha.sha256rnds2, a, b, m.read(XMM, 0))),
  shaFunction('sha256msg1', 'CC', sha.sha256msg1),
  shaFunction('sha256msg2', 'CD', sha.sha256msg2),
  legacy(
    'sha1rnds4',
    'NP 0F 3A CC /r',
    'Vdq Wdq Ib',
    map2((m, a, b) => m.call(sha.sha1rnds4[imm8(m, 2) & 3], a, b)),
    { feature: 'sha-ni' },
  ),
];
