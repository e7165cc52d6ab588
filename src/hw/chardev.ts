/** A byte stream between a serial device and the host (terminal, socket, file, API stream). */
export interface CharBackend {
  /** Takes bytes that the guest sent; never blocks. */
  write(bytes: Uint8Array): void;
  /** The device installs this to receive bytes from the host. */
  onInput?: (bytes: Uint8Array) => void;
  /** How many bytes the device can take now; the back end holds the rest until `ready` is called. */
  room?: () => number;
  /** The device calls this when room has grown. */
  ready?(): void;
  /**
   * True while the host takes output more slowly than the guest makes it: the
   * device should hold its transmitter until `onDrain`. Memory stays bounded
   * either way: what comes in spite of it is kept up to a limit, then dropped.
   */
  readonly congested?: boolean;
  /** The device installs this; called when `congested` has become false. */
  onDrain?: () => void;
  /** Whether somebody is at the other end (a socket's client); undefined means always. */
  readonly connected?: boolean;
  /** The device installs this; called when `connected` has changed. */
  onConnection?: (connected: boolean) => void;
}
