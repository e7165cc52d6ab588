/**
 * PS/2 keyboard of 101 keys and more: scan code sets 1 and 2.
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Keyboards" (commands and responses).
 * Departures: no set 3 (the command is refused as on a keyboard without it); no typematic repeat: the host's
 * repeats are keys pressed again.
 */
import type { InputEvent, InputSink } from '../../hw/input.ts';
import { create, initially, json, layout, type StateOf, u1, u8 } from '../../state/layout.ts';
import { set2Codes, toSet1 } from './scan-codes.ts';

const REPLY = { ACK: 0xfa, RESEND: 0xfe, PASSED: 0xaa, ECHO: 0xee };
const COMMAND = {
  LEDS: 0xed,
  ECHO: 0xee,
  SCAN_SET: 0xf0,
  ID: 0xf2,
  RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
};
/** Keys that wait for the host take no more than this, as in QEMU; what does not fit is lost. */
const BUFFER_SIZE = 16;
const MODIFIERS: Readonly<Record<string, number>> = { ctrl: 1, ctrl_r: 2, alt: 4, alt_r: 8 };

export const KEYBOARD_STATE = layout('ps2-keyboard', 1, {
  replies: json<number[]>(() => []), // answers to commands, before keys
  keys: json<number[]>(() => []),
  command: u8, // that waits for its parameter
  scanning: initially(u1, 1),
  scanSet: initially(u8, 2),
  leds: u8,
  rate: initially(u8, 0x2b),
  modifiers: u8, // control and alt keys that are down
  last: u8, // the byte sent last
});

export class Ps2Keyboard implements InputSink {
  readonly inputName = 'QEMU PS/2 Keyboard';
  readonly takes = new Set<InputEvent['type']>(['key']);
  readonly state: StateOf<typeof KEYBOARD_STATE> = create(KEYBOARD_STATE);
  private readonly ready: () => void;

  /** `ready` is called when there is something to fetch. */
  constructor(ready: () => void) {
    this.ready = ready;
  }

  reset(): void {
    Object.assign(this.state, create(KEYBOARD_STATE));
  }

  /** A byte for the controller; undefined when none waits. */
  take(): number | undefined {
    const { state } = this;
    const byte = state.replies.shift() ?? (state.command ? undefined : state.keys.shift());
    if (byte !== undefined) state.last = byte;
    return byte;
  }

  input(event: InputEvent): void {
    if (event.type !== 'key') return;
    const { state } = this;
    const modifier = MODIFIERS[event.key] ?? 0;
    state.modifiers = event.down ? state.modifiers | modifier : state.modifiers & ~modifier;
    if (!state.scanning) return;
    const held = { control: (state.modifiers & 3) !== 0, alt: (state.modifiers & 12) !== 0 };
    const set2 = set2Codes(event.key, event.down, held);
    const codes = state.scanSet === 1 ? toSet1(set2) : set2;
    if (codes.length === 0 || state.keys.length + codes.length > BUFFER_SIZE) return;
    state.keys.push(...codes);
  }

  sync(): void {
    this.ready();
  }

  /** A byte from the controller. */
  write(byte: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    state.replies = [];
    if (command && byte < COMMAND.LEDS) this.parameter(command, byte);
    else this.command(byte);
    this.ready();
  }

  private parameter(command: number, value: number): void {
    const { state } = this;
    if (command === COMMAND.LEDS) state.leds = value & 7;
    else if (command === COMMAND.RATE) state.rate = value & 0x7f;
    else if (value === 0) {
      state.replies.push(REPLY.ACK, state.scanSet);
      return;
    } else if (value > 2) {
      state.replies.push(REPLY.RESEND);
      return;
    } else state.scanSet = value;
    state.replies.push(REPLY.ACK);
  }

  private command(command: number): void {
    const { state } = this;
    switch (command) {
      case COMMAND.LEDS:
      case COMMAND.SCAN_SET:
      case COMMAND.RATE:
        state.command = command;
        break;
      case COMMAND.ECHO:
        state.replies.push(REPLY.ECHO);
        return;
      case COMMAND.ID:
        state.replies.push(REPLY.ACK, 0xab, 0x83);
        return;
      case COMMAND.ENABLE:
        state.scanning = 1;
        state.keys = [];
        break;
      case COMMAND.DISABLE:
        this.defaults();
        state.scanning = 0;
        break;
      case COMMAND.DEFAULTS:
        this.defaults();
        break;
      case COMMAND.RESEND:
        state.replies.push(state.last);
        return;
      case COMMAND.RESET:
        this.defaults();
        state.replies.push(REPLY.ACK, REPLY.PASSED);
        return;
      default:
        state.replies.push(REPLY.RESEND);
        return;
    }
    state.replies.push(REPLY.ACK);
  }

  private defaults(): void {
    const { last, modifiers } = this.state;
    Object.assign(this.state, create(KEYBOARD_STATE), { last, modifiers });
  }
}
