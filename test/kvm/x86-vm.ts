/** A VM with one vCPU and the registers of ours on it: for tests that look at registers, not at devices. */
import type { CpuState } from '../../src/accel/cpu-state.ts';
import { kvmCpuOffer } from '../../src/accel/kvm/x86/cpuid.ts';
import { X86KvmArch } from '../../src/accel/kvm/x86/x86-arch.ts';
import type { KvmPort, KvmVcpuPort, KvmVmPort } from '../../src/accel/kvm/port.ts';
import type { Space } from '../../src/accel/space.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { cpuid } from '../../src/isa/x86/cpuid/cpuid.ts';
import { isa } from '../../src/isa/x86/isa.ts';
import { cpuidOptions, type X86CpuModel, x86CpuModel } from '../../src/machine/x86-cpu.ts';

export class X86Vm {
  readonly arch = new X86KvmArch();
  readonly cpu: X86CpuModel;
  readonly vcpu: KvmVcpuPort;
  readonly vm: KvmVmPort;
  private readonly kvm: KvmPort;

  /** `sync`: registers go through kvm_run, and so only with an entry. */
  constructor(space: Space, state: CpuState, sync: boolean, model = 'max') {
    this.kvm = openKvm();
    const offer = kvmCpuOffer(this.kvm);
    this.cpu = x86CpuModel({ model, features: {} }, offer);
    const options = cpuidOptions(this.cpu, 0, 1);
    this.vm = this.kvm.createVm();
    this.arch.setUpVm(this.vm, {
      isa,
      cpus: 1,
      kvm: this.kvm,
      irqchip: false,
      counterHz: this.cpu.tscHz,
      sync,
      identify: (_, leaf, subleaf) => cpuid(options, state, leaf, subleaf),
    });
    this.vm.setMemory(0, 0, 0, space.ramBytes());
    this.vcpu = this.vm.createVcpu(0);
    this.arch.setUpVcpu(this.vcpu, state);
  }

  /** Lets what was loaded take effect, and nothing else. */
  settle(): number {
    this.vcpu.kick();
    return this.vcpu.enter();
  }

  close(): void {
    this.arch.release(this.vcpu);
    this.vcpu.close();
    this.vm.close();
    this.kvm.close();
  }
}
