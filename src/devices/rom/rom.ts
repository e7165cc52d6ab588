/** Read-only memory on the bus: reset vectors and the like. */
import type { AccessSize, Device, DeviceLog, Mmio } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

const STATE = layout('rom', 1, {});

export class Rom implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly bytes: Uint8Array;
  readonly mmio: Mmio;

  /** A window of `size` bytes that starts with `content`. */
  constructor(name: string, log: DeviceLog, size: number, content: Uint8Array) {
    this.name = name;
    const bytes = new Uint8Array(size);
    bytes.set(content);
    this.bytes = bytes;
    this.mmio = {
      read: (offset: number, width: AccessSize) => {
        let value = 0;
        for (let i = 0; i < width; i++) value |= bytes[offset + i] << (8 * i);
        return value >>> 0;
      },
      write: (offset, width) => log.guestError(name, `write of ${width} bytes at offset 0x${offset.toString(16)}`),
    };
  }

  reset(): void {}
}
