/**
 * virtio network device: one pair of queues and the control queue.
 *
 * Spec: OASIS VIRTIO 1.2, "Network Device". What QEMU offers in front of a
 * network without offloads: no checksums, no segmentation in either direction.
 *
 * Invariant: a frame from the guest is copied up to MAX_FRAME bytes; one to it
 * goes into as many buffers as it takes, or is dropped as a whole.
 */
import { readU16, readU16be, readU32, writeU16 } from '../../bits/endian.ts';
import type { AccessSize, Wiring } from '../../hw/device.ts';
import { ADDRESSES, HEADER, isBroadcast, isFor, isGroup, VLAN_TYPE } from '../../hw/ethernet.ts';
import { type Link, MAX_FRAME } from '../../hw/link.ts';
import { FEATURE as COMMON, STATUS as DRIVER_STATUS, VirtioDevice, virtioFields } from '../../hw/virtio.ts';
import { type Chain, gather, lengthOf, scatter } from '../../hw/virtqueue.ts';
import { array, bytes, create, initially, json, layout, u1, u32 } from '../../state/layout.ts';

const QUEUE_SIZES = [256, 256, 64];
const QUEUE = { RECEIVE: 0, TRANSMIT: 1, CONTROL: 2 } as const;
const FEATURE = {
  MAC: 1n << 5n,
  MRG_RXBUF: 1n << 15n,
  STATUS: 1n << 16n,
  CTRL_VQ: 1n << 17n,
  CTRL_RX: 1n << 18n,
  CTRL_VLAN: 1n << 19n,
  CTRL_RX_EXTRA: 1n << 20n,
  GUEST_ANNOUNCE: 1n << 21n,
  CTRL_MAC_ADDR: 1n << 23n,
} as const;
const STATUS = { LINK_UP: 1, ANNOUNCE: 2 } as const;
/** The header before each frame, without and with the number of buffers. */
const HEADER_SIZE = { SHORT: 10, LONG: 12 } as const;
const CONTROL = { RX: 0, MAC: 1, VLAN: 2, ANNOUNCE: 3 } as const;
const MAC_COMMAND = { TABLE_SET: 0, ADDR_SET: 1 } as const;
const OK = 0;
const ERR = 1;
/** Addresses that a filter holds; with more of them it lets everything of their kind in. */
const TABLE_SIZE = 64;
/** The most that a control command is read. */
const MAX_COMMAND = 0x1_0000;

/** Receive modes, in the order of the control commands that set them. */
const MODES = ['promiscuous', 'allMulticast', 'allUnicast', 'noMulticast', 'noUnicast', 'noBroadcast'] as const;

const STATE = layout('virtio-net', 1, {
  ...virtioFields(QUEUE_SIZES),
  mac: bytes(6),
  announce: u1, // the guest should tell the network where it is
  promiscuous: initially(u1, 1), // until the driver says otherwise
  allMulticast: u1,
  allUnicast: u1,
  noMulticast: u1,
  noUnicast: u1,
  noBroadcast: u1,
  unicast: json<number[][]>(() => []),
  multicast: json<number[][]>(() => []),
  unicastOverflow: u1,
  multicastOverflow: u1,
  vlans: array(u32, 128), // a bit for each
});

export class VirtioNet extends VirtioDevice {
  override readonly layout = STATE;
  override readonly state = create(STATE);
  override readonly deviceId = 1;
  protected override readonly ownFeatures = Object.values(FEATURE).reduce((all, bit) => all | bit, 0n);
  private readonly link: Link;
  private readonly mac: Uint8Array;
  private transmitting = false;

  /** `mac` is six bytes. */
  constructor(name: string, wiring: Wiring, link: Link, mac: Uint8Array) {
    super(name, wiring, QUEUE_SIZES);
    this.link = link;
    this.mac = mac;
    this.state.mac.set(mac);
    link.canReceive = () => this.running && this.queues[QUEUE.RECEIVE].waiting() > 0;
    link.onReceive = (frame) => this.receive(frame);
    link.onWritable = () => this.transmit();
    link.onChange = () => this.configChanged();
  }

  /** After a move of the machine, switches do not know where it is: the guest tells them. */
  resumed(): void {
    if (!this.has(FEATURE.GUEST_ANNOUNCE) || !this.running) return;
    this.state.announce = 1;
    this.configChanged();
  }

  protected override stopped(): void {
    this.state.mac.set(this.mac);
  }

  protected override config(): Uint8Array {
    const config = new Uint8Array(8);
    config.set(this.state.mac);
    writeU16(config, 6, (this.link.up ? STATUS.LINK_UP : 0) | (this.state.announce ? STATUS.ANNOUNCE : 0));
    return config;
  }

  /** Drivers from before the control queue write their address here. */
  protected override writeConfig(offset: number, size: AccessSize, value: number): void {
    const writable = !this.has(FEATURE.CTRL_MAC_ADDR) && !this.has(COMMON.VERSION_1);
    for (let i = 0; i < size; i++) {
      if (writable && offset + i < 6) this.state.mac[offset + i] = value >>> (8 * i);
      else this.log.guestError(this.name, `write to the read-only configuration at ${offset + i}`);
    }
  }

  protected override notified(queue: number): void {
    if (queue === QUEUE.RECEIVE) this.link.ready();
    else if (queue === QUEUE.TRANSMIT) this.transmit();
    else this.readControl();
  }

  private has(feature: bigint): boolean {
    return (this.state.features & feature) !== 0n;
  }

  private get running(): boolean {
    return (this.state.status & DRIVER_STATUS.DRIVER_OK) !== 0 && !(this.state.status & DRIVER_STATUS.NEEDS_RESET);
  }

