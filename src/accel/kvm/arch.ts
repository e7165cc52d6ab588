/**
 * What the accelerator asks of an architecture: registers to and from KVM.
 * Everything else of src/accel/kvm is the same for all of them; `x86/` is one.
 */
import type { Isa } from '../../isa/isa.ts';
import type { Board } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import type { KvmPort, KvmVcpuPort, KvmVmPort } from './port.ts';

/** What a machine says about its processors, for CPUID and its like. The architecture knows what is in it. */
export interface KvmArchOptions {
  readonly isa: Isa;
  readonly cpus: number;
  readonly kvm: KvmPort;
  /** kernel-irqchip: whether local interrupt controllers are the kernel's. */
  readonly irqchip: boolean;
  /** Rate of the counter of time that processors have (x86: the TSC), Hz; the machine's, where nothing else is said. */
  readonly counterHz?: number;
  /** A register of the processor's identification as the machine has it (x86: CPUID), where KVM may know more. */
  identify?(cpu: number, leaf: number, subleaf: number): readonly [number, number, number, number];
}

/** A vCPU whose time goes on. */
export interface TimedVcpu {
  readonly vcpu: KvmVcpuPort;
  readonly state: CpuState;
}

export interface KvmArch {
  /** Once for a VM, before its vCPUs are made. */
  setUpVm(vm: KvmVmPort, options: KvmArchOptions): void;
  /** Once for a vCPU, before it is loaded: CPUID and what else is fixed. */
  setUpVcpu(vcpu: KvmVcpuPort, state: CpuState): void;
  /** From the state to KVM: everything that a guest can see. */
  load(vcpu: KvmVcpuPort, state: CpuState): void;
  /** From KVM to the state. What the Isa derives is recomputed afterwards by `Isa.refresh`. */
  store(vcpu: KvmVcpuPort, state: CpuState): void;
  /** KVM has run since the last `store`, and there will be a `load` without another. */
  forget(vcpu: KvmVcpuPort): void;
  /**
   * Counters of time that go on by themselves: to KVM, for all vCPUs at once. Before they run under KVM, and again when
   * the machine's clock has stood still. `now`: nanoseconds of that clock. False where KVM's counters cannot be set:
   * the states' then follow KVM's. So a machine that may run under KVM calls this before its first instruction too.
   */
  loadTime?(vcpus: readonly TimedVcpu[], now: () => number): boolean;
  /** The same from KVM: when the vCPUs leave it, and before the clock stops. */
  storeTime?(vcpus: readonly TimedVcpu[], now: () => number): void;
  /** Why this KVM cannot hold a state; undefined: it can. */
  cannotRun?(state: CpuState): string | undefined;
  /** This KVM shuts processors down that have done nothing wrong: something else has to try the instruction first. */
  readonly doubtsShutdown?: boolean;
  /**
   * KVM keeps page tables of its own beside the guest's, and does not see when others than its guest write to those:
   * another accelerator, or the interpreter.
   */
  readonly shadowPaging?: boolean;
  /** Gives a vCPU back its resources. */
  release?(vcpu: KvmVcpuPort): void;
  /** Before the kernel has a local interrupt controller: where it shows, and its priority (x86: the task priority). */
  setLocalController?(vcpu: KvmVcpuPort, state: CpuState, base: bigint, priority: number): void;
}

/** A vCPU to its interrupt controller. */
export interface IrqchipVcpu extends TimedVcpu {
  /** Comes back from its thread. */
  park(): void;
  /**
   * Runs for a moment, so that what is due in the kernel for this processor is in its controller's state. False where it
   * cannot now.
   */
  settle(): boolean;
  /** One of the kernel's counters of it, by name; undefined where the kernel has no such. */
  counter(name: string): (() => number) | undefined;
  /** Its registers to the state, if KVM has them. */
  sync(): void;
}

/**
 * Interrupt controllers (and what counts time beside them) that are in the kernel while KVM runs the machine, and the
 * board's own at all other times: under another accelerator, in a pause, while somebody looks at them.
 */
export interface KvmIrqchip {
  /** After the VM was made, before its vCPUs. Throws KvmError. */
  setUpVm(vm: KvmVmPort): void;
  bind(vcpus: readonly IrqchipVcpu[], arch: KvmArch): void;
  /** The kernel has them. */
  readonly away: boolean;
  /** Before an entry: to the kernel, if they are not there, and what has changed since. */
  leave(): void;
  /** Back to the board; vCPUs come out of KVM for it. */
  home(): void;
  /** With the registers: whether the processor runs, waits, or is not started. */
  loadCpu(vcpu: KvmVcpuPort, state: CpuState): void;
  /** Before the registers are read: a start may be under way. */
  storeCpu(vcpu: KvmVcpuPort, state: CpuState): void;
  /** Of a controller that stays with the board, and asks through the processor's input: the vector, or -1. */
  acknowledge(cpu: number): number;
  /** The kernel's local controller has ended an interrupt that the board's waits for. */
  endOfInterrupt(vector: number): void;
  /** Before the VM is closed. */
  close(): void;
}

/** What an architecture does with exits and interrupts, where it is not the same for all. */
export interface KvmEvents {
  /** After `KvmArch.load`: what kvm_run said about interrupts is of another state. */
  loaded(vcpu: KvmVcpuPort, state: CpuState): void;
  /**
   * Before an entry: gives KVM what the processor's inputs ask for (x86: KVM_INTERRUPT, KVM_NMI), or asks to be told
   * when it can be given.
   */
  inject(vcpu: KvmVcpuPort, state: CpuState, board: Board): void;
  /** Whether a processor that runs has to be told of something. */
  calls(state: CpuState): boolean;
  /** After an exit: puts into the state what `wakes` looks at, and tells the board what kvm_run says (x86: CR8). */
  leave(vcpu: KvmVcpuPort, state: CpuState, board: Board): void;
  /** Whether a processor that waits goes on. */
  wakes(state: CpuState): boolean;
  /** The processor has shut down (x86: a triple fault). */
  shutdown(state: CpuState): void;
  /** Why KVM cannot run this state; undefined: it can. */
  cannotRun(state: CpuState): string | undefined;
  /** An exit that other architectures do not have; false where this one does not know it either. */
  serve(vcpu: KvmVcpuPort, state: CpuState, board: Board, reason: number): boolean;
}
