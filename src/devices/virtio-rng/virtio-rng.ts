/**
 * virtio entropy device.
 *
 * Spec: OASIS VIRTIO 1.2, "Entropy Device".
 */
import type { Wiring } from '../../hw/device.ts';
import { VirtioDevice, virtioFields } from '../../hw/virtio.ts';
import { lengthOf, scatter } from '../../hw/virtqueue.ts';
import { create, layout } from '../../state/layout.ts';

const QUEUE_SIZES = [8];
/** The most bytes that one request is given; a driver asks again for more. */
const MAX_BYTES = 0x1_0000;

const STATE = layout('virtio-rng', 1, virtioFields(QUEUE_SIZES));

export class VirtioRng extends VirtioDevice {
  override readonly layout = STATE;
  override readonly state = create(STATE);
  override readonly deviceId = 4;
  protected override readonly ownFeatures = 0n;
  private readonly random: (into: Uint8Array) => void;

  /** `random` fills its argument (at most 64 KiB) with random bytes. */
  constructor(name: string, wiring: Wiring, random: (into: Uint8Array) => void) {
    super(name, wiring, QUEUE_SIZES);
    this.random = random;
  }

  protected override config(): Uint8Array {
    return new Uint8Array(0);
  }

  protected override notified(queue: number): void {
    for (let chain = this.pop(queue); chain; chain = this.pop(queue)) {
      const bytes = new Uint8Array(Math.min(lengthOf(chain.writable), MAX_BYTES));
      this.random(bytes);
      this.push(queue, chain.head, scatter(this.wiring.dma, chain.writable, 0, bytes));
    }
  }
}
