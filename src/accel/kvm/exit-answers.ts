/**
 * Exits that ask a device or the board: port I/O, MMIO, and those that only an
 * architecture has. What was answered takes effect when KVM is entered again;
 * until then the registers that KVM shows are those of before.
 *
 * Spec: "The Definitive KVM API Documentation", "The kvm_run structure".
 */
import { Errno, ExitReason, Run } from './abi.ts';
import { serveMemory, servePorts } from './exit-accesses.ts';
import type { KvmVcpuParts } from './vcpu-parts.ts';

export class ExitAnswers {
  /** The exit that was served last takes effect when KVM is entered again. */
  pending = false;
  private readonly parts: KvmVcpuParts;
  private serving = false;

  constructor(parts: KvmVcpuParts) {
    this.parts = parts;
  }

  /** A device is being asked: who calls now is called from within. */
  get within(): boolean {
    return this.serving;
  }

  /** False where the exit is no such. */
  answer(reason: number): boolean {
    this.serving = true;
    try {
      this.pending = this.device(reason);
      return this.pending;
    } finally {
      this.serving = false;
    }
  }

  private device(reason: number): boolean {
    const { state, port, board, events } = this.parts;
    if (reason === ExitReason.io) servePorts(board, port.run);
    else if (reason === ExitReason.mmio) serveMemory(board, state.isa, port.run);
    else return events.serve(port, state, board, reason);
    return true;
  }

  /** Lets what was answered last take effect, and nothing else run. An error's number where KVM refuses. */
  finish(): number {
    const { port } = this.parts;
    while (this.pending) {
      port.kick();
      const errno = port.enter();
      if (errno === Errno.eintr) this.pending = false;
      else if (errno !== 0) return errno;
      // An access in several parts.
      else this.answer(port.run.getUint32(Run.exitReason, true));
    }
    return 0;
  }
}
