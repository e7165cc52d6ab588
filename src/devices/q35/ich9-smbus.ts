/**
 * Intel 82801IB (ICH9), device 31 function 3: the SMBus controller of QEMU's `q35`.
 *
 * Spec: Intel I/O Controller Hub 9 (ICH9), 316972-004, "SMBus Controller
 * Registers (D31:F3)".
 */
import type { DeviceLog } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';
import { type SmbusDevice, SmbusHost } from '../../hw/smbus.ts';

const HOST_CONFIG = 0x40;
const HOST_ENABLE = 1;

/** Slot 31, function 3. `smbus` is a device of its own: to be reset, saved and loaded. */
export class Ich9Smbus extends PciFunction {
  readonly smbus: SmbusHost;

  constructor(name: string, log: DeviceLog, devices: ReadonlyMap<number, SmbusDevice>) {
    const irq = { set: (level: boolean) => this.irq.set(level) };
    const smbus = new SmbusHost(`${name}.smbus`, log, devices, irq);
    super({
      name,
      vendor: 0x8086,
      device: 0x2930,
      class: 0x0c0500,
      revision: 2,
      multifunction: true,
      interruptPin: 1,
      bars: [
        {
          index: 4,
          kind: 'io',
          size: 0x40,
          mmio: {
            widths: [1],
            read: (at, size) => (this.enabled ? smbus.mmio.read(at, size) : 0xff),
            write: (at, size, value) => {
              if (this.enabled) smbus.mmio.write(at, size, value);
            },
          },
        },
      ],
    });
    this.smbus = smbus;
    this.writable(HOST_CONFIG, 1, 0x17);
  }

  private get enabled(): boolean {
    return (this.state.config[HOST_CONFIG] & HOST_ENABLE) !== 0;
  }
}
