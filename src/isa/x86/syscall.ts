/**
 * SYSCALL, SYSRET, SYSENTER and SYSEXIT.
 *
 * Spec: SDM volume 2, their pages; AMD64 Architecture Programmer's Manual
 * volume 2, "SYSCALL and SYSRET", for legacy mode.
 */
import { type Code, define } from '../../ir/code.ts';
import {
  add32,
  and,
  and32,
  eqz,
  eqz32,
  i32,
  ne32,
  or32,
  select,
  shrU,
  type Value,
  wrap,
  xor,
  zext32,
} from '../../ir/value.ts';
import { setEflags } from './eflags.ts';
import { fault } from './fault.ts';
import { get, put } from './field.ts';
import { eflagsImage } from './interrupt.ts';
import { updateMode } from './mode.ts';
import { isCanonical } from './canonical.ts';
import { Attr, Cr0, Dr6, Efer, Eflags, Seg, Vector } from './state.ts';
import { isLongMode } from './system-memory.ts';

const ud = fault(Vector.ud);
const gp = fault(Vector.gp, 0);

/** A flat segment without a descriptor. */
function flat(f: Code, seg: number, selector: Value, dpl: number, attr: Value): void {
  put(f, 'segSelector', selector, seg * 4);
  put(f, 'segBase', 0, seg * 8);
  put(f, 'segLimit', -1, seg * 4);
  put(f, 'segAttr', or32(attr, Attr.s | Attr.present | Attr.granular | (dpl << 5)), seg * 4);
}
const CODE = Attr.code | Attr.writable | Attr.accessed;
const DATA = i32(Attr.big | Attr.writable | Attr.accessed);
const code32 = i32(CODE | Attr.big);
const code64 = i32(CODE | Attr.long);

/** The single step is taken by what TF is at the end. */
function stepByNewFlags(f: Code): void {
  const others = and32(get('pendingDebug'), ~Dr6.bs);
  put(f, 'pendingDebug', or32(others, select(and32(get('eflags'), Eflags.tf), i32(Dr6.bs), i32(0))));
}

/** syscall(next): `result` and `result2` are for RCX and R11. */
export const syscall = define('syscall', ['i64'], 'i32', (f, next) => {
  f.if(eqz(and(get('efer'), Efer.sce)), () => f.return(ud));
  f.if(eqz(and(get('cr0'), Cr0.pe)), () => f.return(ud));
  const star = f.let(get('star'));
  const selector = f.let(and32(wrap(shrU(star, 32)), 0xfffc));
  const flags = f.let(f.call(eflagsImage));
  put(f, 'result', next);
  put(f, 'result2', and(flags, ~Eflags.rf));
  f.if(
    isLongMode(),
    () => {
      const long = ne32(and32(get('segAttr', Seg.cs * 4), Attr.long), 0);
      put(f, 'pc', select(long, get('lstar'), get('cstar')));
      f.call(setEflags, and(flags, not64(get('fmask'))), i32(-1));
      put(f, 'cpl', 0);
      flat(f, Seg.cs, selector, 0, code64);
    },
    () => {
      put(f, 'result', zext32(next));
      put(f, 'result2', get('gpr', 11 * 8));
      f.call(setEflags, and(flags, ~(Eflags.if | Eflags.vm | Eflags.rf)), i32(-1));
      put(f, 'pc', zext32(star));
      put(f, 'cpl', 0);
      flat(f, Seg.cs, selector, 0, code32);
    },
  );
  flat(f, Seg.ss, add32(selector, 8), 0, DATA);
  stepByNewFlags(f);
  f.call(updateMode);
  f.return(i32(0));
});
const not64 = (x: Value): Value => xor(x, -1);

/** sysret(to64, rcx, r11) */
export const sysret = define('sysret', ['i32', 'i64', 'i64'], 'i32', (f, to64, rcx, r11) => {
  f.if(eqz(and(get('efer'), Efer.sce)), () => f.return(ud));
  f.if(or32(eqz(and(get('cr0'), Cr0.pe)), ne32(get('cpl'), 0)), () => f.return(gp));
  const base = f.let(and32(wrap(shrU(get('star'), 48)), 0xffff));
  f.if(
    isLongMode(),
    () => {
      f.if(and32(to64, eqz32(isCanonical(rcx))), () => f.return(gp));
      f.call(setEflags, r11, i32(~(Eflags.rf | Eflags.vm)));
      put(f, 'pc', select(to64, rcx, zext32(rcx)));
      put(f, 'cpl', 3);
      flat(f, Seg.cs, or32(select(to64, add32(base, 16), base), 3), 3, select(to64, code64, code32));
    },
    () => {
      put(f, 'eflags', or32(get('eflags'), Eflags.if));
      put(f, 'pc', zext32(rcx));
      put(f, 'cpl', 3);
      flat(f, Seg.cs, or32(base, 3), 3, code32);
    },
  );
  flat(f, Seg.ss, or32(add32(base, 8), 3), 3, DATA);
  stepByNewFlags(f);
  f.call(updateMode);
  f.return(i32(0));
});

/** sysenter(): `result` is the new stack pointer. */
export const sysenter = define('sysenter', [], 'i32', (f) => {
  const selector = f.let(and32(wrap(get('sysenterCs')), 0xfffc));
  f.if(or32(eqz(and(get('cr0'), Cr0.pe)), eqz32(selector)), () => f.return(gp));
  const long = f.let(isLongMode());
  put(f, 'eflags', and32(get('eflags'), ~(Eflags.vm | Eflags.if | Eflags.rf)));
  put(f, 'result', select(long, get('sysenterEsp'), zext32(get('sysenterEsp'))));
  put(f, 'pc', select(long, get('sysenterEip'), zext32(get('sysenterEip'))));
  put(f, 'cpl', 0);
  flat(f, Seg.cs, selector, 0, select(long, code64, code32));
  flat(f, Seg.ss, add32(selector, 8), 0, DATA);
  f.call(updateMode);
  f.return(i32(0));
});

/** sysexit(to64, rdx, rcx) */
export const sysexit = define('sysexit', ['i32', 'i64', 'i64'], 'i32', (f, to64, rdx, rcx) => {
  const selector = f.let(and32(wrap(get('sysenterCs')), 0xfffc));
  const bad = or32(or32(eqz(and(get('cr0'), Cr0.pe)), eqz32(selector)), ne32(get('cpl'), 0));
  f.if(bad, () => f.return(gp));
  f.if(to64, () => f.if(eqz32(and32(isCanonical(rdx), isCanonical(rcx))), () => f.return(gp)));
  put(f, 'pc', select(to64, rdx, zext32(rdx)));
  put(f, 'cpl', 3);
  flat(f, Seg.cs, or32(add32(selector, select(to64, i32(32), i32(16))), 3), 3, select(to64, code64, code32));
  flat(f, Seg.ss, or32(add32(selector, select(to64, i32(40), i32(24))), 3), 3, DATA);
  f.call(updateMode);
  f.return(i32(0));
});
