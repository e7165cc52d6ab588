/** Bytes the other way round. */
import { define } from '../../ir/code.ts';
import { and, i64, or, rotl, shl, shrU } from '../../ir/value.ts';

/** swap64(x): all eight bytes. */
export const swap64 = define('swap64', ['i64'], 'i64', (f, x) => {
  const pairs = f.let(or(and(shrU(x, 8), i64(0x00ff_00ff_00ff_00ffn)), shl(and(x, i64(0x00ff_00ff_00ff_00ffn)), 8)));
  const words = or(and(shrU(pairs, 16), i64(0x0000_ffff_0000_ffffn)), shl(and(pairs, i64(0x0000_ffff_0000_ffffn)), 16));
  f.return(rotl(words, 32));
});
/** swap32(x): the low four bytes, zero-extended. */
export const swap32 = define('swap32', ['i64'], 'i64', (f, x) => f.return(shrU(f.call(swap64, x), 32)));
