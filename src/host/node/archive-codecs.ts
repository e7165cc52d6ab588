/**
 * Hashes, decompressors and signature checks for guest images: Node's zlib for
 * gzip and zstd, the libraries xz-decompress (xz-embedded as WebAssembly) and
 * openpgp, loaded when first needed.
 */
import { createHash } from 'node:crypto';
import { Readable, type Transform, pipeline } from 'node:stream';
import { ReadableStream as WebReadableStream } from 'node:stream/web';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { HostError } from '../../bits/errors.ts';

type Bytes = AsyncIterable<Uint8Array>;

export function sha256(): { update(chunk: Uint8Array): void; digest(): string } {
  const hash = createHash('sha256');
  return { update: (chunk) => void hash.update(chunk), digest: () => hash.digest('hex') };
}

/** Throws `corrupt-data` when the input is not sound, including when it ends too early. */
export function decompress(compression: 'none' | 'gzip' | 'xz' | 'zstd', input: Bytes): Bytes {
  switch (compression) {
    case 'none':
      return input;
    case 'gzip':
      return throughZlib('gzip', createGunzip(), input);
    case 'zstd':
      return throughZlib('zstd', createZstdDecompress(), input);
    case 'xz':
      return unxz(input);
  }
}

function corrupt(what: string, cause: unknown): HostError {
  return new HostError('corrupt-data', `the ${what} data is corrupt or cut off`, 'fetch it again', cause);
}

async function* throughZlib(what: string, engine: Transform, input: Bytes): AsyncGenerator<Uint8Array> {
  const source = Readable.from(input);
  let sourceFailure: unknown;
  source.on('error', (error) => {
    sourceFailure = error;
  });
  pipeline(source, engine, () => {}); // a failure reaches the loop below by the destruction of the engine
  try {
    for await (const chunk of engine) yield chunk;
  } catch (error) {
    throw sourceFailure ?? corrupt(what, error);
  } finally {
    source.destroy();
    engine.destroy();
  }
}

async function* unxz(input: Bytes): AsyncGenerator<Uint8Array> {
  const { default: xz } = await import('xz-decompress');
  const source = input[Symbol.asyncIterator]();
  let sourceFailure: { readonly error: unknown } | undefined;
  const compressed = new WebReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await source.next();
          if (next.done) controller.close();
          else controller.enqueue(next.value);
        } catch (error) {
          sourceFailure = { error };
          controller.error(error);
        }
      },
    },
    { highWaterMark: 0 }, // nothing is read ahead of the decoder's need
  );
  // The library's streams are the DOM's; Node's are the same thing under another type.
  const stream = new xz.XzReadableStream(compressed as never) as unknown as WebReadableStream<Uint8Array>;
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw sourceFailure === undefined ? corrupt('xz', error) : sourceFailure.error;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The signed text of a clear-signed message when one of the keys made a valid signature over it. */
export async function verifyClearSigned(message: string, armoredKeys: readonly string[]): Promise<string | undefined> {
  const { readCleartextMessage, readKeys, verify } = await import('openpgp');
  const verificationKeys = await readKeys({ armoredKeys: armoredKeys.join('\n') });
  let signed: Awaited<ReturnType<typeof readCleartextMessage>>;
  try {
    signed = await readCleartextMessage({ cleartextMessage: message });
  } catch {
    return undefined; // not a clear-signed message at all
  }
  const { data, signatures } = await verify({ message: signed, verificationKeys });
  for (const { verified } of signatures) {
    if (await verified.catch(() => false)) return data;
  }
  return undefined;
}
