/**
 * The command block: registers 1 (features, error) to 7 (status) as the host reads and writes them.
 *
 * Spec: ATA/ATAPI-6, "I/O register descriptions"; for the FIFOs of two bytes
 * "48-bit Address feature set".
 */
import type { StateOf } from '../../state/layout.ts';
import { DEVICE } from './ata.ts';
import type { AtaLayout } from './ata-state.ts';

const FIFOS = ['features', 'count', 'lbaLow', 'lbaMid', 'lbaHigh'] as const;
const DEVICE_REGISTER = 6;

/** A register as the host writes it; the command register, which begins something, is the drive's. */
export function writeRegister(state: StateOf<AtaLayout>, register: number, value: number): void {
  if (register === DEVICE_REGISTER) {
    state.device = value | DEVICE.OBSOLETE;
    return;
  }
  const name = FIFOS[register - 1];
  if (name) state[name] = ((state[name] << 8) | value) & 0xffff;
}

/** `previous` is the HOB bit: what was written before the last byte. */
export function readRegister(state: StateOf<AtaLayout>, register: number, previous: boolean): number {
  if (register === 1) return previous ? state.features >> 8 : state.error;
  if (register === DEVICE_REGISTER) return state.device;
  if (register === 7) return state.status;
  const name = FIFOS[register - 1];
  return name ? (previous ? state[name] >> 8 : state[name] & 0xff) : 0;
}
