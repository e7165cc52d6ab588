/**
 * NS16550A: the UART with two 16-byte FIFOs.
 *
 * Spec: National Semiconductor PC16550D (June 1995), "Registers".
 * Departures: a byte is gone when it was written, unless the host takes output
 * more slowly than the guest makes it: then the transmitter stays busy until
 * it does not. No break, parity or framing errors arrive from the host; the line
 * speed matters to the receive timeout alone.
 */
import { bank, type Registers } from '../../hw/bank.ts';
import type { CharBackend } from '../../hw/chardev.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { create, f64, initially, json, layout, u1, u8 } from '../../state/layout.ts';

const FIFO_SIZE = 16;
const TRIGGER_LEVELS = [1, 4, 8, 14];

const IER = { RECEIVE: 1, TRANSMIT: 2, LINE: 4, MODEM: 8 };
const IIR = { MODEM: 0x0, NONE: 0x1, TRANSMIT: 0x2, RECEIVE: 0x4, LINE: 0x6, TIMEOUT: 0xc, FIFOS: 0xc0 };
const FCR = { ENABLE: 1, CLEAR_RECEIVE: 2, CLEAR_TRANSMIT: 4 };
const LCR = { WORD: 3, STOP: 4, PARITY: 8, DLAB: 0x80 };
const MCR = { DTR: 1, RTS: 2, OUT1: 4, OUT2: 8, LOOP: 0x10 };
const LSR = { READY: 1, OVERRUN: 2, ERRORS: 0x1e, TRANSMITTER_EMPTY: 0x60 };
const MSR = { DCTS: 1, DDSR: 2, TERI: 4, DDCD: 8, DELTAS: 0xf, CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 };
const CONNECTED = MSR.CTS | MSR.DSR | MSR.DCD;

/** What a PC's UARTs divide: 115200 baud at divisor 1. */
export const PC_INPUT_CLOCK = 1_843_200;

const STATE = layout('ns16550a', 1, {
  received: json<number[]>(() => []), // the receive FIFO, oldest first
  transmitting: json<number[]>(() => []), // bytes that the host does not take yet
  ier: u8,
  fcr: u8,
  lcr: u8,
  mcr: initially(u8, MCR.OUT2),
  lineErrors: u8, // LSR bits that a read clears
  msr: initially(u8, CONNECTED),
  scr: u8,
  dll: initially(u8, 12), // 9600 baud
  dlm: u8,
  transmitEmpty: u1, // the THRE interrupt waits
  timedOut: u1, // the receive timeout interrupt waits
  timeoutAt: initially(f64, -1), // its deadline on the clock, or -1
});

const REGISTERS = {
  RBR_THR_DLL: { at: 0, read: (uart) => uart.readData(), write: (uart, value) => uart.writeData(value) },
  IER_DLM: { at: 1, read: (uart) => uart.readEnable(), write: (uart, value) => uart.writeEnable(value) },
  IIR_FCR: { at: 2, read: (uart) => uart.readIdentification(), write: (uart, value) => uart.writeFifo(value) },
  LCR: { at: 3, field: 'lcr' },
  MCR: { at: 4, field: 'mcr', mask: 0x1f, after: (uart) => uart.modemLines() },
  LSR: { at: 5, read: (uart) => uart.readLineStatus(), write: () => {} }, // writes are for factory tests
  MSR: { at: 6, read: (uart) => uart.readModemStatus(), write: () => {} },
  SCR: { at: 7, field: 'scr' },
} satisfies Registers<Ns16550a>;
/** In memory a wider access reaches its first register alone; the ISA bus splits it. */
const MEMORY = bank<Ns16550a>(0x100, REGISTERS, { width: 1, access: [1, 2, 4] });
const PORTS = bank<Ns16550a>(8, REGISTERS, { width: 1 });

