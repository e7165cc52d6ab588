/**
 * Whether the local APIC in this kernel is a whole one. That of kvm_pvm
 * forgets what it has given: no vector is ever in service, so nothing holds a
 * lower one back, and the I/O APIC hears of the end before there was one.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_LAPIC; SDM volume 3,
 * "Interrupt Acceptance for Fixed Interrupts".
 */
import { ExitReason, Run } from '../abi.ts';
import type { KvmPort, KvmVcpuPort } from '../port.ts';
import { Lapic } from './abi-irqchip.ts';
import { KvmX86, Regs, Sregs } from './abi-x86.ts';
import { KernelChips, missingFor } from './kernel-chips.ts';

const VECTOR = 0x54;
const CODE = 0x1000;
const HANDLER = 0x1100;
const STACK = 0x8000;
const PAGE = 0x1_0000;
/** ms */
const PATIENCE = 50;

/** A guest in real mode takes an interrupt, and leaves from its handler. */
export function keepsInService(kvm: KvmPort): boolean {
  if (missingFor('split', kvm).length > 0) return false;
  const vm = kvm.createVm();
  let vcpu: KvmVcpuPort | undefined;
  try {
    const chips = new KernelChips(vm, 'split', false);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const ram = new Uint8Array(memory.buffer).subarray(0, PAGE);
    ram.set([0xfb, 0xf4], CODE); // sti; hlt
    ram.set([0xe6, 0x80, 0xf4], HANDLER); // out 0x80, al
    new DataView(memory.buffer).setUint32(4 * VECTOR, HANDLER, true);
    vm.setMemory(0, 0, 0, ram);
    vcpu = vm.createVcpu(0);
    const sregs = new Uint8Array(Sregs.size);
    vcpu.ioctl(KvmX86.getSregs, sregs);
    const control = new DataView(sregs.buffer);
    control.setBigUint64(0, 0n, true); // CS
    control.setUint16(12, 0, true);
    vcpu.ioctl(KvmX86.setSregs, sregs);
    const regs = new DataView(new ArrayBuffer(Regs.size));
    regs.setBigUint64(Regs.rip, BigInt(CODE), true);
    regs.setBigUint64(Regs.rflags, 2n, true);
    regs.setBigUint64(Regs.gpr + 8 * 6, BigInt(STACK), true);
    vcpu.ioctl(KvmX86.setRegs, new Uint8Array(regs.buffer));
    const lapic = chips.lapic(vcpu);
    lapic.setUint32(Lapic.svr, 0x1ff, true);
    chips.setLapic(vcpu, lapic);
    chips.message(0xfee0_0000, 0x4000 | VECTOR);
    vcpu.alarm(PATIENCE);
    const errno = vcpu.enter();
    if (errno !== 0 || vcpu.run.getUint32(Run.exitReason, true) !== ExitReason.io) return false;
    const served = chips.lapic(vcpu).getUint32(Lapic.isr + 16 * (VECTOR >> 5), true);
    return ((served >>> (VECTOR & 31)) & 1) === 1;
  } finally {
    vcpu?.alarm(Infinity);
    vcpu?.close();
    vm.close();
  }
}
