/**
 * AVX's masked moves and AVX2's gathers: lanes whose mask has its sign set go
 * from or to memory, the others touch none.
 *
 * Spec: SDM volume 2, VMASKMOV, VPMASKMOV, VPGATHERDD and its kin; 2.3.12
 * "Vector SIB (VSIB) Memory Addressing".
 *
 * Departure: a gather that faults has changed neither destination nor mask.
 */
import * as op from '../../../ir/op.ts';
import { add, extendS, extendU, ltS, ltS32, shl, type Value, wrap } from '../../../ir/value.ts';
import { i32x4, i64x2, zero } from '../../../ir/vector.ts';
import type { MemoryOperand } from '../instance.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { XMM, YMMH } from '../registers.ts';
import type { Row } from '../opcode.ts';
import { Seg } from '../state.ts';
import { range, type Wide } from '../simd/operation.ts';
import { behind, isWide, setVector, setWide, setXmm, vector, wide, xmm } from '../vector-operand.ts';
import { both, type Semantics, vex } from './vector-forms.ts';

type Width = 32 | 64;
const shapeOf = (width: Width) => (width === 32 ? i32x4 : i64x2);
const isChosen = (width: Width, mask: Value, lane: number): Value =>
  width === 32 ? ltS32(i32x4.extractLane(mask, lane), 0) : ltS(i64x2.extractLane(mask, lane), 0);
const LOAD = { 32: op.I32_LOAD, 64: op.I64_LOAD } as const;
const STORE = { 32: op.I32_STORE, 64: op.I64_STORE } as const;

const halvesOf = (m: X86Insn, n: number): Value[] => {
  if (!isWide(m)) return [vector(m, n)];
  const { low, high } = wide(m, n);
  return [low, high];
};
const asWide = ([low, high]: readonly Value[]): Wide => ({ low, high });

const lane = (value: Value, width: Width): Value => (width === 32 ? wrap(value) : value);
/** Lanes of a memory operand: those that are not chosen may lie beyond its segment's limit. */
function lanesOf(m: X86Insn, n: number, width: Width, write: boolean) {
  const { seg } = m.operand(n) as MemoryOperand;
  if (m.bits !== 64 && (m.segmented || seg >= Seg.fs))
    return {
      load: (bytes: number) => lane(m.loadPart(n, bytes, width), width),
      store: (bytes: number, value: Value) => m.storePart(n, bytes, width, width === 32 ? extendU(value) : value),
    };
  const address = m.address(n, m.decoded.vectorLength / 8, write);
  return {
    load: (bytes: number) => m.gload(LOAD[width], behind(m, address, bytes)),
    store: (bytes: number, value: Value) => m.gstore(STORE[width], behind(m, address, bytes), value),
  };
}

/** `V = H ? M : 0`. */
const maskedLoad =
  (width: Width): Semantics =>
  (m) => {
    const { load } = lanesOf(m, 2, width, false);
    const result = halvesOf(m, 1).map((mask, half) => {
      const value = m.var(zero);
      for (const lane of range(128 / width))
        m.if(isChosen(width, mask, lane), () => {
          const loaded = load(16 * half + (lane * width) / 8);
          value.set(shapeOf(width).replaceLane(value.value, lane, loaded));
        });
      return value.value;
    });
    if (isWide(m)) setWide(m, 0, asWide(result));
    else setVector(m, 0, result[0]);
  };
/** `M = V where H`. */
const maskedStore =
  (width: Width): Semantics =>
  (m) => {
    const { store } = lanesOf(m, 0, width, true);
    const data = halvesOf(m, 2);
    halvesOf(m, 1).forEach((mask, half) => {
      for (const lane of range(128 / width))
        m.if(isChosen(width, mask, lane), () =>
          store(16 * half + (lane * width) / 8, shapeOf(width).extractLane(data[half], lane)),
        );
    });
  };

/**
 * Lanes of `data` bits by indices of `index` bits: as many as the wider ones fill the vector. Destination and
 * mask have the same number of lanes, zeros above.
 */
