/**
 * What every PC board has: interrupt controllers, timers, clock, serial ports,
 * fw_cfg, and the wires between them.
 *
 * An interrupt has a global number (GSI). Those below 16 are ISA's and reach
 * the 8259 pair and the I/O APIC, number 0 at its pin 2; the others the I/O
 * APIC alone.
 */
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { LocalApic } from '../devices/apic/local-apic.ts';
import { FW_CFG_PORTS, FwCfg } from '../devices/fw-cfg/fw-cfg.ts';
import { Hpet } from '../devices/hpet/hpet.ts';
import { I8254 } from '../devices/i8254/i8254.ts';
import { I8259 } from '../devices/i8259/i8259.ts';
import { IoApic, IOAPIC_VERSION } from '../devices/ioapic/ioapic.ts';
import { Mc146818Rtc } from '../devices/mc146818rtc/mc146818rtc.ts';
import { Ns16550a } from '../devices/ns16550a/ns16550a.ts';
import { PcSpeaker } from '../devices/pcspk/pcspk.ts';
import { Bus } from '../hw/bus.ts';
import type { Device, IrqLine, Mmio, Wiring } from '../hw/device.ts';
import { PortBus } from '../hw/ports.ts';
import type { MachineConfig } from './config.ts';
import { type PcParts, SharedLine } from './pc-parts.ts';

const APIC_WINDOW = 0x1000;
const IO_APIC = 0xfec0_0000;
const HPET = { base: 0xfed0_0000, size: 0x400 };
const GSIS = 24;
const UART_CLOCK_HZ = 1_843_200;
export const SERIAL_PORTS = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
] as const;

/** Which serial ports there are: one that leads nowhere by default. */
export function serialPorts({ serials, defaults }: MachineConfig): boolean[] {
  if (serials.length === 0) return defaults === false ? [] : [true];
  return serials.slice(0, SERIAL_PORTS.length).map((backend) => backend !== undefined);
}

/** Where interrupt controllers are while they are not the chipset's own: in the kernel. */
export interface ChipsElsewhere {
  /** A message-signalled interrupt. */
  message(address: number, data: number): void;
  /** The level of a global interrupt, where all of them are elsewhere. */
  wire?(gsi: number, level: boolean): void;
  /** Somebody reaches for the registers of one; `local`: of a local APIC. They are wanted here. */
  reach(local: boolean): void;
}

export interface ChipsetOptions {
  readonly pic: boolean;
  readonly pit: boolean;
  readonly rtc: boolean;
  /** Global interrupts that the HPET's timers can be routed to; no HPET without. */
  readonly hpetRoutes?: number;
}

export class PcChipset {
  readonly bus = new Bus();
  readonly ports = new PortBus();
  /** In the order in which they are reset: interrupt controllers first. */
  readonly devices: Device[] = [];
  readonly config: MachineConfig;
  readonly parts: PcParts;
  readonly wiring: Wiring;
  readonly apicBus = new ApicBus();
  readonly apics: readonly LocalApic[];
  readonly ioApic: IoApic | undefined;
  readonly pic: I8259 | undefined;
  readonly rtc: Mc146818Rtc | undefined;
  readonly pit: I8254 | undefined;
  readonly speaker: PcSpeaker | undefined;
  readonly hpet: Hpet | undefined;
  readonly fwCfg: FwCfg;
  /** The levels of the global interrupts, a bit each. */
  levels = 0;
  /** How often each of them rose. */
  readonly rises: number[] = new Array(GSIS).fill(0);
  /** Levels change, and nobody hears of it. */
  silent = false;
  private elsewhere: ChipsElsewhere | undefined;
  private readonly gsis: readonly SharedLine[];

  constructor(config: MachineConfig, parts: PcParts, options: ChipsetOptions) {
    this.config = config;
    this.parts = parts;
    this.wiring = parts.wiring;
    const { wiring } = parts;
    const { log } = wiring;
    if (options.pic) {
      this.pic = this.add(new I8259('i8259', log, { set: (level) => this.external(level) }));
      this.ports.add('i8259', 0x20, 2, this.wanted(this.pic.master));
      this.ports.add('i8259', 0xa0, 2, this.wanted(this.pic.slave));
      this.ports.add('i8259', 0x4d0, 2, this.wanted(this.pic.elcr));
    }
    this.apics = parts.apics ? parts.cpus.map((_, index) => this.localApic(index)) : [];
    if (parts.apics) {
      this.apicWindow();
      const version = parts.kernelIoApic ? IOAPIC_VERSION.KVM : IOAPIC_VERSION.EOI;
      const ioApic = this.add(new IoApic('ioapic', log, this.apicBus, version));
      this.bus.add('ioapic', IO_APIC, APIC_WINDOW, this.wanted(ioApic.mmio));
      this.apicBus.onEndOfInterrupt((vector) => ioApic.endOfInterrupt(vector));
      this.ioApic = ioApic;
    }
    this.gsis = Array.from({ length: GSIS }, (_, gsi) => new SharedLine({ set: (level) => this.drive(gsi, level) }));
    const hpet =
      options.hpetRoutes === undefined
        ? undefined
        : new Hpet(
            'hpet',
            wiring,
            Array.from({ length: GSIS }, (_, gsi) => this.gsi(gsi)),
            options.hpetRoutes,
          );
    this.hpet = hpet;
    if (options.pit) {
      this.pit = new I8254('i8254', wiring, hpet?.pit ?? this.gsi(0));
      this.port('i8254', 0x40, 4, this.wanted(this.pit.mmio));
      this.speaker = new PcSpeaker('pcspk', wiring, this.pit);
      this.port('pcspk', 0x61, 1, this.wanted(this.speaker.mmio));
      this.devices.push(this.pit, this.speaker);
    }
    if (options.rtc) {
      this.rtc = this.add(new Mc146818Rtc('rtc', wiring, hpet?.rtc ?? this.gsi(8)));
      this.port('rtc', 0x70, 2, this.rtc.mmio);
    }
    if (hpet) this.bus.add('hpet', HPET.base, HPET.size, this.add(hpet).mmio);
    this.fwCfg = this.add(new FwCfg('fw_cfg', wiring));
    this.port('fw_cfg', FW_CFG_PORTS.control, FwCfg.controlSize, this.fwCfg.controlPorts);
    this.port('fw_cfg_dma', FW_CFG_PORTS.dma, FwCfg.dmaSize, this.fwCfg.dmaPorts);
    this.serials();
  }

