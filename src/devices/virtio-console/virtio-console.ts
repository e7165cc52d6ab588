/**
 * virtio console: consoles and named byte streams between guest and host.
 *
 * Spec: OASIS VIRTIO 1.2, "Console Device", with multiple ports.
 */
import { readU16, readU32, writeU16, writeU32 } from '../../bits/endian.ts';
import { utf8 } from '../../bits/text.ts';
import type { CharBackend } from '../../hw/chardev.ts';
import type { Wiring } from '../../hw/device.ts';
import { VirtioDevice, virtioFields } from '../../hw/virtio.ts';
import { gather, lengthOf, scatter } from '../../hw/virtqueue.ts';
import { array, create, json, type Layout, layout, type StateOf, u1 } from '../../state/layout.ts';

const QUEUE_SIZE = 128;
const CONTROL_IN = 2;
const CONTROL_OUT = 3;
const FEATURE = { MULTIPORT: 1n << 1n };
const EVENT = { DEVICE_READY: 0, DEVICE_ADD: 1, PORT_READY: 3, CONSOLE_PORT: 4, PORT_OPEN: 6, PORT_NAME: 7 };
/** The most that a port takes from a guest buffer at once. */
const PIECE = 0x1_0000;
/** Control messages that wait for a buffer; a guest that gives none loses the rest. */
const MAX_MESSAGES = 1024;

export interface ConsolePort {
  readonly backend: CharBackend;
  /** Shown as /dev/virtio-ports/NAME; a console has none. */
  readonly name?: string;
  readonly console: boolean;
}

function fields(queueSizes: readonly number[], ports: number) {
  return {
    ...virtioFields(queueSizes),
    open: array(u1, ports), // the guest has opened the port
    messages: json<number[][]>(() => []), // control messages on their way to the guest
  };
}
type ConsoleLayout = Layout<ReturnType<typeof fields>>;

export class VirtioConsole extends VirtioDevice {
  override readonly layout: ConsoleLayout;
  override readonly state: StateOf<ConsoleLayout>;
  override readonly deviceId = 3;
  protected override readonly ownFeatures = FEATURE.MULTIPORT;
  private readonly ports: readonly ConsolePort[];

  /** Port 0 is the one that a driver without multiport sees. */
  constructor(name: string, wiring: Wiring, ports: readonly ConsolePort[]) {
    const sizes: number[] = new Array(2 * Math.max(1, ports.length) + 2).fill(QUEUE_SIZE);
    super(name, wiring, sizes);
    this.layout = layout('virtio-console', 1, fields(sizes, ports.length));
    this.state = create(this.layout);
    this.ports = ports;
    ports.forEach(({ backend }, port) => {
      backend.room = () => this.room(port);
      backend.onInput = (bytes) => this.input(port, bytes);
    });
  }

  protected override config(): Uint8Array {
    const bytes = new Uint8Array(12);
    writeU32(bytes, 4, Math.max(1, this.ports.length)); // columns and rows are not offered
    return bytes;
  }

  protected override stopped(): void {
    for (const { backend } of this.ports) backend.ready?.();
  }

  protected override notified(queue: number): void {
    if (queue === CONTROL_OUT) this.readControl();
    else if (queue === CONTROL_IN) this.sendControl();
    else if (queue & 1) this.transmit(queue);
    else this.ports[portOf(queue)]?.backend.ready?.();
  }

  private transmit(queue: number): void {
    const port = this.ports[portOf(queue)];
    for (let chain = this.pop(queue); chain; chain = this.pop(queue)) {
      const length = lengthOf(chain.readable);
      for (let done = 0; done < length; done += PIECE) {
        const bytes = new Uint8Array(Math.min(PIECE, length - done));
        gather(this.wiring.dma, chain.readable, done, bytes);
        port?.backend.write(bytes);
      }
      this.push(queue, chain.head, 0);
    }
  }

  /** The least that the waiting buffers can take: one byte each. */
  private room(port: number): number {
    if (this.multiport && !this.state.open[port]) return 0;
    return this.queues[receiveQueue(port)].waiting();
  }

  private input(port: number, bytes: Uint8Array): void {
    const queue = receiveQueue(port);
    for (let done = 0; done < bytes.length; ) {
      const chain = this.pop(queue);
      if (!chain) return;
      const count = scatter(this.wiring.dma, chain.writable, 0, bytes.subarray(done));
      this.push(queue, chain.head, count);
      done += count;
    }
  }

  private get multiport(): boolean {
    return (this.state.features & FEATURE.MULTIPORT) !== 0n;
  }

  private readControl(): void {
    for (let chain = this.pop(CONTROL_OUT); chain; chain = this.pop(CONTROL_OUT)) {
      const message = new Uint8Array(8);
      if (gather(this.wiring.dma, chain.readable, 0, message) === 8) {
        this.control(readU32(message, 0), readU16(message, 4), readU16(message, 6));
      } else this.log.guestError(this.name, 'a control message that is too short');
      this.push(CONTROL_OUT, chain.head, 0);
    }
    this.sendControl();
  }

  private control(id: number, event: number, value: number): void {
    if (event === EVENT.DEVICE_READY) {
      if (value === 1) for (let port = 0; port < this.ports.length; port++) this.queue(port, EVENT.DEVICE_ADD, 1);
      return;
    }
    const port = this.ports[id];
    if (!port) {
      this.log.guestError(this.name, `control message ${event} for port ${id}, which is not there`);
      return;
    }
    if (event === EVENT.PORT_READY && value === 1) {
      if (port.console) this.queue(id, EVENT.CONSOLE_PORT, 1);
      if (port.name !== undefined) this.queue(id, EVENT.PORT_NAME, 1, port.name);
      this.queue(id, EVENT.PORT_OPEN, 1);
    } else if (event === EVENT.PORT_OPEN) {
      this.state.open[id] = value ? 1 : 0;
      port.backend.ready?.();
    }
  }

  private queue(port: number, event: number, value: number, text = ''): void {
    if (this.state.messages.length >= MAX_MESSAGES) {
      this.log.guestError(this.name, 'the guest takes no control messages; one is lost');
      return;
    }
    const name = utf8(text);
    const message = new Uint8Array(8 + name.length);
    writeU32(message, 0, port);
    writeU16(message, 4, event);
    writeU16(message, 6, value);
    message.set(name, 8);
    this.state.messages.push([...message]);
  }

  private sendControl(): void {
    const { messages } = this.state;
    while (messages.length) {
      const chain = this.pop(CONTROL_IN);
      if (!chain) return;
      const message = Uint8Array.from(messages.shift() as number[]);
      this.push(CONTROL_IN, chain.head, scatter(this.wiring.dma, chain.writable, 0, message));
    }
  }
}

/** Ports lie around the two control queues: 0 and 1, then 4 and 5, ... */
function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 + 2 * port;
}

function portOf(queue: number): number {
  return queue < 2 ? 0 : (queue >> 1) - 1;
}
