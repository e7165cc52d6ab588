/**
 * Ends of interrupts by a bit in guest memory: a guest that finds it set clears
 * it and is done, without the exit that a write to the local APIC costs.
 *
 * Spec: Linux documentation, "KVM-specific MSRs", MSR_KVM_PV_EOI_EN.
 *
 * KVM sets and looks at the bit around each entry. Here it is set when an
 * interrupt is taken, and looked at when somebody wants to know what the local
 * APIC serves. No processor executes code of the guest meanwhile: the guest
 * clears the bit by an instruction without LOCK, so a processor in a thread of
 * its own must not be offered this.
 */
import type { Dma } from '../../hw/device.ts';
import type { ApicState } from './apic-state.ts';
import { hasVector, highestVector } from './vectors.ts';

const ENABLED = 1;
const RESERVED = 2;
const BYTES = 4;
const SKIP_EOI = 1;

export interface PvEoiApic {
  readonly state: ApicState;
  /** The interrupt that is served ends. */
  served(): void;
}

export class PvEoi {
  private readonly apic: PvEoiApic;
  private readonly dma: Dma;

  constructor(apic: PvEoiApic, dma: Dma) {
    this.apic = apic;
    this.dma = dma;
  }

  /** MSR_KVM_PV_EOI_EN, low and high half. */
  get value(): readonly [number, number] {
    return [this.apic.state.pvEoi[0], this.apic.state.pvEoi[1]];
  }

  /** False: not a value that it takes, or no RAM. */
  set(low: number, high: number): boolean {
    if (low & RESERVED) return false;
    const { state } = this.apic;
    const before = this.value;
    this.revoke();
    state.pvEoi[0] = low >>> 0;
    state.pvEoi[1] = high >>> 0;
    if (!(low & ENABLED) || this.dma.writable(this.address, BYTES)) return true;
    [state.pvEoi[0], state.pvEoi[1]] = before;
    return false;
  }

  /** An interrupt was taken: where nothing waits for its end, the guest need not tell of it. */
  offer(vector: number): void {
    const { state } = this.apic;
    if (!(state.pvEoi[0] & ENABLED) || hasVector(state.tmr, vector) || highestVector(state.irr) >= 0) return;
    const bytes = this.dma.writable(this.address, BYTES);
    if (!bytes) return;
    bytes[0] |= SKIP_EOI;
    state.pvEoiOffered = 1;
  }

  /** The guest may have ended its interrupt. */
  poll(): void {
    const { state } = this.apic;
    if (!state.pvEoiOffered) return;
    // Where the memory has gone it can say nothing; KVM takes that for the end, too.
    const bytes = this.dma.readable(this.address, BYTES);
    if (bytes && bytes[0] & SKIP_EOI) return;
    state.pvEoiOffered = 0;
    this.apic.served();
  }

  /** From here on the guest has to tell of the end: something waits for it. */
  revoke(): void {
    this.poll();
    const { state } = this.apic;
    if (!state.pvEoiOffered) return;
    state.pvEoiOffered = 0;
    const bytes = this.dma.writable(this.address, BYTES);
    if (bytes) bytes[0] &= ~SKIP_EOI;
  }

  private get address(): number {
    const [low, high] = this.value;
    return high * 2 ** 32 + low - (low & ENABLED);
  }
}
