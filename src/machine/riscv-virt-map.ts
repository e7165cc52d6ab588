/** The memory map and interrupt numbers of QEMU 7.2's RISC-V `virt` board. */
export interface Area {
  readonly base: number;
  readonly size: number;
}

export const VIRT_MAP = {
  mrom: { base: 0x1000, size: 0xf000 },
  test: { base: 0x10_0000, size: 0x1000 },
  rtc: { base: 0x10_1000, size: 0x1000 },
  clint: { base: 0x200_0000, size: 0x1_0000 },
  /** With `aclint=on`, beside MSWI and MTIMER in the CLINT's window. */
  aclintSswi: { base: 0x2f0_0000, size: 0x4000 },
  platformBus: { base: 0x400_0000, size: 0x200_0000 },
  plic: { base: 0xc00_0000, size: 0x60_0000 },
  uart0: { base: 0x1000_0000, size: 0x100 },
  /** The first of eight slots. */
  virtio: { base: 0x1000_1000, size: 0x1000 },
  fwCfg: { base: 0x1010_0000, size: 0x18 },
  /** Two banks, one behind the other. */
  flash: { base: 0x2000_0000, size: 0x400_0000 },
  pcieEcam: { base: 0x3000_0000, size: 0x1000_0000 },
  pcieMmio: { base: 0x4000_0000, size: 0x4000_0000 },
  dram: { base: 0x8000_0000, size: 0 },
} as const satisfies Record<string, Area>;

export const VIRT_IRQ = { virtio: 1, uart0: 10, rtc: 11, pcie: 0x20 };
export const VIRTIO_SLOTS = 8;
export const FLASH_SECTOR = 0x4_0000;
/** Interrupt sources of the PLIC, as `riscv,ndev` says. */
export const PLIC_SOURCES = 96;
/** Bits of `mip` that the board drives. */
export const MIP = { SSIP: 1, MSIP: 3, MTIP: 7, SEIP: 9, MEIP: 11 };
export const TIMEBASE_HZ = 10_000_000;
/** The UART's input clock, Hz. */
export const UART_CLOCK_HZ = 3_686_400;
