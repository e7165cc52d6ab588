/**
 * What the control plane talks over: bytes in, bytes out, nobody's sockets.
 * Structurally the same as a device's character back end, so one terminal can
 * carry a serial port and a monitor.
 */
export interface ByteStream {
  /** Takes bytes for the other end; never blocks. */
  write(bytes: Uint8Array): void;
  /** Installed by the user of the stream: bytes from the other end. */
  onInput?: (bytes: Uint8Array) => void;
  /** Installed by the user: how many bytes it can take now. */
  room?: () => number;
  /** The user calls this when its room has grown. */
  ready?(): void;
  /** True while the other end reads more slowly than we write. */
  readonly congested?: boolean;
  /** Installed by the user: `congested` has become false. */
  onDrain?: () => void;
  /** Whether somebody is at the other end; undefined means always. */
  readonly connected?: boolean;
  /** Installed by the user: `connected` has changed. */
  onConnection?: (connected: boolean) => void;
}
