/**
 * Comparisons of floating-point numbers: CMPx with its 32 predicates, COMISx
 * and UCOMISx.
 *
 * Spec: Intel SDM volume 2, CMPPD, table "Comparison Predicate for CMPPD and
 * CMPPS Instructions"; COMISD, UCOMISD.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import { and32, apply, i32, i64, or32, select, type Value, xor32 } from '../../../ir/value.ts';
import { ones, v128, zero } from '../../../ir/vector.ts';
import { SseFloat } from './float.ts';
import { isPlainNumber, plainLanes, type Precision } from './format.ts';
import { type Fault, isDenormal, Mxcsr, widened } from './mxcsr.ts';
import { range } from './operation.ts';

/**
 * By the low four bits: the relation of ordered numbers, whether it is turned
 * round (and then holds where there is no order), and whether a quiet NaN is
 * invalid; bit 4 says otherwise of that.
 */
type Relation = 'eq' | 'lt' | 'le' | 'gt' | 'ge' | 'ne' | 'ordered' | 'never';
const PREDICATES: readonly { readonly relation: Relation; readonly not: boolean; readonly signals: boolean }[] = [
  { relation: 'eq', not: false, signals: false },
  { relation: 'lt', not: false, signals: true },
  { relation: 'le', not: false, signals: true },
  { relation: 'ordered', not: true, signals: false },
  { relation: 'eq', not: true, signals: false },
  { relation: 'lt', not: true, signals: true },
  { relation: 'le', not: true, signals: true },
  { relation: 'ordered', not: false, signals: false },
  { relation: 'ne', not: true, signals: false },
  { relation: 'ge', not: true, signals: true },
  { relation: 'gt', not: true, signals: true },
  { relation: 'never', not: false, signals: false },
  { relation: 'ne', not: false, signals: false },
  { relation: 'ge', not: false, signals: true },
  { relation: 'gt', not: false, signals: true },
  { relation: 'never', not: true, signals: false },
];

/** Bits of EFLAGS. */
const [CF, PF, ZF] = [1, 4, 0x40];

export class SseCompare extends SseFloat {
  /** Flags what a comparison raises; gives the operands as numbers, denormal ones as MXCSR has them. */
  private note(code: Code, p: Precision, a: Value, b: Value, signals: boolean): Value[] {
    const { control } = this;
    const f = p.format;
    const x = [a, b].map((bits) => control.flushed(code, f, widened(code, bits)));
    const nan = code.let(or32(f.isNan(x[0]), f.isNan(x[1])));
    const invalid = signals ? nan : or32(f.isSignalling(x[0]), f.isSignalling(x[1]));
    code.if(invalid, () => control.raise(code, Mxcsr.ie));
    const denormal = or32(isDenormal(f, x[0]), isDenormal(f, x[1]));
    code.if(and32(denormal, xor32(nan, 1)), () => control.raise(code, Mxcsr.de));
    return x.map((bits) => code.let(p.fromBits(f.narrow(bits))));
  }

  /** A lane (bits, bits): all ones or 0. */
  private compareLane(p: Precision, predicate: number): IrFunction {
    const name = `sse_lane_compare_${p.name}_${predicate}`;
    return this.once(name, () =>
      define(name, [p.type, p.type], p.type, (code, a, b) => {
        const { relation, not, signals } = PREDICATES[predicate & 15];
        const [x, y] = this.note(code, p, a, b, signals !== predicate >= 16);
        const compare = (how: string, s = x, t = y): Value => apply(p.compare[how], s, t);
        const ordered = and32(compare('eq', x, x), compare('eq', y, y));
        const holds =
          relation === 'never'
            ? i32(0)
            : relation === 'ordered'
              ? ordered
              : relation === 'ne'
                ? and32(compare('ne'), ordered)
                : compare(relation);
        const [yes, no] = p.type === 'i32' ? [i32(-1), i32(0)] : [i64(-1), i64(0)];
        code.return(select(holds, not ? no : yes, not ? yes : no));
      }),
    );
  }
  private exactCompare(p: Precision, predicate: number, lanes: number): IrFunction {
    const name = `sse_compare_${p.name}_${lanes}_${predicate}`;
    return this.once(name, () =>
      this.control.instruction(name, ['v128', 'v128'], 'v128', (code, a, b) =>
        range(lanes).reduce(
          (result, n) => p.withBits(result, n, code.call(this.compareLane(p, predicate), p.bits(a, n), p.bits(b, n))),
          a,
        ),
      ),
    );
  }

  /** CMPPS, CMPPD: all ones where the predicate (0 to 31) holds. */
  compare(code: Code, p: Precision, a: Value, b: Value, predicate: number, fault: Fault): Value {
    const value = this.hostCompare(p, a, b, predicate);
    // Numbers that are neither NaN nor denormal raise nothing.
    const right = p.allTrue(v128.and(plainLanes(p, a), plainLanes(p, b)));
    const exact = () => code.call(this.exactCompare(p, predicate, p.lanes), a, b);
    return this.orElse(code, value, right, exact, fault);
  }
  private hostCompare(p: Precision, a: Value, b: Value, predicate: number): Value {
    const { relation, not } = PREDICATES[predicate & 15];
    // Right of ordered numbers, which is all that it is used for.
    if (relation === 'never') return not ? ones : zero;
    if (relation === 'ordered') return not ? zero : ones;
    const value = p.shape[relation](a, b);
    return not ? v128.not(value) : value;
  }
  /** CMPSS, CMPSD: lane 0. */
  compareScalar(code: Code, p: Precision, a: Value, b: Value, predicate: number, fault: Fault): Value {
    const host = this.hostCompare(p, a, b, predicate);
    const value = p.withBits(a, 0, p.bits(host, 0));
    const right = and32(isPlainNumber(p, p.number(a)), isPlainNumber(p, p.number(b)));
    const exact = () => code.call(this.exactCompare(p, predicate, 1), a, b);
    return this.orElse(code, value, right, exact, fault);
  }

  /** COMISx (`signals`: quiet NaNs are invalid) and UCOMISx: ZF, PF and CF as in EFLAGS (i32); OF, SF and AF are 0. */
  order(code: Code, p: Precision, a: Value, b: Value, signals: boolean, fault: Fault): Value {
    const flags = (x: Value, y: Value): Value =>
      select(
        apply(p.compare['lt'], x, y),
        i32(CF),
        select(apply(p.compare['eq'], x, y), i32(ZF), select(apply(p.compare['gt'], x, y), i32(0), i32(ZF | PF | CF))),
      );
    const name = `sse_${signals ? 'comis' : 'ucomis'}_${p.name}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, [p.type, p.type], 'i32', (inner, s, t) => {
        const [x, y] = this.note(inner, p, s, t, signals);
        return flags(x, y);
      }),
    );
    const [x, y] = [a, b].map((v) => code.let(p.number(v)));
    const right = and32(isPlainNumber(p, x), isPlainNumber(p, y));
    return this.orElse(code, flags(x, y), right, () => code.call(slow, p.toBits(x), p.toBits(y)), fault);
  }
}
