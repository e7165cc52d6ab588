/**
 * The transmit side: descriptors to frames.
 *
 * Spec: Intel 8254x Software Developer's Manual, "Packet Transmission".
 *
 * Invariant: one call processes at most DESCRIPTORS descriptors and stops after
 * BYTES bytes of frames; a ring is gone through at most once for each write of
 * TDT. A frame takes what fits into the packet buffer, and no more.
 */
import { readU16, readU32, writeU32 } from '../../bits/endian.ts';
import type { DeviceLog, Dma } from '../../hw/device.ts';
import { HEADER, isBroadcast, isGroup, tagged } from '../../hw/ethernet.ts';
import { CAUSE, CTRL, type E1000State, TCTL_EN } from './e1000-state.ts';
import { putChecksum, readOffload, renumber } from './offload.ts';
import { count, countBytes, countSize, STATISTIC } from './statistics.ts';

export const DESCRIPTOR = 16;
const DESCRIPTORS = 4096;
const BYTES = 4 << 20;
/** DCMD in the third word of a descriptor. */
const COMMAND = {
  DTYP_DATA: 1 << 20,
  EOP: 1 << 24,
  TSE: 1 << 26,
  RS: 1 << 27,
  RPS: 1 << 28,
  DEXT: 1 << 29,
  VLE: 1 << 30,
  IDE: 1 << 31,
} as const;
const POPTS = { IXSM: 1, TXSM: 2 } as const;
/** Status in the fourth word. */
const STATUS = { DD: 1, ERRORS: 0xe } as const;
const TAGGED = 0x1_0000;
const FCS = 4;

export interface TransmitSide {
  readonly name: string;
  readonly log: DeviceLog;
  readonly state: E1000State;
  readonly dma: Dma;
  /** Whether the network takes a frame now. */
  readonly writable: boolean;
  emit(frame: Uint8Array): void;
  /** Bytes of frames that have been emitted since the machine started. */
  readonly emitted: number;
}

/** Processes descriptors; returns the interrupt causes, and whether there is more to do when others had their turn. */
export function transmit(side: TransmitSide): { causes: number; more: boolean } {
  const { state } = side;
  const ring = Math.floor(state.tdlen / DESCRIPTOR);
  const start = side.emitted;
  let causes = 0;
  for (let left = DESCRIPTORS; state.tctl & TCTL_EN && state.tdh !== state.tdt && state.turns > 0; left--) {
    if (!side.writable) return { causes, more: false };
    if (left === 0 || side.emitted - start > BYTES) return { causes, more: true };
    const at = state.tdbah * 2 ** 32 + ((state.tdbal & ~15) >>> 0) + DESCRIPTOR * state.tdh;
    const descriptor = side.dma.readable(at, DESCRIPTOR)?.slice();
    if (!descriptor) {
      side.log.guestError(side.name, `a transmit descriptor outside RAM, at 0x${at.toString(16)}`);
      state.turns = 0;
      break;
    }
    process(side, descriptor);
    causes |= writeBack(side, at, descriptor);
    // A head beyond the ring is the guest's mistake; it starts over.
    state.turns = state.tdh >= ring ? 0 : state.turns - 1;
    state.tdh = state.tdh + 1 >= ring ? 0 : state.tdh + 1;
  }
  return { causes: causes | CAUSE.TXQE, more: false };
}

/** Sets DD where the descriptor asks for a report. */
function writeBack({ dma }: TransmitSide, at: number, descriptor: Uint8Array): number {
  if (!(readU32(descriptor, 8) & (COMMAND.RS | COMMAND.RPS))) return 0;
  const status = dma.writable(at + 12, 4);
  if (status) writeU32(status, 0, (readU32(descriptor, 12) | STATUS.DD) & ~STATUS.ERRORS);
  return CAUSE.TXDW;
}

