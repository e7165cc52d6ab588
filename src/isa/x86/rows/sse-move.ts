/**
 * Vector moves: whole registers, halves, elements; between general, MMX and
 * XMM registers; masks of signs; stores past the caches; masked stores.
 *
 * Spec: SDM volume 2, MOVAPS, MOVD, MOVDQA, MOVDQU, MOVHPS, MOVLPS, MOVMSKPS,
 * MOVNTDQ, MOVQ, MOVSS, MASKMOVDQU, LDDQU, EMMS, VZEROALL, VZEROUPPER ...
 * Stores past the caches are stores.
 */
import {
  add,
  and32,
  extendU,
  i64,
  ltU,
  or32,
  select,
  shl,
  shl32,
  shrU,
  shrU32,
  type Value,
  zext32,
} from '../../../ir/value.ts';
import * as op from '../../../ir/op.ts';
import { i64x2, shuffleLanes, zero } from '../../../ir/vector.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RDI, XMM, YMMH } from '../registers.ts';
import { insn, type Row } from '../opcode.ts';
import { low, pmovmskb as mmxMask, widen } from '../simd/mmx.ts';
import { movddup, movhlps, movmskpd, movmskps, movshdup, movsldup, pmovmskb, punpcklqdq } from '../simd/shuffle.ts';
import { enterMmx, isWide, mmx, setMmx, setVector, setWide, vector, wide, withMmx } from '../vector-operand.ts';
import { pendingX87 } from '../x87-unit.ts';
import { first, legacy, map1, map2, packed, scalar, type Semantics, vex } from './vector-forms.ts';

/** A whole register or memory. */
const move =
  (aligned: boolean): Semantics =>
  (m) => {
    if (isWide(m)) setWide(m, 0, wide(m, 1, aligned), aligned);
    else setVector(m, 0, vector(m, 1, aligned), aligned);
  };
const both = (name: string, prefix: string, load: string, store: string, aligned: boolean, feature: string): Row[] => [
  ...packed(name, `${prefix} 0F ${load} /r`, 'Vx Wx', move(aligned), feature, 'avx'),
  ...packed(name, `${prefix} 0F ${store} /r`, 'Wx Vx', move(aligned), feature, 'avx'),
];
const past = (name: string, text: string, feature: string): Row[] =>
  packed(name, text, 'Mx Vx', move(true), feature, 'avx');

// Elements. From memory they clear the rest of the register; between registers they leave it (VEX: take it from vvvv).

const lowest = (size: 4 | 8, into: Value, from: Value): Value =>
  shuffleLanes(size, into, from, size === 4 ? [4, 1, 2, 3] : [2, 1]);
const element = (name: string, prefix: string, code: 's' | 'd', feature: string): Row[] => {
  const size = code === 's' ? 4 : 8;
  const memory = code === 's' ? 'd' : 'q';
  const copy: Semantics = (m) => setVector(m, 0, vector(m, 1));
  const merge: Semantics = (m) => {
    const n = first(m);
    const into = vector(m, n);
    setVector(m, 0, lowest(size, into, vector(m, n + 1)));
  };
  return [
    ...scalar(name, `${prefix} 0F 10 /r reg`, 'Vdq Hdq Udq', merge, feature),
    ...scalar(name, `${prefix} 0F 10 /r mem`, `Vdq M${memory}`, copy, feature),
    ...scalar(name, `${prefix} 0F 11 /r reg`, 'Udq Hdq Vdq', merge, feature),
    ...scalar(name, `${prefix} 0F 11 /r mem`, `M${memory} Vdq`, copy, feature),
  ];
};
const loadHalf =
  (lane: 0 | 1): Semantics =>
  (m) => {
    const n = first(m);
    setVector(m, 0, i64x2.replaceLane(vector(m, n), lane, m.get(n + 1)));
  };
const storeHalf =
  (lane: 0 | 1): Semantics =>
  (m) =>
    m.set(0, i64x2.extractLane(vector(m, 1), lane));
const halves = (name: string, prefix: string, load: string, store: string, lane: 0 | 1, feature: string): Row[] => [
  ...packed(name, `${prefix} 0F ${load} /r mem`, 'Vdq Hdq Mq', loadHalf(lane), feature),
  ...packed(name, `${prefix} 0F ${store} /r mem`, 'Mq Vdq', storeHalf(lane), feature),
];

