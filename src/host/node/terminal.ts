/**
 * The terminal, or whatever stands at standard input and output, as a channel.
 *
 * A terminal goes into raw mode and comes back on every way out of the process
 * that a process can see. With `signal`, Ctrl-C, Ctrl-\ and Ctrl-Z mean to the
 * emulator what they always mean; without it they go to the guest.
 */
import { closeSync, constants, fstatSync, openSync, statSync, writeSync } from 'node:fs';
import { devNull } from 'node:os';
import { Channel } from './chardev-channel.ts';
import type { Sink } from './chardev-output.ts';

const CTRL_C = 3;
const CTRL_Z = 26;
const CTRL_BACKSLASH = 28;
const RETRY_MS = 1;
/** A machine has begun by then. */
const START_MS = 10;

export interface StdioOptions {
  /** Ctrl-C and its kin act on the emulator. */
  readonly signal: boolean;
  readonly tee?: (bytes: Uint8Array) => void;
}

/** Opens standard input and output; at most one channel may have them. */
export function openStdio(options: StdioOptions): Channel {
  const output = stdoutSink();
  const channel = new Channel('stdio', output.sink, options.tee);
  channel.onClose(() => output.close?.());
  if (mayBeTerminal()) listen(channel, options.signal);
  else {
    // Node's streams take milliseconds to load: the machine starts meanwhile.
    const later = setTimeout(() => listen(channel, options.signal), START_MS);
    channel.onClose(() => clearTimeout(later));
  }
  return channel;
}

/** Standard input is the channel's from here on. */
function listen(channel: Channel, signal: boolean): void {
  const { stdin } = process;
  const terminal = stdin.isTTY ? rawMode() : undefined;
  const watch = terminal !== undefined && signal;
  stdin.on('data', (chunk: Buffer) => {
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    channel.receive(watch ? signalKeys(bytes, terminal) : bytes);
  });
  // The end of a piped input is not the end of the machine; a vanished terminal sends SIGHUP.
  stdin.on('error', () => {});
  channel.from({ pause: () => stdin.pause(), resume: () => stdin.resume() });
  channel.onClose(() => {
    stdin.pause();
    terminal?.restore();
  });
}

/** A terminal has to be in raw mode before anybody types. */
function mayBeTerminal(): boolean {
  try {
    const stat = fstatSync(0);
    return stat.isCharacterDevice() && stat.rdev !== statSync(devNull).rdev;
  } catch {
    return true; // whatever it is
  }
}

interface Terminal {
  suspend(): void;
  restore(): void;
}

/** Raw mode until the process ends or stands still. */
function rawMode(): Terminal {
  const { stdin } = process;
  let raw = false;
  const set = (on: boolean) => {
    if (raw === on) return;
    raw = on;
    try {
      stdin.setRawMode(on);
    } catch {
      // The terminal is gone; there is nothing left to restore.
    }
  };
  const suspend = () => {
    set(false);
    process.once('SIGCONT', () => set(true));
    process.kill(process.pid, 'SIGSTOP');
  };
  const restore = () => {
    set(false);
    process.off('SIGTSTP', suspend);
    process.off('exit', restore);
  };
  set(true);
  process.on('exit', restore);
  process.on('SIGTSTP', suspend);
  return { suspend, restore };
}

/** Acts on the keys that a terminal in its normal mode would turn into signals; returns the other bytes. */
function signalKeys(bytes: Uint8Array, terminal: Terminal): Uint8Array {
  const isKey = (byte: number) => byte === CTRL_C || byte === CTRL_Z || byte === CTRL_BACKSLASH;
  if (!bytes.some(isKey)) return bytes;
  for (const byte of bytes) {
    if (byte === CTRL_C) process.kill(process.pid, 'SIGINT');
    else if (byte === CTRL_Z) terminal.suspend();
    else if (byte === CTRL_BACKSLASH) {
      terminal.restore();
      process.kill(process.pid, 'SIGQUIT');
    }
  }
  return bytes.filter((byte) => !isKey(byte));
}

interface Output {
  readonly sink: Sink;
  close?(): void;
}

/** How to write to standard output without blocking on a slow pipe and without losing order. */
function stdoutSink(): Output {
  try {
    const stat = fstatSync(1);
    if (stat.isFIFO()) return pipeSink();
    if (stat.isSocket()) return { sink: streamSink() };
  } catch {
    // Closed: writes fail and are dropped.
  }
  return { sink: directSink(1) };
}

/**
 * A pipe, through a descriptor of our own that does not block, until its reader is slow for the first time: from then
 * on by Node's stream, which takes milliseconds to load. Only Linux opens a pipe again.
 */
function pipeSink(): Output {
  let fd: number;
  try {
    fd = openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return { sink: streamSink() }; // another system, another owner, or nobody reads
  }
  let slow: Sink | undefined;
  return {
    sink(batch, done) {
      let rest = batch;
      while (!slow && rest.length > 0) {
        try {
          rest = rest.subarray(writeSync(fd, rest));
        } catch (error) {
          // Full; or the reader has gone (`| head`), and then the machine goes on, as QEMU does.
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return true;
          slow = streamSink();
        }
      }
      return rest.length === 0 || slow?.(rest, done) === true;
    },
    close: () => closeSync(fd),
  };
}

/** Terminals and files: a write takes all of it, at once. */
export function directSink(fd: number, failed: (error: Error) => void = () => {}): Sink {
  let dead = false;
  const attempt = (batch: Uint8Array): Uint8Array => {
    while (batch.length > 0 && !dead) {
      try {
        batch = batch.subarray(writeSync(fd, batch));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return batch;
        // The disk is full or the terminal gone: the machine goes on without it.
        dead = true;
        failed(error as Error);
      }
    }
    return batch.subarray(batch.length);
  };
  return (batch, done) => {
    let rest = attempt(batch);
    if (rest.length === 0) return true;
    const again = () => {
      rest = attempt(rest);
      if (rest.length === 0) done();
      else setTimeout(again, RETRY_MS);
    };
    setTimeout(again, RETRY_MS);
    return false;
  };
}

/** Pipes and sockets: Node's stream writes what fits now and the rest as the reader reads. */
function streamSink(): Sink {
  const { stdout } = process;
  let dead = false;
  // The reader has gone (`| head`): the machine goes on, as QEMU does.
  stdout.on('error', () => {
    dead = true;
  });
  return (batch, done) => {
    if (dead) return true;
    stdout.write(batch, () => done());
    return false;
  };
}
