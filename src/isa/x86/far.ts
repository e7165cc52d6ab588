/**
 * Far jumps and calls between segments, through gates and across privilege
 * levels.
 *
 * Spec: SDM volume 2, "CALL", "JMP" (their Operation); volume 3, "Call Gates",
 * "Stack Switching".
 */
import { define } from '../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  eq32,
  eqz32,
  extendU,
  gtU,
  gtU32,
  i32,
  ltU32,
  mul,
  ne32,
  or,
  or32,
  select,
  shl,
  shrU32,
  type Value,
} from '../../ir/value.ts';
import { checkTarget, enter, enterReal, isCode, isConforming, isLongCode } from './far-target.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { innerStack } from './inner-stack.ts';
import { type Descriptor, descriptor, dplOf, isPresent, isRealStyle, isSegment, max, typeOf } from './segment.ts';
import { ipOf, Stack } from './stack.ts';
import { Seg, Vector } from './state.ts';
import { isLongMode, SystemCode } from './system-memory.ts';
import { TaskReason, taskSwitch } from './task.ts';

/** The words of a gate: selector, offset and, in long mode, the upper half of the offset. */
function gateTarget(s: SystemCode, gate: Descriptor): { readonly selector: Value; readonly offset: Value } {
  const { f } = s;
  const wide = ne32(and32(typeOf(gate.high), 8), 0);
  const low = extendU(or32(and32(gate.low, 0xffff), and32(gate.high, -0x1_0000)));
  const offset = f.var(select(wide, low, and(low, 0xffff)));
  f.if(isLongMode(), () => offset.set(or(offset.value, shl(s.read(add(gate.address, 8), 4), 32))));
  return { selector: f.let(shrU32(gate.low, 16)), offset: f.let(offset.value) };
}

/** Whether a descriptor is a call gate that this mode has: 32 or 64 bits, or 16. */
const isCallGate = (d: Descriptor): Value =>
  or32(eq32(typeOf(d.high), 12), and32(eq32(typeOf(d.high), 4), eqz32(isLongMode())));
/** An available task-state segment or a task gate. */
const isTask = (d: Descriptor): Value =>
  and32(eqz32(isLongMode()), or32(or32(eq32(typeOf(d.high), 1), eq32(typeOf(d.high), 9)), eq32(typeOf(d.high), 5)));

/** Faults unless a jump or call may go straight to a segment. */
function checkDirect(s: SystemCode, d: Descriptor, error: Value, cpl: Value, rpl: Value): void {
  const { f } = s;
  const dpl = dplOf(d.high);
  const bad = select(isConforming(d), gtU32(dpl, cpl), or32(gtU32(rpl, cpl), ne32(dpl, cpl)));
  f.if(or32(eqz32(isCode(d)), bad), () => f.return(faultWith(Vector.gp, error)));
}

/** Where a call gate leads: faults unless that is code, of 64 bits in long mode. Privilege is the caller's to look at. */
function throughGate(s: SystemCode, d: Descriptor) {
  const { f } = s;
  const gate = gateTarget(s, d);
  const gateError = f.let(and32(gate.selector, 0xfffc));
  f.if(eqz32(gateError), () => f.return(fault(Vector.gp, 0)));
  const code = descriptor(s, gate.selector);
  const wrongWidth = and32(isLongMode(), eqz32(isLongCode(code)));
  f.if(or32(eqz32(isCode(code)), wrongWidth), () => f.return(faultWith(Vector.gp, gateError)));
  return { gate, gateError, code };
}

/** far_jump(selector, offset, next): a fault, or 0 with the new pc in place. `next`: linear address behind the jump. */
export const farJump = define('far_jump', ['i32', 'i64', 'i64'], 'i32', (f, selector, offset, next) => {
  const s = new SystemCode(f);
  f.if(isRealStyle(), () => {
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => f.return(fault(Vector.gp, 0)));
  const cpl = f.let(get('cpl'));
  const rpl = f.let(and32(selector, 3));
  const d = descriptor(s, selector);
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(isSegment(d.high), () => {
    checkDirect(s, d, error, cpl, rpl);
    checkTarget(s, d, error, offset);
    enter(s, selector, d, cpl, offset);
    f.return(i32(0));
  });
  f.if(ltU32(dplOf(d.high), max(cpl, rpl)), gp);
  f.if(isTask(d), () => f.return(f.call(taskSwitch, selector, i32(TaskReason.jump), i32(0), next)));
  f.if(eqz32(isCallGate(d)), gp);
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const { gate, gateError, code } = throughGate(s, d);
  const bad = select(isConforming(code), gtU32(dplOf(code.high), cpl), ne32(dplOf(code.high), cpl));
  f.if(bad, () => f.return(faultWith(Vector.gp, gateError)));
  checkTarget(s, code, gateError, gate.offset);
  enter(s, gate.selector, code, cpl, gate.offset);
  f.return(i32(0));
});

/** far_call(selector, offset, next, bytes): `bytes` of the operand size. */
export const farCall = define('far_call', ['i32', 'i64', 'i64', 'i32'], 'i32', (f, selector, offset, next, bytes) => {
  const s = new SystemCode(f);
  const oldCs = f.let(extendU(get('segSelector', Seg.cs * 4)));
  const nextIp = f.let(ipOf(next));
  f.if(isRealStyle(), () => {
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    const stack = Stack.current(s, bytes);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => f.return(fault(Vector.gp, 0)));
  const cpl = f.let(get('cpl'));
  const rpl = f.let(and32(selector, 3));
  const d = descriptor(s, selector);
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(isSegment(d.high), () => {
    checkDirect(s, d, error, cpl, rpl);
    const stack = Stack.current(s, bytes);
    checkTarget(s, d, error, offset);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enter(s, selector, d, cpl, offset);
    f.return(i32(0));
  });
  f.if(ltU32(dplOf(d.high), max(cpl, rpl)), gp);
  f.if(isTask(d), () => f.return(f.call(taskSwitch, selector, i32(TaskReason.call), i32(0), next)));
  f.if(eqz32(isCallGate(d)), gp);
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const { gate, gateError, code } = throughGate(s, d);
  f.if(gtU32(dplOf(code.high), cpl), () => f.return(faultWith(Vector.gp, gateError)));
  checkTarget(s, code, gateError, gate.offset);
  const dpl = f.let(dplOf(code.high));
  const gateBytes = f.let(select(isLongMode(), i32(8), select(ne32(and32(typeOf(d.high), 8), 0), i32(4), i32(2))));
  f.if(or32(isConforming(code), eq32(dpl, cpl)), () => {
    const stack = Stack.current(s, gateBytes);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enter(s, gate.selector, code, cpl, gate.offset);
    f.return(i32(0));
  });
  // To an inner level: its stack is in the task-state segment.
  const inner = innerStack(s, dpl, gateBytes);
  const oldSp = f.let(get('gpr', 4 * 8));
  inner.stack.push(extendU(get('segSelector', Seg.ss * 4)));
  inner.stack.push(oldSp);
  f.if(eqz32(isLongMode()), () => {
    const n = f.var(and32(d.high, 31));
    const old = Stack.current(s, gateBytes);
    const start = f.let(old.sp.value);
    f.while(
      () => n.value,
      () => {
        n.set(add32(n.value, -1));
        old.sp.set(add(start, mul(extendU(n.value), extendU(gateBytes))));
        inner.stack.push(old.pop());
      },
    );
  });
  inner.stack.push(oldCs);
  inner.stack.push(nextIp);
  put(f, 'cpl', dpl);
  inner.install();
  enter(s, gate.selector, code, dpl, gate.offset);
  f.return(i32(0));
});
