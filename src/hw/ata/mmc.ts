/**
 * What a CD/DVD-ROM drive answers to multimedia commands: pure tables of bytes.
 *
 * Spec: MMC-6 (T10/1836-D), SPC-3 (INQUIRY), SFF-8020i (mode pages).
 */
import { writeU16be, writeU32be } from '../../bits/endian.ts';
import { putAscii } from './packet.ts';

export const CD_SECTOR = 2048;
export const RAW_SECTOR = 2352;
/** More sectors than an 80-minute CD holds: it is a DVD. */
const CD_SECTORS = 80 * 60 * 75;
const LEAD_IN = 150;
const PROFILE = { NONE: 0, CD_ROM: 0x08, DVD_ROM: 0x10 } as const;
const DATA_TRACK = 0x14; // ADR 1, data, uninterrupted
const LEAD_OUT = 0xaa;

/** The medium as far as these answers depend on it. */
export interface Medium {
  /** Sectors of 2048 bytes; 0 without a medium. */
  readonly sectors: number;
  readonly trayOpen: boolean;
  readonly locked: boolean;
}

export function msf(lba: number): [number, number, number] {
  const frames = lba + LEAD_IN;
  return [Math.floor(frames / (75 * 60)), Math.floor(frames / 75) % 60, frames % 75];
}

export function isDvd(medium: Medium): boolean {
  return medium.sectors > CD_SECTORS;
}

export function inquiry(vendor: string, product: string, revision: string): Uint8Array {
  const data = new Uint8Array(36);
  data.set([5, 0x80, 0, 0x21, 31]); // CD-ROM, removable, ATAPI-2
  putAscii(data, 8, 8, vendor);
  putAscii(data, 16, 16, product);
  putAscii(data, 32, 4, revision);
  return data;
}

/** Vital product data page, undefined when there is no such page. */
export function vitalProductData(page: number, serial: string): Uint8Array | undefined {
  if (page === 0) return Uint8Array.of(5, 0, 0, 2, 0, 0x83);
  if (page !== 0x83) return undefined;
  const data = new Uint8Array(8 + 20);
  data.set([5, 0x83, 0, 24, 2, 0, 0, 20]); // one designator: ASCII, vendor specific
  putAscii(data, 8, 20, serial);
  return data;
}

export function capacity(medium: Medium): Uint8Array {
  const data = new Uint8Array(8);
  writeU32be(data, 0, medium.sectors - 1);
  writeU32be(data, 4, CD_SECTOR);
  return data;
}

/** READ TOC of one data track; undefined when `format` or `track` is not there. */
export function tableOfContents(medium: Medium, format: number, track: number, inMsf: boolean): Uint8Array | undefined {
  const address = (lba: number): number[] => {
    if (inMsf) return [0, ...msf(lba)];
    return [lba >>> 24, (lba >>> 16) & 0xff, (lba >>> 8) & 0xff, lba & 0xff];
  };
  let body: number[];
  if (format === 0) {
    if (track > 1 && track !== LEAD_OUT) return undefined;
    const first = track === LEAD_OUT ? [] : [0, DATA_TRACK, 1, 0, ...address(0)];
    body = [1, 1, ...first, 0, DATA_TRACK | 2, LEAD_OUT, 0, ...address(medium.sectors)];
  } else if (format === 1) {
    body = [1, 1, 0, DATA_TRACK, 1, 0, ...address(0)];
  } else if (format === 2) {
    const point = (number: number, at: readonly number[]) => [1, DATA_TRACK, 0, number, 0, 0, 0, ...at];
    body = [
      ...[1, 1],
      ...point(0xa0, [0, 1, 0, 0]),
      ...point(0xa1, [0, 1, 0, 0]),
      ...point(0xa2, [0, ...msf(medium.sectors)]),
      ...point(1, [0, ...msf(0)]),
    ];
  } else return undefined;
  const data = new Uint8Array(2 + body.length);
  writeU16be(data, 0, body.length);
  data.set(body, 2);
  return data;
}

/** MODE SENSE (10) of a page's current values, undefined when there is no such page. */
export function modeSense(medium: Medium, page: number): Uint8Array | undefined {
  const pages: Record<number, number[]> = {
    1: [1, 6, 0, 5, 0, 0, 0, 0], // error recovery: five retries
    14: [0x0e, 14, 4, 0, 0, 0, 0, 0, 1, 255, 2, 255, 0, 0, 0, 0], // audio control
    42: [
      ...[0x2a, 0x14, 0x3b, 0, 0x71, 0x60], // reads CD-R/RW and DVD; multi-session, mode 2; audio as data
      0x29 | (medium.locked ? 2 : 0), // a tray, eject, lock
      ...[0, 0x02, 0xc0, 0, 2, 0x02, 0x00, 0x02, 0xc0], // 704 kB/s, 512 KiB of buffer
      ...[0, 0, 0, 0, 0, 0],
    ],
  };
  const chosen = page === 0x3f ? [...pages[1], ...pages[0x0e], ...pages[0x2a]] : pages[page];
  if (!chosen) return undefined;
  const data = new Uint8Array(8 + chosen.length);
  writeU16be(data, 0, data.length - 2);
  data[2] = medium.trayOpen ? 0x71 : medium.sectors ? 0x01 : 0x70;
  data.set(chosen, 8);
  return data;
}

