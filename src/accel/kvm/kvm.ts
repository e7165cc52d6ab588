/** The KVM accelerator of a whole machine: beside another one, on its space and states. */
import type { Isa } from '../../isa/isa.ts';
import type { Board, Exit, SpaceAccelerator } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import type { Space } from '../space.ts';
import { Cap } from './abi.ts';
import type { KvmArch, KvmArchOptions, KvmEvents, KvmIrqchip, TimedVcpu } from './arch.ts';
import { Bells } from './bells.ts';
import { BinaryStatistics } from './binary-statistics.ts';
import { KvmVcpu } from './kvm-vcpu.ts';
import { MemorySlots } from './memory-slots.ts';
import type { KvmPort, KvmVcpuPort, KvmVmPort } from './port.ts';

/** The machine's counters of time are set by KVM's this often, ns. */
const RENEW_NS = 5e6;

export interface KvmParts {
  readonly kvm: KvmPort;
  readonly space: Space;
  readonly states: readonly CpuState[];
  readonly board: Board;
  readonly arch: KvmArch;
  readonly events: KvmEvents;
  readonly counterHz?: KvmArchOptions['counterHz'];
  readonly identify?: KvmArchOptions['identify'];
  refresh(state: CpuState): void;
  translate(state: CpuState, virtual: bigint): number | undefined;
  /** `longest`: instructions. */
  emulate(vcpu: KvmVcpu, why: string, longest?: number): Exit | undefined;
  slow(rate: number): void;
  /** vCPUs run in threads of their own, where the host has them. */
  readonly threaded?: boolean | undefined;
  /** Interrupt controllers in the kernel; the board's otherwise. */
  readonly irqchip?: KvmIrqchip | undefined;
}

export class KvmAccelerator implements SpaceAccelerator {
  readonly name = 'kvm';
  readonly isa: Isa;
  readonly space: Space;
  readonly ram: Uint8Array;
  readonly vcpus: readonly KvmVcpu[];
  readonly slots: MemorySlots;
  private readonly vm: KvmVmPort;
  private readonly kvm: KvmPort;
  private readonly arch: KvmArch;
  private readonly irqchip: KvmIrqchip | undefined;
  private readonly bells: Bells | undefined;
  private readonly now: () => number;
  private timeAt = -Infinity;

  onBack: ((vcpu: number) => void) | undefined;

  /** Throws KvmError; nothing is left open then but `kvm`, which becomes this one's when it succeeds. */
  constructor(parts: KvmParts) {
    const { kvm, space, states, board, arch, events, refresh, translate, slow, counterHz, identify, irqchip } = parts;
    const { isa } = states[0];
    const vcpus: KvmVcpu[] = [];
    const ports: KvmVcpuPort[] = [];
    this.vcpus = vcpus;
    this.kvm = kvm;
    this.arch = arch;
    this.irqchip = irqchip;
    this.now = () => board.now();
    const parked = (vcpu: number) => this.onBack?.(vcpu);
    const parkAll = () => {
      for (const vcpu of vcpus) vcpu.park();
    };
    const emulate = (vcpu: KvmVcpu, why: string) => {
      this.renewTime();
      if (!arch.shadowPaging) return parts.emulate(vcpu, why);
      // An instruction that KVM does not know writes no page tables; what follows might.
      const one = why.startsWith('emulation');
      const exit = parts.emulate(vcpu, why, one ? 1 : undefined);
      if (!one) {
        parkAll();
        this.slots.renew();
      }
      return exit;
    };
    this.isa = isa;
    this.space = space;
    this.ram = space.ramBytes();
    this.vm = kvm.createVm();
    try {
      arch.setUpVm(this.vm, { isa, cpus: states.length, kvm, irqchip: irqchip !== undefined, counterHz, identify });
      irqchip?.setUpVm(this.vm);
      // The last one is the irqchip's, which may have to show a processor of its own something.
      const slots = (this.vm.checkExtension(Cap.nrMemslots) || 32) - (irqchip ? 1 : 0);
      this.slots = new MemorySlots(space, this.vm, slots);
      // On the machine's own thread an exit is the shorter way.
      if (parts.threaded) this.bells = Bells.on(this.vm, board);
      for (const state of states) {
        const port = this.vm.createVcpu(state.index, parts.threaded);
        ports.push(port);
        port.thread?.onBack(() => this.onBack?.(state.index));
        const { slots } = this;
        vcpus.push(
          new KvmVcpu({
            ...{ port, state, board, arch, events, slots, irqchip, bells: this.bells },
            ...{ refresh, translate, emulate, slow, parked, parkAll },
          }),
        );
        arch.setUpVcpu(port, state);
      }
      const bound = vcpus.map((vcpu) => ({
        vcpu: vcpu.port,
        state: vcpu.state,
        park: () => vcpu.park(),
        settle: () => vcpu.settle(),
        counter: (name: string) => BinaryStatistics.open(vcpu.port)?.counter(name),
        sync: () => vcpu.sync(),
      }));
      irqchip?.bind(bound, arch);
    } catch (error) {
      try {
        closeAll([...ports, this.bells, irqchip, this.vm]);
      } catch {
        // The first error says why.
      }
      throw error;
    }
  }

  noteWrites(): void {
    this.slots.update();
    this.slots.log(true);
  }
  writes(written: (address: number, length: number) => void): boolean {
    const known = this.slots.dirty(written);
    this.slots.log(false);
    return known;
  }

  suspended(): void {
    this.irqchip?.home();
    for (const vcpu of this.vcpus) vcpu.released();
    this.bells?.drain();
    this.storeTime();
  }
  resumed(): void {
    if (this.arch.shadowPaging) this.slots.renew();
    this.startTime();
  }
  startTime(): void {
    this.arch.loadTime?.(this.timed, this.now);
    this.timeAt = this.now();
  }
  stopTime(): void {
    // Timers in the kernel know of no pause.
    this.irqchip?.home();
    this.bells?.drain();
    this.storeTime();
  }
  private storeTime(): void {
    this.arch.storeTime?.(this.timed, this.now);
    this.timeAt = this.now();
  }

  /** The machine's clock and KVM's counters come apart slowly: whoever reads both must not see it. */
  private renewTime(): void {
    if (this.now() - this.timeAt < RENEW_NS) return;
    this.vcpus[0].park();
    this.storeTime();
  }

  /** Notifications of devices that needed no exit; undefined where they all are exits. */
  get rings(): number | undefined {
    return this.bells?.rings;
  }

  /** The kernel's counters, of the VM or of a vCPU; undefined where the kernel gives none. */
  counters(vcpu?: number): BinaryStatistics | undefined {
    const source = vcpu === undefined ? this.vm : this.vcpus[vcpu]?.port;
    return source && BinaryStatistics.open(source);
  }

  private get timed(): TimedVcpu[] {
    return this.vcpus.map(({ port, state }) => ({ vcpu: port, state }));
  }

  written(): void {} // nothing that is in RAM is kept elsewhere

  close(): void {
    closeAll([...this.vcpus, this.bells, this.irqchip, this.vm, this.kvm]);
  }
}

/** All of them, whatever the others do; throws the first error. */
function closeAll(parts: readonly ({ close(): void } | undefined)[]): void {
  const errors: unknown[] = [];
  for (const part of parts)
    try {
      part?.close();
    } catch (error) {
      errors.push(error);
    }
  if (errors.length > 0) throw errors[0];
}
