/**
 * Unpacking gzip with a bound on the result.
 *
 * DecompressionStream is part of Node and of browsers, but not of the ES
 * library's types.
 */
import { ConfigError } from '../bits/errors.ts';

declare const DecompressionStream: new (
  format: 'gzip',
) => {
  readonly writable: { getWriter(): { write(chunk: Uint8Array): Promise<void>; close(): Promise<void> } };
  readonly readable: {
    getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array }>; cancel(): Promise<void> };
  };
};

export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8;
}

/** Unpacks a gzip file. `what` names it in errors; more than `limit` bytes are refused. */
export async function gunzip(bytes: Uint8Array, what: string, limit: number): Promise<Uint8Array> {
  const stream = new DecompressionStream('gzip');
  const writer = stream.writable.getWriter();
  // What goes wrong shows at the reader too; here it must only not be unhandled.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  const reader = stream.readable.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    let part: { done: boolean; value?: Uint8Array };
    try {
      part = await reader.read();
    } catch (cause) {
      const why = 'is a gzip file that is truncated or damaged';
      throw new ConfigError(`${what}-gzip-damaged`, `the ${what} ${why}`, 'fetch or compress it again', cause);
    }
    if (part.done || !part.value) break;
    length += part.value.length;
    if (length > limit) {
      reader.cancel().catch(() => {});
      const size = `${Math.floor(limit / 0x10_0000)} MiB`;
      throw new ConfigError(
        `${what}-too-large`,
        `the ${what} unpacks to more than ${size}`,
        'give the machine more memory',
      );
    }
    chunks.push(part.value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
