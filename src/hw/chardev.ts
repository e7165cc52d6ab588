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
}
