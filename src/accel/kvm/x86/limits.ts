/**
 * States that a partial KVM cannot hold. kvm_pvm has no paging but that of
 * long mode and no virtual-8086 mode; it drops the bit without a word when
 * registers are set, and shuts the processor down when the guest sets it.
 * So a scratch vCPU is asked.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_SET_SREGS; SDM volume 3,
 * "Modes of Operation".
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { Cr0, Efer, Eflags, Shadow } from '../../../isa/x86/state.ts';
import type { KvmPort, KvmVcpuPort } from '../port.ts';
import { KvmX86, Regs, Sregs } from './abi-x86.ts';

export interface KvmLimits {
  /** Paging outside long mode. */
  readonly paging: boolean;
  readonly virtual8086: boolean;
}
export const NO_LIMITS: KvmLimits = { paging: false, virtual8086: false };

/** The same for every VM of a process, and as much work as making one. */
let known: KvmLimits | undefined;

/** Of this host: what was found out before, or a vCPU of a VM of its own is asked. */
export function limitsOf(kvm: KvmPort): KvmLimits {
  if (known) return known;
  const vm = kvm.createVm();
  let vcpu: KvmVcpuPort | undefined;
  try {
    vcpu = vm.createVcpu(0);
    return probeLimits(vcpu);
  } finally {
    vcpu?.close();
    vm.close();
  }
}

/** Asks a vCPU: where the answer is no, it is good for nothing afterwards. */
export function probeLimits(vcpu: KvmVcpuPort): KvmLimits {
  const sregs = new Uint8Array(Sregs.size);
  const regs = new Uint8Array(Regs.size);
  const [control, general] = [sregs, regs].map(({ buffer }) => new DataView(buffer));
  vcpu.ioctl(KvmX86.getSregs, sregs);
  control.setBigUint64(Sregs.cr0, BigInt(Cr0.pe | Cr0.et) | BigInt(Cr0.pg), true);
  vcpu.ioctl(KvmX86.setSregs, sregs);
  vcpu.ioctl(KvmX86.getRegs, regs);
  general.setBigUint64(Regs.rflags, BigInt(Eflags.fixed | Eflags.vm), true);
  vcpu.ioctl(KvmX86.setRegs, regs);
  vcpu.ioctl(KvmX86.getSregs, sregs);
  vcpu.ioctl(KvmX86.getRegs, regs);
  known = {
    paging: !(control.getBigUint64(Sregs.cr0, true) & BigInt(Cr0.pg)),
    virtual8086: !(general.getBigUint64(Regs.rflags, true) & BigInt(Eflags.vm)),
  };
  return known;
}

/** Why KVM cannot go on from this state; undefined: it can. */
export function cannotHold(state: StateAccess, limits: KvmLimits): string | undefined {
  // A trap that a load of SS holds back would come an instruction early.
  if (state.get32('shadow') === Shadow.stack && state.get32('pendingDebug') !== 0) return 'trap-behind-stack-load';
  if (limits.virtual8086 && state.get32('eflags') & Eflags.vm) return 'virtual-8086';
  if (!limits.paging || !(state.get64('cr0') & BigInt(Cr0.pg))) return undefined;
  return state.get64('efer') & BigInt(Efer.lma) ? undefined : 'paging-outside-long-mode';
}
