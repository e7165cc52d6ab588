/**
 * What an exit says about an access, in kvm_run: ports, memory of devices, an
 * instruction that KVM could not emulate; and about what it cannot go on from.
 *
 * Spec: "The Definitive KVM API Documentation", "The kvm_run structure".
 */
import type { Isa } from '../../isa/isa.ts';
import type { Board } from '../accelerator.ts';
import { readDevice, writeDevice } from '../device-access.ts';
import { EMULATION_BYTES, EXIT_NAMES, ExitReason, IO_OUT, Run } from './abi.ts';

/** KVM_EXIT_MMIO. */
export function serveMemory(board: Board, isa: Isa, run: DataView): void {
  const at = run.getUint32(Run.mmio.physAddr, true) + run.getUint32(Run.mmio.physAddr + 4, true) * 2 ** 32;
  const size = Math.min(8, run.getUint32(Run.mmio.len, true));
  if (run.getUint8(Run.mmio.isWrite)) writeDevice(board, isa, at, size, run, Run.mmio.data);
  else readDevice(board, isa, at, size, run, Run.mmio.data);
}

/** KVM_EXIT_IO: one access, or those of a string instruction. */
export function servePorts(board: Board, run: DataView): void {
  const out = run.getUint8(Run.io.direction) === IO_OUT;
  const size = run.getUint8(Run.io.size) as 1 | 2 | 4;
  const port = run.getUint16(Run.io.port, true);
  const count = run.getUint32(Run.io.count, true);
  let at = run.getUint32(Run.io.dataOffset, true);
  for (let n = 0; n < count; n++, at += size) {
    if (out) {
      const value = size === 1 ? run.getUint8(at) : size === 2 ? run.getUint16(at, true) : run.getUint32(at, true);
      board.portWrite?.(port, size, value);
    } else {
      const value = board.portRead?.(port, size) ?? -1;
      if (size === 1) run.setUint8(at, value);
      else if (size === 2) run.setUint16(at, value, true);
      else run.setUint32(at, value, true);
    }
  }
}

/** The bytes of the instruction that KVM could not emulate, as far as it says. */
export function failedInstruction(run: DataView): string {
  const { ndata, flags, insnSize, insnBytes } = Run.internal;
  if (run.getUint32(ndata, true) < 3 || !(run.getUint32(flags, true) & EMULATION_BYTES)) return '';
  const length = Math.min(15, run.getUint8(insnSize));
  let text = '';
  for (let n = 0; n < length; n++)
    text += run
      .getUint8(insnBytes + n)
      .toString(16)
      .padStart(2, '0');
  return text;
}

/** What an exit says that no machine goes on from. */
export function failure(reason: number, run: DataView): string {
  switch (reason) {
    case ExitReason.internalError:
      return 'KVM left for a reason it does not know';
    case ExitReason.failEntry: {
      const hardware = run.getBigUint64(Run.hardwareEntryFailureReason, true);
      return `the processor refused to enter the guest: hardware reason 0x${hardware.toString(16)}`;
    }
    default:
      return `KVM left for ${EXIT_NAMES[reason] ?? `reason ${reason}`}, which nobody here serves`;
  }
}

/** Errors of KVM_RUN that a host's state or a mistake here explains. */
const RUN_ERRORS: Readonly<Record<number, string>> = {
  5: 'EIO: the kernel found a mistake of its own in this VM; its log says more',
  12: 'ENOMEM: the kernel has no memory left for it',
  14: 'EFAULT: there is no memory behind an address of the guest’s',
  22: 'EINVAL: the registers do not fit together',
  133: 'EHWPOISON: the host’s memory is broken there',
};
export const runFailed = (errno: number): string => `KVM_RUN failed: ${RUN_ERRORS[errno] ?? `error ${errno}`}`;
