/**
 * The debug registers: breakpoints on code, data and ports.
 *
 * Spec: SDM volume 3, "Debug Registers", "Debug Exceptions". Departures: what
 * exception delivery, task switches and descriptor loads access is not
 * compared with data breakpoints; bit 16 of DR6 and bit 11 of DR7 are fixed.
 */
import { type Code, define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eq,
  eq32,
  eqz32,
  extendU,
  i32,
  i64,
  ltU,
  ne,
  not,
  or,
  or32,
  shl,
  shrU,
  sub,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { faultNumber } from './fault.ts';
import { get, put } from './field.ts';
import { Cr4, Dr6, Dr7, Vector } from './state.ts';

/** What a breakpoint is on: DR7.R/W. */
const On = { code: 0, write: 1, port: 2, access: 3 } as const;
/** DR7.LEN as bytes less 1: a byte each. */
const LENGTHS = 0x0307_0100;

const isOn = (dr7: Value, n: number): Value => ne(and(shrU(dr7, 2 * n), 3), 0);
const kindOf = (dr7: Value, n: number): Value => and32(wrap(shrU(dr7, 16 + 4 * n)), 3);
const lengthLess1 = (dr7: Value, n: number): Value =>
  and(shrU(i64(LENGTHS), shl(and(shrU(dr7, 18 + 4 * n), 3), 3)), 0xff);

/** DR6 for a debug exception whose bits are `bits`: those of breakpoints are set anew, the others stay. */
export const noteDebug = (f: Code, bits: Value): void => {
  const kept = and(get('dr6'), ~Dr6.breakpoints);
  put(f, 'dr6', or(kept, and(extendU(bits), Dr6.known)));
};

/** DR6 bits of the enabled breakpoints on code at `pc`, or 0. */
export const codeBreakpoints = define('code_breakpoints', ['i64'], 'i32', (f, pc) => {
  const hit = f.var(i32(0));
  const dr7 = f.let(get('dr7'));
  for (let n = 0; n < 4; n++) {
    const here = and32(isOn(dr7, n), eq32(kindOf(dr7, n), On.code));
    f.if(and32(here, eq(get('dr', n * 8), pc)), () => hit.set(or32(hit.value, 1 << n)));
  }
  f.return(hit.value);
});

/**
 * watch(va, size, store): notes the data breakpoints that an access of `size` bytes hits. Gives 1 where accesses to
 * its pages must be seen: translations of them are not kept.
 */
export const watch = define('watch', ['i64', 'i32', 'i32'], 'i32', (f, va, size, store) => {
  const dr7 = f.let(get('dr7'));
  f.if(ne(and(dr7, Dr7.enabled), 0), () => {
    const end = f.let(add(va, extendU(size)));
    const firstPage = f.let(and(va, -4096));
    const lastPage = f.let(and(sub(end, 1), -4096));
    const hit = f.var(i32(0));
    const near = f.var(i32(0));
    for (let n = 0; n < 4; n++) {
      const kind = f.let(kindOf(dr7, n));
      f.if(and32(isOn(dr7, n), and32(kind, 1)), () => {
        const less1 = f.let(lengthLess1(dr7, n));
        const start = f.let(and(get('dr', n * 8), not(less1)));
        const page = f.let(and(start, -4096));
        near.set(or32(near.value, or32(eq(page, firstPage), eq(page, lastPage))));
        const overlaps = and32(ltU(start, end), eqz32(ltU(add(start, less1), va)));
        f.if(and32(overlaps, or32(eq32(kind, On.access), store)), () => hit.set(or32(hit.value, 1 << n)));
      });
    }
    f.if(hit.value, () => put(f, 'pendingDebug', or32(get('pendingDebug'), hit.value)));
    f.return(near.value);
  });
  f.return(i32(0));
});

/** watch_port(port, size): notes the breakpoints on ports that an access hits. */
export const watchPort = define('watch_port', ['i32', 'i32'], undefined, (f, port, size) => {
  const dr7 = f.let(get('dr7'));
  f.if(ne(and(get('cr4'), Cr4.de), 0), () => {
    const first = f.let(extendU(port));
    const end = f.let(add(first, extendU(size)));
    for (let n = 0; n < 4; n++) {
      f.if(and32(isOn(dr7, n), eq32(kindOf(dr7, n), On.port)), () => {
        const less1 = f.let(lengthLess1(dr7, n));
        const start = f.let(and(get('dr', n * 8), not(less1)));
        const overlaps = and32(ltU(start, end), eqz32(ltU(add(start, less1), first)));
        f.if(overlaps, () => put(f, 'pendingDebug', or32(get('pendingDebug'), 1 << n)));
      });
    }
  });
});

/** debug_detected(): with DR7.GD set an access to a debug register is a debug exception; a fault, or 0. */
export const debugDetected = define('debug_detected', [], 'i32', (f) => {
  f.if(ne(and(get('dr7'), Dr7.gd), 0), () => {
    noteDebug(f, i32(Dr6.bd));
    f.return(i32(faultNumber(Vector.db)));
  });
  f.return(i32(0));
});
