/**
 * Canonical addresses: the bits above the highest are copies of it.
 *
 * Spec: SDM volume 1, "Canonical Addressing"; volume 3, "Canonicality of Addresses".
 */
import { and, eqz, extendU, i64, ne, select, shl, shrS, sub, type Value, xor } from '../../ir/value.ts';
import { get } from './field.ts';
import { Cr4 } from './state.ts';

const holds = (address: Value, spare: Value): Value => eqz(xor(shrS(shl(address, spare), spare), address));

/** i32: an address that 48 (or, with 5-level paging, 57) bits hold. */
export const isCanonical = (address: Value): Value =>
  holds(address, select(ne(and(get('cr4'), Cr4.la57), 0), i64(7), i64(16)));

/** i32: what a base register takes: all the bits that there can be, whatever CR4.LA57 is. */
export const isBase = (address: Value): Value => holds(address, sub(64, extendU(get('linearBits'))));
