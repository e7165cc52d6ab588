/**
 * Reads exact counts of bytes from a stream of chunks: what the archive
 * formats stand on. Memory stays bounded by the callers' limits, whatever the
 * stream claims about itself.
 */
import { ImageError } from './image-error.ts';
import type { ByteStream } from './ports.ts';

export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** Bytes consumed so far. */
  offset = 0;

  /** `what` names the file in error messages. */
  constructor(stream: ByteStream, what: string) {
    this.#source = stream[Symbol.asyncIterator]();
    this.#what = what;
  }

  /** The next piece of at most `limit` bytes, a view; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#at >= this.#chunk.length) {
      const next = await this.#source.next();
      if (next.done) return undefined;
      this.#chunk = next.value;
      this.#at = 0;
    }
    const piece = this.#chunk.subarray(this.#at, this.#at + limit);
    this.#at += piece.length;
    this.offset += piece.length;
    return piece;
  }

  /** Exactly `length` bytes; undefined when the stream ends right here. */
  async exactlyOrEnd(length: number): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < length) {
      const piece = await this.some(length - have);
      if (piece === undefined) {
        if (have === 0) return undefined;
        throw this.truncated();
      }
      if (piece.length === length) return piece;
      parts.push(piece);
      have += piece.length;
    }
    return concat(parts, have);
  }

  /** Exactly `length` bytes, or a typed error. */
  async exactly(length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0);
    const bytes = await this.exactlyOrEnd(length);
    if (bytes === undefined) throw this.truncated();
    return bytes;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) throw this.truncated();
      left -= piece.length;
    }
  }

  /** The next `length` bytes as a stream of their own; what is left unread stays in the reader. */
  async *slice(length: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) throw this.truncated();
      left -= piece.length;
      yield piece;
    }
  }

  /** Lets the source go before its end. */
  async close(): Promise<void> {
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
    await this.#source.return?.();
  }

  truncated(): ImageError {
    return new ImageError(
      'image-truncated',
      `${this.#what} ends after ${this.offset} bytes, in the middle of its contents`,
      'fetch it again',
    );
  }

  malformed(problem: string): ImageError {
    return new ImageError(
      'image-malformed',
      `${this.#what}: ${problem} (near byte ${this.offset})`,
      'fetch it again; if that does not help, it is not the kind of file that was expected',
    );
  }
}

/** Joins chunks; `length` is their sum when the caller knows it. */
export function concat(parts: readonly Uint8Array[], length = parts.reduce((sum, part) => sum + part.length, 0)) {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Reads a stream to its end; throws `image-too-big` beyond `limit` bytes. */
export async function collect(stream: ByteStream, limit: number, what: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream) {
    length += part.length;
    if (length > limit) {
      throw new ImageError('image-too-big', `${what} is larger than ${limit} bytes`, 'this is not the expected file');
    }
    parts.push(part);
  }
  return concat(parts, length);
}

/** A stream of one chunk. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
