/**
 * Packed integers: MMX, SSE2, SSSE3, and their AVX and AVX2 forms.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, "Programming with
 * Intel MMX Technology", 11.4.2 "SSE2 64-Bit and 128-Bit SIMD Integer
 * Instructions", 12.6 "SSSE3 Instructions".
 */
import { extendU, or32, shl32, wrap } from '../../../ir/value.ts';
import { insn, type Row } from '../opcode.ts';
import * as arithmetic from '../simd/arithmetic.ts';
import { gathered, lanewise, one, palignrMmx, pmovmskb as mmxMask, pshufb, pshufw, upper } from '../simd/mmx.ts';
import * as mmxForm from '../simd/mmx.ts';
import type { Binary, Unary, UnaryImm } from '../simd/operation.ts';
import * as shift from '../simd/shift.ts';
import * as shuffle from '../simd/shuffle.ts';
import { imm8, isWide, mmx, setMmx, setVector, setWide, vector, wide, withMmx } from '../vector-operand.ts';
import {
  first,
  hex,
  legacy,
  map1,
  map1Imm,
  map2,
  map2Imm,
  mmxRow,
  packed,
  type Semantics,
  vex,
} from './vector-forms.ts';

/** How 64 bits are done by 128: lane by lane, on a register made of both operands, as given; or there is no MMX form. */
type MmxForm = 'lanes' | 'joined' | 'none' | mmxForm.MmxBinary;

/** SSE2, AVX, AVX2 and MMX (which SSE or SSE2 brought in some cases). */
function integer(name: string, code: string, operation: Binary, form: MmxForm = 'lanes', mmxFeature = 'mmx'): Row[] {
  const feature = code.startsWith('0F 38') ? 'ssse3' : 'sse2';
  const rows = packed(name, `66 ${code} /r`, 'Vx Hx Wx', map2(operation), feature, 'avx2');
  if (form === 'none') return rows;
  const narrow = form === 'lanes' ? lanewise(operation) : form === 'joined' ? gathered(operation) : form;
  // Unpacking low halves reads 32 bits of memory.
  const operands = name.startsWith('punpckl') ? 'Pq Qd' : 'Pq Qq';
  return [...rows, mmxRow(name, `NP ${code} /r`, narrow, feature === 'ssse3' ? feature : mmxFeature, operands)];
}
const absolute = (name: string, code: string, operation: Unary): Row[] => [
  ...packed(name, `66 ${code} /r`, 'Vx Wx', map1(operation), 'ssse3', 'avx2'),
  mmxRow(name, `NP ${code} /r`, (m, _, b) => one(operation)(m, b), 'ssse3'),
];

// Shifts.

type Shift = typeof shift.psllw;

const halves =
  (operation: (m: Parameters<Semantics>[0], n: number) => Unary): Semantics =>
  (m) => {
    const n = first(m);
    const f = operation(m, n + 1);
    if (isWide(m)) {
      const a = wide(m, n);
      setWide(m, 0, { low: f(m, a.low), high: f(m, a.high) });
    } else setVector(m, 0, f(m, vector(m, n)));
  };
/** By the low 64 bits of an XMM register or of memory. */
const shiftByVector = (operation: Shift): Semantics =>
  halves((m, n) => {
    const count = vector(m, n);
    return (code, a) => operation(code, a, count);
  });
/** By an immediate; the destination is VEX.vvvv, the source ModRM.rm. */
const shiftByImmediate = (operation: UnaryImm): Semantics =>
  halves((m, n) => {
    const imm = imm8(m, n);
    return (code, a) => operation(code, a, imm);
  });

const immediateShift = (name: string, text: string, operation: UnaryImm): Row[] => [
  legacy(name, `66 ${text} reg`, 'Ux Ib', shiftByImmediate(operation), { feature: 'sse2' }),
  vex(name, `66 ${text} reg`, 'VEX.128', 'Hx Ux Ib', shiftByImmediate(operation)),
  vex(name, `66 ${text} reg`, 'VEX.256', 'Hx Ux Ib', shiftByImmediate(operation), { feature: 'avx2' }),
];
const shifts = (name: string, byte: number, immediate: string, operation: Shift): Row[] => [
  ...packed(name, `66 0F ${hex(byte)} /r`, 'Vx Hx Wdq', shiftByVector(operation), 'sse2', 'avx2'),
  ...immediateShift(name, immediate, operation),
  mmxRow(name, `NP 0F ${hex(byte)} /r`, lanewise(operation), 'mmx'),
  insn(
    name,
    `NP ${immediate} reg`,
    'Nq Ib',
    withMmx((m) => {
      const imm = imm8(m, 1);
      setMmx(m, 0, one((code, a) => operation(code, a, imm))(m, mmx(m, 0)));
    }),
    { gate: 'mmx', feature: 'mmx', immediate: 'constant' },
  ),
];

