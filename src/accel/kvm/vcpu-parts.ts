/** What a vCPU under KVM is made of, and whom it tells. */
import type { Board, Exit, StateVcpu } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import type { KvmArch, KvmEvents, KvmIrqchip } from './arch.ts';
import type { Bells } from './bells.ts';
import type { MemorySlots } from './memory-slots.ts';
import type { KvmVcpuPort } from './port.ts';

export interface KvmVcpuParts {
  readonly port: KvmVcpuPort;
  readonly state: CpuState;
  readonly board: Board;
  readonly arch: KvmArch;
  readonly events: KvmEvents;
  readonly slots: MemorySlots;
  /** Interrupt controllers in the kernel: there a processor waits, too. */
  readonly irqchip?: KvmIrqchip | undefined;
  /** Device registers that need no exit. */
  readonly bells?: Bells | undefined;
  /** Recomputes what follows from the state, after it was stored. */
  refresh(state: CpuState): void;
  translate(state: CpuState, virtual: bigint): number | undefined;
  /**
   * KVM cannot go on: something else executes a stretch from the state in memory, which is up to date. Undefined: and
   * then KVM goes on.
   */
  emulate(vcpu: StateVcpu, why: string): Exit | undefined;
  /** Another thread's vCPUs come back: memory slots change. */
  parkAll(): void;
  /** This one was brought back from its thread, and is to be run again. */
  parked(vcpu: number): void;
  /** KVM's own emulator of instructions runs the guest, at so many a second: told again and again. */
  slow(rate: number): void;
}
