/**
 * The 93C46 behind the controller, by its four wires (EECD) or as words (EERD).
 *
 * Spec: Intel 8254x Software Developer's Manual, "EEPROM Interface". It cannot
 * be written. Contents: QEMU's.
 */
import type { E1000State } from './e1000-state.ts';

const WORDS = 64;
const CHECKSUM_WORD = 0x3f;
/** All words up to the checksum's add up to this. */
const SUM = 0xbaba;
const EECD = { SK: 1, CS: 2, DI: 4, DO: 8, FWE: 0x30, REQ: 0x40, GNT: 0x80, PRES: 0x100 } as const;
const EERD = { START: 1, DONE: 0x10 } as const;
const OPCODE_READ = 6;

const TEMPLATE: readonly number[] = [
  ...[0x0000, 0x0000, 0x0000, 0x0000, 0xffff, 0x0000, 0x0000, 0x0000],
  ...[0x3000, 0x1000, 0x6403, 0x100e, 0x8086, 0x100e, 0x8086, 0x3040],
  ...[0x0008, 0x2000, 0x7e14, 0x0048, 0x1000, 0x00d8, 0x0000, 0x2700],
  ...[0x6cc9, 0x3150, 0x0722, 0x040b, 0x0984, 0x0000, 0xc000, 0x0706],
  ...[0x1008, 0x0000, 0x0f04, 0x7fff, 0x4d01, 0xffff, 0xffff, 0xffff],
  ...[0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff],
  ...[0x0100, 0x4000, 0x121c, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff],
];

/** The words of a card with that address. */
export function eepromWords(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(WORDS).fill(0xffff);
  words.set(TEMPLATE);
  for (let i = 0; i < 3; i++) words[i] = mac[2 * i] | (mac[2 * i + 1] << 8);
  words[CHECKSUM_WORD] = words.subarray(0, CHECKSUM_WORD).reduce((left, word) => left - word, SUM);
  return words;
}

export function readEecd(state: E1000State, words: Uint16Array): number {
  const bit = (words[(state.eepromOutBit >> 4) % WORDS] >> (15 - (state.eepromOutBit & 15))) & 1;
  // The output idles high.
  return EECD.PRES | EECD.GNT | state.eecd | (!state.eepromReading || bit ? EECD.DO : 0);
}

/** A start bit, an opcode and six bits of address on rising clocks; the word comes out on the falling ones. */
export function writeEecd(state: E1000State, value: number): void {
  const changed = value ^ state.eecd;
  state.eecd = value & (EECD.SK | EECD.CS | EECD.DI | EECD.FWE | EECD.REQ);
  if (!(value & EECD.CS)) return;
  if (changed & EECD.CS) Object.assign(state, { eepromIn: 0, eepromInBits: 0, eepromOutBit: 0, eepromReading: 0 });
  if (!(changed & EECD.SK)) return;
  if (!(value & EECD.SK)) {
    state.eepromOutBit = (state.eepromOutBit + 1) & 0xffff;
    return;
  }
  state.eepromIn = ((state.eepromIn << 1) | (value & EECD.DI ? 1 : 0)) >>> 0;
  state.eepromInBits = Math.min(state.eepromInBits + 1, 0xff);
  if (state.eepromInBits !== 9 || state.eepromReading) return;
  state.eepromOutBit = ((state.eepromIn & 0x3f) * 16 - 1) & 0xffff; // the falling clock before the first bit
  state.eepromReading = ((state.eepromIn >> 6) & 7) === OPCODE_READ ? 1 : 0;
}

export function readEerd(state: E1000State, words: Uint16Array): number {
  if (!(state.eerd & EERD.START)) return state.eerd;
  const asked = (state.eerd & ~EERD.START) >>> 0;
  const word = asked >>> 8 < WORDS ? words[asked >>> 8] : 0;
  return ((word << 16) | EERD.DONE | asked) >>> 0;
}
