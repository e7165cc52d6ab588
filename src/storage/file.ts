/** A file as the block formats see it; the host decides what is behind it. Offsets and lengths in bytes. */
export interface RandomAccessFile {
  /** For messages: the path or URL. */
  readonly name: string;
  readonly writable: boolean;
  /** Bytes now. */
  size(): Promise<number>;
  /** Fills `into` from `offset` and returns how many bytes there were before the end of the file. */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** Writes all of `from` at `offset`; the file grows when needed. */
  write(offset: number, from: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Resolves when everything written is on stable storage. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
