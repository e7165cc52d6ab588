/**
 * The two wires into a local APIC: LINT0, the 8259's, and LINT1.
 *
 * Spec: Intel SDM volume 3, "Local Interrupts".
 */
import type { IrqLine } from '../../hw/device.ts';
import { DELIVERY } from '../../hw/interrupt-message.ts';
import type { ApicState } from './apic-state.ts';
import { LVT, LVT_MASKED } from './lvt.ts';
import { setVector } from './vectors.ts';

/** What a wire does. */
export interface WiredApic {
  readonly state: ApicState;
  /** An event of this entry of the local vector table. */
  event(index: number): void;
  changed(): void;
}

export class LocalWires {
  private readonly apic: WiredApic;

  constructor(apic: WiredApic) {
    this.apic = apic;
  }

  line(pin: 0 | 1): IrqLine {
    return { set: (level) => this.set(pin, level) };
  }

  private set(pin: 0 | 1, level: boolean): void {
    const { lint, lvt, irr } = this.apic.state;
    const rises = level && !lint[pin];
    lint[pin] = level ? 1 : 0;
    const entry = lvt[LVT.LINT0 + pin];
    if (rises) this.apic.event(LVT.LINT0 + pin);
    else if (!level && isLevelTriggered(entry)) setVector(irr, entry & 0xff, false);
    this.apic.changed();
  }

  /** A level-triggered wire asks again after its EOI, or when it is unmasked. */
  sample(): void {
    const { lint, lvt } = this.apic.state;
    for (const pin of [0, 1]) {
      const entry = lvt[LVT.LINT0 + pin];
      if (lint[pin] && isLevelTriggered(entry) && !(entry & LVT_MASKED)) this.apic.event(LVT.LINT0 + pin);
    }
  }
}

export function isLevelTriggered(entry: number): boolean {
  return (entry & 0x8000) !== 0 && ((entry >>> 8) & 7) === DELIVERY.FIXED;
}
