/**
 * Takes register writes out of a block that nobody sees: the register is
 * written again before it is read and before anything could leave the block.
 * For an instruction set with flags that is most of them. Calls of pure
 * functions whose results went there go too.
 */
import { IrFunction, type Statement } from '../../ir/code.ts';
import type { End, Insn } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';

/** An instruction of a block; with gates the block may be left before it. */
interface Part {
  readonly insn: Insn;
  readonly gated: boolean;
}

/** Drops what is dead from instructions that are executed one after the other. */
export function dropDeadWrites(parts: readonly Part[]): void {
  // Registers that will be written again before anybody looks.
  const doomed = new Set<number>();
  for (let n = parts.length - 1; n >= 0; n--) {
    const { insn, gated } = parts[n];
    const kept: Statement[] = [];
    let dropped = false;
    for (let i = insn.statements.length - 1; i >= 0; i--) {
      const statement = insn.statements[i];
      if (statement.kind === 'reg') {
        if (doomed.has(statement.reg)) {
          dropped = true;
          continue;
        }
        doomed.add(statement.reg);
      } else if (mayLeave(statement)) doomed.clear();
      forEachValue(statement, (value) => forget(value, doomed));
      kept.push(statement);
    }
    if (gated) doomed.clear();
    if (!dropped) continue;
    kept.reverse();
    insn.statements = withoutUnused(kept, insn.end);
  }
}

/** Pure calls and assignments whose locals nobody reads. */
function withoutUnused(statements: readonly Statement[], end: End): Statement[] {
  const read = new Set<number>();
  if ('target' in end) noteLocals(end.target, read);
  if ('condition' in end) noteLocals(end.condition, read);
  if ('changed' in end) noteLocals(end.changed, read);
  const kept: Statement[] = [];
  for (let n = statements.length - 1; n >= 0; n--) {
    const s = statements[n];
    if (isUnused(s, read)) continue;
    forEachValue(s, (value) => noteLocals(value, read));
    kept.push(s);
  }
  return kept.reverse();
}

/** Whether all it does is give locals values that nobody reads. */
function isUnused(s: Statement, read: ReadonlySet<number>): boolean {
  if (s.kind === 'set') return !read.has(s.local);
  if (s.kind === 'call') return s.target instanceof IrFunction && s.target.pure && !read.has(s.result);
  return (
    s.kind === 'if' && s.then.every((inner) => isUnused(inner, read)) && s.else.every((inner) => isUnused(inner, read))
  );
}

/** Whether it can raise, or is made of statements that can. */
function mayLeave(s: Statement): boolean {
  return s.kind !== 'set' && s.kind !== 'store' && s.kind !== 'call' && s.kind !== 'copy' && s.kind !== 'fill';
}

function forEachValue(s: Statement, see: (value: Value) => void): void {
  switch (s.kind) {
    case 'set':
    case 'reg':
      see(s.value);
      return;
    case 'store':
    case 'gstore':
      see(s.address);
      see(s.value);
      return;
    case 'gload':
      see(s.address);
      return;
    case 'if':
      see(s.condition);
      for (const inner of s.then) forEachValue(inner, see);
      for (const inner of s.else) forEachValue(inner, see);
      return;
    case 'loop':
    case 'block':
      for (const inner of s.body) forEachValue(inner, see);
      return;
    case 'br':
      if (s.condition) see(s.condition);
      return;
    case 'call':
      for (const arg of s.args) see(arg);
      return;
    case 'return':
      if (s.value) see(s.value);
      return;
    case 'copy':
      see(s.to);
      see(s.from);
      see(s.length);
      return;
    case 'fill':
      see(s.to);
      see(s.byte);
      see(s.length);
      return;
    case 'raise':
      see(s.cause);
      see(s.tval);
      return;
  }
}

function forget(value: Value, doomed: Set<number>): void {
  if (value.op === op.REG) doomed.delete(value.imm);
  if (value.a) forget(value.a, doomed);
  if (value.b) forget(value.b, doomed);
  if (value.c) forget(value.c, doomed);
}

function noteLocals(value: Value, read: Set<number>): void {
  if (value.op === op.LOCAL_GET) read.add(value.imm);
  if (value.a) noteLocals(value.a, read);
  if (value.b) noteLocals(value.b, read);
  if (value.c) noteLocals(value.c, read);
}
