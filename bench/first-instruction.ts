/** From the start of an emulator to what a PC's first instructions do: they write a character to the serial port. */
import { writeFileSync } from 'node:fs';
import { Emulator } from './emulator.ts';

const CHARACTER = '!';
const LIMIT = 30;
const RESET_VECTOR = 0xfff0;
/** 16-bit: mov dx, 0x3f8; mov al, '!'; out dx, al; hlt; jmp back to hlt. */
const CODE = [0xba, 0xf8, 0x03, 0xb0, CHARACTER.charCodeAt(0), 0xee, 0xf4, 0xeb, 0xfd];

/** Writes a ROM of 64 KiB that does nothing else. */
export function writeFirstInstructionRom(file: string): void {
  const rom = new Uint8Array(0x1_0000);
  rom.set(CODE, RESET_VECTOR);
  writeFileSync(file, rom);
}

/** Seconds from the start of a process to its guest's character. */
export async function toFirstInstruction(command: string, machine: readonly string[], rom: string): Promise<number> {
  const emulator = new Emulator(command, [...machine, '-nographic', '-no-reboot', '-bios', rom]);
  try {
    return await emulator.expect(CHARACTER, LIMIT);
  } finally {
    await emulator.stop();
  }
}