const fromGeneral: Semantics = (m) => setVector(m, 0, widen(m.zx(1)));
const toGeneral: Semantics = (m) => m.set(0, low(vector(m, 1)));
const lowQuadword: Semantics = (m) => setVector(m, 0, widen(low(vector(m, 1))));

/** Half as wide as the others: 64 bits of memory for 128. */
const duplicate: Semantics = (m) => {
  if (!isWide(m)) setVector(m, 0, movddup(m, vector(m, 1)));
  else {
    const { low, high } = wide(m, 1);
    setWide(m, 0, { low: movddup(m, low), high: movddup(m, high) });
  }
};

const signs =
  (mask: (x: Value) => Value, lanes: number): Semantics =>
  (m) => {
    if (!isWide(m)) m.set(0, extendU(mask(vector(m, 1))));
    else {
      const { low, high } = wide(m, 1);
      m.set(0, extendU(or32(mask(low), shl32(mask(high), lanes))));
    }
  };

/**
 * The bytes of `low` and `high` (i64) that `mask` (i32) names, to `bytes` of memory at rDI. All of these must be
 * writable, named or not: the manual leaves that to processors.
 */
function storeBytes(m: X86Insn, low: Value, high: Value, mask: Value, bytes: 8 | 16): void {
  const { asize } = m.decoded;
  const offset = m.let(zeroExtend(m.r(RDI), asize));
  const start = m.let(m.linear(m.segment(), offset, bytes, true));
  m.gload(bytes === 8 ? op.I64_LOAD : op.V128_LOAD, start, 'store');
  const left = m.var(mask);
  const n = m.var(i64(0));
  m.while(
    () => left.value,
    () => {
      m.if(and32(left.value, 1), () => {
        const at = m.let(m.bits === 64 ? add(start, n.value) : zext32(add(start, n.value)));
        // The count is modulo 64.
        m.gstore(op.I64_STORE8, at, m.let(shrU(select(ltU(n.value, 8), low, high), shl(n.value, 3))));
      });
      left.set(shrU32(left.value, 1));
      n.set(add(n.value, 1));
    },
  );
}
const maskedStore: Semantics = (m) => {
  const data = vector(m, 0);
  const mask = m.let(pmovmskb(vector(m, 1)));
  storeBytes(m, m.let(i64x2.extractLane(data, 0)), m.let(i64x2.extractLane(data, 1)), mask, 16);
};
const maskedStoreMmx: Semantics = (m) => {
  pendingX87(m);
  enterMmx(m);
  const mask = m.let(mmxMask(mmx(m, 1)));
  storeBytes(m, mmx(m, 0), i64(0), mask, 8);
};

// MMX registers.

const moveMmx = withMmx((m) => setMmx(m, 0, mmx(m, 1)));
const generalToMmx = withMmx((m) => setMmx(m, 0, m.let(m.zx(1))));
const mmxToGeneral = withMmx((m) => m.set(0, mmx(m, 1)));
const mmxToXmm = withMmx((m) => setVector(m, 0, widen(mmx(m, 1))));
const xmmToMmx = withMmx((m) => setMmx(m, 0, m.let(low(vector(m, 1)))));
const emptyMmx: Semantics = (m) => {
  pendingX87(m);
  m.setState('ftop', 0);
  m.setState('ftag', 0xffff);
};

const registerCount = (m: X86Insn): number => (m.bits === 64 ? 16 : 8);
const zeroUpper: Semantics = (m) => {
  for (let n = 0; n < registerCount(m); n++) m.write(YMMH, n, zero);
};
const zeroAll: Semantics = (m) => {
  for (let n = 0; n < registerCount(m); n++) {
    m.write(XMM, n, zero);
    m.write(YMMH, n, zero);
  }
};

const mmxTraits = { gate: 'mmx', feature: 'mmx' } as const;
const sseMmx = { gate: 'mmx', feature: 'sse' } as const;

