/**
 * Physical memory protection: writing its registers.
 *
 * Spec: RISC-V Privileged ISA 20240411, "Physical Memory Protection CSRs". The
 * grain is 4 KiB (G = 10): NA4 cannot be chosen. Ranges are worked out here, so
 * that a check compares bounds only.
 */
import { define } from '../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  eq,
  eq32,
  eqz32,
  extendU,
  geU,
  i32,
  i64,
  ltU,
  ltU32,
  ne32,
  not,
  or,
  select,
  shl,
  shl32,
  shrU,
  type Value,
  wrap,
  xor,
} from '../../ir/value.ts';
import { get, put } from './field.ts';
import { tlbFlush } from '../isa.ts';

const L = 0x80;
const OFF = 0;
const TOR = 1;
const NAPOT = 3;

/** The configuration byte of entry `n` (i32). */
const config = (n: Value): Value =>
  and32(wrap(shrU(select(ltU32(n, 8), get('pmpcfg0'), get('pmpcfg2')), shl(and(extendU(n), 7), 3))), 0xff);
const modeOf = (cfg: Value): Value => and32(wrap(shrU(extendU(cfg), 3)), 3);

/** Works out every entry's range. */
const ranges = define('pmp_ranges', [], undefined, (f) => {
  const n = f.var(i32(0));
  const previous = f.var(i64(0));
  put(f, 'pmpCount', 0);
  f.while(
    () => ltU32(n.value, 16),
    () => {
      const at = f.let(shl32(n.value, 3));
      const address = f.let(get('pmpaddr', at));
      const mode = f.let(modeOf(f.let(config(n.value))));
      const low = f.var(i64(0));
      // A TOR entry whose top is not above its bottom matches nothing.
      const high = f.var(i64(0));
      const top = f.let(shl(and(address, ~0x3ff), 2));
      f.if(eq32(mode, TOR), () => {
        low.set(previous.value);
        high.set(top);
      });
      f.if(eq32(mode, NAPOT), () => {
        // yyyy011..1: the ones below the lowest zero say how large. The grain makes at least nine of them.
        const filled = f.let(or(address, 0x1ff));
        const span = f.let(xor(filled, add(filled, 1)));
        low.set(shl(and(filled, not(span)), 2));
        high.set(add(low.value, shl(add(span, 1), 2)));
      });
      put(f, 'pmpLow', low.value, at);
      put(f, 'pmpHigh', high.value, at);
      previous.set(top);
      n.set(add32(n.value, 1));
      f.if(ne32(mode, OFF), () => put(f, 'pmpCount', n.value));
    },
  );
  f.call(tlbFlush, i32(0));
});

/**
 * update_pmp(index, value, isConfig): writes pmpaddr[index], or the eight
 * configuration bytes that begin at entry 2 * index. Locked entries keep theirs.
 */
export const updatePmp = define('update_pmp', ['i64', 'i64', 'i64'], undefined, (f, index, value, isConfig) => {
  f.if(
    eq(isConfig, 0),
    () => {
      const n = f.let(wrap(index));
      f.if(ne32(and32(config(n), L), 0), () => f.return());
      // A locked TOR entry locks the address below it too.
      const next = f.let(config(add32(n, 1)));
      f.if(and32(ltU32(n, 15), eq32(and32(next, 0x98), L | (TOR << 3))), () => f.return());
      put(f, 'pmpaddr', and(value, (1n << 54n) - 1n), shl32(n, 3));
    },
    () => {
      const first = f.let(shl32(wrap(index), 1)); // 0 or 8
      const old = f.let(select(eqz32(first), get('pmpcfg0'), get('pmpcfg2')));
      const result = f.var(i64(0));
      const shift = f.var(i64(0));
      f.while(
        () => ltU(shift.value, 64),
        () => {
          const before = f.let(and(shrU(old, shift.value), 0xff));
          const wanted = f.let(and(shrU(value, shift.value), 0x9f));
          // Neither NA4 nor write without read exists here; the mode or the permissions stay.
          const mode = select(eq(and(wanted, 0x18), 0x10), and(before, 0x18), and(wanted, 0x18));
          const access = select(eq(and(wanted, 3), 2), and(before, 7), and(wanted, 7));
          const next = or(or(and(wanted, L), mode), access);
          result.set(or(result.value, shl(select(geU(before, L), before, next), shift.value)));
          shift.set(add(shift.value, 8));
        },
      );
      f.if(
        eqz32(first),
        () => put(f, 'pmpcfg0', result.value),
        () => put(f, 'pmpcfg2', result.value),
      );
    },
  );
  f.call(ranges);
});
