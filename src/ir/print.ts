/**
 * IR as text, for people and for golden files: one statement a line, values
 * as calls of their operations. `$n` is a local, `#n` an i32 constant; i64
 * constants stand as they are.
 */
import type { FunctionBody, Label, Statement } from './code.ts';
import type { Insn } from './insn.ts';
import * as op from './op.ts';
import { constant, type Value } from './value.ts';
import { hasLane, laneNumbers, SHUFFLE } from './vector-op.ts';

/** How a guest register is called, by its number in the ISA's list. */
export type RegisterName = (reg: number) => string;

const byNumber: RegisterName = (reg) => `reg${reg}`;

/** The statements of an instruction and how it ends. */
export function printInsn(insn: Insn, nameOf: RegisterName = byNumber): string {
  const printer = new Printer(nameOf, insn.locals);
  printer.list(insn.statements);
  const { end } = insn;
  switch (end.kind) {
    case 'next':
      break;
    case 'jump':
      printer.line(`${end.link ? 'jump and link' : 'jump'} ${printer.value(end.target)}`);
      break;
    case 'branch':
      printer.line(`branch ${printer.value(end.target)} if ${printer.value(end.condition)}`);
      break;
    case 'system':
      printer.line(`system, on to ${printer.value(end.target)}`);
      break;
    case 'check':
      printer.line(`system if ${printer.value(end.changed)}`);
      break;
  }
  return printer.text();
}

export function printFunction(name: string, { locals, statements }: FunctionBody, params: number): string {
  const printer = new Printer(byNumber, locals);
  const heads = locals.slice(0, params).map((type, n) => `$${n}: ${type}`);
  printer.nest(`function ${name}(${heads.join(', ')})`, statements);
  return printer.text();
}

export function printValue(value: Value, nameOf: RegisterName = byNumber): string {
  return new Printer(nameOf, []).value(value);
}

class Printer {
  private readonly nameOf: RegisterName;
  private readonly locals: readonly op.Type[];
  private readonly lines: string[] = [];
  private readonly labels = new Map<Label, string>();
  private indent = '';

  constructor(nameOf: RegisterName, locals: readonly op.Type[]) {
    this.nameOf = nameOf;
    this.locals = locals;
  }

  text(): string {
    return this.lines.map((line) => `${line}\n`).join('');
  }

  line(text: string): void {
    this.lines.push(this.indent + text);
  }

  list(statements: readonly Statement[]): void {
    for (const statement of statements) this.statement(statement);
  }

  nest(head: string, body: readonly Statement[], tail = '}'): void {
    this.line(`${head} {`);
    this.indent += '  ';
    this.list(body);
    this.indent = this.indent.slice(2);
    this.line(tail);
  }

  value(v: Value): string {
    switch (v.op) {
      case op.CONST_I32:
        return `#${v.imm}`;
      case op.CONST_I64: {
        const n = constant(v);
        return n > -65536n && n < 65536n ? String(n) : `0x${BigInt.asUintN(64, n).toString(16)}`;
      }
      case op.CONST_F32:
      case op.CONST_F64:
        return `${v.type}(${v.imm})`;
      case op.CONST_V128:
        return `v128(0x${(v.big as bigint).toString(16)})`;
      case op.LOCAL_GET:
        return `$${v.imm}`;
      case op.REG:
        return this.nameOf(v.imm);
      case op.PC:
        return v.imm === 0 ? 'pc' : v.imm > 0 ? `pc + ${v.imm}` : `pc - ${-v.imm}`;
      case op.CPU:
        return 'cpu';
      case op.SELECT:
        return `select(${[v.a, v.b, v.c].map((part) => this.value(part as Value)).join(', ')})`;
    }
    const name = op.opInfo(v.op)?.name ?? `op 0x${v.op.toString(16)}`;
    if (op.isLoad(v.op)) return `${name}[${this.place(v.a as Value, v.imm)}]`;
    const parts = [v.a, v.b, v.c].flatMap((part) => (part ? [this.value(part)] : []));
    if (hasLane(v.op)) parts.splice(1, 0, `lane ${v.imm}`);
    else if (v.op === SHUFFLE) parts.push(`[${laneNumbers(v.big as bigint).join(' ')}]`);
    return `${name}(${parts.join(', ')})`;
  }

  private place(address: Value, offset: number): string {
    return offset === 0 ? this.value(address) : `${this.value(address)} + ${offset}`;
  }

  private label(label: Label): string {
    const name = this.labels.get(label) ?? `L${this.labels.size}`;
    this.labels.set(label, name);
    return name;
  }

  private statement(s: Statement): void {
    switch (s.kind) {
      case 'set':
        this.line(`$${s.local}: ${this.locals[s.local] ?? s.value.type} = ${this.value(s.value)}`);
        return;
      case 'reg':
        this.line(`${this.nameOf(s.reg)} = ${this.value(s.value)}`);
        return;
      case 'store':
        this.line(`${storeName(s.op)}[${this.place(s.address, s.offset)}] = ${this.value(s.value)}`);
        return;
      case 'if':
        this.nest(`if ${this.value(s.condition)}`, s.then, s.else.length > 0 ? '} else {' : '}');
        if (s.else.length === 0) return;
        this.indent += '  ';
        this.list(s.else);
        this.indent = this.indent.slice(2);
        this.line('}');
        return;
      case 'loop':
      case 'block':
        this.nest(`${s.kind} ${this.label(s.label)}`, s.body);
        return;
      case 'br':
        this.line(`br ${this.label(s.label)}${s.condition ? ` if ${this.value(s.condition)}` : ''}`);
        return;
      case 'call': {
        const result = s.target.result ? `$${s.result}: ${s.target.result} = ` : '';
        this.line(`${result}call ${s.target.name}(${s.args.map((arg) => this.value(arg)).join(', ')})`);
        return;
      }
      case 'return':
        this.line(s.value ? `return ${this.value(s.value)}` : 'return');
        return;
      case 'copy':
        this.line(`copy(${[s.to, s.from, s.length].map((v) => this.value(v)).join(', ')})`);
        return;
      case 'fill':
        this.line(`fill(${[s.to, s.byte, s.length].map((v) => this.value(v)).join(', ')})`);
        return;
      case 'gload': {
        const how = s.intent === 'store' ? 'guest load for store' : 'guest load';
        const name = op.opInfo(s.op)?.name ?? '';
        this.line(`$${s.local}: ${this.locals[s.local] ?? '?'} = ${how} ${name}[${this.value(s.address)}]`);
        return;
      }
      case 'gstore':
        this.line(`guest store ${storeName(s.op)}[${this.value(s.address)}] = ${this.value(s.value)}`);
        return;
      case 'raise':
        this.line(`raise cause ${this.value(s.cause)}, tval ${this.value(s.tval)}`);
        return;
    }
  }
}

/** Stores have no line in the table of operations: they give no value. */
const STORES: Readonly<Record<number, string>> = {
  [op.I32_STORE]: 'i32.store',
  [op.I64_STORE]: 'i64.store',
  [op.F32_STORE]: 'f32.store',
  [op.F64_STORE]: 'f64.store',
  [op.I32_STORE8]: 'i32.store8',
  [op.I32_STORE16]: 'i32.store16',
  [op.I64_STORE8]: 'i64.store8',
  [op.I64_STORE16]: 'i64.store16',
  [op.I64_STORE32]: 'i64.store32',
  [op.V128_STORE]: 'v128.store',
};
export function storeName(code: number): string {
  return STORES[code] ?? `store 0x${code.toString(16)}`;
}
