/**
 * Pictures as files: PNG and PPM.
 *
 * Spec: PNG (W3C, third edition), "Datastream structure", colour type 2 (RGB, 8 bits); Netpbm, "PPM", raw format.
 * Pictures come as RGBA, rows from the top; alpha is dropped.
 */
import { writeU32be } from './endian.ts';
import { utf8 } from './text.ts';

/** Part of every host, but not of the ES library's types. */
declare const CompressionStream: new (
  format: 'deflate',
) => {
  readonly readable: AsyncIterable<Uint8Array>;
  readonly writable: { getWriter(): { write(part: Uint8Array): Promise<void>; close(): Promise<void> } };
};

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const UP = 2;

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** width * height * 4 bytes. */
  readonly rgba: Uint8Array;
}

/** The parts of a PNG file, in order. */
export async function* encodePng(picture: Picture): AsyncGenerator<Uint8Array> {
  const { width, height } = picture;
  const header = new Uint8Array(13);
  writeU32be(header, 0, width);
  writeU32be(header, 4, height);
  header.set([8, 2, 0, 0, 0], 8);
  yield Uint8Array.from(SIGNATURE);
  yield chunk('IHDR', header);
  const { readable, writable } = new CompressionStream('deflate');
  const writer = writable.getWriter();
  const written = (async () => {
    for (const line of filtered(picture)) await writer.write(line);
    await writer.close();
  })();
  for await (const part of readable) yield chunk('IDAT', part);
  await written;
  yield chunk('IEND', new Uint8Array(0));
}

/** A PPM file. */
export function encodePpm({ width, height, rgba }: Picture): Uint8Array {
  const head = utf8(`P6\n${width} ${height}\n255\n`);
  const file = new Uint8Array(head.length + 3 * width * height);
  file.set(head);
  rgbInto(file.subarray(head.length), rgba);
  return file;
}

/** Lines as differences from the line above: screens compress well that way. */
function* filtered({ width, height, rgba }: Picture): Generator<Uint8Array> {
  let above = new Uint8Array(3 * width);
  for (let y = 0; y < height; y++) {
    const line = new Uint8Array(3 * width);
    rgbInto(line, rgba.subarray(4 * width * y));
    const out = new Uint8Array(1 + 3 * width);
    out[0] = UP;
    for (let i = 0; i < line.length; i++) out[i + 1] = line[i] - above[i];
    above = line;
    yield out;
  }
}

function rgbInto(into: Uint8Array, rgba: Uint8Array): void {
  for (let to = 0, from = 0; to < into.length; from += 4) {
    into[to++] = rgba[from];
    into[to++] = rgba[from + 1];
    into[to++] = rgba[from + 2];
  }
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  writeU32be(bytes, 0, data.length);
  bytes.set(utf8(type), 4);
  bytes.set(data, 8);
  writeU32be(bytes, 8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb8_8320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc(bytes: Uint8Array): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}
