/** The handlers made so far, by key; each is made when an instruction first needs it. */
import type { Callable } from '../../ir/code.ts';
import type { HandlerKey, HandlerNumbers, Isa, Reach } from '../../isa/isa.ts';
import { calleesOf } from './callees.ts';
import type { CommonHandler } from './common-handlers.ts';
import { emitFixed, emitHandler, emitStraddleKnown, HandlerLowering, handlerInsn } from './handlers.ts';
import type { Linker } from './linker.ts';
import { Fixed, HANDLER, HANDLER_LIMIT, Reason } from './reasons.ts';
import type { Runtime } from './runtime.ts';

/** More handlers than are asked for between two looks at `full`. */
const RESERVE = 256;

interface Wanted {
  readonly number: number;
  readonly key: HandlerKey;
  readonly reach: Reach;
}

export class HandlerTable implements HandlerNumbers {
  private readonly isa: Isa;
  private readonly linker: Linker;
  private readonly runtime: Runtime;
  private readonly limit: number;
  /** Numbers by reach; 0: not asked for yet. */
  private readonly known = new Map<HandlerKey['id'], Record<Reach, number>>();
  private next: number = Fixed.first;
  private wanted: Wanted[] = [];

  /** `limit` is how many numbers there are, at most HANDLER_LIMIT. */
  constructor(isa: Isa, linker: Linker, runtime: Runtime, limit: number = HANDLER_LIMIT) {
    this.isa = isa;
    this.linker = linker;
    this.runtime = runtime;
    this.limit = limit;
    const { fetchHalf } = runtime;
    const fixed = linker.link(fetchHalf ? [fetchHalf] : [], (builder, calleeOf) => {
      const lowering = new HandlerLowering(isa, linker.cpuAddress, runtime, calleeOf);
      if (fetchHalf) {
        const known = builder.declare('straddleKnown', HANDLER);
        builder.define(known, emitStraddleKnown(lowering, fetchHalf, builder.type(HANDLER)));
        builder.export('straddleKnown', known);
      }
      for (const [name, reason] of LEAVING) {
        const at = builder.declare(name, HANDLER);
        builder.define(at, emitFixed(lowering, reason));
        builder.export(name, at);
      }
    });
    for (const [name, , numbers] of LEAVING) for (const number of numbers) linker.table.set(number, fixed[name]);
    if (fetchHalf) linker.table.set(Fixed.straddleKnown, fixed.straddleKnown);
  }

  /** The handler's number. It stands in the table once `flush` has been called. */
  number(key: HandlerKey, reach: Reach): number {
    let numbers = this.known.get(key.id);
    if (!numbers) {
      numbers = { none: 0, forward: 0, backward: 0, far: 0 };
      this.known.set(key.id, numbers);
    }
    if (numbers[reach] === 0) {
      const number = this.next++;
      if (number >= HANDLER_LIMIT) throw new RangeError('too many handlers');
      numbers[reach] = number;
      this.wanted.push({ number, key, reach });
    }
    return numbers[reach];
  }

  /** Compiles what was asked for since the last time, as one module. */
  flush(): void {
    if (this.wanted.length === 0) return;
    const { isa, linker, runtime } = this;
    const wanted = this.wanted.map((one) => ({ ...one, insn: handlerInsn(isa, one.key) }));
    this.wanted = [];
    const callees: Callable[] = [runtime.raise, runtime.slowLoad, runtime.slowStore, runtime.commitStore];
    for (const { insn } of wanted) callees.push(...calleesOf(insn.statements));
    const exports = linker.link(callees, (builder, calleeOf) => {
      const lowering = new HandlerLowering(isa, linker.cpuAddress, runtime, calleeOf);
      const type = builder.type(HANDLER);
      for (const { number, key, reach, insn } of wanted) {
        const at = builder.declare(String(number), HANDLER);
        builder.define(at, emitHandler(lowering, key, reach, insn, type));
        builder.export(String(number), at);
      }
    });
    for (const { number } of wanted) linker.table.set(number, exports[String(number)]);
  }

  /** Takes in handlers that were made elsewhere: those that nobody has asked for yet get numbers. */
  adopt(handlers: readonly CommonHandler[], exports: WebAssembly.Exports): void {
    handlers.forEach(({ id, reach }, n) => {
      if (this.full) return;
      let numbers = this.known.get(id);
      if (!numbers) {
        numbers = { none: 0, forward: 0, backward: 0, far: 0 };
        this.known.set(id, numbers);
      }
      if (numbers[reach] !== 0) return;
      numbers[reach] = this.next++;
      this.linker.table.set(numbers[reach], exports[String(n)]);
    });
  }

  /** Whether there may soon be no numbers left: a guest can make handlers of instructions that it invents. */
  get full(): boolean {
    return this.next > this.limit - RESERVE;
  }

  /** Gives all numbers out anew; no operation may have one. */
  clear(): void {
    this.known.clear();
    this.wanted = [];
    this.next = Fixed.first;
  }
}

/** Handlers that only leave: name, reason, numbers. */
const LEAVING: readonly (readonly [string, number, readonly number[]])[] = [
  ['undecoded', Reason.decode, [Fixed.undecoded, Fixed.tail]],
  ['pageEnd', Reason.next, [Fixed.pageEnd]],
  ['straddle', Reason.straddle, [Fixed.straddle, Fixed.straddleKnown, Fixed.straddleSeen]],
  ['illegal', Reason.illegal, [Fixed.illegal]],
  ['inside', Reason.inside, [Fixed.inside]],
];
