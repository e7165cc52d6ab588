/** A machine of the made-up instruction set: memory, one device, programs. */
import type { AcceleratorOptions, Board } from '../../src/accel/accelerator.ts';
import type { Space } from '../../src/accel/space.ts';
import { lengthOf, LIMIT, OPCODE, ROWS, toy } from './toy-isa.ts';

const RAM = 0x10_0000;
/** Memory: RAM below 640 KiB, and again from 1 MiB on with its pages the other way round; a ROM; the rest is devices. */
const LOW = 0xa_0000;
export const ROM = 0xc_0000;
export const HIGH = 0x10_0000;
export const HIGH_PAGES = 64;
export class Device implements Board {
  readonly bytes = new DataView(new ArrayBuffer(4096));
  mmioRead(address: number, size: 1 | 2 | 4): number | undefined {
    const at = address & 0xfff;
    if (address >= LIMIT - 4096) return undefined;
    return size === 4
      ? this.bytes.getUint32(at, true)
      : size === 2
        ? this.bytes.getUint16(at, true)
        : this.bytes.getUint8(at);
  }
  mmioWrite(address: number, size: 1 | 2 | 4, value: number): boolean {
    const at = address & 0xfff;
    if (address >= LIMIT - 4096) return false;
    if (size === 4) this.bytes.setUint32(at, value, true);
    else if (size === 2) this.bytes.setUint16(at, value, true);
    else this.bytes.setUint8(at, value);
    return true;
  }
  now(): number {
    return 0;
  }
}

export function options(board: Board): AcceleratorOptions {
  return {
    isa: toy,
    cpus: 1,
    board,
    ramBase: 0,
    ramSize: RAM,
    areas: [{ name: 'rom', size: 0x4000 }],
    mapped: LIMIT,
    compileAfter: 200,
  };
}

export function mapAll(space: Space): void {
  space.map(0, LOW, space.ram.host, false);
  const rom = space.area('rom');
  space.map(ROM, rom.size, rom.host, true);
  for (let n = 0; n < HIGH_PAGES; n++)
    space.map(HIGH + n * 4096, 4096, space.ram.host + (HIGH_PAGES - 1 - n) * 4096, false);
}

export class Assembler {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  at = 0;
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }
  op(name: string, operands: Readonly<Record<string, number>> = {}): void {
    const number = OPCODE.get(name) as number;
    const row = ROWS[number - 1];
    this.view.setUint8(this.at, number);
    let at = this.at + 1;
    for (const letter of row.form) {
      const value = operands[letter] ?? 0;
      if (letter === 'a' || letter === 'b') this.view.setUint8(at++, value);
      else {
        this.view.setInt32(at, value, true);
        at += 4;
      }
    }
    this.at += lengthOf(row);
  }
}
