/** Products and quotients of 128 bits. */
import { define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  divU,
  eqz,
  extendU,
  geU,
  gtU,
  i32,
  i64,
  ltS,
  mul,
  ne,
  ne32,
  neg,
  or,
  or32,
  remU,
  select,
  shl,
  shrS,
  shrU,
  sub,
  sub32,
  xor32,
} from '../../ir/value.ts';
import { put } from './field.ts';

/** mul_high_u(a, b): the upper 64 bits of the product. */
export const mulHighU = define('mul_high_u', ['i64', 'i64'], 'i64', (f, a, b) => {
  const low = (x: typeof a) => and(x, 0xffff_ffff);
  const high = (x: typeof a) => shrU(x, 32);
  const middle = f.let(add(mul(high(a), low(b)), high(mul(low(a), low(b)))));
  const other = f.let(add(mul(low(a), high(b)), low(middle)));
  f.return(add(mul(high(a), high(b)), add(high(middle), high(other))));
});

/** mul_high_s(a, b): the same of a signed product. */
export const mulHighS = define('mul_high_s', ['i64', 'i64'], 'i64', (f, a, b) => {
  const unsigned = f.call(mulHighU, a, b);
  f.return(sub(sub(unsigned, and(shrS(a, 63), b)), and(shrS(b, 63), a)));
});

/**
 * divide_128(high, low, divisor, signed): quotient to `result`, remainder to `result2`; 1 when the quotient does not
 * fit 64 bits. The divisor is not 0.
 */
export const divide128 = define('divide_128', ['i64', 'i64', 'i64', 'i32'], 'i32', (f, high, low, divisor, signed) => {
  const negative = f.let(and32(signed, ltS(high, 0)));
  const divisorNegative = f.let(and32(signed, ltS(divisor, 0)));
  const lowPart = f.let(select(negative, neg(low), low));
  const borrow = extendU(ne(low, 0));
  const highPart = f.let(select(negative, sub(neg(high), borrow), high));
  const d = f.let(select(divisorNegative, neg(divisor), divisor));
  f.if(geU(highPart, d), () => f.return(i32(1)));
  const quotient = f.var(i64(0));
  const remainder = f.var(i64(0));
  f.if(
    eqz(highPart),
    () => {
      quotient.set(divU(lowPart, d));
      remainder.set(remU(lowPart, d));
    },
    () => {
      // Bit by bit: rare in practice.
      const r = f.var(highPart);
      const rest = f.var(lowPart);
      const n = f.var(i32(64));
      f.while(
        () => ne32(n.value, 0),
        () => {
          const carry = f.let(shrU(r.value, 63));
          r.set(or(shl(r.value, 1), shrU(rest.value, 63)));
          rest.set(shl(rest.value, 1));
          quotient.set(shl(quotient.value, 1));
          f.if(or32(ne(carry, 0), geU(r.value, d)), () => {
            r.set(sub(r.value, d));
            quotient.set(or(quotient.value, 1));
          });
          n.set(sub32(n.value, 1));
        },
      );
      remainder.set(r.value);
    },
  );
  f.if(signed, () => {
    const minus = f.let(xor32(negative, divisorNegative));
    const limit = select(minus, i64(-(1n << 63n)), i64((1n << 63n) - 1n));
    f.if(gtU(quotient.value, limit), () => f.return(i32(1)));
    f.if(minus, () => quotient.set(neg(quotient.value)));
    f.if(negative, () => remainder.set(neg(remainder.value)));
  });
  put(f, 'result', quotient.value);
  put(f, 'result2', remainder.value);
  f.return(i32(0));
});
