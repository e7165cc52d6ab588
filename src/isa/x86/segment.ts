/**
 * Segments: their limits and rights on an access, and loading their registers.
 *
 * Spec: SDM volume 3, "Segment Registers", "Segment Descriptors", "Limit
 * Checking", "Type Checking", "Privilege Levels". Departure: in real-address
 * mode an offset above 64 KiB, which takes a 32-bit address, passes whatever the
 * limit is. Video BIOSes read their card's memory that way, and QEMU lets them:
 * not every firmware that calls them made the limits wide before.
 */
import { type Code, define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU,
  gtU32,
  i32,
  i64,
  leU,
  ltU,
  ltU32,
  ne32,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  sub,
  type Value,
  wrap,
  zext32,
} from '../../ir/value.ts';
import { isBase } from './canonical.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { updateMode } from './mode.ts';
import { Attr, Cr0, Eflags, Seg, Vector } from './state.ts';
import { isLongMode, linearSum, SystemCode } from './system-memory.ts';

/** i32: real-address or virtual-8086 mode, where selectors are addresses. */
export const isRealStyle = (): Value =>
  or32(eqz32(wrap(and(get('cr0'), Cr0.pe))), ne32(and32(get('eflags'), Eflags.vm), 0));

/** Fields of a segment's descriptor in its two words, low and high. */
export const baseOf = (low: Value, high: Value): Value =>
  extendU(or32(or32(shrU32n(low, 16), shl32(and32(high, 0xff), 16)), and32(high, -0x100_0000)));
export const limitOf = (low: Value, high: Value): Value => {
  const raw = or32(and32(low, 0xffff), and32(high, 0xf_0000));
  return select(ne32(and32(high, 0x80_0000), 0), or32(shl32(raw, 12), 0xfff), raw);
};
export const attrOf = (high: Value): Value => and32(shrU32n(high, 8), 0xf0ff);
const shrU32n = (x: Value, n: number): Value => wrap(shrU(extendU(x), n));

/** seg_linear(seg, offset, bytes | write << 8): the linear address, or -1 - fault. Outside 64-bit code. */
export const segLinear = define('seg_linear', ['i32', 'i64', 'i32'], 'i64', (f, seg, offset, what) => {
  const word = f.let(shl32(seg, 2));
  const attr = f.let(get('segAttr', word));
  const limit = f.let(extendU(get('segLimit', word)));
  const last = f.let(sub(add(offset, extendU(and32(what, 0xff))), 1));
  const isCode = f.let(and32(attr, Attr.code));
  const write = f.let(and32(what, 0x100));
  const readable = or32(eqz32(isCode), and32(attr, Attr.writable));
  const writable = and32(eqz32(isCode), ne32(and32(attr, Attr.writable), 0));
  // In real-address mode code can be written: CS is what it was loaded with.
  const real = f.let(eqz(and(get('cr0'), Cr0.pe)));
  const may = or32(real, select(write, writable, ne32(readable, 0)));
  const allowed = and32(may, eqz32(and32(attr, Attr.unusable)));
  const down = f.let(and32(eqz32(isCode), ne32(and32(attr, Attr.conforming), 0)));
  const top = select(and32(attr, Attr.big), i64(0xffff_ffff), i64(0xffff));
  const high = and32(real, gtU(offset, 0xffff));
  const inside = or32(high, select(down, and32(gtU(offset, limit), leU(last, top)), leU(last, limit)));
  f.if(and32(allowed, inside), () => f.return(zext32(add(offset, get('segBase', shl32(seg, 3))))));
  const no = select(eq32(seg, Seg.ss), fault(Vector.ss, 0), fault(Vector.gp, 0));
  f.return(sub(-1, extendU(no)));
});

/** Puts a descriptor into a segment's cache. */
export function cacheSegment(f: Code, seg: Value, selector: Value, low: Value, high: Value): void {
  const word = f.let(shl32(seg, 2));
  put(f, 'segSelector', selector, word);
  put(f, 'segBase', baseOf(low, high), f.let(shl32(seg, 3)));
  put(f, 'segLimit', limitOf(low, high), word);
  put(f, 'segAttr', attrOf(high), word);
}

