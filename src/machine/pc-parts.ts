/** What a PC board takes from outside, and what it is to the machine that runs it. */
import type { ApicCpu } from '../devices/apic/apic-wiring.ts';
import type { TimeStampCounter } from '../devices/apic/apic-timer.ts';
import type { IrqLine, Wiring } from '../hw/device.ts';
import type { MemoryArea } from '../hw/memory-area.ts';

/** Guest-physical memory: RAM and areas of other memory, shown where the board says. Sizes are multiples of 4096. */
export interface GuestMemory {
  /** All RAM, contiguous. */
  readonly ram: Uint8Array;
  /** Shows RAM from `offset` on at `address`. */
  mapRam(address: number, length: number, offset: number, readOnly?: boolean): void;
  /** Shows part of an area. */
  mapArea(name: string, address: number, length: number, offset: number, readOnly: boolean): void;
  unmap(address: number, length: number): void;
  /** Writes RAM from `offset` on, which is also its address below 4 GiB; `size` beyond the data is cleared. */
  writeRam(offset: number, data: Uint8Array, size?: number): void;
  /** An area that `pcAreas` asked for. */
  area(name: string): MemoryArea;
}

export interface PcParts {
  readonly wiring: Wiring;
  readonly memory: GuestMemory;
  /** The vCPUs' inputs, in order. */
  readonly cpus: readonly ApicCpu[];
  /** The vCPU whose access is being served. */
  current(): number;
  /** The processors have local APICs. */
  readonly apics: boolean;
  /** The I/O APIC is to be as KVM's, which may take over from it. */
  readonly kernelIoApic?: boolean;
  /** The time-stamp counter of a vCPU, for its TSC-deadline timer. */
  readonly tsc?: (cpu: number) => TimeStampCounter;
  /** The A20 gate of port 0x92 and the keyboard controller. */
  readonly a20?: IrqLine;
  /** CPUID leaf 1 as SMBIOS shows it. */
  readonly processor?: { readonly eax: number; readonly edx: number };
  /** There is system management mode: chips raise SMIs. */
  readonly smm?: boolean;
  /** Whether the access being served is one of system management mode. */
  readonly inSmm?: () => boolean;
  /** Fills its argument (at most 64 KiB) with random bytes. */
  random(into: Uint8Array): void;
}

/** A wire that several sources drive: it is high while one of them is. */
export class SharedLine {
  private readonly line: IrqLine;
  private drivers = 0;

  constructor(line: IrqLine) {
    this.line = line;
  }

  /** Another source's end of the wire. */
  tap(): IrqLine {
    let now = false;
    return {
      set: (level) => {
        if (level === now) return;
        now = level;
        this.drivers += level ? 1 : -1;
        this.line.set(this.drivers > 0);
      },
    };
  }
}
