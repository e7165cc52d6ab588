/**
 * Exponents taken apart and put together, and the constants.
 *
 * Spec: Intel SDM volume 2, FSCALE, FXTRACT, FLD1/FLDL2T/FLDL2E/FLDPI/FLDLG2/FLDLN2/FLDZ.
 */
import { define, type IrFunction } from '../../../ir/code.ts';
import {
  add,
  add32,
  and32,
  clz,
  eq32,
  extendU,
  geS32,
  i32,
  i64,
  ltS32,
  or32,
  select,
  shl,
  shl32,
  shrU,
  shrU32,
  sub32,
  wrap,
} from '../../../ir/value.ts';
import type { Core } from './core.ts';
import {
  BIAS,
  EXCEPTION,
  INTEGER_BIT,
  isInfinite,
  isZero,
  PC,
  RC,
  read,
  signOf,
  TOP_EXPONENT,
  write,
} from './format.ts';

/** (dst, a, b) -> delivered: FSCALE, a * 2^trunc(b). */
function makeScale(core: Core): IrFunction {
  return define('x87_scale', ['i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb) => {
    core.specials(code, dst, pa, pb);
    const a = read(code, pa);
    const b = read(code, pb);
    const down = signOf(b);
    code.if(isInfinite(b), () => {
      code.if(select(down, isInfinite(a), isZero(a)), () => core.invalid(code, dst));
    });
    core.denormals(code, i32(0), a, b);
    code.if(or32(isInfinite(a), isZero(a)), () => core.exact(code, dst, a.se, a.significand));
    code.if(isInfinite(b), () => {
      const se = or32(and32(a.se, 0x8000), select(down, i32(0), i32(TOP_EXPONENT)));
      core.exact(code, dst, se, select(down, i64(0), i64(INTEGER_BIT)));
    });
    const x = core.normalise(code, a);
    // 2^16 is further than any exponent from any other.
    const far = geS32(b.exponent, BIAS + 16);
    const near = wrap(shrU(b.significand, extendU(sub32(BIAS + 63, b.exponent))));
    const steps = select(far, i32(0x10000), select(ltS32(b.exponent, BIAS), i32(0), near));
    const count = code.let(steps);
    const exponent = add32(x.exponent, select(down, sub32(0, count), count));
    code.return(code.call(core.round, dst, signOf(a), exponent, x.significand, i64(0), i32(PC.extended)));
  });
}

/** (exponent dst, significand dst, a) -> delivered: FXTRACT. */
function makeExtract(core: Core): IrFunction {
  return define('x87_extract', ['i32', 'i32', 'i32'], 'i32', (code, high, low, pa) => {
    const a = read(code, pa);
    const done = code.call(core.special, low, pa, pa);
    code.if(done, () => {
      code.if(eq32(done, 1), () => {
        const result = read(code, low);
        write(code, high, result.se, result.significand);
      });
      code.return(and32(done, 1));
    });
    code.if(isInfinite(a), () => {
      write(code, high, TOP_EXPONENT, INTEGER_BIT);
      core.exact(code, low, a.se, a.significand);
    });
    code.if(isZero(a), () => {
      code.if(core.raise(code, i32(EXCEPTION.ZE)), () => code.return(i32(0)));
      write(code, high, 0x8000 | TOP_EXPONENT, INTEGER_BIT);
      write(code, low, a.se, a.significand);
      code.return(i32(1));
    });
    core.denormals(code, i32(0), a);
    const x = core.normalise(code, a);
    const unbiased = code.let(sub32(x.exponent, BIAS));
    const negative = code.let(shrU32(unbiased, 31));
    const magnitude = code.let(extendU(select(negative, sub32(0, unbiased), unbiased)));
    const shift = code.let(clz(magnitude));
    const exponent = select(wrap(magnitude), sub32(BIAS + 63, wrap(shift)), i32(0));
    const significand = x.significand;
    write(code, high, or32(shl32(negative, 15), exponent), shl(magnitude, shift));
    core.exact(code, low, or32(and32(a.se, 0x8000), BIAS), significand);
  });
}

/** A constant: exponent, 64 bits of significand cut off, and whether to nearest goes up. */
interface Irrational {
  readonly exponent: number;
  readonly significand: bigint;
  readonly up: boolean;
}
const IRRATIONAL: Readonly<Record<'l2t' | 'l2e' | 'pi' | 'lg2' | 'ln2', Irrational>> = {
  l2t: { exponent: 1, significand: 0xd49a_784b_cd1b_8afen, up: false },
  l2e: { exponent: 0, significand: 0xb8aa_3b29_5c17_f0bbn, up: true },
  pi: { exponent: 1, significand: 0xc90f_daa2_2168_c234n, up: true },
  lg2: { exponent: -2, significand: 0x9a20_9a84_fbcf_f798n, up: true },
  ln2: { exponent: -1, significand: 0xb172_17f7_d1cf_79abn, up: true },
};

/** (dst) -> 1; rounded by rounding control. */
function makeIrrational(core: Core, name: keyof typeof IRRATIONAL): IrFunction {
  const { exponent, significand, up } = IRRATIONAL[name];
  return define(`x87_fld${name}`, ['i32'], 'i32', (code, dst) => {
    const rounding = core.rounding;
    const goesUp = eq32(rounding, RC.up);
    const more = up ? or32(goesUp, eq32(rounding, RC.nearest)) : goesUp;
    core.exact(code, dst, BIAS + exponent, add(i64(significand), extendU(more)));
  });
}

function makeConstant(core: Core, name: string, se: number, significand: bigint): IrFunction {
  return define(`x87_fld${name}`, ['i32'], 'i32', (code, dst) => core.exact(code, dst, i32(se), i64(significand)));
}

export interface ScaleFunctions {
  /** (dst, a, b) -> delivered: FSCALE */
  readonly scale: IrFunction;
  /** (dst of the exponent, dst of the significand, a) -> delivered: FXTRACT */
  readonly extract: IrFunction;
  /** (dst) -> 1: FLD1, FLDZ, FLDL2T, ... */
  readonly constants: Readonly<Record<'one' | 'zero' | 'l2t' | 'l2e' | 'pi' | 'lg2' | 'ln2', IrFunction>>;
}

export function makeScaleFunctions(core: Core): ScaleFunctions {
  return {
    scale: makeScale(core),
    extract: makeExtract(core),
    constants: {
      one: makeConstant(core, '1', BIAS, INTEGER_BIT),
      zero: makeConstant(core, 'z', 0, 0n),
      l2t: makeIrrational(core, 'l2t'),
      l2e: makeIrrational(core, 'l2e'),
      pi: makeIrrational(core, 'pi'),
      lg2: makeIrrational(core, 'lg2'),
      ln2: makeIrrational(core, 'ln2'),
    },
  };
}