// Words from and to general registers or memory, and masks.

/** ModRM.rm is a general register of 32 bits, or memory of the lane's size. */
const insertWord: Semantics = (m) => {
  const n = first(m);
  const word = wrap(m.get(n + 1));
  setVector(m, 0, shuffle.pinsrw(vector(m, n), word, imm8(m, n + 2)));
};
const extractWord: Semantics = (m) => m.set(0, extendU(shuffle.pextrw(vector(m, 1), imm8(m, 2))));
const insertWordMmx = withMmx((m) => {
  const word = wrap(m.get(1));
  setMmx(m, 0, mmxForm.low(shuffle.pinsrw(mmxForm.widen(mmx(m, 0)), word, imm8(m, 2) & 3)));
});
const extractWordMmx = withMmx((m) => m.set(0, extendU(shuffle.pextrw(mmxForm.widen(mmx(m, 1)), imm8(m, 2) & 3))));
const byteMask: Semantics = (m) => {
  if (!isWide(m)) m.set(0, extendU(shuffle.pmovmskb(vector(m, 1))));
  else {
    const { low, high } = wide(m, 1);
    m.set(0, extendU(or32(shuffle.pmovmskb(low), shl32(shuffle.pmovmskb(high), 16))));
  }
};
const byteMaskMmx = withMmx((m) => m.set(0, extendU(mmxMask(mmx(m, 1)))));

const mmxImmediate = (operation: typeof palignrMmx): Semantics =>
  withMmx((m) => {
    const a = mmx(m, 0);
    setMmx(m, 0, operation(m, a, mmx(m, 1), imm8(m, 2)));
  });
const mmxTraits = { gate: 'mmx', feature: 'sse', immediate: 'constant' } as const;

