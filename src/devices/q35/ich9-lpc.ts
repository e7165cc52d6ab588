/**
 * Intel 82801IB (ICH9), device 31 function 0: the bridge to LPC of QEMU's
 * `q35`, with interrupt routing, power management and chip configuration.
 *
 * Spec: Intel I/O Controller Hub 9 (ICH9), 316972-004, "LPC Interface Bridge
 * Registers (D31:F0)", "Chipset Configuration Registers" and "Power Management
 * I/O Registers". As in QEMU, the SMI command ports switch ACPI by themselves.
 */
import { readU16, readU32, writeU16, writeU32 } from '../../bits/endian.ts';
import { AcpiPm, type SleepState, type WakeCause } from '../../hw/acpi/acpi-pm.ts';
import type { Bus } from '../../hw/bus.ts';
import type { AccessSize, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { config32, PciFunction } from '../../hw/pci.ts';
import type { PortBus } from '../../hw/ports.ts';
import { PRIORITY, type Window } from '../../hw/windows.ts';
import { Ich9Tco } from './ich9-tco.ts';

const REGISTER = {
  PM_BASE: 0x40,
  ACPI_CONTROL: 0x44,
  PIRQ_A: 0x60,
  PIRQ_E: 0x68,
  LPC_DECODE: 0x82,
  PM_CONFIG: 0xa0,
  RCBA: 0xf0,
} as const;
const PM_SIZE = 0x80;
/** Offsets in the power management block. */
const PM = { GPE0: 0x20, GPE0_LENGTH: 0x10, SMI_ENABLE: 0x30, SMI_STATUS: 0x34, TCO: 0x60 } as const;
const SMI = { GLOBAL: 1, APM: 0x20, TCO: 0x2000 } as const;
/** In PM_CONFIG: the global enable bit of SMIs stays as it is until a reset. */
const SMI_LOCK = 0x10;
/** Features of the SMI command port that firmware may ask for: every processor gets the SMI. */
export const SMI_BROADCAST = 1;
/** In the features: they have been asked for. */
const NEGOTIATED = 0x80;
const ACPI = { ENABLE: 2, DISABLE: 3 } as const;
const APM_PORT = 0xb2;
/** IRQs by the selection field of ACPI_CNTL; others are reserved. */
const SCI_IRQS = [9, 10, 11, -1, 20, 21, -1, -1] as const;
const RESET_CONTROL = { KEPT: 0xa, CPU: 4 } as const;
const CHIP_SIZE = 0x4000;
/** Chip configuration: routes of devices 31 down to 25, and general control. */
const CHIP = {
  ROUTES: [0x3140, 0x3142, 0x3144, 0x3146, 0x3148, 0x314c, 0x3150],
  GCS: 0x3410,
  NO_REBOOT: 0x20,
} as const;
/** Where the function's own bytes keep what is not configuration space. */
const OWN = {
  APM: 0,
  RESET: 2,
  SMI_FEATURES: 3,
  SMI_ENABLE: 4,
  CHIP: 0x10,
  SIZE: 0x10 + 2 * CHIP.ROUTES.length + 4,
} as const;

export interface Ich9LpcOptions {
  readonly name: string;
  readonly wiring: Wiring;
  readonly memory: Bus;
  readonly ports: PortBus;
  /** 24 global interrupts: those below 16 reach both the PICs and the I/O APIC. The chip drives what it is told to. */
  readonly gsi: readonly IrqLine[];
  /** Raises a system management interrupt. Without it the chip says that its firmware has set this up. */
  readonly smi?: (who: 'all' | 'current' | 'first') => void;
  readonly sleep: (state: SleepState) => void;
  /** The power management timer has rung. */
  readonly wake?: (cause: WakeCause) => void;
  /** The guest or the watchdog resets the machine. */
  readonly reset: (cause: 'guest' | 'watchdog') => void;
  readonly serials?: number;
  readonly parallel?: boolean;
  readonly floppy?: boolean;
}

/** Slot 31, function 0. `pm` and `tco` are devices of their own: to be reset, saved and loaded. */
export class Ich9Lpc extends PciFunction {
  readonly pm: AcpiPm;
  readonly tco: Ich9Tco;
  /** What the bus drives: PIRQA#..PIRQH#. Device `slot`'s pin `p` belongs to line `route(slot, p)`. */
  readonly pirq: readonly IrqLine[];
  static readonly resetPort = 0xcf9;
  /** What the ACPI tables tell; the blocks lie at the base that firmware chose. */
  static readonly acpi = { gpe0: PM.GPE0, gpe0Length: PM.GPE0_LENGTH, smiCommand: APM_PORT, ...ACPI } as const;
  private readonly board: Ich9LpcOptions;
  private readonly levels: boolean[] = new Array(8).fill(false);
  private sci = false;
  /** Bit n: global interrupt n is driven. */
  private driven = 0;
  private readonly pmWindow: Window;
  private readonly rcbaWindow: Window;

  constructor(options: Ich9LpcOptions) {
    super({
      name: options.name,
      vendor: 0x8086,
      device: 0x2918,
      class: 0x060100,
      revision: 2,
      multifunction: true,
      own: OWN.SIZE,
      written: () => this.update(),
    });
    this.board = options;
    const { name, wiring, ports } = options;
    this.pirq = this.levels.map((_, line) => ({
      set: (level) => {
        this.levels[line] = level;
        this.driveLines();
      },
    }));
    const sci: IrqLine = {
      set: (level) => {
        this.sci = level;
        this.driveLines();
      },
    };
    this.describe(options);
    this.pmWindow = ports.add(`${name}.pm`, undefined, PM_SIZE, this.powerManagement(), 1);
    this.rcbaWindow = options.memory.add(
      `${name}.rcba`,
      undefined,
      CHIP_SIZE,
      this.chipConfiguration(),
      PRIORITY.BOARD,
    );
    ports.add(`${name}.apm`, APM_PORT, 2, this.apm());
    ports.add(`${name}.reset`, Ich9Lpc.resetPort, 1, this.resetControl(), 1);
    this.pm = new AcpiPm({
      name: `${name}.acpi`,
      wiring,
      sci,
      gpeLength: PM.GPE0_LENGTH,
      sleep: options.sleep,
      wake: options.wake,
    });
    this.tco = new Ich9Tco({
      name: `${name}.tco`,
      wiring,
      smi: () => this.raiseSmi(SMI.TCO, 'first'),
      expired: () => options.reset('watchdog'),
      noReboot: () => (this.state.own[OWN.CHIP + 2 * CHIP.ROUTES.length] & CHIP.NO_REBOOT) !== 0,
    });
    this.reset();
  }

  override reset(): void {
    const { own } = this.state;
    own.fill(0);
    super.reset();
    // Without system management interrupts it looks as if firmware had set them up.
    if (!this.board.smi) writeU32(own, OWN.SMI_ENABLE, SMI.APM);
    CHIP.ROUTES.forEach((at, i) => {
      // Device 30 is the bridge to PCI, whose wiring is fixed.
      writeU16(own, OWN.CHIP + 2 * i, at === 0x3142 ? 0 : 0x3210);
    });
    writeU32(own, OWN.CHIP + 2 * CHIP.ROUTES.length, CHIP.NO_REBOOT);
    this.rerouted();
  }

  override resumed(): void {
    super.resumed();
    this.rerouted();
  }

  /** The PIRQ that a device's pin is wired to: fixed up to device 24 and for 30, by chip configuration above. */
  route(slot: number, pin: number): number {
    if (slot === 30) return pin + 4;
    if (slot < 25) return ((slot + pin) & 3) + 4;
    return (readU16(this.state.own, OWN.CHIP + 2 * (31 - slot)) >> (4 * pin)) & 7;
  }

  /** The global interrupt of the system control interrupt; -1 for a reserved choice. */
  get sciIrq(): number {
    return SCI_IRQS[this.state.config[REGISTER.ACPI_CONTROL] & 7];
  }

  private describe({ serials = 0, parallel, floppy }: Ich9LpcOptions): void {
    this.constant(REGISTER.PM_BASE, 4, 1);
    this.writable(REGISTER.PM_BASE, 4, 0xff80);
    this.writable(REGISTER.ACPI_CONTROL, 1, 0x87);
    this.constant(0x48, 4, 1); // GPIO base
    this.writable(0x48, 4, 0xff80);
    this.writable(0x4c, 1, 0x10);
    for (const at of [REGISTER.PIRQ_A, REGISTER.PIRQ_E]) {
      this.constant(at, 4, 0x8080_8080);
      this.writable(at, 4, 0x8f8f_8f8f);
    }
    const decode = (serials > 0 ? 1 : 0) | (serials > 1 ? 2 : 0) | (parallel ? 4 : 0) | (floppy ? 8 : 0);
    this.constant(REGISTER.LPC_DECODE, 1, decode);
    this.remembers(0x80, 0x94);
    this.remembers(REGISTER.PM_CONFIG, 0xa8);
    this.remembers(0xd0, 0xde);
    this.writable(REGISTER.RCBA, 4, 0xffff_c001);
  }

  private update(): void {
    const { config } = this.state;
    this.writable(REGISTER.PM_CONFIG, 1, config[REGISTER.PM_CONFIG] & SMI_LOCK ? 0xff & ~SMI_LOCK : 0xff);
    const pm = config32(this, REGISTER.PM_BASE) & 0xff80;
    const rcba = config32(this, REGISTER.RCBA);
    this.pmWindow.move(config[REGISTER.ACPI_CONTROL] & 0x80 && pm ? pm : undefined);
    this.rcbaWindow.move(rcba & 1 ? (rcba & ~1) >>> 0 : undefined);
    this.driveLines();
  }

  /** Every PIRQ has an I/O APIC pin of its own, and the IRQ that its register names. */
  private driveLines(): void {
    const { config } = this.state;
    let wanted = 0;
    this.levels.forEach((level, line) => {
      if (!level) return;
      wanted |= 1 << (16 + line);
      const route = config[line < 4 ? REGISTER.PIRQ_A + line : REGISTER.PIRQ_E + line - 4];
      if (!(route & 0x80)) wanted |= 1 << (route & 0xf);
    });
    if (this.sci && this.sciIrq >= 0) wanted |= 1 << this.sciIrq;
    const changed = wanted ^ this.driven;
    this.driven = wanted;
    for (let line = 0; line < 24; line++)
      if (changed & (1 << line)) this.board.gsi[line].set((wanted & (1 << line)) !== 0);
  }

  private raiseSmi(cause: number, who: 'all' | 'current' | 'first'): void {
    if (readU32(this.state.own, OWN.SMI_ENABLE) & cause) this.board.smi?.(who);
  }

  /** Firmware has asked for features of the SMI command port, once until the next reset; whether it gets them. */
  negotiate(requested: Uint8Array): boolean {
    const { own } = this.state;
    if (own[OWN.SMI_FEATURES] & NEGOTIATED) return true;
    const others = requested.some((byte, at) => byte & ~(at === 0 ? SMI_BROADCAST : 0));
    if (!others) own[OWN.SMI_FEATURES] = NEGOTIATED | requested[0];
    return !others;
  }

  private powerManagement(): Mmio {
    const part = (at: number): [Mmio, number] | undefined => {
      if (at < 0x10) return [this.pm.mmio, at];
      if (at >= PM.GPE0 && at < PM.GPE0 + PM.GPE0_LENGTH) return [this.pm.gpe, at - PM.GPE0];
      return at >= PM.TCO ? [this.tco.mmio, at - PM.TCO] : undefined;
    };
    return {
      read: (at, size) => {
        if (at >= PM.SMI_ENABLE && at < PM.SMI_STATUS + 4) {
          if (at >= PM.SMI_STATUS) return 0;
          return ((readU32(this.state.own, OWN.SMI_ENABLE) >>> (8 * (at & 3))) & (-1 >>> (32 - 8 * size))) >>> 0;
        }
        const [mmio, offset] = part(at) ?? [];
        if (!mmio || offset === undefined) return (-1 >>> (32 - 8 * size)) >>> 0;
        return split(mmio, offset, size);
      },
      write: (at, size, value) => {
        if (at >= PM.SMI_ENABLE && at < PM.SMI_STATUS) {
          const { own, config } = this.state;
          const kept = config[REGISTER.PM_CONFIG] & SMI_LOCK ? own[OWN.SMI_ENABLE] & SMI.GLOBAL : undefined;
          for (let i = 0; i < size; i++) own[OWN.SMI_ENABLE + (at & 3) + i] = value >>> (8 * i);
          if (kept !== undefined) own[OWN.SMI_ENABLE] = (own[OWN.SMI_ENABLE] & ~SMI.GLOBAL) | kept;
          return;
        }
        const [mmio, offset] = part(at) ?? [];
        if (!mmio || offset === undefined) return;
        const step = widest(mmio, size);
        for (let i = 0; i < size; i += step)
          mmio.write(offset + i, step, (value >>> (8 * i)) & (-1 >>> (32 - 8 * step)));
      },
    };
  }

  private apm(): Mmio {
    return {
      widths: [1],
      read: (at) => this.state.own[OWN.APM + at],
      write: (at, _size, value) => {
        this.state.own[OWN.APM + at] = value;
        if (at !== 0) return;
        if (value === ACPI.ENABLE || value === ACPI.DISABLE) this.pm.enableAcpi(value === ACPI.ENABLE);
        this.raiseSmi(SMI.APM, this.state.own[OWN.SMI_FEATURES] & SMI_BROADCAST ? 'all' : 'current');
      },
    };
  }

  private resetControl(): Mmio {
    return {
      read: () => this.state.own[OWN.RESET],
      write: (_at, _size, value) => {
        this.state.own[OWN.RESET] = value & RESET_CONTROL.KEPT;
        if (value & RESET_CONTROL.CPU) this.board.reset('guest');
      },
    };
  }

  /** Interrupt routes and the general control register; the rest of the 16 KiB reads as zero. */
  private chipConfiguration(): Mmio {
    const places = new Map<number, number>();
    CHIP.ROUTES.forEach((at, i) => {
      for (const byte of [0, 1]) places.set(at + byte, OWN.CHIP + 2 * i + byte);
    });
    for (let byte = 0; byte < 4; byte++) places.set(CHIP.GCS + byte, OWN.CHIP + 2 * CHIP.ROUTES.length + byte);
    return {
      read: (at, size) => {
        let value = 0;
        for (let i = 0; i < size; i++) value |= this.state.own[places.get(at + i) ?? -1] << (8 * i);
        return value >>> 0;
      },
      write: (at, size, value) => {
        for (let i = 0; i < size; i++) {
          const place = places.get(at + i);
          if (place !== undefined && at + i !== 0x3142 && at + i !== 0x3143) this.state.own[place] = value >>> (8 * i);
        }
        this.rerouted();
      },
    };
  }
}

function widest(mmio: Mmio, size: AccessSize): AccessSize {
  const { widths } = mmio;
  return !widths || widths.includes(size) ? size : widths.includes(2) && size === 4 ? 2 : 1;
}

function split(mmio: Mmio, at: number, size: AccessSize): number {
  const step = widest(mmio, size);
  let value = 0;
  for (let i = 0; i < size; i += step) value |= mmio.read(at + i, step) << (8 * i);
  return value >>> 0;
}
