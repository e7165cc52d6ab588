/**
 * The commands that are the controller's own: no drive moves, no medium is looked at.
 *
 * Spec: Intel 82078 data sheet (1995), "Command set".
 */
import type { StateOf } from '../../state/layout.ts';
import { OP } from './commands.ts';
import type { STATE } from './fdc-state.ts';

/** Does a command whose parameters have arrived: its result bytes, none where it has no result phase; undefined: not one of these. */
export function controllerCommand(op: number, state: StateOf<typeof STATE>): readonly number[] | undefined {
  const [first, a, b, c] = state.command;
  switch (op) {
    case OP.SPECIFY:
      state.specify = [a, b];
      state.noDma = b & 1;
      return [];
    case OP.DUMP_REGISTERS:
      return [
        ...[state.tracks[0], state.tracks[1], 0, 0, state.specify[0], (state.specify[1] & 0xfe) | (state.noDma ^ 1)],
        ...[state.lastSector, (state.lock << 7) | (state.perpendicular << 2), state.configure, state.precompensation],
      ];
    case OP.VERSION:
      return [0x90];
    case OP.PART_ID:
      return [0x41];
    case OP.PERPENDICULAR:
      state.perpendicular = a & 0x1f;
      return [];
    case OP.CONFIGURE:
      state.configure = b;
      state.precompensation = c;
      return [];
    case OP.LOCK:
      state.lock = first >> 7;
      return [state.lock << 4];
    case OP.POWERDOWN:
      return [a];
    case OP.OPTION:
      return [];
    default:
      return undefined;
  }
}
