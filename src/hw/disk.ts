/** A block back end as a disk controller sees it. Offsets and lengths are in bytes, multiples of 512. */
export interface Disk {
  /** Capacity in bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Fills `into` from `offset`. Rejects on a host error. */
  read(offset: number, into: Uint8Array): Promise<void>;
  write(offset: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}
