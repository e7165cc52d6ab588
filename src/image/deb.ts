/**
 * Takes single files out of a Debian package while it streams by.
 *
 * Spec: deb(5) of Debian 13.
 */
import { arMembers } from './ar.ts';
import { ByteReader, collect } from './byte-reader.ts';
import { ImageError } from './image-error.ts';
import type { ByteStream, Codecs, Compression } from './ports.ts';
import { tarEntries } from './tar.ts';

const COMPRESSION: Readonly<Record<string, Compression>> = {
  'data.tar': 'none',
  'data.tar.gz': 'gzip',
  'data.tar.xz': 'xz',
  'data.tar.zst': 'zstd',
};

export interface FoundFile {
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array;
}

/**
 * The first regular file of the package whose path matches. The stream is read
 * to its end in any case, so that a hash over it is complete.
 *
 * Throws `package-lacks-file` when there is none, `image-malformed` or
 * `image-truncated` when this is no sound package, `image-too-big` beyond
 * `limit` bytes.
 */
export async function fileFromDeb(
  stream: ByteStream,
  pattern: RegExp,
  codecs: Codecs,
  limit: number,
  what: string,
): Promise<FoundFile> {
  const reader = new ByteReader(stream, what);
  let found: FoundFile | undefined;
  let first = true;
  try {
    for await (const member of arMembers(reader)) {
      if (first && member.name !== 'debian-binary') throw reader.malformed('it is no Debian package');
      first = false;
      if (!member.name.startsWith('data.tar')) continue;
      const compression = Object.hasOwn(COMPRESSION, member.name) ? COMPRESSION[member.name] : undefined;
      if (compression === undefined) throw reader.malformed(`unknown compression of ${member.name}`);
      found ??= await findInTar(codecs.decompress(compression, member.body), pattern, limit, what);
      // A decompressor that was stopped early may still be reading ahead: wait until it has let go.
      await member.body.return();
    }
  } finally {
    await reader.close();
  }
  if (found === undefined) {
    throw new ImageError(
      'package-lacks-file',
      `${what} holds no file that matches ${pattern}`,
      'the package has changed: please report this',
    );
  }
  return found;
}

async function findInTar(
  tar: ByteStream,
  pattern: RegExp,
  limit: number,
  what: string,
): Promise<FoundFile | undefined> {
  const reader = new ByteReader(tar, what);
  try {
    for await (const entry of tarEntries(reader)) {
      if (entry.type !== 'file' || !pattern.test(entry.path)) continue;
      const content = await collect(entry.body, limit, `${entry.path} in ${what}`);
      return { path: entry.path, mode: entry.mode, content };
    }
    return undefined;
  } finally {
    await reader.close(); // stops the decompressor: nothing behind the file is needed
  }
}
