/**
 * The receive side: which frames are taken, and how they get into descriptors.
 *
 * Spec: Intel 8254x Software Developer's Manual, "Packet Reception". Departure:
 * check sequences and checksums are never wrong here; descriptors say that they
 * were not looked at (IXSM), as QEMU's do.
 */
import { readU16be, readU32, writeU16 } from '../../bits/endian.ts';
import type { DeviceLog, Dma } from '../../hw/device.ts';
import { ADDRESSES, isBroadcast, isFor, isGroup, MIN_FRAME, padded, untagged } from '../../hw/ethernet.ts';
import { storeBytes } from '../../hw/iommu.ts';
import { CAUSE, CTRL, type E1000State, RCTL } from './e1000-state.ts';
import { count, countBytes, countSize, STATISTIC } from './statistics.ts';

const DESCRIPTOR = 16;
/** Status of a descriptor. */
const STATUS = { DD: 1, EOP: 2, IXSM: 4, VP: 8 } as const;
/** The longest frames, without check sequence, without and with LPE. */
const LONGEST = { SHORT: 1518, LARGE: 16380 } as const;
const ADDRESS_VALID = 0x8000_0000;
/** By RCTL.MO: where the 12 bits of a multicast filter's hash begin in the last two bytes of an address. */
const HASH_SHIFT = [4, 3, 2, 0];
const FCS = 4;

export interface ReceiveSide {
  readonly name: string;
  readonly log: DeviceLog;
  readonly state: E1000State;
  readonly dma: Dma;
}

/** Bytes of a receive buffer. */
export function bufferSize(rctl: number): number {
  const size = (rctl >> 16) & 3;
  if (rctl & RCTL.BSEX) return size === 0 ? 2048 : 32768 >> size;
  return 2048 >> size;
}

/** Whether the ring has room for that many bytes with check sequence. */
export function hasRoom({ rdh, rdt, rdlen, rctl }: E1000State, length: number): boolean {
  if (rdh === rdt || length <= bufferSize(rctl)) return rdh !== rdt;
  const ring = Math.floor(rdlen / DESCRIPTOR);
  const buffers = rdt > rdh ? rdt - rdh : ring - rdh + rdt;
  return length <= buffers * bufferSize(rctl);
}

/** Whether a frame should wait: the ring could take it, but has too little room now. */
export function mustWait(state: E1000State, length: number): boolean {
  const total = Math.max(length, MIN_FRAME) + FCS;
  const most = (Math.floor(state.rdlen / DESCRIPTOR) - 1) * bufferSize(state.rctl);
  return !hasRoom(state, 1) || (total <= most && !hasRoom(state, total));
}

/** Takes a frame; returns the interrupt causes. */
export function receive(side: ReceiveSide, received: Uint8Array): number {
  const { state } = side;
  const { statistics } = state;
  let frame = padded(received);
  if (!accepts(state, frame)) return 0;
  let tag: number | undefined;
  if (state.ctrl & CTRL.VME && isTagged(state, frame)) {
    tag = readU16be(frame, ADDRESSES + 2);
    frame = untagged(frame);
  }
  const total = frame.length + (state.rctl & RCTL.SECRC ? 0 : FCS);
  if (!hasRoom(state, total) || !store(side, frame, total, tag)) {
    count(statistics, STATISTIC.RNBC);
    count(statistics, STATISTIC.MPC);
    return CAUSE.RXO;
  }
  countSize(statistics, STATISTIC.PRC64, total);
  count(statistics, STATISTIC.TPR);
  count(statistics, STATISTIC.GPRC);
  countBytes(statistics, STATISTIC.TORL, frame.length + FCS);
  countBytes(statistics, STATISTIC.GORCL, frame.length + FCS);
  if (isBroadcast(frame)) count(statistics, STATISTIC.BPRC);
  else if (isGroup(frame)) count(statistics, STATISTIC.MPRC);
  return CAUSE.RXT0 | (isLow(state) ? CAUSE.RXDMT0 : 0);
}

