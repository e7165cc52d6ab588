/**
 * Permission to use I/O ports.
 *
 * Spec: SDM volume 1, "Protected-Mode I/O", "I/O Permission Bit Map".
 */
import { define } from '../../ir/code.ts';
import {
  and32,
  add32,
  and,
  eqz32,
  eqz,
  extendU,
  gtU32,
  i32,
  ne,
  or32,
  shl32,
  shrU,
  shrU32,
  sub32,
  wrap,
} from '../../ir/value.ts';
import { watchPort } from './debug.ts';
import { fault } from './fault.ts';
import { get } from './field.ts';
import { Cr0, Dr7, Eflags, Seg, Vector } from './state.ts';
import { linearSum, SystemCode } from './system-memory.ts';

/** check_io(port, bytes): a fault or 0. */
export const checkIo = define('check_io', ['i32', 'i32'], 'i32', (f, port, bytes) => {
  f.if(ne(and(get('dr7'), Dr7.enabled), 0), () => f.call(watchPort, port, bytes));
  f.if(eqz(and(get('cr0'), Cr0.pe)), () => f.return(i32(0)));
  const flags = f.let(get('eflags'));
  const iopl = and32(shrU32(flags, 12), 3);
  const allowed = and32(eqz32(gtU32(get('cpl'), iopl)), eqz32(and32(flags, Eflags.vm)));
  f.if(allowed, () => f.return(i32(0)));
  const s = new SystemCode(f);
  const gp = () => f.return(fault(Vector.gp, 0));
  const limit = f.let(get('segLimit', Seg.tr * 4));
  // A 32-bit task-state segment has the map's offset at byte 102; one of 16 bits has no map.
  f.if(or32(eqz32(and32(get('segAttr', Seg.tr * 4), 8)), gtU32(i32(103), limit)), gp);
  const base = f.let(get('segBase', Seg.tr * 8));
  const map = f.let(wrap(s.read(f.let(linearSum(base, 102)), 2)));
  const at = f.let(add32(map, shrU32(port, 3)));
  f.if(gtU32(add32(at, 1), limit), gp);
  const bits = s.read(f.let(linearSum(base, extendU(at))), 2);
  const mask = extendU(sub32(shl32(i32(1), bytes), 1));
  f.if(ne(and(shrU(bits, extendU(and32(port, 7))), mask), 0), gp);
  f.return(i32(0));
});
