/**
 * PS/2 mouse, which becomes an IntelliMouse (wheel) or IntelliMouse Explorer (five buttons) for a driver that knocks.
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft, "IntelliMouse" (sample rates 200, 100, 80 and
 * 200, 200, 80 make its ID 3 and 4).
 * Departure: the sample rate is kept, but movement is reported as soon as it happens.
 */
import type { InputEvent, InputSink } from '../../hw/input.ts';
import { array, create, i32, initially, json, layout, type StateOf, u1, u8 } from '../../state/layout.ts';

const REPLY = { ACK: 0xfa, NAK: 0xfe, PASSED: 0xaa };
const COMMAND = {
  SCALE_1: 0xe6,
  SCALE_2: 0xe7,
  RESOLUTION: 0xe8,
  STATUS: 0xe9,
  STREAM: 0xea,
  POLL: 0xeb,
  WRAP_OFF: 0xec,
  WRAP: 0xee,
  REMOTE: 0xf0,
  ID: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
};
const BUTTONS: Readonly<Record<string, number>> = { left: 1, right: 2, middle: 4, side: 8, extra: 16 };
const WHEEL = 3;
const EXPLORER = 4;
/** Bytes of reports that wait for the host; movement beyond adds up until there is room. */
const BUFFER_SIZE = 16;
const FAR = 0x7fff;

export const MOUSE_STATE = layout('ps2-mouse', 1, {
  replies: json<number[]>(() => []),
  reports: json<number[]>(() => []),
  command: u8, // that waits for its parameter
  type: u8, // the ID: 0, 3 or 4
  rates: array(u8, 2), // the two sample rates before the last
  reporting: u1,
  remote: u1,
  wrap: u1,
  scaled: u1, // 2:1
  resolution: initially(u8, 2),
  rate: initially(u8, 100),
  buttons: u8,
  reported: u8, // buttons in the last report
  dx: i32, // movement not yet reported; y grows upwards
  dy: i32,
  dz: i32,
  last: u8,
});

export class Ps2Mouse implements InputSink {
  readonly inputName = 'QEMU PS/2 Mouse';
  readonly takes = new Set<InputEvent['type']>(['rel', 'btn']);
  readonly state: StateOf<typeof MOUSE_STATE> = create(MOUSE_STATE);
  private readonly ready: () => void;

  /** `ready` is called when there is something to fetch. */
  constructor(ready: () => void) {
    this.ready = ready;
  }

  reset(): void {
    Object.assign(this.state, create(MOUSE_STATE));
  }

  /** A byte for the controller; undefined when none waits. */
  take(): number | undefined {
    const { state } = this;
    const reply = state.replies.shift();
    if (reply === undefined && state.command) return undefined;
    const byte = reply ?? state.reports.shift();
    if (byte !== undefined) state.last = byte;
    if (reply === undefined && byte !== undefined) this.report();
    return byte;
  }

  input(event: InputEvent): void {
    const { state } = this;
    if (event.type === 'btn') {
      if (event.button === 'wheel-up' || event.button === 'wheel-down') {
        if (event.down) state.dz = bounded(state.dz + (event.button === 'wheel-up' ? -1 : 1));
      } else {
        const bit = BUTTONS[event.button] ?? 0;
        state.buttons = event.down ? state.buttons | bit : state.buttons & ~bit;
      }
    } else if (event.type === 'rel') {
      if (event.axis === 'x') state.dx = bounded(state.dx + event.value);
      else state.dy = bounded(state.dy - event.value);
    }
  }

  sync(): void {
    const { state } = this;
    if (!state.reporting || state.remote) {
      // Nobody is told, so it is past; a remote mouse keeps it until it is asked.
      if (!state.remote) Object.assign(state, { dx: 0, dy: 0, dz: 0 });
      return;
    }
    this.report();
    this.ready();
  }

  write(byte: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    state.replies = [];
    if (command) this.parameter(command, byte);
    else if (state.wrap && byte !== COMMAND.WRAP_OFF && byte !== COMMAND.RESET) state.replies.push(byte);
    else this.command(byte);
    this.ready();
  }

