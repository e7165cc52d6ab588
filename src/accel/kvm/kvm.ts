/** The KVM accelerator of a whole machine: beside another one, on its space and states. */
import type { Isa } from '../../isa/isa.ts';
import type { Board, Exit, SpaceAccelerator } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import type { Space } from '../space.ts';
import { Cap } from './abi.ts';
import type { KvmArch, KvmArchOptions, KvmEvents } from './arch.ts';
import { KvmVcpu } from './kvm-vcpu.ts';
import { MemorySlots } from './memory-slots.ts';
import type { KvmPort, KvmVmPort } from './port.ts';

export interface KvmParts {
  readonly kvm: KvmPort;
  readonly space: Space;
  readonly states: readonly CpuState[];
  readonly board: Board;
  readonly arch: KvmArch;
  readonly events: KvmEvents;
  readonly identify?: KvmArchOptions['identify'];
  refresh(state: CpuState): void;
  translate(state: CpuState, virtual: bigint): number | undefined;
  emulate(vcpu: KvmVcpu, why: string): Exit | undefined;
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

  /** Throws KvmError; nothing is left open then but `kvm`, which becomes this one's when it succeeds. */
  constructor(parts: KvmParts) {
    const { kvm, space, states, board, arch, events, refresh, translate, emulate } = parts;
    const { isa } = states[0];
    this.kvm = kvm;
    this.isa = isa;
    this.space = space;
    this.ram = space.ramBytes();
    this.vm = kvm.createVm();
    const vcpus: KvmVcpu[] = [];
    this.vcpus = vcpus;
    try {
      arch.setUpVm(this.vm, { isa, cpus: states.length, kvm, irqchip: false, identify: parts.identify });
      this.slots = new MemorySlots(space, this.vm, this.vm.checkExtension(Cap.nrMemslots) || 32);
      for (const state of states) {
        const port = this.vm.createVcpu(state.index);
        const { slots } = this;
        vcpus.push(new KvmVcpu({ port, state, board, arch, events, slots, refresh, translate, emulate }));
        arch.setUpVcpu(port, state);
      }
    } catch (error) {
      for (const vcpu of vcpus) vcpu.close();
      this.vm.close();
      throw error;
    }
  }

  suspended(): void {
    for (const vcpu of this.vcpus) vcpu.released();
  }

  written(): void {} // nothing that is in RAM is kept elsewhere

  close(): void {
    for (const vcpu of this.vcpus) vcpu.close();
    this.vm.close();
    this.kvm.close();
  }
}