const A = arithmetic;
const S = shuffle;
export const sseInteger = (): readonly Row[] => [
  ...integer('punpcklbw', '0F 60', S.punpcklbw),
  ...integer('punpcklwd', '0F 61', S.punpcklwd),
  ...integer('punpckldq', '0F 62', S.punpckldq),
  ...integer('punpcklqdq', '0F 6C', S.punpcklqdq, 'none'),
  ...integer('punpckhbw', '0F 68', S.punpckhbw, upper(S.punpcklbw)),
  ...integer('punpckhwd', '0F 69', S.punpckhwd, upper(S.punpcklwd)),
  ...integer('punpckhdq', '0F 6A', S.punpckhdq, upper(S.punpckldq)),
  ...integer('punpckhqdq', '0F 6D', S.punpckhqdq, 'none'),
  ...integer('packsswb', '0F 63', S.packsswb, 'joined'),
  ...integer('packuswb', '0F 67', S.packuswb, 'joined'),
  ...integer('packssdw', '0F 6B', S.packssdw, 'joined'),
  ...integer('pcmpgtb', '0F 64', A.pcmpgtb),
  ...integer('pcmpgtw', '0F 65', A.pcmpgtw),
  ...integer('pcmpgtd', '0F 66', A.pcmpgtd),
  ...integer('pcmpeqb', '0F 74', A.pcmpeqb),
  ...integer('pcmpeqw', '0F 75', A.pcmpeqw),
  ...integer('pcmpeqd', '0F 76', A.pcmpeqd),
  ...integer('paddb', '0F FC', A.paddb),
  ...integer('paddw', '0F FD', A.paddw),
  ...integer('paddd', '0F FE', A.paddd),
  ...integer('paddq', '0F D4', A.paddq, 'lanes', 'sse2'),
  ...integer('psubb', '0F F8', A.psubb),
  ...integer('psubw', '0F F9', A.psubw),
  ...integer('psubd', '0F FA', A.psubd),
  ...integer('psubq', '0F FB', A.psubq, 'lanes', 'sse2'),
  ...integer('paddsb', '0F EC', A.paddsb),
  ...integer('paddsw', '0F ED', A.paddsw),
  ...integer('paddusb', '0F DC', A.paddusb),
  ...integer('paddusw', '0F DD', A.paddusw),
  ...integer('psubsb', '0F E8', A.psubsb),
  ...integer('psubsw', '0F E9', A.psubsw),
  ...integer('psubusb', '0F D8', A.psubusb),
  ...integer('psubusw', '0F D9', A.psubusw),
  ...integer('pand', '0F DB', A.pand),
  ...integer('pandn', '0F DF', A.pandn),
  ...integer('por', '0F EB', A.por),
  ...integer('pxor', '0F EF', A.pxor),
  ...integer('pmullw', '0F D5', A.pmullw),
  ...integer('pmulhw', '0F E5', A.pmulhw),
  ...integer('pmulhuw', '0F E4', A.pmulhuw, 'lanes', 'sse'),
  ...integer('pmuludq', '0F F4', A.pmuludq, 'lanes', 'sse2'),
  ...integer('pmaddwd', '0F F5', A.pmaddwd),
  ...integer('pminub', '0F DA', A.pminub, 'lanes', 'sse'),
  ...integer('pmaxub', '0F DE', A.pmaxub, 'lanes', 'sse'),
  ...integer('pminsw', '0F EA', A.pminsw, 'lanes', 'sse'),
  ...integer('pmaxsw', '0F EE', A.pmaxsw, 'lanes', 'sse'),
  ...integer('pavgb', '0F E0', A.pavgb, 'lanes', 'sse'),
  ...integer('pavgw', '0F E3', A.pavgw, 'lanes', 'sse'),
  ...integer('psadbw', '0F F6', A.psadbw, 'lanes', 'sse'),

  ...shifts('psrlw', 0xd1, '0F 71 /2', shift.psrlw),
  ...shifts('psrld', 0xd2, '0F 72 /2', shift.psrld),
  ...shifts('psrlq', 0xd3, '0F 73 /2', shift.psrlq),
  ...shifts('psraw', 0xe1, '0F 71 /4', shift.psraw),
  ...shifts('psrad', 0xe2, '0F 72 /4', shift.psrad),
  ...shifts('psllw', 0xf1, '0F 71 /6', shift.psllw),
  ...shifts('pslld', 0xf2, '0F 72 /6', shift.pslld),
  ...shifts('psllq', 0xf3, '0F 73 /6', shift.psllq),
  ...immediateShift('psrldq', '0F 73 /3', shift.psrldq),
  ...immediateShift('pslldq', '0F 73 /7', shift.pslldq),

  ...packed('pshufd', '66 0F 70 /r', 'Vx Wx Ib', map1Imm(S.pshufd), 'sse2', 'avx2'),
  ...packed('pshufhw', 'F3 0F 70 /r', 'Vx Wx Ib', map1Imm(S.pshufhw), 'sse2', 'avx2'),
  ...packed('pshuflw', 'F2 0F 70 /r', 'Vx Wx Ib', map1Imm(S.pshuflw), 'sse2', 'avx2'),
  insn(
    'pshufw',
    'NP 0F 70 /r',
    'Pq Qq Ib',
    mmxImmediate((code, _, b, imm) => pshufw(code, b, imm)),
    mmxTraits,
  ),
  ...packed('pinsrw', '66 0F C4 /r reg', 'Vdq Hdq Rd Ib', insertWord, 'sse2'),
  ...packed('pinsrw', '66 0F C4 /r mem', 'Vdq Hdq Mw Ib', insertWord, 'sse2'),
  ...packed('pextrw', '66 0F C5 /r reg', 'Gd Udq Ib', extractWord, 'sse2'),
  ...packed('pmovmskb', '66 0F D7 /r reg', 'Gd Ux', byteMask, 'sse2', 'avx2'),
  insn('pinsrw', 'NP 0F C4 /r reg', 'Pq Rd Ib', insertWordMmx, mmxTraits),
  insn('pinsrw', 'NP 0F C4 /r mem', 'Pq Mw Ib', insertWordMmx, mmxTraits),
  insn('pextrw', 'NP 0F C5 /r reg', 'Gd Nq Ib', extractWordMmx, mmxTraits),
  insn('pmovmskb', 'NP 0F D7 /r reg', 'Gd Nq', byteMaskMmx, { gate: 'mmx', feature: 'sse' }),

  ...integer('pshufb', '0F 38 00', S.pshufb, pshufb),
  ...integer('phaddw', '0F 38 01', A.phaddw, 'joined'),
  ...integer('phaddd', '0F 38 02', A.phaddd, 'joined'),
  ...integer('phaddsw', '0F 38 03', A.phaddsw, 'joined'),
  ...integer('pmaddubsw', '0F 38 04', A.pmaddubsw),
  ...integer('phsubw', '0F 38 05', A.phsubw, 'joined'),
  ...integer('phsubd', '0F 38 06', A.phsubd, 'joined'),
  ...integer('phsubsw', '0F 38 07', A.phsubsw, 'joined'),
  ...integer('psignb', '0F 38 08', A.psignb),
  ...integer('psignw', '0F 38 09', A.psignw),
  ...integer('psignd', '0F 38 0A', A.psignd),
  ...integer('pmulhrsw', '0F 38 0B', A.pmulhrsw),
  ...absolute('pabsb', '0F 38 1C', A.pabsb),
  ...absolute('pabsw', '0F 38 1D', A.pabsw),
  ...absolute('pabsd', '0F 38 1E', A.pabsd),
  ...packed('palignr', '66 0F 3A 0F /r', 'Vx Hx Wx Ib', map2Imm(S.palignr), 'ssse3', 'avx2'),
  insn('palignr', 'NP 0F 3A 0F /r', 'Pq Qq Ib', mmxImmediate(palignrMmx), { ...mmxTraits, feature: 'ssse3' }),
];