  /** Reports what has happened as far as the buffer has room. */
  private report(): void {
    const { state } = this;
    if (!state.reporting || state.remote) return;
    const length = state.type >= WHEEL ? 4 : 3;
    while (
      (state.dx || state.dy || (state.dz && length === 4) || state.buttons !== state.reported) &&
      state.reports.length + length <= BUFFER_SIZE
    )
      state.reports.push(...this.packet());
  }

  /** One report of at most 127 counts each way; what is left stays. */
  private packet(): number[] {
    const { state } = this;
    const step = (value: number, most: number) => Math.max(-most, Math.min(most, value));
    const dx = step(state.dx, 127);
    const dy = step(state.dy, 127);
    state.dx -= dx;
    state.dy -= dy;
    state.reported = state.buttons;
    const bytes = [8 | (state.buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0), dx & 0xff, dy & 0xff];
    const dz = step(state.dz, state.type === EXPLORER ? 7 : 127);
    state.dz -= dz;
    if (state.type === WHEEL) bytes.push(dz & 0xff);
    else if (state.type === EXPLORER) bytes.push((dz & 0x0f) | ((state.buttons & 0x18) << 1));
    else state.dz = 0;
    return bytes;
  }

  private parameter(command: number, value: number): void {
    const { state } = this;
    if (command === COMMAND.RESOLUTION) state.resolution = value & 3;
    else {
      const [before, first] = [state.rates[1], state.rates[0]];
      if (value === 80 && first === 200 && before === 100) state.type = WHEEL;
      if (value === 80 && first === 200 && before === 200) state.type = EXPLORER;
      state.rates = [before, value];
      state.rate = value;
    }
    state.replies.push(REPLY.ACK);
  }

  private command(command: number): void {
    const { state } = this;
    switch (command) {
      case COMMAND.SCALE_1:
      case COMMAND.SCALE_2:
        state.scaled = command - COMMAND.SCALE_1;
        break;
      case COMMAND.RESOLUTION:
      case COMMAND.RATE:
        state.command = command;
        break;
      case COMMAND.STATUS: {
        const { buttons, scaled, reporting, remote } = state;
        const held = ((buttons & 1) << 2) | ((buttons & 4) >> 1) | ((buttons & 2) >> 1);
        const flags = held | (scaled << 4) | (reporting << 5) | (remote << 6);
        state.replies.push(REPLY.ACK, flags, state.resolution, state.rate);
        return;
      }
      case COMMAND.STREAM:
        state.remote = 0;
        break;
      case COMMAND.REMOTE:
        state.remote = 1;
        break;
      case COMMAND.POLL:
        state.replies.push(REPLY.ACK, ...this.packet());
        return;
      case COMMAND.WRAP_OFF:
      case COMMAND.WRAP:
        state.wrap = command === COMMAND.WRAP ? 1 : 0;
        break;
      case COMMAND.ID:
        state.replies.push(REPLY.ACK, state.type);
        return;
      case COMMAND.ENABLE:
        state.reporting = 1;
        break;
      case COMMAND.DISABLE:
        state.reporting = 0;
        break;
      case COMMAND.DEFAULTS:
        this.defaults();
        break;
      case COMMAND.RESEND:
        state.replies.push(state.last);
        return;
      case COMMAND.RESET:
        this.defaults();
        Object.assign(state, { type: 0, rates: [0, 0], wrap: 0 });
        state.replies.push(REPLY.ACK, REPLY.PASSED, 0);
        return;
      default:
        state.replies.push(REPLY.NAK);
        return;
    }
    state.replies.push(REPLY.ACK);
  }

  private defaults(): void {
    const { type, rates, buttons, last } = this.state;
    Object.assign(this.state, create(MOUSE_STATE), { type, rates, buttons, reported: buttons, last });
  }
}

const bounded = (value: number): number => Math.max(-FAR, Math.min(FAR, Math.trunc(value) || 0));