  /** Puts a device into the list of those that are reset, saved and loaded. */
  add<T extends Device>(device: T): T {
    this.devices.push(device);
    return device;
  }

  port(name: string, base: number, size: number, mmio: Mmio): void {
    this.ports.add(name, base, size, mmio);
  }

  /** A wire to a global interrupt; each call gives another source of it. */
  gsi(number: number): IrqLine {
    return this.gsis[number].tap();
  }

  /** A message-signalled interrupt. */
  message(address: number, data: number): void {
    if ((address % 2 ** 32) >>> 20 === 0xfee) this.apicBus.msi(address, data);
  }

  /** Interrupts go elsewhere from here on; undefined: they are the chipset's own again. */
  go(elsewhere: ChipsElsewhere | undefined): void {
    this.elsewhere = elsewhere;
    this.apicBus.remote = elsewhere && ((address, data) => elsewhere.message(address, data));
  }

  /** Somebody wants the chipset's own interrupt controllers, or its local APICs. */
  reach(local: boolean): void {
    this.elsewhere?.reach(local);
  }

  /** Registers that have to be here when they are read or written. */
  private wanted(mmio: Mmio, local = false): Mmio {
    return {
      ...mmio,
      read: (offset, size) => {
        this.elsewhere?.reach(local);
        return mmio.read(offset, size);
      },
      write: (offset, size, value) => {
        this.elsewhere?.reach(local);
        mmio.write(offset, size, value);
      },
    };
  }

  /** A vCPU takes an interrupt: its vector, or -1. */
  acknowledge(cpu: number): number {
    if (this.elsewhere) return -1; // it is the kernel's to give
    const apic = this.apics[cpu];
    if (apic) return apic.acknowledge();
    return this.pic?.pending ? this.pic.acknowledge() : -1;
  }

  private localApic(index: number): LocalApic {
    const { parts, pic } = this;
    return this.add(
      new LocalApic(`apic${index}`, {
        wiring: this.wiring,
        bus: this.apicBus,
        cpu: parts.cpus[index],
        id: index,
        bootstrap: index === 0,
        pic,
        tsc: parts.tsc?.(index),
      }),
    );
  }

  /** One window for all: the vCPU that reaches it finds its own. */
  private apicWindow(): void {
    const { apics, parts } = this;
    const own = () => apics[parts.current()] ?? apics[0];
    const mmio: Mmio = {
      widths: [4],
      read: (offset, size) => own().mmio.read(offset, size),
      write: (offset, size, value) => own().mmio.write(offset, size, value),
    };
    const window = this.bus.add('apic', apics[0].base, APIC_WINDOW, this.wanted(mmio, true), 1);
    apics[0].onBase = () => window.move(apics[0].base);
  }

  /** The 8259's INT. */
  private external(level: boolean): void {
    // In the kernel a local APIC takes what is given to its processor.
    if (this.elsewhere) for (const { intr } of this.parts.cpus) intr.set(level);
    else if (this.apics.length) for (const apic of this.apics) apic.lint0.set(level);
    else this.parts.cpus[0].intr.set(level);
  }

  private drive(gsi: number, level: boolean): void {
    this.levels = (level ? this.levels | (1 << gsi) : this.levels & ~(1 << gsi)) >>> 0;
    if (this.silent) return;
    if (level) this.rises[gsi]++;
    if (this.elsewhere?.wire) {
      this.elsewhere.wire(gsi, level);
      return;
    }
    if (gsi < 16 && gsi !== 2) this.pic?.wire(gsi, level);
    this.ioApic?.wire(gsi === 0 ? 2 : gsi, level);
  }

  private serials(): void {
    serialPorts(this.config).forEach((there, index) => {
      if (!there) return;
      const backend = this.config.serials[index];
      const { port, irq } = SERIAL_PORTS[index];
      const uart = new Ns16550a(`serial${index}`, this.wiring, this.gsi(irq), backend, UART_CLOCK_HZ);
      this.port(uart.name, port, 8, this.add(uart).mmio);
    });
  }
}