/** As real-address mode loads a segment register: limit and rights stay. */
export const loadReal = define('load_real', ['i32', 'i32'], undefined, (f, seg, selector) => {
  const word = f.let(shl32(seg, 2));
  put(f, 'segSelector', selector, word);
  put(f, 'segBase', shl(extendU(selector), 4), f.let(shl32(seg, 3)));
  const v86 = f.let(ne32(and32(get('eflags'), Eflags.vm), 0));
  f.if(or32(v86, and32(get('segAttr', word), Attr.unusable)), () => {
    put(f, 'segLimit', 0xffff, word);
    put(f, 'segAttr', select(v86, i32(0xf3), i32(0x93)), word);
  });
});

/**
 * find_descriptor(selector): the linear address of a descriptor; `result` holds its two words. Returns a fault: a
 * general protection fault with the selector where the table does not reach. `external` is added to error codes.
 */
export const findDescriptor = define('find_descriptor', ['i32', 'i32'], 'i32', (f, selector, external) => {
  const s = new SystemCode(f);
  const error = or32(and32(selector, 0xfffc), external);
  const local = f.let(and32(selector, 4));
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(and32(ne32(local, 0), ne32(and32(get('segAttr', Seg.ldtr * 4), Attr.unusable), 0)), gp);
  const limit = f.let(select(local, get('segLimit', Seg.ldtr * 4), get('gdtLimit')));
  f.if(gtU32(or32(selector, 7), limit), gp);
  const base = select(local, get('segBase', Seg.ldtr * 8), get('gdtBase'));
  const address = f.let(linearSum(base, extendU(and32(selector, 0xfff8))));
  put(f, 'result', s.read(address, 8));
  put(f, 'result2', address);
  f.return(i32(0));
});

/** The words of the descriptor that `findDescriptor` found, and where it stands. */
export interface Descriptor {
  readonly low: Value;
  readonly high: Value;
  readonly address: Value;
}
export function descriptor(s: SystemCode, selector: Value, external: Value = i32(0)): Descriptor {
  const { f } = s;
  s.try(f.call(findDescriptor, selector, external));
  const words = f.let(get('result'));
  return { low: f.let(wrap(words)), high: f.let(wrap(shrU(words, 32))), address: f.let(get('result2')) };
}

export const dplOf = (high: Value): Value => and32(shrU32n(high, 13), 3);
export const isPresent = (high: Value): Value => ne32(and32(high, 0x8000), 0);
/** Code or data, not a system descriptor. */
export const isSegment = (high: Value): Value => ne32(and32(high, 0x1000), 0);
export const typeOf = (high: Value): Value => and32(shrU32n(high, 8), 15);
export const max = (x: Value, y: Value): Value => select(ltU32(x, y), y, x);

/** Sets the accessed bit of a descriptor in memory; gives the word with it. */
export function setAccessed(s: SystemCode, { high, address }: Descriptor): Value {
  const { f } = s;
  f.if(eqz32(and32(high, 0x100)), () => s.write(add(address, 5), 1, extendU(or32(shrU32n(high, 8), 1))));
  return f.let(or32(high, 0x100));
}

/** load_segment(seg, selector): a fault or 0. Not for CS. */
export const loadSegment = define('load_segment', ['i32', 'i32'], 'i32', (f, seg, selector) => {
  const s = new SystemCode(f);
  f.if(isRealStyle(), () => {
    f.call(loadReal, seg, selector);
    f.call(updateMode);
    f.return(i32(0));
  });
  const cpl = f.let(get('cpl'));
  const isStack = f.let(eq32(seg, Seg.ss));
  const rpl = f.let(and32(selector, 3));
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => {
    // Only 64-bit code below CPL 3 may have a null stack segment.
    const long = and32(isLongMode(), ne32(and32(get('segAttr', Seg.cs * 4), Attr.long), 0));
    const ok = and32(long, and32(ne32(cpl, 3), eq32(rpl, cpl)));
    f.if(and32(isStack, eqz32(ok)), () => f.return(fault(Vector.gp, 0)));
    f.call(nullSegment, seg, selector);
    f.call(updateMode);
    f.return(i32(0));
  });
  const d = descriptor(s, selector);
  const { high } = d;
  const gp = () => f.return(faultWith(Vector.gp, error));
  const dpl = f.let(dplOf(high));
  const type = f.let(typeOf(high));
  f.if(eqz32(isSegment(high)), gp);
  f.if(
    isStack,
    () => {
      f.if(or32(ne32(rpl, cpl), ne32(dpl, cpl)), gp);
      // Writable data.
      f.if(ne32(and32(type, Attr.code | Attr.writable), Attr.writable), gp);
      f.if(eqz32(isPresent(high)), () => f.return(faultWith(Vector.ss, error)));
    },
    () => {
      f.if(eq32(and32(type, Attr.code | Attr.writable), Attr.code), gp); // execute-only
      const conforming = eq32(and32(type, Attr.code | Attr.conforming), Attr.code | Attr.conforming);
      f.if(and32(eqz32(conforming), ltU32(dpl, max(cpl, rpl))), gp);
      f.if(eqz32(isPresent(high)), () => f.return(faultWith(Vector.np, error)));
    },
  );
  const accessed = setAccessed(s, d);
  cacheSegment(f, seg, selector, d.low, accessed);
  f.call(updateMode);
  f.return(i32(0));
});

