/**
 * Intel 82G33 (Q35): the host bridge of QEMU's `q35`.
 *
 * Spec: Intel 3 Series Express Chipset Family, 316966-002, "DRAM Controller
 * Registers (D0:F0)". Departures: memory timing and graphics are not there;
 * 0x50 tells the size of an extended TSEG in MiB, as QEMU has it (OVMF reads it).
 */
import { readU32 } from '../../bits/endian.ts';
import type { Bus } from '../../hw/bus.ts';
import { Pam, type ShadowControl } from '../../hw/pam.ts';
import { PciFunction } from '../../hw/pci.ts';
import type { PciBus } from '../../hw/pci-bus.ts';
import { PRIORITY, type Window } from '../../hw/windows.ts';

const REGISTER = {
  EXTENDED_TSEG: 0x50,
  PCIEXBAR: 0x60,
  PAM0: 0x90,
  PAM_END: 0x97,
  SMRAM: 0x9d,
  ESMRAMC: 0x9e,
  /** Tops of memory, and where firmware says that the TSEG lies: it only remembers them. */
  LIMITS: 0xa0,
  LIMITS_END: 0xc0,
} as const;
const SMRAM = { BASE: 2, ENABLE: 8, LOCK: 0x10, OPEN: 0x40, WRITABLE: 0x78 } as const;
const ESMRAMC = { TSEG_ENABLE: 1, SIZE: 6, CACHED: 0x38, ERROR: 0x40, HIGH: 0x80 } as const;
const MIB = 0x10_0000;
/** Bytes, by the length field of PCIEXBAR; the fourth is reserved. */
const ECAM_SIZES = [256 * MIB, 128 * MIB, 64 * MIB] as const;
/** By the size field of ESMRAMC; the fourth is the extended TSEG. */
const TSEG_SIZES = [MIB, 2 * MIB, 8 * MIB] as const;

export interface MchOptions {
  readonly name: string;
  readonly memory: Bus;
  readonly control: ShadowControl;
  /** MiB of the extended TSEG; QEMU's 16 when absent, 0 for none. */
  readonly extendedTseg?: number;
}

/** Slot 0, function 0. */
export class Mch extends PciFunction {
  private readonly control: ShadowControl;
  private readonly pam: Pam;
  /** Where the attribute maps begin in configuration space. */
  static readonly pam = REGISTER.PAM0;
  private readonly ecam: Window;
  private readonly extendedTseg: number;

  /** `root` is asked for when the guest reaches configuration space through memory. */
  constructor(options: MchOptions, root: () => PciBus) {
    super({
      name: options.name,
      vendor: 0x8086,
      device: 0x29c0,
      class: 0x060000,
      written: (offset, size) => this.update(offset, offset + size),
    });
    this.control = options.control;
    this.pam = new Pam(options.control);
    this.extendedTseg = options.extendedTseg ?? 16;
    const mmio = {
      read: (at: number, size: 1 | 2 | 4) => root().ecam.read(at, size),
      write: (at: number, size: 1 | 2 | 4, value: number) => root().ecam.write(at, size, value),
    };
    this.ecam = options.memory.add('pcie-ecam', undefined, ECAM_SIZES[0], mmio, PRIORITY.BOARD);
    this.constant(REGISTER.EXTENDED_TSEG, 2, this.extendedTseg || 0xffff);
    this.constant(REGISTER.PCIEXBAR, 4, 0xb000_0000);
    this.writable(REGISTER.PCIEXBAR, 4, 0xfc00_0007);
    this.writable(REGISTER.PCIEXBAR + 4, 4, 0xf);
    this.remembers(REGISTER.PAM0, REGISTER.PAM_END);
    this.remembers(REGISTER.LIMITS, REGISTER.LIMITS_END);
    this.constant(REGISTER.SMRAM, 1, SMRAM.BASE);
    this.constant(REGISTER.ESMRAMC, 1, ESMRAMC.CACHED);
    this.clearable(REGISTER.ESMRAMC, 1, ESMRAMC.ERROR);
    this.lock(false);
  }

  private update(from: number, to: number): void {
    const touched = (at: number, size: number): boolean => from < at + size && to > at;
    if (touched(REGISTER.PCIEXBAR, 8)) this.placeEcam();
    if (touched(REGISTER.PAM0, 7)) this.pam.update(this.state.config.subarray(REGISTER.PAM0, REGISTER.PAM_END));
    if (touched(REGISTER.SMRAM, 2)) this.updateSmram();
  }

  private placeEcam(): void {
    const low = readU32(this.state.config, REGISTER.PCIEXBAR);
    const size = ECAM_SIZES[(low >> 1) & 3];
    if (!(low & 1) || size === undefined) {
      this.ecam.remove();
      return;
    }
    const high = readU32(this.state.config, REGISTER.PCIEXBAR + 4);
    this.ecam.move(high * 2 ** 32 + ((low & -size) >>> 0), size);
  }

  private updateSmram(): void {
    const { config } = this.state;
    // Locked until the next reset: closed, and deaf.
    const locked = (config[REGISTER.SMRAM] & SMRAM.LOCK) !== 0;
    if (locked) config[REGISTER.SMRAM] &= ~SMRAM.OPEN;
    this.lock(locked);
    const smram = config[REGISTER.SMRAM];
    const extended = config[REGISTER.ESMRAMC];
    const enabled = (smram & SMRAM.ENABLE) !== 0;
    const size = TSEG_SIZES[(extended & ESMRAMC.SIZE) >> 1] ?? this.extendedTseg * MIB;
    this.control.smram({
      open: (smram & SMRAM.OPEN) !== 0,
      enabled,
      high: enabled && (extended & ESMRAMC.HIGH) !== 0,
      tseg: extended & ESMRAMC.TSEG_ENABLE ? size : 0,
    });
  }

  private lock(locked: boolean): void {
    this.writable(REGISTER.SMRAM, 1, locked ? 0x20 : SMRAM.WRITABLE);
    this.writable(REGISTER.ESMRAMC, 1, locked ? 0 : ESMRAMC.TSEG_ENABLE | ESMRAMC.SIZE | ESMRAMC.HIGH);
  }
}
