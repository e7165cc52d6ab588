/**
 * The standard VGA as a PCI card: 1234:1111, revision 2.
 *
 * Spec: QEMU 7.2, "QEMU Standard VGA": BAR 0 is video memory, BAR 2 are registers:
 * EDID at 0, the VGA's ports 0x3c0 on at 0x400, the Bochs interface at 0x500, QEMU's own registers at 0x600.
 */
import type { AccessSize, Mmio } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';
import { edid, type MonitorShape } from './edid.ts';
import { bytewise, type Vga } from './vga.ts';
import { DISPI } from './vga-state.ts';

const SPACE = { EDID_END: 0x400, PORTS: 0x400, PORTS_END: 0x420, DISPI: 0x500, DISPI_END: 0x516, QEMU: 0x600 };
const LITTLE_ENDIAN = 0x1e1e_1e1e;
const BIG_ENDIAN = 0xbebe_bebe;

export interface VgaPciOptions {
  /** The video BIOS. */
  readonly rom?: Uint8Array;
  /** The monitor's preferred mode; QEMU's xres and yres. */
  readonly monitor?: MonitorShape;
}

/** Makes the function of a card; its state is the VGA's, and the VGA's ports and window are the board's to place. */
export function vgaPci(vga: Vga, options: VgaPciOptions = {}): PciFunction {
  const pci = new PciFunction({
    name: vga.name,
    vendor: 0x1234,
    device: 0x1111,
    revision: 2,
    class: 0x03_0000,
    bars: [
      { index: 0, kind: 'mem32', size: vga.vram.bytes.length, prefetchable: true, area: vga.vram },
      { index: 2, kind: 'mem32', size: 0x1000, mmio: cardRegisters(vga, options.monitor) },
    ],
    rom: options.rom,
  });
  pci.owner = vga;
  return pci;
}

/** What BAR 2 shows. */
export function cardRegisters(vga: Vga, monitor: MonitorShape = { width: 1280, height: 800 }): Mmio {
  const identification = edid(monitor);
  const portsBase = 0x3c0 - 0x3b0 - SPACE.PORTS;
  const ones = (size: AccessSize) => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);
  return {
    read(offset, size) {
      if (offset < SPACE.EDID_END) {
        let value = 0;
        for (let i = 0; i < size; i++) value |= (identification[offset + i] ?? 0) << (8 * i);
        return value >>> 0;
      }
      if (offset < SPACE.PORTS_END && offset + size <= SPACE.PORTS_END)
        return bytewise(vga.registers, offset + portsBase, size);
      if (offset >= SPACE.DISPI && offset + size <= SPACE.DISPI_END) {
        const index = (offset - SPACE.DISPI) >> 1;
        const low = vga.readDispi(index) >> (8 * (offset & 1));
        if (size === 1) return low & 0xff;
        return (size === 4 && index < DISPI.VIDEO_MEMORY_64K ? low | (vga.readDispi(index + 1) << 16) : low) >>> 0;
      }
      if (offset === SPACE.QEMU && size === 4) return 8; // bytes of these registers
      if (offset === SPACE.QEMU + 4 && size === 4) return LITTLE_ENDIAN;
      return ones(size);
    },
    write(offset, size, value) {
      if (offset >= SPACE.PORTS && offset + size <= SPACE.PORTS_END)
        bytewise(vga.registers, offset + portsBase, size, value);
      else if (offset >= SPACE.DISPI && offset + size <= SPACE.DISPI_END && !(offset & 1) && size > 1) {
        const index = (offset - SPACE.DISPI) >> 1;
        vga.writeDispi(index, value & 0xffff);
        if (size === 4) vga.writeDispi(index + 1, value >>> 16);
      } else if (offset === SPACE.QEMU + 4 && value === BIG_ENDIAN)
        vga.log.unimplemented(vga.name, 'a frame buffer of big-endian pixels');
      else if (offset !== SPACE.QEMU + 4 || value !== LITTLE_ENDIAN)
        vga.log.guestError(vga.name, `write of ${size} bytes at register 0x${offset.toString(16)}`);
    },
  };
}
