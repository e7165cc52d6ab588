/**
 * KVM's hypercalls that concern other processors: interrupts to many of them
 * at once, and the end of a wait for a lock.
 *
 * Spec: Linux documentation, "Linux KVM Hypercall", KVM_HC_SEND_IPI,
 * KVM_HC_KICK_CPU; SDM volume 3, "Interrupt Command Register (ICR)".
 *
 * As under KVM, whoever asks is served, whether CPUID told of it or not.
 */
import type { ApicBus } from '../devices/apic/apic-bus.ts';
import { DELIVERY } from '../hw/interrupt-message.ts';

const KVM_HC = { vapicPollIrq: 1, kickCpu: 5, sendIpi: 10 } as const;
const OK = 0n;
const ENOSYS = -1000n;
const EINVAL = -22n;
/** Of the ICR: what is no vector, level or mode. */
const DESTINATION = 0xc_0800;

export interface HypercallParts {
  readonly cpus: number;
  readonly bus: Pick<ApicBus, 'deliver'>;
  /** The processor goes on, if it waits; else it does not wait the next time. */
  kick(cpu: number): void;
}

export class Hypercalls {
  private readonly parts: HypercallParts;
  private target = { a2: 0, a3: 0 };

  constructor(parts: HypercallParts) {
    this.parts = parts;
  }

  /** The third and the fourth argument of the hypercall that follows. */
  setTarget(a2: number, a3: number): void {
    this.target = { a2: a2 >>> 0, a3: a3 >>> 0 };
  }

  /** `long`: words have 64 bits. What is negative is an error. */
  call(number: number, a0: bigint, a1: bigint, long: boolean): bigint {
    switch (number) {
      case KVM_HC.vapicPollIrq:
        return OK;
      case KVM_HC.kickCpu: {
        const id = Number(BigInt.asUintN(32, a1));
        if (id < this.parts.cpus) this.parts.kick(id);
        return OK;
      }
      case KVM_HC.sendIpi:
        return this.sendIpi(a0, a1, long);
      default:
        return ENOSYS;
    }
  }

  /** To the processors with a bit in `low` (from the APIC id in the third argument on) and `high`; how many there are. */
  private sendIpi(low: bigint, high: bigint, long: boolean): bigint {
    const { bus, cpus } = this.parts;
    const { a2: first, a3: icr } = this.target;
    const mode = (icr >>> 8) & 7;
    if (icr & DESTINATION || (mode !== DELIVERY.FIXED && mode !== DELIVERY.NMI)) return EINVAL;
    const width = long ? 64 : 32;
    const bits = BigInt.asUintN(width, low) | (BigInt.asUintN(width, high) << BigInt(width));
    let count = 0n;
    for (let destination = first; destination < cpus; destination++) {
      if (!((bits >> BigInt(destination - first)) & 1n)) continue;
      bus.deliver({ destination, logical: false, mode, vector: icr & 0xff, levelTriggered: false });
      count++;
    }
    return count;
  }
}
