/** The floating-point unit as gates: instructions need it on, or dirty where they write its registers or flags. */
import { define } from '../../ir/code.ts';
import { eqz32, i64, or } from '../../ir/value.ts';
import type { Insn } from '../../ir/insn.ts';
import type { Gate } from '../isa.ts';
import { get, put } from './field.ts';
import type { FpUse } from './insn.ts';
import { AT, Cause, Mstatus } from './state.ts';
import { updateFloat } from './trap.ts';

const illegal = (m: Insn) => m.raise(Cause.illegalInstruction, m.word);

/** Makes mstatus.FS Dirty. */
const dirtyFloat = define('dirty_float', [], undefined, (f) => {
  put(f, 'mstatus', or(get('mstatus'), i64(3 << Mstatus.FS)));
  f.call(updateFloat);
});

const ON: Gate = { field: AT.fpOn, closed: illegal };
const DIRTY: Gate = {
  field: AT.fpDirty,
  implies: [ON],
  closed(m) {
    m.if(eqz32(get('fpOn')), () => illegal(m));
    m.call(dirtyFloat);
  },
};

const GATES: Readonly<Record<FpUse, readonly Gate[]>> = { none: [], read: [ON], write: [DIRTY] };

export function gatesOf(use: FpUse): readonly Gate[] {
  return GATES[use];
}
