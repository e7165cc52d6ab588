/**
 * One terminal for several users: an escape key (Ctrl-a) and a letter choose
 * who gets the input; everybody's output goes out.
 *
 * Spec: QEMU 7.2, "Keys in the character backend multiplexer".
 * Departure: output of those without the focus is held back in no way, as in
 * QEMU; a monitor greets when it gets the focus for the first time.
 */
import type { ByteStream } from './byte-stream.ts';

export interface MuxActions {
  /** Ctrl-a x. */
  quit(): void;
  /** Ctrl-a s: writes snapshot drives back. */
  commit?(): void;
  /** Ctrl-a b: a break on the line with the focus. */
  sendBreak?(port: MuxPort): void;
  /** Milliseconds, for Ctrl-a t. */
  now(): number;
}

/** One user's end of the mux. */
export interface MuxPort extends ByteStream {
  readonly name: string;
  /** Installed by the user: this port has just got the focus. */
  onFocus?: () => void;
}

/** Bytes of input held for a port that cannot take them now. */
const HELD_LIMIT = 1 << 16;

export class Mux {
  private readonly stream: ByteStream;
  private readonly actions: MuxActions;
  private readonly escape: number;
  private readonly ports: Port[] = [];
  private readonly encoder = new TextEncoder();
  private focus = 0;
  private escaped = false;
  private timestamps: number | undefined;
  private lineStart = true;

  /** `escapeKey`: the code of the escape key, 1 for Ctrl-a. */
  constructor(stream: ByteStream, actions: MuxActions, escapeKey = 1) {
    this.stream = stream;
    this.actions = actions;
    this.escape = escapeKey;
    stream.onInput = (bytes) => this.input(bytes);
    // The escape key works while a guest takes no input, until this much lies before it.
    stream.room = () => HELD_LIMIT - (this.ports[this.focus]?.waiting ?? 0);
    stream.onDrain = () => {
      for (const port of this.ports) port.onDrain?.();
    };
    stream.onConnection = (connected) => {
      for (const port of this.ports) port.onConnection?.(connected);
    };
  }

  /** Adds a user; the first one has the focus. */
  port(name: string): MuxPort {
    const port = new Port(name, this.stream, (bytes) => this.output(bytes));
    this.ports.push(port);
    return port;
  }

  /** Who gets the input now. */
  get focused(): MuxPort | undefined {
    return this.ports[this.focus];
  }

  private input(bytes: Uint8Array): void {
    let plain: number[] = [];
    const flush = () => {
      if (plain.length > 0) this.ports[this.focus]?.give(Uint8Array.from(plain));
      plain = [];
    };
    for (const byte of bytes) {
      if (this.escaped) {
        this.escaped = false;
        if (byte === this.escape) plain.push(byte);
        else {
          flush();
          this.command(String.fromCharCode(byte));
        }
      } else if (byte === this.escape) this.escaped = true;
      else plain.push(byte);
    }
    flush();
  }

  private command(letter: string): void {
    switch (letter) {
      case 'h':
      case '?':
        this.help();
        break;
      case 'x':
        this.say('\n\rTrapframe: terminated\n\r');
        this.actions.quit();
        break;
      case 's':
        this.actions.commit?.();
        break;
      case 'b':
        if (this.ports[this.focus]) this.actions.sendBreak?.(this.ports[this.focus]);
        break;
      case 'c':
        this.next();
        break;
      case 't':
        this.timestamps = this.timestamps === undefined ? this.actions.now() : undefined;
        this.lineStart = false;
    }
  }

  private next(): void {
    if (this.ports.length < 2) return;
    this.focus = (this.focus + 1) % this.ports.length;
    const port = this.ports[this.focus];
    port.onFocus?.();
    port.deliver();
  }

  private help(): void {
    const key = this.escape < 32 ? `C-${String.fromCharCode(this.escape + 96)}` : String.fromCharCode(this.escape);
    const rows = [
      ['h', 'print this help'],
      ['x', 'exit emulator'],
      ['s', 'save disk data back to file (if -snapshot)'],
      ['t', 'toggle console timestamps'],
      ['b', 'send break (magic sysrq)'],
      ['c', 'switch between console and monitor'],
      [key, `sends ${key}`],
    ];
    this.say('\n\r' + rows.map(([letter, what]) => `${key} ${letter.padEnd(4)} ${what}\n\r`).join(''));
  }

  private say(text: string): void {
    this.stream.write(this.encoder.encode(text));
  }

  private output(bytes: Uint8Array): void {
    if (this.timestamps === undefined) {
      this.stream.write(bytes);
      return;
    }
    let from = 0;
    for (let i = 0; i < bytes.length; i++) {
      if (this.lineStart) {
        this.stream.write(bytes.subarray(from, i));
        from = i;
        this.say(`[${clock(this.actions.now() - this.timestamps)}] `);
      }
      this.lineStart = bytes[i] === 10;
    }
    this.stream.write(bytes.subarray(from));
  }
}

/** `hh:mm:ss.mmm` */
function clock(ms: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  return `${two(ms / 3600000)}:${two((ms / 60000) % 60)}:${two((ms / 1000) % 60)}.${String(Math.floor(ms) % 1000).padStart(3, '0')}`;
}

class Port implements MuxPort {
  readonly name: string;
  readonly write: (bytes: Uint8Array) => void;
  onInput?: (bytes: Uint8Array) => void;
  room?: () => number;
  onDrain?: () => void;
  onConnection?: (connected: boolean) => void;
  onFocus?: () => void;
  private readonly stream: ByteStream;
  private held: Uint8Array = new Uint8Array(0);

  constructor(name: string, stream: ByteStream, write: (bytes: Uint8Array) => void) {
    this.name = name;
    this.stream = stream;
    this.write = write;
  }

  get congested(): boolean {
    return this.stream.congested ?? false;
  }

  get connected(): boolean | undefined {
    return this.stream.connected;
  }

  ready(): void {
    this.deliver();
    this.stream.ready?.();
  }

  get waiting(): number {
    return this.held.length;
  }

  give(bytes: Uint8Array): void {
    const take = bytes.subarray(0, Math.max(0, HELD_LIMIT - this.held.length));
    const joined = new Uint8Array(this.held.length + take.length);
    joined.set(this.held);
    joined.set(take, this.held.length);
    this.held = joined;
    this.deliver();
  }

  /** Hands on what the user has room for. */
  deliver(): void {
    while (this.held.length > 0 && this.onInput) {
      const room = this.room ? this.room() : this.held.length;
      if (room <= 0) return;
      const part = this.held.subarray(0, room);
      this.held = this.held.subarray(part.length);
      this.onInput(part);
    }
  }
}
