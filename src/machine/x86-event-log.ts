/**
 * `-d int` on x86: interrupts and exceptions, in QEMU's lines (QEMU 7.2, target/i386). Departures: the address of
 * INT n is the one it returns to; double faults' parts are told by what was raised, with no error code.
 */
import type { StateAccess } from '../isa/isa.ts';
import { hex, stateText } from '../isa/x86/dump.ts';
import { Source } from '../isa/x86/interrupt.ts';
import { Seg, Vector } from '../isa/x86/state.ts';

export class X86EventLog {
  private readonly state: StateAccess;
  private readonly write: (text: string) => void;
  private readonly count: { next: number };

  /** `count` is shared by the processors. */
  constructor(state: StateAccess, count: { next: number }, write: (text: string) => void) {
    this.state = state;
    this.count = count;
    this.write = write;
  }

  /** An interrupt controller's. */
  taken(vector: number): void {
    this.write(`Servicing hardware INT=0x${hex(vector, 2)}`);
  }

  /** System management mode: before it is entered, and behind RSM. */
  managed(inside: boolean): void {
    const { state } = this;
    this.write(`SMM: ${inside ? 'enter' : 'after RSM'}\n${stateText(state, state.get64('pc')).trimEnd()}`);
  }

  exception(before: number, vector: number): void {
    this.write(`check_exception old: 0x${(before >>> 0).toString(16)} new 0x${vector.toString(16)}`);
  }

  interrupt(vector: number, source: number): void {
    const { state } = this;
    const pc = state.get64('result');
    const error = source & Source.hasError ? source >>> 16 : 0;
    const place = (seg: number, offset: bigint) => `${hex(state.get32('segSelector', seg), 4)}:${hex(offset, 16)}`;
    const last =
      vector === Vector.pf
        ? `CR2=${hex(state.get64('cr2'), 16)}`
        : `env->regs[R_EAX]=${hex(state.get64('gpr', 0), 16)}`;
    const words = [
      `${`${this.count.next++}`.padStart(6)}: v=${hex(vector, 2)} e=${hex(error, 4)} i=${source & Source.software ? 1 : 0}`,
      `cpl=${state.get32('cpl')} IP=${place(Seg.cs, pc - state.get64('segBase', Seg.cs))} pc=${hex(pc, 16)}`,
      `SP=${place(Seg.ss, state.get64('gpr', 4))} ${last}`,
    ];
    this.write(`${words.join(' ')}\n${stateText(state, pc).trimEnd()}`);
  }
}
