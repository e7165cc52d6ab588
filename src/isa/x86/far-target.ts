/**
 * The code segment that a far transfer goes to.
 *
 * Spec: SDM volume 2, "CALL", "JMP", "RET", "IRET/IRETD/IRETQ" (their Operation).
 */
import type { Code } from '../../ir/code.ts';
import { add, and32, eqz32, extendU, gtU, i32, ne32, or32, select, type Value, zext32 } from '../../ir/value.ts';
import { isCanonical } from './canonical.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { updateMode } from './mode.ts';
import {
  baseOf,
  cacheSegment,
  type Descriptor,
  isPresent,
  isSegment,
  limitOf,
  loadReal,
  setAccessed,
  typeOf,
} from './segment.ts';
import { Attr, Seg, Vector } from './state.ts';
import { isLongMode, type SystemCode } from './system-memory.ts';

/** i32: whether a descriptor is of a code segment, a conforming one, one of 64 bits. */
export const isCode = (d: Descriptor): Value => and32(isSegment(d.high), ne32(and32(typeOf(d.high), Attr.code), 0));
export const isConforming = (d: Descriptor): Value => ne32(and32(typeOf(d.high), Attr.conforming), 0);
export const isLongCode = (d: Descriptor): Value => and32(isLongMode(), ne32(and32(d.high, 0x20_0000), 0));

/** Faults where a code segment is neither 32 nor 64 bits, is absent, or does not hold the target. */
export function checkTarget(s: SystemCode, d: Descriptor, error: Value, offset: Value): void {
  const { f } = s;
  const long = f.let(isLongCode(d));
  f.if(and32(long, ne32(and32(d.high, 0x40_0000), 0)), () => f.return(faultWith(Vector.gp, error)));
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const beyond = select(long, eqz32(isCanonical(offset)), gtU(offset, extendU(limitOf(d.low, d.high))));
  f.if(beyond, () => f.return(fault(Vector.gp, 0)));
}

/** Lets CS and pc be the target. */
export function enter(s: SystemCode, selector: Value, d: Descriptor, cpl: Value, offset: Value): void {
  const { f } = s;
  const high = setAccessed(s, d);
  const target = f.let(offset);
  put(f, 'cpl', cpl);
  cacheSegment(f, i32(Seg.cs), or32(and32(selector, 0xfffc), cpl), d.low, high);
  put(f, 'pc', select(isLongCode(d), target, zext32(add(target, baseOf(d.low, high)))));
  f.call(updateMode);
}

export function enterReal(f: Code, selector: Value, offset: Value): void {
  f.call(loadReal, i32(Seg.cs), selector);
  put(f, 'pc', zext32(add(get('segBase', Seg.cs * 8), offset)));
  f.call(updateMode);
}
