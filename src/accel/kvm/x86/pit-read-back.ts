/**
 * How far counter 0 of the kernel's 8254 has come. No request tells: the load
 * time in KVM_GET_PIT2 is 0 for it, because a timer of the kernel's counts.
 * But a read-back command latches count and OUT, and what is latched is in
 * KVM_GET_PIT2. Only a processor can give commands: one of our own does, whose
 * local APIC is off, so that neither interrupts nor the guest ever reach it.
 * Its program is in a memory slot that is there meanwhile.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_PIT2, KVM_SET_MP_STATE;
 * Intel 8254 (231164), "Read-Back Command".
 */
import { Cap, Errno, ExitReason, MpState, Run } from '../abi.ts';
import { KvmError, type KvmVcpuPort, type KvmVmPort } from '../port.ts';
import { KvmX86, Msr, Regs, Sregs } from './abi-x86.ts';
import { KvmIrq, Pit, PitChannel } from './abi-irqchip.ts';
import { writeMsr } from './vcpu-registers.ts';

/** Below KVM's own pages (see x86-arch.ts), where PCs have nothing. */
const CODE = 0xfeff_b000;
const PAGE = 4096;
const APIC_OFF = 0xfee0_0000n;
/** Count and status of counter 0. */
const READ_BACK = 0xc2;
/** What is latched already is read first: up to a status and two bytes. */
const READS = [0xe4, 0x40, 0xe4, 0x40, 0xe4, 0x40]; // in al, 0x40
const PROGRAM = [...READS, 0xb0, READ_BACK, 0xe6, 0x43, 0xe6, 0x80]; // mov al, READ_BACK; out 0x43, al; out 0x80, al
/** An alarm of this thread's may end an entry. */
const ENTRIES = 8;
const OUT = 0x80;

export interface Counter0 {
  /** The counting element, 16 bits. */
  readonly value: number;
  readonly out: boolean;
}

export class PitReadBack {
  private readonly vm: KvmVmPort;
  private readonly number: number;
  private readonly slot: number;
  private readonly code: Uint8Array;
  private vcpu: KvmVcpuPort | undefined;
  private failed = false;

  /** `number`: of a vCPU that there is not. The VM's last memory slot is this one's. */
  constructor(vm: KvmVmPort, number: number) {
    this.vm = vm;
    this.number = number;
    this.slot = lastSlot(vm);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    this.code = new Uint8Array(memory.buffer).subarray(0, PAGE);
    this.code.set(PROGRAM);
  }

  /**
   * No other vCPU runs. `shown` is what KVM_GET_PIT2 gave: the latches are as there no more afterwards. Undefined where
   * KVM does not let us: no vCPU is left, or the guest has something at that address.
   */
  look(shown: DataView): Counter0 | undefined {
    if (this.failed) return undefined;
    try {
      this.vcpu ??= this.create();
      const latched = shown.getUint8(PitChannel.countLatched) | shown.getUint8(PitChannel.statusLatched);
      if (!this.command(this.vcpu, latched ? 0 : READS.length)) return undefined;
      const now = new DataView(new ArrayBuffer(Pit.size));
      this.vm.ioctl(KvmIrq.getPit2, new Uint8Array(now.buffer));
      if (!now.getUint8(PitChannel.countLatched) || !now.getUint8(PitChannel.statusLatched)) return undefined;
      const out = (now.getUint8(PitChannel.status) & OUT) !== 0;
      return { value: now.getUint16(PitChannel.latchedCount, true), out };
    } catch (error) {
      if (!(error instanceof KvmError)) throw error;
      this.failed = this.vcpu === undefined;
      return undefined;
    }
  }

  private create(): KvmVcpuPort {
    const vcpu = this.vm.createVcpu(this.number);
    try {
      if (!writeMsr(vcpu, Msr.apicBase, APIC_OFF)) throw new KvmError('kvm-ioctl', 'a local APIC that stays on', '');
      const sregs = new Uint8Array(Sregs.size);
      vcpu.ioctl(KvmX86.getSregs, sregs);
      // Real mode, as after a reset.
      new DataView(sregs.buffer).setBigUint64(Sregs.segments[1], BigInt(CODE), true);
      vcpu.ioctl(KvmX86.setSregs, sregs);
      vcpu.ioctl(KvmIrq.setMpState, Uint8Array.of(MpState.runnable, 0, 0, 0));
      return vcpu;
    } catch (error) {
      vcpu.close();
      throw error;
    }
  }

  /** Runs the program from an offset in it to its end. */
  private command(vcpu: KvmVcpuPort, from: number): boolean {
    const regs = new DataView(new ArrayBuffer(Regs.size));
    regs.setBigUint64(Regs.rip, BigInt(from), true);
    regs.setBigUint64(Regs.rflags, 2n, true);
    vcpu.ioctl(KvmX86.setRegs, new Uint8Array(regs.buffer));
    this.vm.setMemory(this.slot, 0, CODE, this.code);
    try {
      for (let n = 0; n < ENTRIES; n++) {
        const errno = vcpu.enter();
        if (errno === Errno.eintr || errno === Errno.eagain) continue;
        if (errno !== 0 || vcpu.run.getUint32(Run.exitReason, true) !== ExitReason.io) return false;
        // The last access ends with the next entry.
        vcpu.kick();
        return vcpu.enter() === Errno.eintr;
      }
      return false;
    } finally {
      this.vm.setMemory(this.slot, 0, CODE, undefined);
    }
  }

  close(): void {
    this.vcpu?.close();
    this.vcpu = undefined;
    this.failed = true;
  }
}

const lastSlot = (vm: KvmVmPort): number => (vm.checkExtension(Cap.nrMemslots) || 32) - 1;
