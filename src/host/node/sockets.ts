/**
 * Unix and TCP sockets as channels: servers with one client at a time, and
 * clients that may come back.
 *
 * Departure from QEMU: without a host, a TCP server listens on the loopback
 * interface only.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { HostError } from '../../bits/errors.ts';
import { Channel } from './chardev-channel.ts';
import { escapeTelnet, TELNET_GREETING, TelnetFilter } from './sockets-telnet.ts';

export interface SocketSpec {
  readonly kind: 'unix' | 'tcp';
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly server: boolean;
  readonly telnet: boolean;
  readonly nodelay: boolean;
  /** Seconds between attempts of a client; 0: only one. */
  readonly reconnect: number;
}

/** Clients that wait while another one is served. */
const BACKLOG = 8;
const LOOPBACK = '127.0.0.1';

export interface SocketChannel {
  readonly channel: Channel;
  /** Resolves when somebody is connected for the first time. */
  readonly connected: Promise<void>;
}

/** Binds or connects; rejects with HostError when that fails. */
export async function openSocket(spec: SocketSpec, tee?: (bytes: Uint8Array) => void): Promise<SocketChannel> {
  const line = new Line(spec, tee);
  if (spec.server) await line.listen();
  else await line.dial();
  return { channel: line.channel, connected: line.first };
}

/** `unix:/path,server=on` */
function addressOf(spec: SocketSpec): string {
  const where =
    spec.kind === 'unix'
      ? `unix:${spec.path}`
      : `${spec.telnet ? 'telnet' : 'tcp'}:${spec.host ?? LOOPBACK}:${spec.port}`;
  return spec.server ? `${where},server=on` : where;
}

class Line {
  readonly channel: Channel;
  readonly first: Promise<void>;
  private readonly spec: SocketSpec;
  private readonly queue: Socket[] = [];
  private current: Socket | undefined;
  private server: Server | undefined;
  private closed = false;
  private announce: () => void = () => {};

  constructor(spec: SocketSpec, tee?: (bytes: Uint8Array) => void) {
    this.spec = spec;
    this.first = new Promise((resolve) => {
      this.announce = resolve;
    });
    this.channel = new Channel(
      `disconnected:${addressOf(spec)}`,
      (batch, done) => {
        const socket = this.current;
        if (!socket || socket.destroyed) return true;
        socket.write(spec.telnet ? escapeTelnet(batch) : batch, () => done());
        return false;
      },
      tee,
    );
    this.channel.setConnected(false);
    this.channel.onClose(() => this.close());
  }

  async listen(): Promise<void> {
    const { path, host, port } = this.spec;
    if (path !== undefined) removeStale(path);
    const server = createServer({ pauseOnConnect: true, noDelay: this.spec.nodelay }, (socket) => this.arrived(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const mend = path === undefined ? 'choose another port' : 'choose another path';
        reject(
          new HostError('socket-not-bound', `cannot listen on ${addressOf(this.spec)}: ${reason(cause)}`, mend, cause),
        );
      });
      server.listen(path === undefined ? { host: host ?? LOOPBACK, port } : { path }, resolve);
    });
    server.on('error', () => {}); // too many open files: the client is refused, the machine goes on
    this.server = server;
  }

  async dial(): Promise<void> {
    try {
      this.serve(await this.attempt());
    } catch (cause) {
      if (this.spec.reconnect === 0) {
        const what = `Failed to connect to '${addressOf(this.spec)}': ${reason(cause as Error)}`;
        throw new HostError('socket-not-connected', what, 'start the other end first, or use reconnect=SECONDS', cause);
      }
      this.later();
    }
  }

  private attempt(): Promise<Socket> {
    const { path, host, port, nodelay } = this.spec;
    return new Promise((resolve, reject) => {
      const socket =
        path === undefined ? connect({ host: host ?? LOOPBACK, port: port ?? 0, noDelay: nodelay }) : connect({ path });
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(socket);
      });
      socket.once('error', reject);
    });
  }

  private later(): void {
    if (this.closed || this.spec.reconnect === 0) return;
    setTimeout(() => {
      if (this.closed) return;
      this.attempt().then(
        (socket) => (this.closed ? socket.destroy() : this.serve(socket)),
        () => this.later(),
      );
    }, this.spec.reconnect * 1000).unref();
  }

  private arrived(socket: Socket): void {
    socket.on('error', () => {});
    if (!this.current) this.serve(socket);
    else if (this.queue.length < BACKLOG) {
      this.queue.push(socket);
      socket.once('close', () => {
        const at = this.queue.indexOf(socket);
        if (at >= 0) this.queue.splice(at, 1);
      });
    } else socket.destroy();
  }

  private serve(socket: Socket): void {
    this.current = socket;
    this.channel.filename = addressOf(this.spec);
    const telnet = this.spec.telnet ? new TelnetFilter() : undefined;
    socket.on('error', () => {}); // followed by 'close'
    socket.on('data', (chunk: Buffer) => {
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
      this.channel.receive(telnet ? telnet.filter(bytes) : bytes);
    });
    socket.once('close', () => this.left(socket));
    if (telnet && this.spec.server) socket.write(TELNET_GREETING);
    this.channel.from({ pause: () => socket.pause(), resume: () => socket.resume() });
    socket.resume();
    this.channel.setConnected(true);
    this.announce();
  }

  private left(socket: Socket): void {
    if (this.current !== socket) return;
    this.current = undefined;
    this.channel.filename = `disconnected:${addressOf(this.spec)}`;
    this.channel.setConnected(false);
    const next = this.queue.shift();
    if (next) this.serve(next);
    else if (!this.spec.server) this.later();
  }

  private async close(): Promise<void> {
    this.closed = true;
    for (const socket of this.queue.splice(0)) socket.destroy();
    const { current, server } = this;
    if (current) {
      current.end();
      // A client that does not read its last lines does not keep us.
      setTimeout(() => current.destroy(), 200).unref();
      await new Promise<void>((resolve) => (current.destroyed ? resolve() : current.once('close', () => resolve())));
    }
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** A socket that an earlier process left behind; anything else of that name stays. */
function removeStale(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Not there, or not ours to remove: binding will say so.
  }
}

function reason(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  const words: Record<string, string> = {
    EADDRINUSE: 'Address already in use',
    EACCES: 'Permission denied',
    ENOENT: 'No such file or directory',
    ECONNREFUSED: 'Connection refused',
    ENOTDIR: 'Not a directory',
  };
  return (code && words[code]) || error.message;
}
