/**
 * Scan codes of sets 1 and 2, and the 8042's translation between them.
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller" (translation table)
 * and "Keyboards" (sequences of Pause and Print Screen).
 */
import { numberOfKey, type QKeyCode } from '../../hw/qkeycode.ts';

/** Set 2 (the index) to set 1. */
const TRANSLATION = [
  'ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59',
  '65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b',
  '67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d',
  '69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f',
  '6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61',
  '6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76',
  '55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f',
  '52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54',
].flatMap((row) => row.split(' ').map((byte) => parseInt(byte, 16)));
const F7 = { set2: 0x83, set1: 0x41 };
const SYSRQ = { set2: 0x84, set1: 0x54 };

const toSet2 = new Map(TRANSLATION.map((set1, set2) => [set1, set2]));
for (const { set1, set2 } of [F7, SYSRQ]) toSet2.set(set1, set2);

export const BREAK = 0xf0;

/** What the controller makes of a byte from the keyboard; the byte after BREAK gets bit 7 instead. */
export function translate(byte: number): number {
  if (byte === F7.set2) return F7.set1;
  if (byte === SYSRQ.set2) return SYSRQ.set1;
  return TRANSLATION[byte] ?? byte;
}

/** What is held down while a key changes: it alters what Pause and Print Screen send. */
export interface Held {
  readonly control: boolean;
  readonly alt: boolean;
}

/** The bytes that a key sends in set 2; none for a key that the keyboard does not have. */
export function set2Codes(key: QKeyCode, down: boolean, held: Held): readonly number[] {
  if (key === 'pause') {
    if (!down) return [];
    return held.control ? [0xe0, 0x7e, 0xe0, BREAK, 0x7e] : [0xe1, 0x14, 0x77, 0xe1, BREAK, 0x14, BREAK, 0x77];
  }
  if (key === 'print') {
    if (held.alt) return down ? [SYSRQ.set2] : [BREAK, SYSRQ.set2];
    if (held.control) return down ? [0xe0, 0x7c] : [0xe0, BREAK, 0x7c];
    return down ? [0xe0, 0x12, 0xe0, 0x7c] : [0xe0, BREAK, 0x7c, 0xe0, BREAK, 0x12];
  }
  const number = numberOfKey(key);
  const code = number === undefined ? undefined : toSet2.get(number & 0x7f);
  if (number === undefined || code === undefined) return [];
  return [...(number & 0x80 ? [0xe0] : []), ...(down ? [] : [BREAK]), code];
}

/** A sequence of set 2 as set 1 has it. */
export function toSet1(codes: readonly number[]): number[] {
  return codes.flatMap((code, i) => {
    if (code === BREAK) return [];
    return codes[i - 1] === BREAK ? [translate(code) | 0x80] : [translate(code)];
  });
}
