/**
 * Where addresses lie to one another: what registers and locals hold, as sums of something that is only numbered and a
 * distance that is known. Stacks move by constants, structures and elements of arrays are reached from one base.
 */
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';

/**
 * A value: the number of its base, and how far from that. Values of 32 bits wrap around, so that those with one base
 * are at the distance that they seem to be only within a page: enough for accesses, not for further sums.
 */
export interface Place {
  readonly base: number;
  readonly offset: number;
  readonly wraps: boolean;
  /** What its low 32 bits are the low 32 bits of: a base and a distance. */
  readonly low: { readonly base: number; readonly offset: number };
}

/** What is known where a block begins. */
export interface Known {
  /** Registers that are not listed hold what they held at this point, which has a number. */
  readonly since: number;
  readonly registers: ReadonlyMap<number, Place>;
  /** A number for what the CPU's state beside registers is. */
  readonly state: number;
}

/** What has moved further is a new base. */
const MOST_DISTANCE = 2 ** 20;
const LOW_WORD = 0xffff_ffff;

export class Places {
  private readonly numbers = new Map<string, number>();
  private next = 0;
  private since = 0;
  private registers = new Map<number, Place>();
  private readonly locals = new Map<number, Place>();
  private state = 0;
  /** The offset of the instruction. */
  private at = 0;

  constructor() {
    this.forgetAll();
  }

  /** A block begins of whose past nothing is known. */
  forgetAll(): void {
    this.since = this.next++;
    this.registers.clear();
    this.state = this.next++;
  }

  /** What is known now. */
  known(): Known {
    return { since: this.since, registers: new Map(this.registers), state: this.state };
  }

  /** A block begins after one of others. */
  enter(before: readonly Known[]): void {
    const [first, ...others] = before;
    this.since = first.since;
    this.state = first.state;
    this.registers = new Map(first.registers);
    if (others.length === 0) return;
    this.state = this.next++;
    const listed = new Set<number>();
    for (const { registers } of before) for (const reg of registers.keys()) listed.add(reg);
    const same = others.every(({ since }) => since === first.since);
    const held = [...listed].map((reg) => [reg, before.map((known) => this.heldIn(known, reg))] as const);
    if (!same) {
      this.registers.clear();
      this.since = this.next++;
    }
    for (const [reg, [one, ...rest]] of held) {
      if (rest.every((other) => isSame(one, other))) this.registers.set(reg, one);
      else this.change(reg);
    }
  }

  /** Something may have been done to registers and state. */
  change(reg: number): void {
    this.registers.set(reg, place(this.next++, 0));
  }
  changeState(): void {
    this.state = this.next++;
  }

  private heldIn({ registers, since }: Pick<Known, 'registers' | 'since'>, reg: number): Place {
    return registers.get(reg) ?? place(this.number(`register ${since} ${reg}`), 0);
  }

  /** The instruction at `offset` begins: locals are its own. */
  begin(offset: number): void {
    this.at = offset;
    this.locals.clear();
  }

  /** Undefined where nothing can be said that would hold for another value. */
  of(value: Value): Place | undefined {
    const { a, b, imm } = value;
    switch (value.op) {
      case op.REG:
        return this.heldIn({ registers: this.registers, since: this.since }, imm);
      case op.LOCAL_GET:
        return value.type === 'i64' ? this.heldByLocal(imm) : undefined;
      case op.PC:
        return place(this.number('pc'), this.at + imm);
      case op.CONST_I64:
        return value.big === undefined ? place(this.number('0'), imm) : undefined;
      case op.I64_LOAD:
        return a?.op === op.CPU ? place(this.number(`cpu ${imm} ${this.state}`), 0) : undefined;
      case op.i64Integer.add:
        return this.sum(this.of(a as Value), b as Value, 1);
      case op.i64Integer.sub:
        return isConstant(b as Value) ? this.sum(this.of(a as Value), b as Value, -1) : undefined;
      case op.i64Integer.shl:
        return isConstant(b as Value) ? this.shifted(this.of(a as Value), (b as Value).imm) : undefined;
      case op.i64Integer.and:
        return isConstant(b as Value) && (b as Value).imm === LOW_WORD ? this.lowWord(this.of(a as Value)) : undefined;
    }
    return undefined;
  }