/** Fewer descriptors are left than RCTL.RDMTS says. */
function isLow({ rdh, rdt, rdlen, rctl }: E1000State): boolean {
  const ring = Math.floor(rdlen / DESCRIPTOR);
  const left = (rdt < rdh ? rdt + ring : rdt) - rdh;
  return left * DESCRIPTOR <= rdlen >>> (((rctl >> 8) & 3) + 1);
}

function isTagged({ vet }: E1000State, frame: Uint8Array): boolean {
  return readU16be(frame, ADDRESSES) === (vet & 0xffff);
}

/** Length and address filters. */
function accepts(state: E1000State, frame: Uint8Array): boolean {
  const { rctl, statistics } = state;
  if (frame.length > (rctl & RCTL.LPE ? LONGEST.LARGE : LONGEST.SHORT) && !(rctl & RCTL.SBP)) {
    count(statistics, STATISTIC.ROC);
    return false;
  }
  if (rctl & RCTL.VFE && isTagged(state, frame)) {
    const id = readU16be(frame, ADDRESSES + 2) & 0xfff;
    if (!((state.vfta[id >> 5] >>> (id & 31)) & 1)) return false;
  }
  if (isBroadcast(frame)) {
    if (rctl & RCTL.BAM) return true;
  } else if (rctl & (isGroup(frame) ? RCTL.MPE : RCTL.UPE)) return true;
  for (let i = 0; i < state.ra.length; i += 2) if (isOwn(frame, state.ra[i], state.ra[i + 1])) return true;
  const hash = (((frame[5] << 8) | frame[4]) >> HASH_SHIFT[(rctl >> 12) & 3]) & 0xfff;
  return ((state.mta[hash >> 5] >>> (hash & 31)) & 1) === 1;
}

function isOwn(frame: Uint8Array, low: number, high: number): boolean {
  if (!(high & ADDRESS_VALID)) return false;
  return isFor(frame, [low & 0xff, (low >> 8) & 0xff, (low >> 16) & 0xff, low >>> 24, high & 0xff, (high >> 8) & 0xff]);
}

/** Fills descriptors; false when the ring ends before the frame does. */
function store({ state, dma, name, log }: ReceiveSide, frame: Uint8Array, total: number, tag?: number): boolean {
  const ring = Math.floor(state.rdlen / DESCRIPTOR);
  const size = bufferSize(state.rctl);
  const start = state.rdh;
  for (let done = 0; done < total; ) {
    const at = state.rdbah * 2 ** 32 + ((state.rdbal & ~15) >>> 0) + DESCRIPTOR * state.rdh;
    const descriptor = dma.writable(at, DESCRIPTOR);
    if (!descriptor) {
      log.guestError(name, `a receive descriptor outside RAM, at 0x${at.toString(16)}`);
      return false;
    }
    const address = readU32(descriptor, 0) + readU32(descriptor, 4) * 2 ** 32;
    let status = descriptor[12] & ~STATUS.DD;
    // A descriptor without a buffer is passed over.
    if (address) {
      const piece = frame.subarray(done, Math.min(done + size, frame.length));
      if (storeBytes(dma, address, piece) < piece.length)
        log.guestError(name, `a receive buffer outside RAM, at 0x${address.toString(16)}`);
      const length = Math.min(size, total - done);
      done += length;
      writeU16(descriptor, 8, length);
      status = done >= total ? status | STATUS.EOP | STATUS.IXSM : status & ~STATUS.EOP;
    }
    writeU16(descriptor, 14, tag ?? 0);
    descriptor[12] = status | STATUS.DD | (tag === undefined ? 0 : STATUS.VP);
    state.rdh = state.rdh + 1 >= ring ? 0 : state.rdh + 1;
    if (state.rdh === start || start >= ring) return false;
  }
  return true;
}