function process(side: TransmitSide, descriptor: Uint8Array): void {
  const { state } = side;
  const command = readU32(descriptor, 8);
  const extended = (command & COMMAND.DEXT) !== 0;
  if (command & COMMAND.IDE) state.delayed = 1;
  if (extended && !(command & COMMAND.DTYP_DATA)) {
    if (command & COMMAND.TSE) {
      state.segmentation = readOffload(descriptor);
      state.frames = 0;
    } else state.checksums = readOffload(descriptor);
    return;
  }
  if (extended && state.packetSize === 0) state.packetOptions = descriptor[13];
  state.segment = extended && command & COMMAND.TSE ? 1 : 0;
  const end = (command & COMMAND.EOP) !== 0;
  if (command & COMMAND.VLE && state.ctrl & CTRL.VME && (end || state.segment))
    state.packetTag = TAGGED | readU16(descriptor, 14);
  const address = readU32(descriptor, 0) + readU32(descriptor, 4) * 2 ** 32;
  const length = command & 0xffff;
  if (state.segment) cut(side, address, length);
  else append(side, address, length);
  if (!end) return;
  if (!state.segment || state.packetSize >= state.segmentation.hdrlen) send(side);
  Object.assign(state, { frames: 0, packetOptions: 0, packetTag: 0, packetSize: 0, segment: 0 });
}

/** Adds guest memory to the frame; returns how many bytes fitted. What is not RAM is zeros. */
function append({ state, dma, name, log }: TransmitSide, address: number, length: number): number {
  const { packet, packetSize } = state;
  const piece = Math.min(length, packet.length - packetSize);
  const bytes = dma.readable(address, piece);
  if (bytes) packet.set(bytes, packetSize);
  else {
    log.guestError(name, `a transmit buffer outside RAM, at 0x${address.toString(16)}`);
    packet.fill(0, packetSize, packetSize + piece);
  }
  state.packetSize += piece;
  return piece;
}

/** Adds guest memory, and sends a segment whenever one is complete. */
function cut(side: TransmitSide, address: number, length: number): void {
  const { state } = side;
  const { hdrlen, mss } = state.segmentation;
  const full = hdrlen + mss;
  for (let done = 0; done < length; ) {
    if (state.packetSize >= full) return;
    const before = state.packetSize;
    const piece = append(side, address + done, Math.min(length - done, full - before));
    if (piece === 0) return;
    done += piece;
    if (before < hdrlen && state.packetSize >= hdrlen) state.header.set(state.packet.subarray(0, hdrlen));
    if (state.packetSize === full) {
      send(side);
      state.packet.set(state.header.subarray(0, hdrlen));
      state.packetSize = hdrlen;
    }
  }
}

/** The frame, or a segment of it, is complete. */
function send(side: TransmitSide): void {
  const { state } = side;
  const { packet, packetSize, packetOptions, packetTag, statistics } = state;
  const offload = state.segment ? state.segmentation : state.checksums;
  const frame = packet.slice(0, packetSize);
  if (state.segment) {
    if (state.frames && offload.tcp && !(unsigned(offload.paylen - state.frames * offload.mss) > offload.mss))
      count(statistics, STATISTIC.TSCTC);
    renumber(frame, offload, state.frames++, (packetOptions & POPTS.TXSM) !== 0);
  }
  if (packetOptions & POPTS.TXSM) putChecksum(frame, offload.tucso, offload.tucss, offload.tucse);
  if (packetOptions & POPTS.IXSM) putChecksum(frame, offload.ipcso, offload.ipcss, offload.ipcse);
  count(statistics, STATISTIC.TPT);
  countBytes(statistics, STATISTIC.TOTL, packetSize + FCS);
  count(statistics, STATISTIC.GPTC);
  countBytes(statistics, STATISTIC.GOTCL, packetSize + FCS);
  const whole = packetTag && packetSize >= HEADER ? tagged(frame, state.vet & 0xffff, packetTag & 0xffff) : frame;
  if (isBroadcast(whole)) count(statistics, STATISTIC.BPTC);
  else if (isGroup(whole)) count(statistics, STATISTIC.MPTC);
  countSize(statistics, STATISTIC.PTC64, whole.length + FCS);
  side.emit(whole);
}

function unsigned(value: number): number {
  return value >>> 0;
}
