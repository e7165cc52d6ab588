/**
 * The guests of this benchmark: a loop of some instructions, one of which
 * leaves KVM for a device, in protected mode without paging. After each batch it
 * writes a byte to the serial port, and begins again.
 *
 * What is asked is as light in QEMU as it gets: a port that only keeps its byte
 * (POST codes), memory where nothing is, and a register of the HPET that is
 * read as it stands.
 */

export type Kind = 'port output' | 'memory write' | 'memory read';

/** The instruction that exits, in 32-bit code. */
export const KINDS: Readonly<Record<Kind, readonly number[]>> = {
  'port output': [0xe6, 0x80], // out 0x80, al
  'memory write': [0xa2, 0x00, 0x00, 0x00, 0xe0], // mov [0xe0000000], al: the PCI hole
  'memory read': [0xa1, 0x10, 0x00, 0xd0, 0xfe], // mov eax, [0xfed00010]: the HPET's general configuration
};

/** Flat code and data, marked as accessed: the table may be in ROM. */
const GDT = [
  ...[0, 0, 0, 0, 0, 0, 0, 0],
  ...[0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0],
  ...[0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0],
];
const GDT_AT = 0x100;
const GDTR_AT = 0x140;
const FLAT_AT = 0x40;

const le = (value: number, bytes: number) => Array.from({ length: bytes }, (_, n) => (value / 2 ** (8 * n)) & 0xff);

/** So many exits, and a byte for the serial port. */
export const BATCH = 4000;

/** Code and tables for linear address `base`, where a real-mode CS with that base enters at its beginning. */
function program(kind: Kind, base: number): Uint8Array {
  const bytes = new Uint8Array(0x180);
  bytes.set([
    ...[0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16, ...le(GDTR_AT, 2)], // cli; lgdt cs:[gdtr]
    ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // mov eax, cr0; or al, 1; mov cr0, eax
    ...[0x66, 0xea, ...le(base + FLAT_AT, 4), 0x08, 0x00], // jmp 8:flat
  ]);
  const exit = KINDS[kind];
  const loop = [
    ...[0xb9, ...le(BATCH, 4)], // mov ecx, BATCH
    ...[...exit, 0x49, 0x75, 0x100 - exit.length - 3], // exit; dec ecx; jnz
    ...[0x66, 0xba, 0xf8, 0x03, 0xb0, 0x55, 0xee], // mov dx, 0x3f8; mov al, 0x55; out dx, al
  ];
  const begin = [0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8]; // mov ax, 16; mov ds, ax
  bytes.set([...begin, ...loop, 0xeb, 0x100 - loop.length - 2], FLAT_AT);
  bytes.set(GDT, GDT_AT);
  bytes.set([...le(GDT.length - 1, 2), ...le(base + GDT_AT, 4)], GDTR_AT);
  return bytes;
}

/** A vCPU's memory of 64 KiB: CS has base 0x1000. */
export function rawImage(kind: Kind): Uint8Array {
  const image = new Uint8Array(0x10000);
  image.set(program(kind, 0x1000), 0x1000);
  return image;
}

/** A PC's firmware. */
export function firmware(kind: Kind): Uint8Array {
  const rom = new Uint8Array(0x10000).fill(0xf4);
  rom.set(program(kind, 0xf0000));
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

/** A firmware whose first instructions write a byte to the serial port, and then end the emulator by isa-debug-exit. */
export function shortFirmware(): Uint8Array {
  const rom = new Uint8Array(0x10000).fill(0xf4);
  rom.set([0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee]); // mov dx, 0x3f8; mov al, '!'; out dx, al
  rom.set([0xba, 0x01, 0x05, 0xb0, 0x00, 0xee, 0xf4], 6); // mov dx, 0x501; mov al, 0; out dx, al; hlt
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}
