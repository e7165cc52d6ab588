/**
 * Code: structured statements over values, and the functions made of them.
 *
 * A function is built once, when first asked for, by running its TypeScript
 * body on a `Code`; TypeScript's own `if` decides at build time, `code.if` at
 * run time.
 */
import * as op from './op.ts';
import type { Type } from './op.ts';
import { bitsOf, type I32, type I64, Value, i32, i64, local } from './value.ts';

export type Statement =
  | { readonly kind: 'set'; readonly local: number; readonly value: Value }
  /** Writes a guest register whose number is known now. */
  | { readonly kind: 'reg'; readonly reg: number; readonly value: Value }
  | {
      readonly kind: 'store';
      readonly op: number;
      readonly address: Value;
      readonly offset: number;
      readonly value: Value;
    }
  | {
      readonly kind: 'if';
      readonly condition: Value;
      readonly then: readonly Statement[];
      readonly else: readonly Statement[];
      /** The condition holds seldom. */
      readonly seldom?: boolean;
    }
  | { readonly kind: 'loop'; readonly label: Label; readonly body: readonly Statement[] }
  | { readonly kind: 'block'; readonly label: Label; readonly body: readonly Statement[] }
  /** To the start of a loop or the end of a block. */
  | { readonly kind: 'br'; readonly label: Label; readonly condition: Value | undefined }
  | { readonly kind: 'call'; readonly target: Callable; readonly args: readonly Value[]; readonly result: number }
  | { readonly kind: 'return'; readonly value: Value | undefined }
  /** Copies or fills host memory: memory.copy(to, from, length), memory.fill(to, byte, length). */
  | { readonly kind: 'copy'; readonly to: Value; readonly from: Value; readonly length: Value }
  | { readonly kind: 'fill'; readonly to: Value; readonly byte: Value; readonly length: Value }
  /** Guest virtual memory; may raise a fault, which abandons the instruction. */
  | {
      readonly kind: 'gload';
      readonly op: number;
      readonly address: Value;
      readonly local: number;
      readonly intent: Intent;
    }
  | { readonly kind: 'gstore'; readonly op: number; readonly address: Value; readonly value: Value }
  /** A guest exception: abandons the instruction. */
  | { readonly kind: 'raise'; readonly cause: Value; readonly tval: Value };

export type GuestLoad = Extract<Statement, { kind: 'gload' }>;
export type GuestStore = Extract<Statement, { kind: 'gstore' }>;

/** A load that will be followed by a store to the same place faults as a store does. */
export type Intent = 'load' | 'store';

export class Label {}

/** Something a `call` reaches: an IR function or a function of the host. */
export interface Callable {
  readonly name: string;
  readonly params: readonly Type[];
  readonly result: Type | undefined;
}

/**
 * A function that the accelerator provides under a name. Where that is host
 * code its types are i32 and f64, so that no BigInt is made on the way.
 */
export interface Import extends Callable {
  readonly host: true;
}

export function hostFunction(name: string, params: readonly Type[], result?: Type): Import {
  return { name, params, result, host: true };
}

export interface FunctionBody {
  /** Types of all locals, parameters first. */
  readonly locals: readonly Type[];
  readonly statements: readonly Statement[];
}

export class IrFunction implements Callable {
  readonly name: string;
  readonly params: readonly Type[];
  readonly result: Type | undefined;
  private readonly make: (code: Code, ...params: Value[]) => void;
  private built: FunctionBody | undefined;
  /** See `pure`. */
  pure = false;

  constructor(
    name: string,
    params: readonly Type[],
    result: Type | undefined,
    make: (code: Code, ...params: Value[]) => void,
  ) {
    this.name = name;
    this.params = params;
    this.result = result;
    this.make = make;
  }

  get body(): FunctionBody {
    if (!this.built) {
      const code = new Code(this.params);
      this.make(code, ...this.params.map((type, index) => local(index, type)));
      this.built = { locals: code.locals, statements: code.statements };
    }
    return this.built;
  }
}

/** Declares an IR function; the body runs when the function is first needed. */
export function define(
  name: string,
  params: readonly Type[],
  result: Type | undefined,
  make: (code: Code, ...params: Value[]) => void,
): IrFunction {
  return new IrFunction(name, params, result, make);
}

/** Says that a function only computes its result: a call whose result nobody wants may go. */
export function pure(target: IrFunction): IrFunction {
  target.pure = true;
  return target;
}

export function isImport(target: Callable): target is Import {
  return (target as Partial<Import>).host === true;
}

/** A mutable local. */
export class Variable {
  readonly index: number;
  readonly type: Type;
  private readonly code: Code;

  constructor(code: Code, index: number, type: Type) {
    this.code = code;
    this.index = index;
    this.type = type;
  }

  get value(): Value {
    return local(this.index, this.type);
  }

  set(value: Value | number): void {
    const typed = value instanceof Value ? value : this.type === 'i32' ? i32(value) : i64(value);
    if (typed.type !== this.type) throw new TypeError(`variable of type ${this.type} set to ${typed.type}`);
    this.code.emit({ kind: 'set', local: this.index, value: typed });
  }
}

