/**
 * Intel 82371AB (PIIX4), function 3: power management and SMBus of QEMU's `pc`.
 *
 * Spec: Intel 82371AB PCI-to-ISA/IDE Xcelerator, 290562-001, "Power
 * Management". As in QEMU, ACPI's general-purpose events have their own ports
 * at 0xafe0, and the SMI command ports switch ACPI on and off by themselves.
 */
import { AcpiPm, type SleepState, type WakeCause } from '../../hw/acpi/acpi-pm.ts';
import type { IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { config32, PciFunction } from '../../hw/pci.ts';
import type { PortBus } from '../../hw/ports.ts';
import { type SmbusDevice, SmbusHost } from '../../hw/smbus.ts';
import type { Window } from '../../hw/windows.ts';

const REGISTER = { PM_BASE: 0x40, DEVACTB: 0x58, PM_ENABLE: 0x80, SMBUS_BASE: 0x90, SMBUS_CONFIG: 0xd2 } as const;
/** In byte 3 of DEVACTB: a write to the SMI command port raises an SMI. */
const APMC_ENABLE = 2;
const PORT = { APM: 0xb2, GPE: 0xafe0, SMBUS: 0xb100 } as const;
const PM_SIZE = 0x40;
const GPE_LENGTH = 4;
const ACPI = { ENABLE: 0xf1, DISABLE: 0xf0 } as const;

export interface Piix4PmOptions {
  readonly name: string;
  readonly wiring: Wiring;
  readonly ports: PortBus;
  /** ISA IRQ 9. */
  readonly sci: IrqLine;
  /** The guest raised a system management interrupt. Without it the chip says that its firmware has set this up. */
  readonly smi?: () => void;
  readonly sleep: (state: SleepState) => void;
  /** The power management timer has rung. */
  readonly wake?: (cause: WakeCause) => void;
  readonly smbus?: ReadonlyMap<number, SmbusDevice>;
  /** Whether the board has a parallel port and serial ports, which the chip's registers tell. */
  readonly parallel?: boolean;
  readonly serials?: number;
}

/** Slot 1, function 3. `pm` and `smbus` are devices of their own: to be reset, saved and loaded. */
export class Piix4Pm extends PciFunction {
  readonly pm: AcpiPm;
  readonly smbus: SmbusHost;
  /** What the ACPI tables tell. */
  static readonly acpi = { gpe0: PORT.GPE, gpe0Length: GPE_LENGTH, smiCommand: PORT.APM, ...ACPI } as const;
  private readonly smi: (() => void) | undefined;
  private readonly pmWindow: Window;
  private readonly smbusWindow: Window;

  constructor(options: Piix4PmOptions) {
    super({
      name: options.name,
      vendor: 0x8086,
      device: 0x7113,
      class: 0x068000,
      revision: 3,
      interruptPin: 1,
      own: 2, // the SMI command and status ports
      written: () => this.placeWindows(),
    });
    const { name, wiring, ports } = options;
    this.smi = options.smi;
    this.pm = new AcpiPm({
      name: `${name}.acpi`,
      wiring,
      sci: options.sci,
      gpeLength: GPE_LENGTH,
      sleep: options.sleep,
      wake: options.wake,
    });
    this.smbus = new SmbusHost(`${name}.smbus`, wiring.log, options.smbus ?? new Map());
    this.describe(options);
    this.pmWindow = ports.add(`${name}.pm`, undefined, PM_SIZE, beginning(this.pm.mmio), 1);
    this.smbusWindow = ports.add(`${name}.smbus`, undefined, 0x40, this.smbus.mmio, 1);
    ports.add(`${name}.gpe0`, PORT.GPE, GPE_LENGTH, this.pm.gpe);
    ports.add(`${name}.apm`, PORT.APM, 2, this.apm());
    this.resumed();
  }

  private describe({ parallel, serials = 0, smi }: Piix4PmOptions): void {
    this.constant(0x06, 2, 0x0280); // fast back-to-back, medium DEVSEL# timing
    this.constant(REGISTER.PM_BASE, 4, 1);
    this.writable(REGISTER.PM_BASE, 4, 0xffc0);
    this.remembers(0x44, 0x68); // activity monitors and device traps
    if (!smi) this.constant(REGISTER.DEVACTB + 3, 1, APMC_ENABLE);
    this.constant(0x5f, 1, 0x10 | (parallel ? 0x80 : 0));
    this.constant(0x63, 1, 0x60);
    this.constant(0x67, 1, (serials > 0 ? 0x08 : 0) | (serials > 1 ? 0x90 : 0));
    this.remembers(0x68, 0x80);
    this.writable(REGISTER.PM_ENABLE, 1, 1);
    this.constant(REGISTER.SMBUS_BASE, 4, PORT.SMBUS | 1);
    this.writable(REGISTER.SMBUS_BASE, 4, 0xffc0);
    this.constant(REGISTER.SMBUS_CONFIG, 1, 9);
    this.remembers(REGISTER.SMBUS_CONFIG, REGISTER.SMBUS_CONFIG + 4);
  }

  /** The SMI command port and the status port beside it, which only remembers. */
  private apm(): Mmio {
    return {
      widths: [1],
      read: (at) => this.state.own[at],
      write: (at, _size, value) => {
        this.state.own[at] = value;
        if (at !== 0) return;
        if (value === ACPI.ENABLE || value === ACPI.DISABLE) this.pm.enableAcpi(value === ACPI.ENABLE);
        else if (this.state.config[REGISTER.DEVACTB + 3] & APMC_ENABLE) this.smi?.();
      },
    };
  }

  /** Puts the two windows where their registers say. */
  private placeWindows(): void {
    const { config } = this.state;
    const pm = config32(this, REGISTER.PM_BASE) & 0xffc0;
    const smbus = config32(this, REGISTER.SMBUS_BASE) & 0xffc0;
    this.pmWindow.move(config[REGISTER.PM_ENABLE] & 1 ? pm : undefined);
    this.smbusWindow.move(config[REGISTER.SMBUS_CONFIG] & 1 ? smbus : undefined);
  }
}

/** A window whose first 16 bytes are these registers; behind them nothing answers. */
function beginning(registers: Mmio): Mmio {
  return {
    read: (at, size) => (at + size <= 0x10 ? registers.read(at, size) : -1 >>> (32 - 8 * size)),
    write: (at, size, value) => {
      if (at + size <= 0x10) registers.write(at, size, value);
    },
  };
}
