/** Writes a stream of chunks to a new file: `pmemsave` and its kin. */
import { open } from 'node:fs/promises';
import { HostError } from '../../bits/errors.ts';

/** Throws HostError `file-not-written`; a file that could not be finished stays as it is. */
export async function saveFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(path, 'w').catch((cause: NodeJS.ErrnoException) => {
    const words: Record<string, string> = {
      ENOENT: 'No such file or directory',
      EACCES: 'Permission denied',
      EISDIR: 'Is a directory',
    };
    throw new HostError(
      'file-not-written',
      `Could not open '${path}': ${words[cause.code ?? ''] ?? cause.message}`,
      '',
      cause,
    );
  });
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
    }
  } finally {
    await handle.close();
  }
}
