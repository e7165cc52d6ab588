/**
 * The identification of a monitor: what a guest's driver takes its first mode from.
 *
 * Spec: VESA E-EDID 1.4, "EDID data block"; the values are those of QEMU's monitor.
 */
import { writeU16, writeU16be } from '../../bits/endian.ts';
import { utf8 } from '../../bits/text.ts';

export interface MonitorShape {
  /** The preferred mode, pixels; below 4096. */
  readonly width: number;
  readonly height: number;
}

const REFRESH_HZ = 60;
const DOTS_PER_INCH = 100;
const WHITE_AND_PRIMARIES = [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]; // sRGB
/** 640x480, 800x600 and 1024x768 at 60 Hz. */
const ESTABLISHED = [0x21, 0x08, 0x00];
/** Width, aspect ratio (1: 4:3, 2: 5:4, 3: 16:9, 0: 16:10) at 60 Hz. */
const STANDARD: readonly (readonly [number, number])[] = [
  [2048, 3],
  [1920, 3],
  [1920, 0],
  [1600, 1],
  [1680, 0],
  [1440, 0],
  [1280, 2],
  [1280, 1],
];

/** The base block, 128 bytes. */
export function edid({ width, height }: MonitorShape): Uint8Array {
  const block = new Uint8Array(128);
  block.set([0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]);
  writeU16be(block, 8, letters('RHT'));
  writeU16(block, 10, 0x1234);
  block.set([42, 2014 - 1990, 1, 4], 16); // week and year of manufacture; version
  const millimetres = (pixels: number) => Math.round((pixels * 25.4) / DOTS_PER_INCH);
  const size = [millimetres(width), millimetres(height)];
  block[20] = 0xa5; // digital, 8 bits a colour, DisplayPort
  block.set(
    size.map((mm) => Math.min(255, Math.floor(mm / 10))),
    21,
  );
  block[23] = 220 - 100; // gamma 2.2
  block[24] = 0x06; // sRGB; the first detailed timing is the preferred one
  block.set(WHITE_AND_PRIMARIES, 25);
  block.set(ESTABLISHED, 35);
  block.set(
    STANDARD.flatMap(([columns, ratio]) => [columns / 8 - 31, ratio << 6]),
    38,
  );
  block.set(timing(width, height, size), 54);
  block.set(descriptor(0xf7, [0x00, 0x0a, 0x00, 0x40, 0x82, 0x00, 0x28, 0x20]), 72); // established timings III
  block.set(descriptor(0xfd, [0x32, 0x7d, 0x1e, 0xa0, 0xff, 0x01, 0x0a, ...utf8('      ')]), 90); // range limits
  block.set(descriptor(0xfc, [...utf8('QEMU Monitor\n')]), 108);
  let sum = 0;
  for (const byte of block) sum += byte;
  block[127] = -sum;
  return block;
}

/** Three letters of five bits. */
function letters(name: string): number {
  return [...name].reduce((word, letter) => (word << 5) | (letter.charCodeAt(0) - 64), 0);
}

function descriptor(tag: number, data: readonly number[]): number[] {
  return [0, 0, 0, tag, 0, ...data];
}

/** A detailed timing descriptor: the preferred mode. */
function timing(width: number, height: number, [widthMm, heightMm]: readonly number[]): number[] {
  const blank = [Math.floor((width * 15) / 100), Math.floor((height * 35) / 1000)];
  const front = [Math.floor((width * 5) / 100), Math.floor((height * 5) / 1000)];
  const sync = [Math.floor((width * 3) / 100), Math.floor((height * 5) / 1000)];
  const clock = Math.round(((width + blank[0]) * (height + blank[1]) * REFRESH_HZ) / 10_000); // of 10 kHz
  const pair = (a: number, b: number) => [a & 0xff, b & 0xff, ((a >> 8) << 4) | (b >> 8)];
  return [
    clock & 0xff,
    clock >> 8,
    ...pair(width, blank[0]),
    ...pair(height, blank[1]),
    front[0] & 0xff,
    sync[0] & 0xff,
    ((front[1] & 15) << 4) | (sync[1] & 15),
    ((front[0] >> 8) << 6) | ((sync[0] >> 8) << 4) | ((front[1] >> 4) << 2) | (sync[1] >> 4),
    ...pair(widthMm, heightMm),
    0,
    0,
    0x18, // not interlaced, digital separate sync
  ];
}
