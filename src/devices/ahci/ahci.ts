/**
 * The AHCI controller of the ICH9: six ports behind one ABAR.
 *
 * Spec: Serial ATA AHCI 1.3.1, "HBA Memory Registers"; Intel I/O Controller
 * Hub 9, "SATA Controller Registers (D31:F2)".
 * Departures: command completion coalescing and enclosure management are not
 * offered; AHCI is always enabled (CAP.SAM).
 */
import type { AtaDrive } from '../../hw/ata/ata-drive.ts';
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';
import { create, initially, layout, u32 } from '../../state/layout.ts';
import { AhciPort } from './ahci-port.ts';
import { PORT_SIZE } from './port-registers.ts';

const PORTS = 6;
const FIRST_PORT = 0x100;
const WINDOW = 0x1000;
/** 64-bit addresses, native queues, only AHCI, 1.5 Gbit/s, 32 slots a port. */
const CAP = 0xc014_1f00 | (PORTS - 1);
const GHC = { RESET: 1, IE: 2, AE: 0x8000_0000 };
/** The index/data pair in BAR 4. */
const INDEX = 0x10;
const DATA = 0x14;

const STATE = layout('ahci', 1, { ghc: initially(u32, GHC.AE), is: u32, index: u32 });

const REGISTERS = bank<Ahci>(
  0x2c,
  {
    CAP: { at: 0x00, read: () => CAP >>> 0, write: () => {} },
    GHC: { at: 0x04, read: ({ state }) => state.ghc, write: (hba, value) => hba.control(value) },
    IS: { at: 0x08, read: ({ state }) => state.is, write: (hba, ones) => hba.acknowledge(ones) },
    PI: { at: 0x0c, read: () => (1 << PORTS) - 1, write: () => {} },
    VS: { at: 0x10, read: () => 0x1_0000, write: () => {} },
    CCC_CTL: { at: 0x14, read: () => 0, write: () => {} },
    CCC_PORTS: { at: 0x18, read: () => 0, write: () => {} },
    EM_LOC: { at: 0x1c, read: () => 0, write: () => {} },
    EM_CTL: { at: 0x20, read: () => 0, write: () => {} },
    CAP2: { at: 0x24, read: () => 0, write: () => {} },
    BOHC: { at: 0x28, read: () => 0, write: () => {} },
  },
  { access: [1, 2, 4] },
);

export class Ahci implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly pci: PciFunction;
  /** ABAR. */
  readonly mmio: Mmio;
  readonly ports: readonly AhciPort[];

  constructor(name: string, wiring: Wiring) {
    this.name = name;
    this.log = wiring.log;
    const hba = REGISTERS.on(this);
    const port = (offset: number) => this.ports[Math.floor((offset - FIRST_PORT) / PORT_SIZE)]?.mmio;
    this.mmio = {
      read(offset, size) {
        return offset < FIRST_PORT ? hba.read(offset, size) : (port(offset)?.read(offset % PORT_SIZE, size) ?? 0);
      },
      write(offset, size, value) {
        if (offset < FIRST_PORT) hba.write(offset, size, value);
        else port(offset)?.write(offset % PORT_SIZE, size, value);
      },
    };
    this.pci = new PciFunction({
      name,
      vendor: 0x8086,
      device: 0x2922,
      class: 0x01_0601,
      revision: 2,
      multifunction: true, // the ICH9's functions all say so
      interruptPin: 1,
      bars: [
        { index: 4, kind: 'io', size: 32, mmio: this.indexPair() },
        { index: 5, kind: 'mem32', size: WINDOW, mmio: this.mmio },
      ],
      msi: { offset: 0x80 },
    });
    this.pci.owner = this;
    this.pci.constant(0x90, 1, 0x40); // MAP: AHCI mode
    const sata = this.pci.addCapability(0x12, 8, 0xa8);
    this.pci.constant(sata + 2, 2, 0x10);
    this.pci.constant(sata + 4, 4, 0x48); // the index/data pair: BAR 4, offset 0x10
    const dma = this.pci.master(wiring.dma);
    const options = { log: wiring.log, dma, changed: (fresh: boolean) => this.output(fresh) };
    this.ports = Array.from({ length: PORTS }, (_, index) => new AhciPort(`${name}.${index}`, options));
  }

  /** Plugs a drive into a port (0..5); before the machine starts. */
  attach(port: number, drive: AtaDrive): void {
    if (!this.ports[port]) throw new RangeError(`${this.name} has no port ${port}`);
    this.ports[port].attach(drive);
  }

  /** The ports are devices of their own. */
  reset(): void {
    Object.assign(this.state, create(STATE));
    this.output();
  }

  resumed(): void {
    this.output();
  }

  control(value: number): void {
    if (value & GHC.RESET) {
      for (const port of this.ports) {
        port.reset();
        port.drive?.softReset();
      }
      this.reset();
      return;
    }
    this.state.ghc = (GHC.AE | (value & GHC.IE)) >>> 0;
    this.output();
  }

  acknowledge(ones: number): void {
    this.state.is = (this.state.is & ~ones) >>> 0;
    this.output(true);
  }

  /** Ports' interrupts are collected in IS. A message is sent anew for whatever is fresh, or left after a write of IS. */
  private output(fresh = false): void {
    const { state, pci, ports } = this;
    ports.forEach((port, index) => {
      if (port.pending) state.is |= 1 << index;
    });
    const level = (state.ghc & GHC.IE) !== 0 && state.is !== 0;
    if (level && fresh && pci.messages) pci.irq.set(false);
    pci.irq.set(level);
  }

  private indexPair(): Mmio {
    return {
      read: (offset, size) => {
        if (offset === INDEX) return this.state.index;
        return offset === DATA && size === 4 ? this.mmio.read(this.state.index, 4) : 0;
      },
      write: (offset, size, value) => {
        if (offset === INDEX) this.state.index = value & (WINDOW - 4);
        else if (offset === DATA && size === 4) this.mmio.write(this.state.index, 4, value);
      },
    };
  }
}
