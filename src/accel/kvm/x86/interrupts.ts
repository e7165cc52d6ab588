/**
 * Interrupts and the rare exits of x86 vCPUs: KVM_INTERRUPT when the guest
 * takes one, KVM_NMI, CR8, MSRs. With local APICs in the kernel what is ours
 * to give is the 8259's alone, and CR8 is the kernel's.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_INTERRUPT, KVM_NMI,
 * KVM_EXIT_X86_RDMSR, and "The kvm_run structure".
 */
import { HostCall } from '../../../isa/x86/msr.ts';
import { AT, Eflags, Line } from '../../../isa/x86/state.ts';
import type { Board } from '../../accelerator.ts';
import type { CpuState } from '../../cpu-state.ts';
import { ExitReason, request, Run } from '../abi.ts';
import type { KvmEvents, KvmIrqchip } from '../arch.ts';
import type { KvmVcpuPort } from '../port.ts';
import { SystemCalls } from './system-calls.ts';
import type { X86KvmArch } from './x86-arch.ts';

const KVM_INTERRUPT = request.iow(0x86, 4);
const KVM_NMI = request.io(0x9a);

/** Whether an access to memory may be a write to a local APIC's task priority, 80h in its page, wherever that is. */
function maybePriority(run: DataView): boolean {
  const at = run.getUint32(Run.mmio.physAddr, true) & 0xfff;
  return at > 0x78 && at < 0x90 && run.getUint8(Run.mmio.isWrite) !== 0;
}

/** For the vCPUs of one machine. `arch` knows what this KVM cannot do. */
export function x86Interrupts(
  arch?: Pick<X86KvmArch, 'cannotRun' | 'halfSystemCalls'>,
  irqchip?: KvmIrqchip,
): KvmEvents {
  const vector = new Uint32Array(1);
  const vectorBytes = new Uint8Array(vector.buffer);
  /** CR8 as KVM was told, by vCPU; and whether it is still that: few accesses to devices change it. */
  const priority: number[] = [];
  const settled: boolean[] = [];
  /** By vCPU, where there are any. */
  const systemCalls: SystemCalls[] = [];

  return {
    loaded(vcpu, state) {
      const { index } = state;
      vcpu.run.setUint8(Run.readyForInterruptInjection, 0);
      settled[index] = false;
      if (!arch?.halfSystemCalls) return;
      systemCalls[index] ??= new SystemCalls(vcpu, state.space);
      systemCalls[index].loaded();
    },

    inject(vcpu, state, board) {
      const { run } = vcpu;
      let lines = state.word(AT.lines);
      if (lines & Line.nmi) {
        state.setWord(AT.lines, lines & ~Line.nmi);
        vcpu.ioctl(KVM_NMI);
      }
      if (lines & Line.intr && run.getUint8(Run.readyForInterruptInjection) && board.acknowledge) {
        const taken = irqchip ? irqchip.acknowledge(state.index) : board.acknowledge(state.index);
        if (taken >= 0) {
          vector[0] = taken;
          vcpu.ioctl(KVM_INTERRUPT, vectorBytes);
          run.setUint8(Run.readyForInterruptInjection, 0);
        }
        lines = state.word(AT.lines);
      }
      run.setUint8(Run.requestInterruptWindow, lines & Line.intr ? 1 : 0);
      if (irqchip || settled[state.index]) return;
      const cr8 = board.hostCall?.(state.index, HostCall.readCr8, 0, 0) ?? 0;
      priority[state.index] = cr8;
      settled[state.index] = true;
      run.setUint32(Run.cr8, cr8, true);
      run.setUint32(Run.cr8 + 4, 0, true);
    },

    calls: (state) => state.word(AT.lines) !== 0,

    leave(vcpu, state, board) {
      const { run } = vcpu;
      const { index } = state;
      if (systemCalls.length > 0) systemCalls[index]?.left();
      const eflags = state.word(AT.eflags);
      const now = run.getUint8(Run.ifFlag) ? eflags | Eflags.if : eflags & ~Eflags.if;
      if (now !== eflags) state.setWord(AT.eflags, now);
      if (irqchip) return;
      const cr8 = run.getUint32(Run.cr8, true);
      if (cr8 !== priority[index]) {
        priority[index] = cr8;
        board.hostCall?.(index, HostCall.writeCr8, cr8, 0);
      }
      const reason = run.getUint32(Run.exitReason, true);
      settled[index] = reason === ExitReason.io || (reason === ExitReason.mmio && !maybePriority(run));
    },

    wakes(state) {
      const lines = state.word(AT.lines);
      if (lines & Line.intr && state.word(AT.eflags) & Eflags.if) return true;
      return (lines & Line.nmi) !== 0 && state.get32('nmiBlocked') === 0;
    },

    shutdown(state) {
      state.set32('shutdown', 1);
      state.stopped = true;
    },

    cannotRun(state) {
      // KVM knows no gate of address line 20.
      if (BigInt.asIntN(64, state.get64('a20')) !== -1n) return 'a20';
      if (state.get32('inSmm') !== 0 || state.word(AT.lines) & Line.smi) return 'smm';
      return arch?.cannotRun?.(state);
    },

    serve(vcpu: KvmVcpuPort, state: CpuState, board: Board, reason: number): boolean {
      const { run } = vcpu;
      switch (reason) {
        case ExitReason.debug:
          return systemCalls[state.index]?.serve() ?? false;
        case ExitReason.setTpr:
        case ExitReason.irqWindowOpen:
          return true;
        case ExitReason.ioapicEoi:
          irqchip?.endOfInterrupt(run.getUint8(Run.eoiVector));
          return true;
        case ExitReason.x86Rdmsr: {
          const fault = board.hostCall?.(state.index, HostCall.readMsr, run.getUint32(Run.msr.index, true), 0) ?? 1;
          run.setUint8(Run.msr.error, fault ? 1 : 0);
          run.setBigUint64(Run.msr.data, fault ? 0n : state.get64('result'), true);
          return true;
        }
        case ExitReason.x86Wrmsr: {
          state.set64('result', run.getBigUint64(Run.msr.data, true));
          const fault = board.hostCall?.(state.index, HostCall.writeMsr, run.getUint32(Run.msr.index, true), 0) ?? 1;
          run.setUint8(Run.msr.error, fault ? 1 : 0);
          return true;
        }
        default:
          return false;
      }
    },
  };
}