export class Ns16550a implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** A window of 256 bytes in memory. */
  readonly mmio: Mmio;
  /** Eight ports. */
  readonly ports: Mmio;
  private readonly wiring: Wiring;
  private readonly irq: IrqLine;
  private readonly backend: CharBackend | undefined;
  /** The UART's input clock, Hz. */
  private readonly inputClock: number;
  private readonly timeout: Timer;

  /** `inputClock` in Hz, as the device tree's `clock-frequency` says. */
  constructor(name: string, wiring: Wiring, irq: IrqLine, backend?: CharBackend, inputClock = 3_686_400) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.irq = irq;
    this.backend = backend;
    this.inputClock = inputClock;
    this.timeout = wiring.clock.timer(() => this.receiveTimeout());
    this.mmio = MEMORY.on(this);
    this.ports = PORTS.on(this);
    if (backend) {
      backend.onInput = (bytes) => this.receive(bytes);
      backend.room = () => this.room();
      backend.onDrain = () => this.drain();
    }
  }

  reset(): void {
    // What the guest has sent before is sent.
    this.hand(this.state.transmitting.length);
    Object.assign(this.state, create(STATE));
    this.resumed();
    this.backend?.ready?.();
  }

  resumed(): void {
    if (this.state.timeoutAt >= 0) this.timeout.set(this.state.timeoutAt);
    else this.timeout.cancel();
    this.output();
    this.drain();
  }

  /** The interrupt line is a function of the state. */
  output(): void {
    this.irq.set(this.pending() !== IIR.NONE);
  }

  private pending(): number {
    const { ier, msr, transmitEmpty, timedOut, lineErrors, received, fcr } = this.state;
    if (ier & IER.LINE && lineErrors) return IIR.LINE;
    if (ier & IER.RECEIVE && timedOut) return IIR.TIMEOUT;
    if (ier & IER.RECEIVE && received.length >= (fcr & FCR.ENABLE ? TRIGGER_LEVELS[fcr >> 6] : 1)) return IIR.RECEIVE;
    if (ier & IER.TRANSMIT && transmitEmpty) return IIR.TRANSMIT;
    if (ier & IER.MODEM && msr & MSR.DELTAS) return IIR.MODEM;
    return IIR.NONE;
  }

  /** Bytes that the receiver can take now. */
  room(): number {
    if (this.state.mcr & MCR.LOOP) return 0;
    return Math.max(0, this.capacity() - this.state.received.length);
  }

  /** Bytes arrive from the host; those that do not fit are an overrun. */
  receive(bytes: Uint8Array): void {
    if (this.state.mcr & MCR.LOOP) return;
    for (const byte of bytes) this.shiftIn(byte);
    this.output();
  }

  readData(): number {
    const { state } = this;
    if (state.lcr & LCR.DLAB) return state.dll;
    const byte = state.received.shift() ?? 0;
    state.timedOut = 0;
    this.restartTimeout();
    this.output();
    this.backend?.ready?.();
    return byte;
  }

  writeData(value: number): void {
    const { state } = this;
    if (state.lcr & LCR.DLAB) {
      state.dll = value;
      return;
    }
    if (state.mcr & MCR.LOOP) this.shiftIn(value);
    else if (state.transmitting.length || this.backend?.congested) {
      // A guest that does not look whether there is room shifts the oldest byte out.
      if (state.transmitting.length >= this.capacity()) this.hand(1);
      state.transmitting.push(value);
    } else this.backend?.write(Uint8Array.of(value));
    state.transmitEmpty = state.transmitting.length ? 0 : 1;
    this.output();
  }

  /** Hands the host what it takes now. */
  private drain(): void {
    const { state } = this;
    if (this.backend?.congested || state.transmitting.length === 0) return;
    this.hand(state.transmitting.length);
    state.transmitEmpty = 1;
    this.output();
  }

  /** The oldest `count` bytes go to the host. */
  private hand(count: number): void {
    if (count) this.backend?.write(Uint8Array.from(this.state.transmitting.splice(0, count)));
  }

  readEnable(): number {
    return this.state.lcr & LCR.DLAB ? this.state.dlm : this.state.ier;
  }

  writeEnable(value: number): void {
    const { state } = this;
    if (state.lcr & LCR.DLAB) {
      state.dlm = value;
      return;
    }
    // Switching the THRE interrupt on while the transmitter is empty raises it.
    if (value & ~state.ier & IER.TRANSMIT && state.transmitting.length === 0) state.transmitEmpty = 1;
    state.ier = value & 0xf;
    this.output();
  }

  readIdentification(): number {
    const pending = this.pending();
    if (pending === IIR.TRANSMIT) {
      this.state.transmitEmpty = 0;
      this.output();
    }
    return pending | (this.state.fcr & FCR.ENABLE ? IIR.FIFOS : 0);
  }

  writeFifo(value: number): void {
    const { state } = this;
    const toggled = (value ^ state.fcr) & FCR.ENABLE;
    if (toggled || value & FCR.CLEAR_RECEIVE) {
      state.received = [];
      state.timedOut = 0;
      this.restartTimeout();
    }
    if (toggled || value & FCR.CLEAR_TRANSMIT) {
      // On a real line these bytes would have gone long ago.
      this.hand(state.transmitting.length);
      state.transmitEmpty = 1;
    }
    // Without its enable bit the other bits cannot be programmed.
    state.fcr = value & FCR.ENABLE ? value & 0xc9 : 0;
    this.output();
    this.backend?.ready?.();
  }

  readLineStatus(): number {
    const { state } = this;
    const empty = state.transmitting.length ? 0 : LSR.TRANSMITTER_EMPTY;
    const status = empty | state.lineErrors | (state.received.length ? LSR.READY : 0);
    if (state.lineErrors) {
      state.lineErrors = 0;
      this.output();
    }
    return status;
  }

  readModemStatus(): number {
    const { msr } = this.state;
    if (msr & MSR.DELTAS) {
      this.state.msr &= ~MSR.DELTAS;
      this.output();
    }
    return msr;
  }

  /** MCR was written: in loopback its outputs are the modem's inputs. */
  modemLines(): void {
    const { state } = this;
    const { mcr } = state;
    let lines = CONNECTED;
    if (mcr & MCR.LOOP) {
      lines =
        (mcr & MCR.RTS ? MSR.CTS : 0) |
        (mcr & MCR.DTR ? MSR.DSR : 0) |
        (mcr & MCR.OUT1 ? MSR.RI : 0) |
        (mcr & MCR.OUT2 ? MSR.DCD : 0);
    }
    const changed = (state.msr ^ lines) & 0xf0;
    let deltas = state.msr & MSR.DELTAS;
    if (changed & MSR.CTS) deltas |= MSR.DCTS;
    if (changed & MSR.DSR) deltas |= MSR.DDSR;
    if (changed & MSR.RI && !(lines & MSR.RI)) deltas |= MSR.TERI;
    if (changed & MSR.DCD) deltas |= MSR.DDCD;
    state.msr = lines | deltas;
    this.output();
    if (!(mcr & MCR.LOOP)) this.backend?.ready?.();
  }

  private capacity(): number {
    return this.state.fcr & FCR.ENABLE ? FIFO_SIZE : 1;
  }

  private shiftIn(byte: number): void {
    const { state } = this;
    if (state.received.length >= this.capacity()) {
      state.lineErrors |= LSR.OVERRUN;
      return;
    }
    state.received.push(byte);
    this.restartTimeout();
  }

  /** Bytes below the trigger level are reported after four idle character times. */
  private restartTimeout(): void {
    const { state } = this;
    if (state.received.length && state.fcr & FCR.ENABLE) {
      state.timeoutAt = this.wiring.clock.now() + 4 * this.characterTime();
      this.timeout.set(state.timeoutAt);
    } else if (state.timeoutAt >= 0) {
      state.timeoutAt = -1;
      this.timeout.cancel();
    }
  }

  private receiveTimeout(): void {
    this.state.timeoutAt = -1;
    if (!this.state.received.length) return;
    this.state.timedOut = 1;
    this.output();
  }

  /** Nanoseconds that one character takes on the line. */
  private characterTime(): number {
    const { lcr, dll, dlm } = this.state;
    const bits = 1 + 5 + (lcr & LCR.WORD) + (lcr & LCR.PARITY ? 1 : 0) + (lcr & LCR.STOP ? 2 : 1);
    const divisor = dll | (dlm << 8) || 1;
    return (bits * divisor * 16e9) / this.inputClock;
  }
}