export class Code {
  readonly locals: Type[];
  statements: Statement[] = [];

  constructor(params: readonly Type[] = []) {
    this.locals = [...params];
  }

  emit(statement: Statement): void {
    this.statements.push(statement);
  }

  protected newLocal(type: Type): number {
    return this.locals.push(type) - 1;
  }

  /** Evaluates `value` here, once; the result can be used many times. */
  let(value: Value): Value {
    if (value.op === op.CONST_I32 || value.op === op.CONST_I64 || value.op === op.CONST_V128) return value;
    const index = this.newLocal(value.type);
    this.emit({ kind: 'set', local: index, value });
    return local(index, value.type, value.type === 'i64' ? bitsOf(value) : 64);
  }

  /** A mutable local, set to `initial`. */
  var(initial: Value): Variable {
    const variable = new Variable(this, this.newLocal(initial.type), initial.type);
    variable.set(initial);
    return variable;
  }

  private nested(body: () => void): Statement[] {
    const outer = this.statements;
    const inner: Statement[] = [];
    this.statements = inner;
    body();
    this.statements = outer;
    return inner;
  }

  /** Runs `then` where `condition` (i32) is not zero, else `otherwise`. */
  if(condition: Value, then: () => void, otherwise: () => void = () => {}): void {
    if (condition.op === op.CONST_I32) {
      if (condition.imm !== 0) then();
      else otherwise();
      return;
    }
    // biome-ignore lint/suspicious/noThenProperty: nobody awaits a statement
    this.emit({ kind: 'if', condition, then: this.nested(then), else: this.nested(otherwise) });
  }

  /** The same for what is seldom so. */
  ifSeldom(condition: Value, then: () => void, otherwise: () => void = () => {}): void {
    // biome-ignore lint/suspicious/noThenProperty: nobody awaits a statement
    this.emit({ kind: 'if', condition, then: this.nested(then), else: this.nested(otherwise), seldom: true });
  }

  /** Repeats `body` only when it branches to the label it is given; falls out at its end. */
  loop(body: (again: Label) => void): void {
    const label = new Label();
    this.emit({ kind: 'loop', label, body: this.nested(() => body(label)) });
  }

  /** A block that `br` leaves at its end. */
  block(body: (out: Label) => void): void {
    const label = new Label();
    this.emit({ kind: 'block', label, body: this.nested(() => body(label)) });
  }

  br(label: Label, condition?: Value): void {
    this.emit({ kind: 'br', label, condition });
  }

  while(condition: () => Value, body: () => void): void {
    this.block((out) =>
      this.loop((again) => {
        const go = condition();
        this.br(out, new Value(op.I32_EQZ, 'i32', 0, undefined, go));
        body();
        this.br(again);
      }),
    );
  }

  store(code: number, address: I32, value: I64, offset = 0): void {
    const type = op.storedType(code);
    const typed = value instanceof Value ? value : type === 'i32' ? i32(Number(value)) : i64(value);
    if (typed.type !== type) throw new TypeError(`store of ${typed.type}, wants ${type}`);
    this.emit({ kind: 'store', op: code, address: i32(address), offset, value: typed });
  }

  copy(to: Value, from: Value, length: Value): void {
    this.emit({ kind: 'copy', to, from, length });
  }

  fill(to: Value, byte: Value, length: Value): void {
    this.emit({ kind: 'fill', to, byte, length });
  }

  /** Calls a function; its result is evaluated here. A function without result gives i32 0. */
  call(target: Callable, ...args: Value[]): Value {
    if (args.length !== target.params.length) throw new TypeError(`${target.name}: ${args.length} arguments`);
    args.forEach((arg, n) => {
      if (arg.type !== target.params[n])
        throw new TypeError(`${target.name}: argument ${n} is ${arg.type}, wants ${target.params[n]}`);
    });
    const result = target.result ? this.newLocal(target.result) : -1;
    this.emit({ kind: 'call', target, args, result });
    return target.result ? local(result, target.result) : i32(0);
  }

  return(value?: Value): void {
    this.emit({ kind: 'return', value });
  }

  /** Loads from guest virtual memory. */
  gload(code: number, address: Value, intent: Intent = 'load'): Value {
    const info = op.opInfo(code);
    if (!info || !op.isLoad(code)) throw new TypeError('gload: not a load');
    const index = this.newLocal(info.result);
    this.emit({ kind: 'gload', op: code, address, local: index, intent });
    return local(index, info.result, op.loadedBits(code));
  }

  gstore(code: number, address: Value, value: Value): void {
    if (value.type !== op.storedType(code)) throw new TypeError(`gstore of ${value.type}`);
    this.emit({ kind: 'gstore', op: code, address, value });
  }

  /** Raises a guest exception. */
  raise(cause: I32, tval: I64): void {
    this.emit({ kind: 'raise', cause: i32(cause), tval: i64(tval) });
  }
}
