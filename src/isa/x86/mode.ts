/**
 * What follows from control registers, CS, SS, flags and privilege: the mode
 * that code is translated for, the stack's width, which units are on.
 *
 * Spec: SDM volume 3, "Modes of Operation"; volume 1, "Detection of x87 FPU,
 * SSE, AVX State" and the #NM and #UD conditions of the instruction classes.
 */
import { define } from '../../ir/code.ts';
import {
  add32,
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  i32,
  i64,
  mul32,
  ne,
  ne32,
  or,
  select,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { get, put } from './field.ts';
import { Attr, Cr0, Cr4, Efer, Eflags, Seg } from './state.ts';

const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);
const DATA = Attr.s | Attr.present | Attr.writable;

/** update_mode(): to be called after every change of what it reads. */
export const updateMode = define('update_mode', [], undefined, (f) => {
  const cs = f.let(get('segAttr', Seg.cs * 4));
  const ss = f.let(get('segAttr', Seg.ss * 4));
  const long = and32(has(get('efer'), Efer.lma), ne32(and32(cs, Attr.long), 0));
  const group = f.var(i32(0));
  const user = f.let(eq32(get('cpl'), 3));
  const stack = f.var(i64(-1));
  f.if(eqz32(long), () => {
    stack.set(select(and32(ss, Attr.big), i64(0xffff_ffff), i64(0xffff)));
    f.if(
      and32(cs, Attr.big),
      () => {
        const based = [Seg.cs, Seg.ss, Seg.ds, Seg.es].map((seg) => get('segBase', seg * 8)).reduce(or);
        const limits = [Seg.cs, Seg.ss, Seg.ds, Seg.es].map((seg) => get('segLimit', seg * 4)).reduce(and32);
        const isData = (seg: number) =>
          eq32(and32(get('segAttr', seg * 4), DATA | Attr.code | Attr.conforming | Attr.unusable), DATA);
        const flat = and32(
          and32(eqz(based), eq32(limits, -1)),
          and32(
            and32(isData(Seg.ds), isData(Seg.es)),
            // CS readable, SS with 32-bit stack pointer.
            and32(isData(Seg.ss), and32(ne32(and32(ss, Attr.big), 0), ne32(and32(cs, Attr.writable), 0))),
          ),
        );
        group.set(select(flat, i32(1), i32(2)));
      },
      () => group.set(i32(3)),
    );
  });
  const lifted = and32(has(get('cr4'), Cr4.smap), ne32(and32(get('eflags'), Eflags.ac), 0));
  put(f, 'mode', add32(mul32(group.value, 3), select(user, i32(2), ne32(lifted, 0))));
  put(f, 'stackMask', stack.value);
  f.call(updateUnits);
});

/** update_units(): which of x87, SSE and AVX are on. */
export const updateUnits = define('update_units', [], undefined, (f) => {
  const cr0 = f.let(get('cr0'));
  const cr4 = f.let(get('cr4'));
  const on = f.let(eqz(and(cr0, Cr0.em | Cr0.ts)));
  put(f, 'x87On', on);
  put(f, 'sseOn', and32(on, has(cr4, Cr4.osfxsr)));
  const protectedMode = and32(has(cr0, Cr0.pe), eqz32(and32(get('eflags'), Eflags.vm)));
  const enabled = and32(eq32(and32(wrap(get('xcr0')), 6), 6), and32(has(cr4, Cr4.osxsave), protectedMode));
  put(f, 'avxOn', and32(enabled, eqz(and(cr0, Cr0.ts))));
  // Host arithmetic will do where it rounds to nearest, nothing traps and the precision flag stands already.
  put(f, 'sseFast', eq32(and32(get('mxcsr'), 0xffe0), 0x1fa0));
});