const gather =
  (index: Width, data: Width): Semantics =>
  (m) => {
    const { vectorIndex = 0, scale, seg, asize } = m.operand(1) as MemoryOperand;
    const count = m.decoded.vectorLength / Math.max(index, data);
    const base = m.let(m.offset(1));
    const pair = (n: number | Value): Value[] => [xmm(m, n), m.let(m.read(YMMH, n))];
    const [indices, masks, old] = [pair(vectorIndex), pair(m.leaves.register(2)), pair(m.leaves.register(0))];
    const result = range(Math.ceil((count * data) / 128)).map((half) => m.var(old[half]));
    for (const n of range(count)) {
      const [half, lane] = [Math.floor((n * data) / 128), n % (128 / data)];
      m.if(isChosen(data, masks[half], lane), () => {
        const number = shapeOf(index).extractLane(indices[Math.floor((n * index) / 128)], n % (128 / index));
        const wideNumber = index === 32 ? extendS(number) : number;
        const offset = m.let(zeroExtend(add(base, shl(wideNumber, scale)), asize));
        const loaded = m.gload(LOAD[data], m.linear(seg, offset, data / 8, false));
        result[half].set(shapeOf(data).replaceLane(result[half].value, lane, loaded));
      });
    }
    const clear = (n: number | Value): void => {
      m.write(XMM, n, zero);
      m.write(YMMH, n, zero);
    };
    clear(m.leaves.register(2));
    if (result.length === 2) setWide(m, 0, { low: result[0].value, high: result[1].value });
    // Two lanes of 32 bits: zeros above.
    else if (count * data < 128)
      setXmm(m, m.leaves.register(0), i64x2.replaceLane(zero, 0, i64x2.extractLane(result[0].value, 0)));
    else setXmm(m, m.leaves.register(0), result[0].value);
  };
const gatherRows = (name: string, byte: string, index: Width, data: Width): Row[] =>
  ['128', '256'].map((length) => {
    // With indices wider than data the destination is half a vector.
    const half = index > data || length === '128';
    const size = half ? 'dq' : 'qq';
    const text = `66 0F 38 ${byte} /r mem`;
    const field = `VEX.${length}.${data === 32 ? 'W0' : 'W1'}`;
    const operands = `V${size} M${data === 32 ? 'd' : 'q'} H${size}`;
    return vex(name, text, field, operands, gather(index, data), { feature: 'avx2', vsib: true });
  });

export const avxMemory = (): readonly Row[] => [
  ...both('maskmovps', '66 0F 38 2C /r mem', 'Vx Hx Mx', maskedLoad(32), 'avx', '.W0'),
  ...both('maskmovpd', '66 0F 38 2D /r mem', 'Vx Hx Mx', maskedLoad(64), 'avx', '.W0'),
  ...both('maskmovps', '66 0F 38 2E /r mem', 'Mx Hx Vx', maskedStore(32), 'avx', '.W0'),
  ...both('maskmovpd', '66 0F 38 2F /r mem', 'Mx Hx Vx', maskedStore(64), 'avx', '.W0'),
  ...both('pmaskmovd', '66 0F 38 8C /r mem', 'Vx Hx Mx', maskedLoad(32), 'avx2', '.W0'),
  ...both('pmaskmovq', '66 0F 38 8C /r mem', 'Vx Hx Mx', maskedLoad(64), 'avx2', '.W1'),
  ...both('pmaskmovd', '66 0F 38 8E /r mem', 'Mx Hx Vx', maskedStore(32), 'avx2', '.W0'),
  ...both('pmaskmovq', '66 0F 38 8E /r mem', 'Mx Hx Vx', maskedStore(64), 'avx2', '.W1'),
  ...gatherRows('pgatherdd', '90', 32, 32),
  ...gatherRows('pgatherdq', '90', 32, 64),
  ...gatherRows('pgatherqd', '91', 64, 32),
  ...gatherRows('pgatherqq', '91', 64, 64),
  ...gatherRows('gatherdps', '92', 32, 32),
  ...gatherRows('gatherdpd', '92', 32, 64),
  ...gatherRows('gatherqps', '93', 64, 32),
  ...gatherRows('gatherqpd', '93', 64, 64),
];
