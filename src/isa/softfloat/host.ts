/**
 * What the host's own arithmetic may do: results to nearest-even, where the
 * flags are known without looking.
 *
 * WebAssembly computes the right result and no flags. While inexact is flagged
 * already and rounding is to nearest (the guest's `fast` condition), only
 * overflow, underflow and invalid could be missed: the result is then not
 * finite, or tiny. Every check below refuses those, so a NaN operand or result
 * never gets through.
 *
 * A WebAssembly engine with relaxed SIMD has a multiply-add of its own; whether
 * it is fused depends on the machine, so one would have to try it at start-up.
 */
import { type Code, define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  addF64,
  and,
  apply,
  bitsF32,
  bitsF64,
  eqz32,
  f32,
  f64,
  fromBitsF64,
  ltU,
  ltU32,
  mulF64,
  ne,
  shl,
  shl32,
  sub,
  sub32,
  subF64,
  type Value,
} from '../../ir/value.ts';

/** Not infinite and no NaN. */
export function isBounded(x: Value): Value {
  if (x.type === 'f64') return apply(op.f64Compare.lt, apply(op.f64Unary.abs, x), f64(Infinity));
  return apply(op.f32Compare.lt, apply(op.f32Unary.abs, x), f32(Infinity));
}

/** Finite and greater in magnitude than the smallest normal number, to which a tiny one may have been rounded. */
export function isSafe(x: Value): Value {
  // One comparison of the bits without the sign.
  if (x.type === 'f64') {
    const least = (1n << 53n) + 1n;
    return ltU(sub(shl(bitsF64(x), 1), least), (0x7ffn << 53n) - least);
  }
  const least = (1 << 24) + 1;
  return ltU32(sub32(shl32(bitsF32(x), 1), least), 0xff00_0000 - least);
}

/**
 * Whether a * b + c of binary32, computed in binary64 as `sum`, is right once it is
 * demoted: the product is exact, so the sum was rounded once to 53 bits, and a second
 * rounding goes wrong only from a number half-way between two of binary32.
 */
export function isNoHalfway(sum: Value): Value {
  return ne(and(bitsF64(sum), 0x1fff_ffff), 0x1000_0000);
}

/** A double in two parts of 26 bits. */
function split(code: Code, x: Value): { readonly high: Value; readonly low: Value } {
  const high = code.let(fromBitsF64(and(add(bitsF64(x), 1 << 26), -(1 << 27))));
  return { high, low: code.let(subF64(x, high)) };
}

/**
 * binary64 a * b + c by error-free transformations: (f64, f64, f64, rm) -> f64.
 * `fast` is the guest's condition, `exact` the function on bits for all the rest.
 *
 * Dekker's product and Knuth's sum give product + c = sum + sumError + productError
 * exactly. What is added to `sum` is known to half a unit; when the result is the same
 * with a little more and a little less, it is the right one (Ziv's test).
 */
export function makeHostFma(exact: IrFunction, fast: () => Value): IrFunction {
  return define('f64_fma_host', ['f64', 'f64', 'f64', 'i32'], 'f64', (code, a, b, c, rounding) => {
    code.block((slow) => {
      code.br(slow, eqz32(fast()));
      const product = code.let(mulF64(a, b));
      // Down to here the parts of the product's error are normal numbers, or at least exact.
      const large = apply(op.f64Compare.ge, apply(op.f64Unary.abs, product), f64(2 ** -960));
      code.br(slow, eqz32(large));
      const x = split(code, a);
      const y = split(code, b);
      const cross = addF64(subF64(mulF64(x.high, y.high), product), mulF64(x.high, y.low));
      const productError = addF64(addF64(cross, mulF64(x.low, y.high)), mulF64(x.low, y.low));
      const sum = code.let(addF64(product, c));
      const back = code.let(subF64(sum, product));
      const sumError = addF64(subF64(product, subF64(sum, back)), subF64(c, back));
      const rest = code.let(addF64(sumError, productError));
      const little = code.let(mulF64(rest, f64(2 ** -52)));
      const result = code.let(addF64(sum, addF64(rest, little)));
      const other = addF64(sum, subF64(rest, little));
      code.br(slow, apply(op.f64Compare.ne, result, other));
      code.br(slow, eqz32(isBounded(result)));
      code.return(result);
    });
    code.return(fromBitsF64(code.call(exact, bitsF64(a), bitsF64(b), bitsF64(c), rounding)));
  });
}