export const sseMoves = (): readonly Row[] => [
  ...both('movups', 'NP', '10', '11', false, 'sse'),
  ...both('movupd', '66', '10', '11', false, 'sse2'),
  ...both('movaps', 'NP', '28', '29', true, 'sse'),
  ...both('movapd', '66', '28', '29', true, 'sse2'),
  ...both('movdqa', '66', '6F', '7F', true, 'sse2'),
  ...both('movdqu', 'F3', '6F', '7F', false, 'sse2'),
  ...packed('lddqu', 'F2 0F F0 /r mem', 'Vx Mx', move(false), 'pni', 'avx'),
  ...past('movntps', 'NP 0F 2B /r mem', 'sse'),
  ...past('movntpd', '66 0F 2B /r mem', 'sse2'),
  ...past('movntdq', '66 0F E7 /r mem', 'sse2'),
  ...packed('movntdqa', '66 0F 38 2A /r mem', 'Vx Mx', move(true), 'sse4.1', 'avx2'),
  ...element('movss', 'F3', 's', 'sse'),
  ...element('movsd', 'F2', 'd', 'sse2'),
  ...halves('movlps', 'NP', '12', '13', 0, 'sse'),
  ...halves('movlpd', '66', '12', '13', 0, 'sse2'),
  ...halves('movhps', 'NP', '16', '17', 1, 'sse'),
  ...halves('movhpd', '66', '16', '17', 1, 'sse2'),
  ...packed('movhlps', 'NP 0F 12 /r reg', 'Vdq Hdq Udq', map2(movhlps), 'sse'),
  ...packed('movlhps', 'NP 0F 16 /r reg', 'Vdq Hdq Udq', map2(punpcklqdq), 'sse'),
  ...packed('movsldup', 'F3 0F 12 /r', 'Vx Wx', map1(movsldup), 'pni', 'avx'),
  ...packed('movshdup', 'F3 0F 16 /r', 'Vx Wx', map1(movshdup), 'pni', 'avx'),
  legacy('movddup', 'F2 0F 12 /r', 'Vdq Wq', duplicate, { feature: 'pni' }),
  vex('movddup', 'F2 0F 12 /r', 'VEX.128', 'Vdq Wq', duplicate),
  vex('movddup', 'F2 0F 12 /r', 'VEX.256', 'Vqq Wqq', duplicate),
  ...packed('movd', '66 0F 6E /r', 'Vdq Ey', fromGeneral, 'sse2'),
  ...packed('movd', '66 0F 7E /r', 'Ey Vdq', toGeneral, 'sse2'),
  ...packed('movq', 'F3 0F 7E /r', 'Vdq Wq', lowQuadword, 'sse2'),
  ...packed('movq', '66 0F D6 /r', 'Wq Vdq', lowQuadword, 'sse2'),
  ...packed('movmskps', 'NP 0F 50 /r reg', 'Gd Ux', signs(movmskps, 4), 'sse', 'avx'),
  ...packed('movmskpd', '66 0F 50 /r reg', 'Gd Ux', signs(movmskpd, 2), 'sse2', 'avx'),
  ...packed('maskmovdqu', '66 0F F7 /r reg', 'Vdq Udq', maskedStore, 'sse2'),

  insn('movd', 'NP 0F 6E /r', 'Pq Ey', generalToMmx, mmxTraits),
  insn('movd', 'NP 0F 7E /r', 'Ey Pq', mmxToGeneral, mmxTraits),
  insn('movq', 'NP 0F 6F /r', 'Pq Qq', moveMmx, mmxTraits),
  insn('movq', 'NP 0F 7F /r', 'Qq Pq', moveMmx, mmxTraits),
  insn('movntq', 'NP 0F E7 /r mem', 'Mq Pq', moveMmx, sseMmx),
  insn('maskmovq', 'NP 0F F7 /r reg', 'Pq Nq', maskedStoreMmx, sseMmx),
  legacy('movq2dq', 'F3 0F D6 /r reg', 'Vdq Nq', mmxToXmm, { feature: 'sse2' }),
  legacy('movdq2q', 'F2 0F D6 /r reg', 'Pq Udq', xmmToMmx, { feature: 'sse2' }),
  insn('emms', 'NP 0F 77', '', emptyMmx, mmxTraits),
  vex('zeroupper', 'NP 0F 77', 'VEX.128', '', zeroUpper),
  vex('zeroall', 'NP 0F 77', 'VEX.256', '', zeroAll),
];
