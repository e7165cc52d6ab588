/**
 * The 8042 of a PC/AT: controller of a PS/2 keyboard and a PS/2 mouse, the A20 gate and the reset line.
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
 * Departures: commands finish at once (the input buffer is never full); parity and timeout errors do not occur.
 */
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { create, initially, json, layout, type StateOf, u1, u8 } from '../../state/layout.ts';
import { KEYBOARD_STATE, Ps2Keyboard } from './ps2-keyboard.ts';
import { MOUSE_STATE, Ps2Mouse } from './ps2-mouse.ts';
import { BREAK, translate } from './scan-codes.ts';

const STATUS = { OUTPUT_FULL: 0x01, SYSTEM: 0x04, COMMAND: 0x08, UNLOCKED: 0x10, MOUSE_FULL: 0x20 };
const MODE = { KEYBOARD_IRQ: 0x01, MOUSE_IRQ: 0x02, SYSTEM: 0x04, NO_KEYBOARD: 0x10, NO_MOUSE: 0x20, TRANSLATE: 0x40 };
const OUTPUT = { RUN: 0x01, A20: 0x02, KEYBOARD_FULL: 0x10, MOUSE_FULL: 0x20 };
const OUTPUT_RESET = 0xcf; // lines that nobody drives are high
const COMMAND = {
  READ_MODE: 0x20,
  WRITE_MODE: 0x60,
  DISABLE_MOUSE: 0xa7,
  ENABLE_MOUSE: 0xa8,
  TEST_MOUSE: 0xa9,
  SELF_TEST: 0xaa,
  TEST_KEYBOARD: 0xab,
  DISABLE_KEYBOARD: 0xad,
  ENABLE_KEYBOARD: 0xae,
  READ_INPUT_PORT: 0xc0,
  READ_OUTPUT_PORT: 0xd0,
  WRITE_OUTPUT_PORT: 0xd1,
  WRITE_KEYBOARD_BUFFER: 0xd2,
  WRITE_MOUSE_BUFFER: 0xd3,
  WRITE_MOUSE: 0xd4,
  DISABLE_A20: 0xdd,
  ENABLE_A20: 0xdf,
  PULSE: 0xf0,
};
const TAKES_PARAMETER = new Set([
  COMMAND.WRITE_MODE,
  COMMAND.WRITE_OUTPUT_PORT,
  COMMAND.WRITE_KEYBOARD_BUFFER,
  COMMAND.WRITE_MOUSE_BUFFER,
  COMMAND.WRITE_MOUSE,
]);

const STATE = layout('i8042', 1, {
  mode: initially(u8, MODE.KEYBOARD_IRQ | MODE.MOUSE_IRQ),
  system: u1, // the self test has passed
  afterCommand: initially(u1, 1), // the last write was to the command port
  outputPort: initially(u8, OUTPUT_RESET),
  command: u8, // that waits for its parameter
  data: u8, // the output buffer
  full: u8, // 0: empty, else whose byte it is
  waiting: json<{ value: number; from: number }[]>(() => []), // bytes of the controller itself
  breaking: u1, // BREAK was swallowed: the next byte is a key that goes up
  keyboard: json<StateOf<typeof KEYBOARD_STATE>>(() => create(KEYBOARD_STATE)),
  mouse: json<StateOf<typeof MOUSE_STATE>>(() => create(MOUSE_STATE)),
});
const FROM = { KEYBOARD: 1, MOUSE: 2 };

export interface I8042Lines {
  readonly keyboardIrq: IrqLine;
  readonly mouseIrq: IrqLine;
  /** High lets address line 20 through. Port 92h moves it too: the last that writes wins, and the CPU keeps the level. */
  readonly a20: IrqLine;
  /** The guest pulls the reset line. */
  reset(): void;
}

