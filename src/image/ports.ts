/**
 * What the image builders need of a host: bytes from a URL, hashes,
 * decompressors, signatures, a place to keep things. Hosts implement these by
 * shape; nothing here touches a network or a disk.
 */

export type ByteStream = AsyncIterable<Uint8Array>;

/** Incremental SHA-256. */
export interface Hasher {
  update(chunk: Uint8Array): void;
  /** Lower-case hexadecimal; the hasher is used up. */
  digest(): string;
}

export interface Response {
  /** Bytes of the body when the server says so. */
  readonly length: number | undefined;
  readonly body: ByteStream;
}

export type Compression = 'none' | 'gzip' | 'xz' | 'zstd';

/** Told what goes on; all sizes in bytes. */
export interface Progress {
  /** A transfer begins; `total` is undefined when the server did not say. */
  begin(name: string, total: number | undefined): Transfer;
  /** One line for the user. */
  note(line: string): void;
}

export interface Transfer {
  advance(bytes: number): void;
  /** Ends the bar; `outcome` is a word such as `verified`. */
  end(outcome: string): void;
}

export interface Network {
  /**
   * Fetches a file. Resolves to undefined when the server says that there is
   * no such file; throws a typed error when it cannot be asked.
   */
  open(url: string): Promise<Response | undefined>;
}

export interface Codecs {
  sha256(): Hasher;
  /** Decompresses; throws on corrupt or truncated input. */
  decompress(compression: Compression, input: ByteStream): ByteStream;
  /**
   * Checks a clear-signed message against armored OpenPGP keys and returns the
   * signed text; undefined when none of the keys made a valid signature.
   */
  verifyClearSigned(message: string, armoredKeys: readonly string[]): Promise<string | undefined>;
}

/** A directory of named files; names are relative paths with `/`. */
export interface Store {
  /** undefined when absent. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Bytes; undefined when absent. */
  size(name: string): Promise<number | undefined>;
  /** Appears whole or not at all. */
  write(name: string, content: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
  /** Names under a prefix, with sizes. */
  list(prefix: string): Promise<readonly { readonly name: string; readonly size: number }[]>;
  /** Where a file is (or would be), for people and other programs. */
  locate(name: string): string;
  /** Runs `body` while no other process holds the same lock. */
  locked<T>(name: string, body: () => Promise<T>): Promise<T>;
}

export interface ImageHost {
  readonly network: Network;
  readonly codecs: Codecs;
  readonly store: Store;
  readonly progress: Progress;
  /** Archive mirrors in order of preference, without a trailing slash. */
  readonly mirrors: readonly string[];
  /** Never touch the network. */
  readonly offline: boolean;
}
