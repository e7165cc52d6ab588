/**
 * What LAR, LSL, VERR and VERW see of a descriptor.
 *
 * Spec: SDM volume 2, "LAR", "LSL", "VERR/VERW".
 */
import { define } from '../../ir/code.ts';
import {
  and32,
  eq32,
  eqz32,
  extendU,
  gtU32,
  i32,
  ltU32,
  ne32,
  or32,
  select,
  shrU32,
  wrap,
  shrU,
} from '../../ir/value.ts';
import { get, put } from './field.ts';
import { dplOf, findDescriptor, isSegment, limitOf, max, typeOf } from './segment.ts';
import { Attr, Vector } from './state.ts';
import { isLongMode } from './system-memory.ts';

export const Inspect = { rights: 0, limit: 1, readable: 2, writable: 3 } as const;
/** System descriptors that LAR may see, and LSL: bits by type. */
const RIGHTS_TYPES = 0b0001_1010_0011_1110;
const LIMIT_TYPES = 0b0000_1010_0000_1110;
const RIGHTS_TYPES_LONG = 0b0001_1010_0000_0100;
const LIMIT_TYPES_LONG = 0b0000_1010_0000_0100;

/** inspect(selector, what): 1 or 0, with the rights or the limit in `result`; or a fault of the access. */
export const inspect = define('inspect', ['i32', 'i32'], 'i32', (f, selector, what) => {
  const no = () => f.return(i32(0));
  f.if(eqz32(and32(selector, 0xfffc)), no);
  const fault = f.let(f.call(findDescriptor, selector, i32(0)));
  // A selector beyond its table is merely invisible; a page fault is a fault.
  f.if(fault, () => {
    f.if(eq32(and32(fault, 0xff), Vector.pf), () => f.return(fault));
    no();
  });
  const words = f.let(get('result'));
  const low = f.let(wrap(words));
  const high = f.let(wrap(shrU(words, 32)));
  const type = f.let(typeOf(high));
  const level = f.let(max(get('cpl'), and32(selector, 3)));
  const dpl = f.let(dplOf(high));
  const segment = f.let(isSegment(high));
  const isCode = f.let(ne32(and32(type, Attr.code), 0));
  const conforming = f.let(and32(and32(segment, isCode), ne32(and32(type, Attr.conforming), 0)));
  f.if(and32(eqz32(conforming), ltU32(dpl, level)), no);
  f.if(
    gtU32(what, Inspect.limit),
    () => {
      f.if(eqz32(segment), no);
      const readable = or32(eqz32(isCode), ne32(and32(type, Attr.writable), 0));
      const writable = and32(eqz32(isCode), ne32(and32(type, Attr.writable), 0));
      f.return(select(eq32(what, Inspect.readable), readable, writable));
    },
    () => {
      const short = select(eqz32(what), i32(RIGHTS_TYPES), i32(LIMIT_TYPES));
      const long = select(eqz32(what), i32(RIGHTS_TYPES_LONG), i32(LIMIT_TYPES_LONG));
      const types = select(isLongMode(), long, short);
      f.if(and32(eqz32(segment), eqz32(and32(shrU32(types, type), 1))), no);
      put(f, 'result', extendU(select(eqz32(what), and32(high, 0xf0ff00), limitOf(low, high))));
    },
  );
  f.return(i32(1));
});