/** Makes a segment unusable. */
export const nullSegment = define('null_segment', ['i32', 'i32'], undefined, (f, seg, selector) => {
  const word = f.let(shl32(seg, 2));
  put(f, 'segSelector', selector, word);
  put(f, 'segBase', 0, f.let(shl32(seg, 3)));
  put(f, 'segLimit', 0, word);
  // A stack without segment has the code's privilege.
  put(f, 'segAttr', or32(Attr.unusable, shl32(and32(get('cpl'), select(eq32(seg, Seg.ss), i32(3), i32(0))), 5)), word);
});

/** load_ldtr(selector), load_tr(selector): a fault or 0. */
export const loadLdtr = define('load_ldtr', ['i32'], 'i32', (f, selector) => {
  const s = new SystemCode(f);
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => {
    f.call(nullSegment, i32(Seg.ldtr), selector);
    f.return(i32(0));
  });
  f.if(and32(selector, 4), () => f.return(faultWith(Vector.gp, error)));
  const d = descriptor(s, selector);
  f.if(or32(isSegment(d.high), ne32(typeOf(d.high), 2)), () => f.return(faultWith(Vector.gp, error)));
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const upper = systemBase(s, d, selector);
  cacheSegment(f, i32(Seg.ldtr), selector, d.low, d.high);
  put(f, 'segBase', or(baseOf(d.low, d.high), upper), Seg.ldtr * 8);
  f.return(i32(0));
});

export const loadTr = define('load_tr', ['i32'], 'i32', (f, selector) => {
  const s = new SystemCode(f);
  const error = f.let(and32(selector, 0xfffc));
  f.if(or32(eqz32(error), ne32(and32(selector, 4), 0)), () => f.return(faultWith(Vector.gp, error)));
  const d = descriptor(s, selector);
  // An available TSS: 32 or 64 bits (9), or 16 (1), which long mode does not have.
  const type = f.let(typeOf(d.high));
  const small = and32(eq32(type, 1), eqz32(isLongMode()));
  f.if(or32(isSegment(d.high), eqz32(or32(eq32(type, 9), small))), () => f.return(faultWith(Vector.gp, error)));
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const upper = systemBase(s, d, selector);
  s.write(add(d.address, 5), 1, extendU(or32(shrU32n(d.high, 8), 2))); // busy
  cacheSegment(f, i32(Seg.tr), selector, d.low, or32(d.high, 0x200));
  put(f, 'segBase', or(baseOf(d.low, d.high), upper), Seg.tr * 8);
  f.return(i32(0));
});

/** The upper half of a system descriptor's base, in place; only long mode has it. */
function systemBase(s: SystemCode, { address }: Descriptor, selector: Value): Value {
  const { f } = s;
  const upper = f.var(i64(0));
  f.if(isLongMode(), () => {
    const limit = extendU(get('gdtLimit'));
    f.if(ltU(limit, add(extendU(and32(selector, 0xfff8)), 15)), () =>
      f.return(faultWith(Vector.gp, and32(selector, 0xfffc))),
    );
    upper.set(shl(s.read(add(address, 8), 4), 32));
    f.if(eqz32(isBase(upper.value)), () => f.return(faultWith(Vector.gp, and32(selector, 0xfffc))));
  });
  return upper.value;
}
