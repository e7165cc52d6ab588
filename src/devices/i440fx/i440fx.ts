/**
 * Intel 82441FX (i440FX): the host bridge of QEMU's `pc`.
 *
 * Spec: Intel 82441FX PCI and Memory Controller, 290549-001, "PCI
 * Configuration Space Mapped Registers". Departures: DRAM timing registers
 * only remember; 0x57 tells the RAM in units of 8 MiB, which old coreboot
 * reads, as QEMU has it.
 */
import { Pam, type ShadowControl } from '../../hw/pam.ts';
import { PciFunction } from '../../hw/pci.ts';

const REGISTER = { COREBOOT_RAM: 0x57, PAM0: 0x59, PAM_END: 0x60, SMRAM: 0x72 } as const;
const SMRAM = { BASE: 2, ENABLE: 8, LOCK: 0x10, OPEN: 0x40, WRITABLE: 0x78 } as const;

export interface I440fxOptions {
  readonly name: string;
  /** Bytes. */
  readonly ramSize: number;
  readonly control: ShadowControl;
}

/** Slot 0, function 0. */
export class I440fx extends PciFunction {
  private readonly control: ShadowControl;
  private readonly pam: Pam;
  /** Where the attribute maps begin in configuration space. */
  static readonly pam = REGISTER.PAM0;

  constructor(options: I440fxOptions) {
    super({
      name: options.name,
      vendor: 0x8086,
      device: 0x1237,
      class: 0x060000,
      revision: 2,
      written: (offset, size) => this.update(offset, size),
    });
    this.control = options.control;
    this.pam = new Pam(options.control);
    this.remembers(0x50, 0x57);
    this.constant(REGISTER.COREBOOT_RAM, 1, Math.min(0xff, Math.floor(options.ramSize / 0x80_0000)));
    this.remembers(REGISTER.PAM0, REGISTER.PAM_END);
    this.remembers(0x60, 0x72);
    this.constant(REGISTER.SMRAM, 1, SMRAM.BASE);
    this.writable(REGISTER.SMRAM, 1, SMRAM.WRITABLE);
  }

  private update(offset: number, size: number): void {
    const { config } = this.state;
    if (offset < REGISTER.PAM_END && offset + size > REGISTER.PAM0)
      this.pam.update(config.subarray(REGISTER.PAM0, REGISTER.PAM_END));
    if (offset > REGISTER.SMRAM || offset + size <= REGISTER.SMRAM) return;
    // Locked until the next reset: closed, and deaf.
    const locked = (config[REGISTER.SMRAM] & SMRAM.LOCK) !== 0;
    if (locked) config[REGISTER.SMRAM] &= ~SMRAM.OPEN;
    this.writable(REGISTER.SMRAM, 1, locked ? 0 : SMRAM.WRITABLE);
    const bits = config[REGISTER.SMRAM];
    this.control.smram({ open: (bits & SMRAM.OPEN) !== 0, enabled: (bits & SMRAM.ENABLE) !== 0, high: false, tseg: 0 });
  }
}