export class I8042 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Port 0x60. */
  readonly data: Mmio;
  /** Port 0x64. */
  readonly command: Mmio;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  private readonly lines: I8042Lines;

  constructor(name: string, wiring: Wiring, lines: I8042Lines) {
    this.name = name;
    this.log = wiring.log;
    this.lines = lines;
    this.keyboard = new Ps2Keyboard(() => this.fetch());
    this.mouse = new Ps2Mouse(() => this.fetch());
    this.data = { read: () => this.readData(), write: (_, __, value) => this.writeData(value & 0xff), widths: [1] };
    this.command = { read: () => this.status(), write: (_, __, value) => this.execute(value & 0xff), widths: [1] };
    this.share();
  }

  reset(): void {
    this.keyboard.reset();
    this.mouse.reset();
    Object.assign(this.state, create(STATE));
    this.share();
    this.output();
    this.lines.a20.set(true);
  }

  resumed(): void {
    Object.assign(this.keyboard.state, this.state.keyboard);
    Object.assign(this.mouse.state, this.state.mouse);
    this.share();
    this.output();
  }

  /** The devices' states are part of ours. */
  private share(): void {
    this.state.keyboard = this.keyboard.state;
    this.state.mouse = this.mouse.state;
  }

  /** The interrupt lines follow from the output buffer. */
  private output(): void {
    const { full, mode } = this.state;
    this.lines.keyboardIrq.set(
      full === FROM.KEYBOARD && (mode & (MODE.KEYBOARD_IRQ | MODE.NO_KEYBOARD)) === MODE.KEYBOARD_IRQ,
    );
    this.lines.mouseIrq.set(full === FROM.MOUSE && (mode & (MODE.MOUSE_IRQ | MODE.NO_MOUSE)) === MODE.MOUSE_IRQ);
  }

  /** Fills the output buffer when it is empty and something waits. */
  private fetch(): void {
    const { state } = this;
    if (state.full) return;
    const own = state.waiting.shift();
    if (own) this.put(own.value, own.from);
    else if (!(this.fetchKey() || state.mode & MODE.NO_MOUSE)) {
      const byte = this.mouse.take();
      if (byte !== undefined) this.put(byte, FROM.MOUSE);
    }
  }

  private fetchKey(): boolean {
    const { state } = this;
    if (state.mode & MODE.NO_KEYBOARD) return false;
    for (let byte = this.keyboard.take(); byte !== undefined; byte = this.keyboard.take()) {
      if (!(state.mode & MODE.TRANSLATE)) this.put(byte, FROM.KEYBOARD);
      else if (byte === BREAK) {
        state.breaking = 1;
        continue;
      } else {
        this.put(translate(byte) | (state.breaking ? 0x80 : 0), FROM.KEYBOARD);
        state.breaking = 0;
      }
      return true;
    }
    return false;
  }

  private put(value: number, from: number): void {
    this.state.data = value;
    this.state.full = from;
    this.output();
  }

  private readData(): number {
    const { state } = this;
    const { data } = state;
    // The line falls between two bytes: the interrupt controller waits for edges.
    state.full = 0;
    this.output();
    this.fetch();
    return data;
  }

  private status(): number {
    const { full, system, afterCommand } = this.state;
    return (
      STATUS.UNLOCKED |
      (full ? STATUS.OUTPUT_FULL : 0) |
      (full === FROM.MOUSE ? STATUS.MOUSE_FULL : 0) |
      (system ? STATUS.SYSTEM : 0) |
      (afterCommand ? STATUS.COMMAND : 0)
    );
  }

  /** The controller's own answer; it comes before keys and mouse reports. */
  private answer(value: number, from = FROM.KEYBOARD): void {
    if (this.state.waiting.length < 16) this.state.waiting.push({ value, from });
    this.fetch();
  }

  private writeData(value: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    state.afterCommand = 0;
    switch (command) {
      case COMMAND.WRITE_MODE:
        state.mode = value;
        state.system = value & MODE.SYSTEM ? 1 : 0;
        this.output();
        this.fetch();
        return;
      case COMMAND.WRITE_OUTPUT_PORT:
        this.drive(value);
        return;
      case COMMAND.WRITE_KEYBOARD_BUFFER:
        this.answer(value);
        return;
      case COMMAND.WRITE_MOUSE_BUFFER:
        this.answer(value, FROM.MOUSE);
        return;
      case COMMAND.WRITE_MOUSE:
        state.mode &= ~MODE.NO_MOUSE;
        this.mouse.write(value);
        return;
      default:
        // A byte for a device switches its clock on again.
        state.mode &= ~MODE.NO_KEYBOARD;
        this.keyboard.write(value);
    }
  }

  private drive(value: number): void {
    this.state.outputPort = value;
    this.lines.a20.set((value & OUTPUT.A20) !== 0);
    if (!(value & OUTPUT.RUN)) this.lines.reset();
  }

  private setMode(bit: number, on: boolean): void {
    this.state.mode = on ? this.state.mode | bit : this.state.mode & ~bit;
    this.output();
    this.fetch();
  }

  private execute(command: number): void {
    const { state } = this;
    state.afterCommand = 1;
    state.command = TAKES_PARAMETER.has(command) ? command : 0;
    if (state.command) return;
    switch (command) {
      case COMMAND.READ_MODE:
        this.answer(state.mode);
        return;
      case COMMAND.DISABLE_MOUSE:
      case COMMAND.ENABLE_MOUSE:
        this.setMode(MODE.NO_MOUSE, command === COMMAND.DISABLE_MOUSE);
        return;
      case COMMAND.DISABLE_KEYBOARD:
      case COMMAND.ENABLE_KEYBOARD:
        this.setMode(MODE.NO_KEYBOARD, command === COMMAND.DISABLE_KEYBOARD);
        return;
      case COMMAND.TEST_MOUSE:
      case COMMAND.TEST_KEYBOARD:
        this.answer(0);
        return;
      case COMMAND.SELF_TEST:
        state.system = 1;
        this.answer(0x55);
        return;
      case COMMAND.READ_INPUT_PORT:
        this.answer(0x80);
        return;
      case COMMAND.READ_OUTPUT_PORT:
        this.answer(
          (state.outputPort & ~(OUTPUT.KEYBOARD_FULL | OUTPUT.MOUSE_FULL)) |
            (state.full === FROM.KEYBOARD ? OUTPUT.KEYBOARD_FULL : 0) |
            (state.full === FROM.MOUSE ? OUTPUT.MOUSE_FULL : 0),
        );
        return;
      case COMMAND.DISABLE_A20:
        this.drive(state.outputPort & ~OUTPUT.A20);
        return;
      case COMMAND.ENABLE_A20:
        this.drive(state.outputPort | OUTPUT.A20);
        return;
    }
    // 0xf0 to 0xff pulse the lines of the output port whose bits are 0; the first is reset.
    if (command >= COMMAND.PULSE) {
      if (!(command & OUTPUT.RUN)) this.lines.reset();
    } else this.log.guestError(this.name, `command 0x${command.toString(16)}`);
  }
}