  private get headerSize(): number {
    const long = this.has(FEATURE.MRG_RXBUF) || this.has(COMMON.VERSION_1);
    return long ? HEADER_SIZE.LONG : HEADER_SIZE.SHORT;
  }

  // Frames.

  private transmit(): void {
    if (this.transmitting || !this.running) return;
    this.transmitting = true;
    // At most a queue at once: a driver that refills it meanwhile notifies again.
    for (let left = QUEUE_SIZES[QUEUE.TRANSMIT]; left > 0 && this.link.writable; left--) {
      const chain = this.pop(QUEUE.TRANSMIT);
      if (!chain) break;
      const length = lengthOf(chain.readable) - this.headerSize;
      if (length >= HEADER && length <= MAX_FRAME) {
        const frame = new Uint8Array(length);
        gather(this.wiring.dma, chain.readable, this.headerSize, frame);
        this.link.send(frame);
      } else this.log.guestError(this.name, `a frame of ${length} bytes`);
      this.push(QUEUE.TRANSMIT, chain.head, 0);
    }
    this.transmitting = false;
  }

  private receive(frame: Uint8Array): void {
    if (!this.running || !this.accepts(frame)) return;
    const { headerSize } = this;
    const message = new Uint8Array(headerSize + frame.length);
    message.set(frame, headerSize);
    const chains: Chain[] = [];
    for (let room = 0; room < message.length; ) {
      const chain = room === 0 || this.has(FEATURE.MRG_RXBUF) ? this.pop(QUEUE.RECEIVE) : undefined;
      if (!chain) {
        this.unpop(QUEUE.RECEIVE, chains.length);
        return;
      }
      chains.push(chain);
      room += lengthOf(chain.writable);
    }
    if (headerSize === HEADER_SIZE.LONG) writeU16(message, 10, chains.length);
    let done = 0;
    const used = chains.map(({ head, writable }) => {
      const written = scatter(this.wiring.dma, writable, 0, message.subarray(done));
      done += written;
      return { head, written };
    });
    this.pushAll(QUEUE.RECEIVE, used);
  }

  private accepts(frame: Uint8Array): boolean {
    const { state } = this;
    if (state.promiscuous) return true;
    if (this.has(FEATURE.CTRL_VLAN) && readU16be(frame, ADDRESSES) === VLAN_TYPE) {
      const id = readU16be(frame, HEADER) & 0xfff;
      if (!((state.vlans[id >> 5] >>> (id & 31)) & 1)) return false;
    }
    const among = (table: readonly number[][]) => table.some((address) => isFor(frame, address));
    if (isBroadcast(frame)) return !state.noBroadcast;
    if (isGroup(frame)) {
      if (state.noMulticast) return false;
      return state.allMulticast === 1 || state.multicastOverflow === 1 || among(state.multicast);
    }
    if (state.noUnicast) return false;
    return state.allUnicast === 1 || state.unicastOverflow === 1 || isFor(frame, state.mac) || among(state.unicast);
  }

  // The control queue.

  private readControl(): void {
    for (let chain = this.pop(QUEUE.CONTROL); chain; chain = this.pop(QUEUE.CONTROL)) {
      const command = new Uint8Array(Math.min(lengthOf(chain.readable), MAX_COMMAND));
      gather(this.wiring.dma, chain.readable, 0, command);
      const done = command.length >= 2 && this.control(command[0], command[1], command.subarray(2));
      if (!done) this.log.guestError(this.name, `control command ${command[0]}.${command[1]}`);
      const answer = Uint8Array.of(done ? OK : ERR);
      this.push(QUEUE.CONTROL, chain.head, scatter(this.wiring.dma, chain.writable, 0, answer));
    }
  }

  /** Carries out a command; false when it is none. */
  private control(kind: number, command: number, data: Uint8Array): boolean {
    const { state } = this;
    if (kind === CONTROL.RX) {
      const mode = MODES[command];
      if (!mode || data.length !== 1) return false;
      state[mode] = data[0] ? 1 : 0;
    } else if (kind === CONTROL.MAC && command === MAC_COMMAND.ADDR_SET) {
      if (data.length !== 6) return false;
      state.mac.set(data);
    } else if (kind === CONTROL.MAC && command === MAC_COMMAND.TABLE_SET) return this.setTables(data);
    else if (kind === CONTROL.VLAN && command <= 1) {
      if (data.length !== 2 || readU16(data, 0) > 0xfff) return false;
      const id = readU16(data, 0);
      const word = command === 0 ? state.vlans[id >> 5] | (1 << (id & 31)) : state.vlans[id >> 5] & ~(1 << (id & 31));
      state.vlans[id >> 5] = word >>> 0;
    } else if (kind === CONTROL.ANNOUNCE && command === 0 && state.announce) state.announce = 0;
    else return false;
    this.link.ready();
    return true;
  }

  /** Two tables, each its number of entries and as many addresses. */
  private setTables(data: Uint8Array): boolean {
    const tables: number[][][] = [];
    let at = 0;
    for (let i = 0; i < 2; i++) {
      if (at + 4 > data.length) return false;
      const count = readU32(data, at);
      at += 4;
      if (at + 6 * count > data.length) return false;
      const address = (index: number) => [...data.subarray(at + 6 * index, at + 6 * index + 6)];
      tables.push(Array.from({ length: count }, (_, index) => address(index)));
      at += 6 * count;
    }
    if (at !== data.length) return false;
    const { state } = this;
    const [unicast, multicast] = tables;
    state.unicastOverflow = unicast.length > TABLE_SIZE ? 1 : 0;
    state.multicastOverflow = multicast.length > TABLE_SIZE ? 1 : 0;
    state.unicast = state.unicastOverflow ? [] : unicast;
    state.multicast = state.multicastOverflow ? [] : multicast;
    return true;
  }
}
