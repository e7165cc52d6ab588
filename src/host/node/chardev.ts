/** Opens character devices by their kind. */
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { HostError } from '../../bits/errors.ts';
import { Channel } from './chardev-channel.ts';
import type { SocketSpec } from './sockets.ts';
import { directSink, openStdio } from './terminal.ts';

export interface ChardevSpec {
  readonly kind: 'stdio' | 'null' | 'file' | 'pipe' | 'ringbuf' | 'socket';
  /** stdio: Ctrl-C ends the emulator. */
  readonly signal: boolean;
  readonly path?: string;
  readonly append?: boolean;
  /** ringbuf: bytes. */
  readonly size?: number;
  readonly socket?: SocketSpec;
  readonly logFile?: string;
  readonly logAppend?: boolean;
}

export interface OpenedChardev {
  readonly channel: Channel;
  /** Sockets: resolves when somebody is connected for the first time. */
  readonly connected?: Promise<void>;
}

/** Rejects with HostError when the host does not give what is asked. */
export async function openChardev(spec: ChardevSpec): Promise<OpenedChardev> {
  const log = spec.logFile === undefined ? undefined : openLog(spec.logFile, spec.logAppend ?? false);
  const opened = await open(spec, log?.tee);
  if (log) opened.channel.onClose(log.close);
  return opened;
}

async function open(spec: ChardevSpec, tee?: (bytes: Uint8Array) => void): Promise<OpenedChardev> {
  switch (spec.kind) {
    case 'stdio':
      return { channel: openStdio({ signal: spec.signal, tee }) };
    case 'null':
      return { channel: new Channel('null', () => true, tee) };
    case 'file': {
      const flags = constants.O_WRONLY | constants.O_CREAT | (spec.append ? constants.O_APPEND : constants.O_TRUNC);
      const fd = openPath(spec.path ?? '', flags);
      const channel = new Channel('file', directSink(fd, complain(spec.path)), tee);
      channel.onClose(() => closeSync(fd));
      return { channel };
    }
    case 'ringbuf':
      return { channel: ringBuffer(spec.size ?? 65536, tee) };
    case 'pipe':
      return { channel: openPipe(spec.path ?? '', tee) };
    case 'socket': {
      const { openSocket } = await import('./sockets.ts');
      return openSocket(spec.socket!, tee);
    }
  }
}

/** A pair of FIFOs `path.in` and `path.out`, or one for both ways. */
function openPipe(path: string, tee?: (bytes: Uint8Array) => void): Channel {
  const pair = existsSync(`${path}.in`) && existsSync(`${path}.out`);
  const { Socket } = process.getBuiltinModule('node:net'); // few machines have one, and it takes long to load
  // Opened for both ways, so that opening waits for nobody and an end of the other side is no end of file.
  const flags = constants.O_RDWR | constants.O_NONBLOCK;
  const input = new Socket({ fd: openPath(pair ? `${path}.in` : path, flags) });
  const output = pair ? new Socket({ fd: openPath(`${path}.out`, flags), readable: false }) : input;
  const channel = new Channel(
    `pipe`,
    (batch, done) => {
      output.write(batch, () => done());
      return false;
    },
    tee,
  );
  for (const socket of [input, output]) socket.on('error', () => {});
  input.on('data', (chunk: Buffer) => channel.receive(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)));
  channel.from({ pause: () => input.pause(), resume: () => input.resume() });
  channel.onClose(() => {
    input.destroy();
    output.destroy();
  });
  return channel;
}

/** Keeps the newest `size` bytes in memory. */
function ringBuffer(size: number, tee?: (bytes: Uint8Array) => void): Channel {
  const ring = new Uint8Array(size);
  let at = 0;
  return new Channel(
    'ringbuf',
    (batch) => {
      for (const byte of batch.subarray(-size)) {
        ring[at] = byte;
        at = (at + 1) % size;
      }
      return true;
    },
    tee,
  );
}

function openLog(path: string, append: boolean): { tee(bytes: Uint8Array): void; close(): Promise<void> } {
  const fd = openPath(path, constants.O_WRONLY | constants.O_CREAT | (append ? constants.O_APPEND : constants.O_TRUNC));
  const log = new Channel('file', directSink(fd, complain(path)));
  return {
    tee: (bytes) => log.write(bytes),
    async close() {
      await log.flushed();
      closeSync(fd);
    },
  };
}

function openPath(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o666);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const words: Record<string, string> = {
      ENOENT: 'No such file or directory',
      EACCES: 'Permission denied',
      EISDIR: 'Is a directory',
      ENXIO: 'No such device or address',
    };
    throw new HostError('file-not-opened', `Could not open '${path}': ${words[code ?? ''] ?? message}`, '', cause);
  }
}

function complain(path: string | undefined): (error: Error) => void {
  return (error) => process.stderr.write(`warning: '${path}' takes no more output: ${error.message}\n`);
}