  private number(key: string): number {
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.next++;
      this.numbers.set(key, number);
    }
    return number;
  }

  /** The same with a base that may be added to. */
  private exact({ base, offset, wraps }: Place): { readonly base: number; readonly offset: number } {
    return wraps ? { base: this.number(`${base} ${offset}`), offset: 0 } : { base, offset };
  }

  private sum(left: Place | undefined, right: Value, sign: 1 | -1): Place | undefined {
    if (!left) return undefined;
    const { base, offset } = this.exact(left);
    const { low } = left;
    if (isConstant(right)) {
      const distance = sign * right.imm;
      return { base, offset: offset + distance, wraps: false, low: { ...low, offset: low.offset + distance } };
    }
    const other = this.of(right);
    if (!other) return undefined;
    const added = this.exact(other);
    return {
      base: this.number(`${base} + ${added.base}`),
      offset: offset + added.offset,
      wraps: false,
      low: { base: this.number(`${low.base} + ${other.low.base}`), offset: low.offset + other.low.offset },
    };
  }

  private shifted(from: Place | undefined, by: number): Place | undefined {
    if (!from || by > 3) return undefined;
    const { base, offset } = this.exact(from);
    const { low } = from;
    return {
      base: this.number(`${base} << ${by}`),
      offset: offset * 2 ** by,
      wraps: false,
      low: { base: this.number(`${low.base} << ${by}`), offset: low.offset * 2 ** by },
    };
  }

  private lowWord(from: Place | undefined): Place | undefined {
    if (!from) return undefined;
    const { low } = from;
    return { base: this.number(`low ${low.base}`), offset: low.offset, wraps: true, low };
  }

  private heldByLocal(index: number): Place {
    let known = this.locals.get(index);
    if (!known) {
      known = place(this.next++, 0);
      this.locals.set(index, known);
    }
    return known;
  }

  /** Follows what a statement changes. */
  after(s: Statement): void {
    if (s.kind === 'set') {
      const known = this.of(s.value);
      if (known && isNear(known)) this.locals.set(s.local, known);
      else this.locals.delete(s.local);
    } else if (s.kind === 'reg') {
      const known = this.of(s.value);
      if (known && isNear(known)) this.registers.set(s.reg, known);
      else this.change(s.reg);
    } else this.forget(s);
  }

  /** What is done perhaps, or more than once, or is not known. */
  private forget(s: Statement): void {
    switch (s.kind) {
      case 'set':
      case 'gload':
        this.locals.delete(s.local);
        return;
      case 'reg':
        this.change(s.reg);
        return;
      case 'call':
        this.locals.delete(s.result);
        this.changeState();
        return;
      case 'store':
      case 'copy':
      case 'fill':
        this.changeState();
        return;
      case 'if':
        for (const inner of s.then) this.forget(inner);
        for (const inner of s.else) this.forget(inner);
        return;
      case 'loop':
      case 'block':
        for (const inner of s.body) this.forget(inner);
        return;
    }
  }
}

const place = (base: number, offset: number): Place => ({ base, offset, wraps: false, low: { base, offset } });
const isConstant = ({ op: code, big }: Value): boolean => code === op.CONST_I64 && big === undefined;
const isSame = (x: Place, y: Place): boolean =>
  x.base === y.base &&
  x.offset === y.offset &&
  x.wraps === y.wraps &&
  x.low.base === y.low.base &&
  x.low.offset === y.low.offset;
const isNear = ({ offset, low }: Place): boolean =>
  Math.abs(offset) < MOST_DISTANCE && Math.abs(low.offset) < MOST_DISTANCE;
