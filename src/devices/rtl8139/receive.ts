/**
 * The receive side: filters, the ring buffer, and descriptors of C+ mode.
 *
 * Spec: Realtek RTL8139D and RTL8139C+, "Packet Reception", "Receive Descriptor".
 */
import { readU16be, readU32, writeU32 } from '../../bits/endian.ts';
import type { DeviceLog, Dma } from '../../hw/device.ts';
import { storeBytes } from '../../hw/iommu.ts';
import {
  ADDRESSES,
  crc32,
  isBroadcast,
  isFor,
  isGroup,
  multicastBit,
  padded,
  untagged,
  VLAN_TYPE,
} from '../../hw/ethernet.ts';
import { CPCR, CR, ISR, RCR, type Rtl8139State, TALLY } from './rtl8139-state.ts';

/** How a frame was addressed, as in the header in the ring. */
const PACKET = { OK: 1, BROADCAST: 0x2000, PHYSICAL: 0x4000, MULTICAST: 0x8000 } as const;
/** First word of a C+ descriptor. */
const RX = { OWN: 0x8000_0000, END: 0x4000_0000, WHOLE: 0x3000_0000, SIZE: 0x1fff } as const;
const RX_TAG = 0x1_0000;
const FCS = 4;
const WHOLE_RING = 0x1_0000;

export interface ReceiveSide {
  readonly name: string;
  readonly log: DeviceLog;
  readonly state: Rtl8139State;
  readonly dma: Dma;
}

/** Bytes that the guest has yet to read, of the ring. */
const unread = ({ cbr, capr, ringSize }: Rtl8139State): number => (ringSize + cbr - capr) % ringSize;

export function isEmpty(state: Rtl8139State): boolean {
  return unread(state) === 0;
}

/** Whether a frame should wait. A receiver that is off drops frames. */
export function mustWait(state: Rtl8139State): boolean {
  if (state.halted || !(state.cr & CR.RX) || state.imr & ISR.OVERFLOW) return false;
  if (state.cpcr & CPCR.RX && (state.ring[0] || state.ring[1])) return false;
  return !isEmpty(state) && state.ringSize - unread(state) < 1514;
}

/** Takes a frame; returns the interrupt causes. */
export function receive(side: ReceiveSide, received: Uint8Array): number {
  const { state } = side;
  if (state.halted || !(state.cr & CR.RX)) return 0;
  const kind = accepts(state, received);
  if (kind === undefined) {
    state.tally[TALLY.RxErr]++;
    return 0;
  }
  const frame = padded(received);
  if (!(state.cpcr & CPCR.RX)) return intoRing(side, frame, kind);
  return state.ring[0] || state.ring[1] ? intoDescriptor(side, frame, kind) : 0;
}

/** How a frame that is wanted was addressed; undefined for one that is not. */
function accepts(state: Rtl8139State, frame: Uint8Array): number | undefined {
  const { rcr, mar, tally } = state;
  if (rcr & RCR.ALL) return 0;
  if (isBroadcast(frame)) {
    if (!(rcr & RCR.BROADCAST)) return undefined;
    tally[TALLY.Broadcast]++;
    return PACKET.BROADCAST;
  }
  if (isGroup(frame)) {
    const bit = multicastBit(frame);
    if (!(rcr & RCR.MULTICAST) || !((mar[bit >> 3] >> (bit & 7)) & 1)) return undefined;
    tally[TALLY.Multicast]++;
    return PACKET.MULTICAST;
  }
  if (!isFor(frame, state.idr) || !(rcr & RCR.PHYSICAL)) return undefined;
  tally[TALLY.Physical]++;
  return PACKET.PHYSICAL;
}

function intoRing(side: ReceiveSide, frame: Uint8Array, kind: number): number {
  const { state } = side;
  const free = state.ringSize - unread(state);
  if (!isEmpty(state) && frame.length + 8 >= free) {
    state.missed = (state.missed + 1) >>> 0;
    return ISR.OVERFLOW;
  }
  const packet = new Uint8Array(frame.length + 8);
  writeU32(packet, 0, kind | PACKET.OK | ((frame.length + FCS) << 16));
  packet.set(frame, 4);
  writeU32(packet, 4 + frame.length, crc32(frame));
  // With WRAP the ring has a tail that a packet may run into, but for the largest ring.
  const room = state.ringSize - state.cbr;
  const runsOver = state.rcr & RCR.WRAP && state.ringSize < WHOLE_RING;
  const first = runsOver ? packet : packet.subarray(0, room);
  write(side, state.rbstart + state.cbr, first);
  write(side, state.rbstart, packet.subarray(first.length));
  state.cbr = ((state.cbr + packet.length + 3) & ~3) % state.ringSize;
  return ISR.ROK;
}

function write({ dma, name, log }: ReceiveSide, address: number, bytes: Uint8Array): void {
  if (storeBytes(dma, address, bytes) < bytes.length)
    log.guestError(name, `a receive buffer outside RAM, at 0x${address.toString(16)}`);
}

function intoDescriptor(side: ReceiveSide, whole: Uint8Array, kind: number): number {
  const { state, dma } = side;
  const at = state.ring[0] + state.ring[1] * 2 ** 32 + 16 * state.nextPlusReceive;
  const descriptor = dma.writable(at, 16);
  const word = descriptor ? readU32(descriptor, 0) : 0;
  const strip = (state.cpcr & CPCR.VLAN) !== 0 && readU16be(whole, ADDRESSES) === VLAN_TYPE;
  const frame = strip ? padded(untagged(whole)) : whole;
  if (!descriptor || !(word & RX.OWN) || frame.length + FCS > (word & RX.SIZE)) {
    state.missed = (state.missed + 1) >>> 0;
    state.tally[TALLY.RxErr]++;
    state.tally[TALLY.Missed]++;
    return ISR.OVERFLOW;
  }
  const packet = new Uint8Array(frame.length + FCS);
  packet.set(frame);
  writeU32(packet, frame.length, crc32(whole));
  write(side, readU32(descriptor, 8) + readU32(descriptor, 12) * 2 ** 32, packet);
  const tag = strip ? RX_TAG | (whole[14] | (whole[15] << 8)) : 0;
  const type = (kind & PACKET.MULTICAST ? 4 : 0) | (kind & PACKET.PHYSICAL ? 2 : 0) | (kind & PACKET.BROADCAST ? 1 : 0);
  writeU32(descriptor, 4, ((readU32(descriptor, 4) & (strip ? ~0x1_ffff : ~RX_TAG)) | tag) >>> 0);
  writeU32(descriptor, 0, (word & ~(RX.OWN | RX.SIZE)) | RX.WHOLE | (type << 24) | packet.length);
  state.tally[TALLY.RxOk]++;
  state.nextPlusReceive = word & RX.END ? 0 : (state.nextPlusReceive + 1) >>> 0;
  return ISR.ROK;
}
