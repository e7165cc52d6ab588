/** What a local APIC is wired to: its vCPU, the bus between local APICs, the 8259 pair. */
import type { IrqLine, Wiring } from '../../hw/device.ts';
import type { ApicBus } from './apic-bus.ts';
import type { TimeStampCounter } from './apic-timer.ts';

/** What a local APIC tells its vCPU. */
export interface ApicCpu {
  /** INTR, a level: an interrupt can be acknowledged. */
  readonly intr: IrqLine;
  nmi(): void;
  smi(): void;
  /** INIT: all but the bootstrap processor then wait for `startup`. */
  init(): void;
  /** SIPI: start in real mode at physical address `vector` * 4096. */
  startup(vector: number): void;
}

export interface LocalApicWiring {
  readonly wiring: Wiring;
  readonly bus: ApicBus;
  readonly cpu: ApicCpu;
  /** The APIC id that CPUID and the MADT name. */
  readonly id: number;
  /** This is the processor that runs after reset. */
  readonly bootstrap: boolean;
  /** The 8259 pair behind LINT0; acknowledging gives its vector. */
  readonly pic?: { acknowledge(): number };
  /** For the TSC-deadline timer. */
  readonly tsc?: TimeStampCounter;
}