/** GET CONFIGURATION: features from `first` on (`kind` 0), the current of them (1) or only that one (2). */
export function configuration(medium: Medium, kind: number, first: number): Uint8Array {
  const profile = medium.sectors === 0 ? PROFILE.NONE : isDvd(medium) ? PROFILE.DVD_ROM : PROFILE.CD_ROM;
  const current = (profileOf: number) => (profile === profileOf ? 1 : 0);
  const present = profile === PROFILE.NONE ? 0 : 1;
  const features: [number, boolean, number[]][] = [
    [0x0000, true, [0, 0, 3, 8, 0, 0x10, current(0x10), 0, 0, 8, current(8), 0]], // profiles
    [0x0001, true, [0, 1, 0x0b, 8, 0, 0, 0, 2, 1, 0, 0, 0]], // core: ATAPI
    [0x0003, true, [0, 3, 3, 4, 0x29, 0, 0, 0]], // removable medium: tray, eject, lock
    [0x0010, present === 1, [0, 0x10, present, 8, 0, 0, 8, 0, 0, 1, 0, 0]], // random readable: 2048 bytes
    [0x001e, profile === PROFILE.CD_ROM, [0, 0x1e, 8 | current(8), 4, 0, 0, 0, 0]], // CD read
    [0x001f, profile === PROFILE.DVD_ROM, [0, 0x1f, 4 | current(0x10), 4, 0, 0, 0, 0]], // DVD read
  ];
  const chosen = features.filter(([code, isCurrent]) => {
    if (kind === 2) return code === first;
    return code >= first && (kind === 0 || isCurrent);
  });
  const body = chosen.flatMap(([, , bytes]) => bytes);
  const data = new Uint8Array(8 + body.length);
  writeU32be(data, 0, 4 + body.length);
  writeU16be(data, 6, profile);
  data.set(body, 8);
  return data;
}

/** GET EVENT STATUS NOTIFICATION for the media class; `code` 0 no change, 1 eject request, 2 new media. */
export function mediaEvent(medium: Medium, requested: number, code: number): Uint8Array {
  const MEDIA = 4;
  if (!(requested & (1 << MEDIA))) return Uint8Array.of(0, 2, 0x80, 1 << MEDIA); // no such event
  const status = (medium.trayOpen ? 1 : 0) | (medium.sectors && !medium.trayOpen ? 2 : 0);
  return Uint8Array.of(0, 6, MEDIA, 1 << MEDIA, code, status, 0, 0);
}

export function discInformation(): Uint8Array {
  const data = new Uint8Array(34);
  // 32 bytes follow; complete, the last session too; track 1 of session 1; unrestricted use
  data.set([0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
  return data;
}

/** READ DVD STRUCTURE; undefined when the format is not there. */
export function dvdStructure(medium: Medium, format: number, layer: number): Uint8Array | undefined {
  if (layer > 0) return undefined;
  if (format === 0) {
    const data = new Uint8Array(4 + 2048);
    writeU16be(data, 0, data.length - 2);
    data.set([1, 0x0f, 1], 4); // DVD-ROM 1.0, 120 mm, no rate; one layer, read-only
    writeU32be(data, 8, 0x3_0000); // where data begins
    writeU32be(data, 12, 0x3_0000 + medium.sectors - 1);
    return data;
  }
  if (format === 1) return Uint8Array.of(0, 6, 0, 0, 0, 0, 0, 0); // no copy protection
  if (format !== 4) return undefined;
  const data = new Uint8Array(4 + 2048);
  writeU16be(data, 0, data.length - 2);
  return data;
}

/** A raw frame of mode 1: sync, header, data; its check bytes are 0. */
export function rawFrame(lba: number, user: Uint8Array): Uint8Array {
  const bcd = (value: number) => (Math.floor(value / 10) << 4) | (value % 10);
  const frame = new Uint8Array(RAW_SECTOR).fill(0xff, 1, 11);
  frame.set([...msf(lba).map(bcd), 1], 12);
  frame.set(user, 16);
  return frame;
}
