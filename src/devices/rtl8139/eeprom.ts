/** The 93C46 behind the controller: address and identification, read-only. */
import type { Rtl8139State } from './rtl8139-state.ts';

const MODE = { IDLE: 0, START: 1, COMMAND: 2, DATA: 3 } as const;
const WIRE = { DI: 2, SK: 4, CS: 8 } as const;

export function eepromWords(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(64);
  words.set([0x8129, 0x10ec, 0x8139]);
  for (let i = 0; i < 3; i++) words[7 + i] = mac[2 * i] | (mac[2 * i + 1] << 8);
  return words;
}

/** CR9346 was written in programming mode: a start bit, two of opcode, six of address; a word comes out. */
export function setWires(state: Rtl8139State, words: Uint16Array, value: number): void {
  const [select, clock] = [value & WIRE.CS ? 1 : 0, value & WIRE.SK ? 1 : 0];
  const rising = clock && !state.eepromClock;
  if (select && !state.eepromSelect) Object.assign(state, { eepromMode: MODE.START, eepromTicks: 0, eepromShift: 0 });
  state.eepromSelect = select;
  state.eepromClock = clock;
  if (!select || !rising) return;
  const bit = value & WIRE.DI ? 1 : 0;
  state.eepromTicks = (state.eepromTicks + 1) & 0xff;
  if (state.eepromMode === MODE.START) {
    if (bit) Object.assign(state, { eepromMode: MODE.COMMAND, eepromTicks: 0, eepromShift: 0 });
  } else if (state.eepromMode === MODE.COMMAND) {
    state.eepromShift = ((state.eepromShift << 1) | bit) & 0xffff;
    if (state.eepromTicks !== 8) return;
    const read = (state.eepromShift & 0xc0) === 0x80;
    const shift = words[state.eepromShift & 63];
    if (read) Object.assign(state, { eepromMode: MODE.DATA, eepromTicks: 0, eepromOut: 0, eepromShift: shift });
    else state.eepromMode = MODE.IDLE;
  } else if (state.eepromMode === MODE.DATA) {
    state.eepromOut = state.eepromShift >> 15;
    state.eepromShift = (state.eepromShift << 1) & 0xffff;
    // Drivers of FreeBSD read on without a new selection.
    if (state.eepromTicks === 16) Object.assign(state, { eepromMode: MODE.START, eepromTicks: 0, eepromShift: 0 });
  }
}
