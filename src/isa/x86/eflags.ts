/** EFLAGS from an image in memory. */
import { define } from '../../ir/code.ts';
import { and, and32, extendU, not, or32, type Value, wrap } from '../../ir/value.ts';
import { get, put } from './field.ts';
import { ccOp } from './flags.ts';
import { Eflags } from './state.ts';

/** All of EFLAGS but the arithmetic flags. */
export const ALL_FLAGS =
  Eflags.tf |
  Eflags.if |
  Eflags.df |
  Eflags.iopl |
  Eflags.nt |
  Eflags.rf |
  Eflags.vm |
  Eflags.ac |
  Eflags.vif |
  Eflags.vip |
  Eflags.id;

/** set_eflags(image, mask): the arithmetic flags, and of the others those in `mask`. */
export const setEflags = define('set_eflags', ['i64', 'i32'], undefined, (f, image, mask) => {
  put(f, 'ccOp', ccOp('flags'));
  put(f, 'ccA', and(image, Eflags.arithmetic));
  const others = f.let(and32(mask, ALL_FLAGS));
  put(f, 'eflags', or32(or32(and32(get('eflags'), notMask(others)), and32(wrap(image), others)), Eflags.fixed));
});
const notMask = (mask: Value): Value => wrap(not(extendU(mask)));
