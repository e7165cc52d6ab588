/** A vCPU under the JIT: slices of execution, and what is derived from its state. */
import type { IrqLine } from '../../hw/device.ts';
import type { Exit, StateVcpu } from '../accelerator.ts';
import type { Isa } from '../../isa/isa.ts';
import { FIRST_KEY, FIRST_KEY_GLOBAL } from './goto.ts';
import { CpuState } from '../cpu-state.ts';
import type { Space } from '../space.ts';
import { CELL, DTLB_TABLE, dtlb, type JitLayout } from './layout.ts';
import { Reason } from './reasons.ts';

/** What all vCPUs of a machine run on. */
export interface Engine {
  readonly isa: Isa;
  readonly space: Space;
  readonly layout: JitLayout;
  readonly regions: { poll(): void };
  now(): number;
  /** Run-time functions act on this vCPU from here on. */
  enter(vcpu: JitVcpu): void;
  call(name: string, ...args: (number | bigint)[]): number | bigint;
  /** Carries out what `run` came back for; true when the slice goes on. */
  serve(vcpu: JitVcpu, reason: number): boolean;
  /** After registers were written from outside: everything derived from them. */
  refresh(vcpu: JitVcpu): void;
  translate(vcpu: JitVcpu, virtual: bigint): number | undefined;
  flushTranslations(vcpu: JitVcpu): void;
}

export class JitVcpu implements StateVcpu {
  readonly index: number;
  readonly state: CpuState;
  private readonly jit: Engine;

  constructor(jit: Engine, index: number, state?: CpuState) {
    this.jit = jit;
    this.index = index;
    this.state = state ?? new CpuState(jit.isa, jit.space, index, jit.layout.cpu(index));
    this.clearTables();
  }

  private clearTables(): void {
    const { space, isa } = this.jit;
    const { view } = space;
    const { at } = this.state;
    for (let regime = 0; regime < isa.regimes; regime++) {
      // Tag 0 is the page at address 0, which lies in the first entry. A group of accesses that runs from the
      // last page of the address space into it is looked for in the last entry.
      for (const table of [dtlb(regime, false), dtlb(regime, true)]) {
        view.setBigInt64(at + table, -1n, true);
        view.setBigInt64(at + table + DTLB_TABLE - 16, -1n, true);
      }
    }
    view.setBigInt64(at + CELL.largeLow, -1n, true);
    view.setBigInt64(at + CELL.largeHigh, 0n, true);
    view.setUint32(at + CELL.interpret, 0, true);
    view.setUint32(at + CELL.jumpKey, FIRST_KEY, true);
    view.setUint32(at + CELL.jumpKeyGlobal, FIRST_KEY_GLOBAL, true);
  }

  get instructions(): number {
    return this.state.instructions;
  }
  irq(input: number): IrqLine {
    return this.state.irq(input);
  }
  reset(): void {
    this.state.reset();
    this.jit.refresh(this);
  }
  refresh(): void {
    this.jit.refresh(this);
  }
  kick(): void {
    this.state.attention = true;
  }
  registerNames(): readonly string[] {
    return this.state.registerNames();
  }
  readRegister(name: string): bigint {
    return this.state.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.state.writeRegister(name, value);
    this.jit.refresh(this);
  }
  translate(virtual: bigint): number | undefined {
    return this.jit.translate(this, virtual);
  }
  flushTranslations(): void {
    this.jit.flushTranslations(this);
  }

  /** The deadline of the CPU's own timer, ns, or Infinity. */
  private deadline(): number {
    const { tickNs } = this.jit.isa;
    return this.state.compareTime(Math.floor(this.jit.now() / tickNs)) * tickNs;
  }

  run(instructions: number): Exit {
    const { jit, state } = this;
    if (state.stopped) return { kind: 'stopped' };
    const { view } = jit.space;
    jit.regions.poll();
    jit.enter(this);
    const deadline = this.deadline();
    jit.call('enter_regime');
    let reason = jit.call('changed') as number;
    if (reason === Reason.halt) return state.stopped ? { kind: 'stopped' } : { kind: 'halt', deadline };
    state.attention = false;
    const budget = state.at + CELL.budget;
    view.setInt32(budget, instructions, true);
    view.setInt32(state.at + CELL.given, instructions, true);
    if (reason === 0) reason = jit.call('run') as number;
    while (jit.serve(this, reason) && view.getInt32(budget, true) > 0 && !state.stopped)
      reason = jit.call('run') as number;
    const left = view.getInt32(budget, true);
    state.retire(view.getInt32(state.at + CELL.given, true) - left);
    if (state.waiting) return { kind: 'halt', deadline: this.deadline() };
    return { kind: state.stopped ? 'stopped' : 'budget' };
  }

  step(): Exit {
    return this.run(1);
  }
}
