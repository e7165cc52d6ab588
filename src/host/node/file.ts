/** Files of the host as RandomAccessFile. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HostError } from '../../bits/errors.ts';
import type { RandomAccessFile } from '../../storage/file.ts';

export class NodeFile implements RandomAccessFile {
  readonly name: string;
  readonly writable: boolean;
  private readonly handle: FileHandle;

  private constructor(name: string, handle: FileHandle, writable: boolean) {
    this.name = name;
    this.handle = handle;
    this.writable = writable;
  }

  /** Throws HostError `file-not-found`, `file-denied`, `file-directory` or `file-open`. */
  static async open(path: string, options: { readonly writable?: boolean; readonly create?: boolean } = {}) {
    const writable = options.writable ?? false;
    let handle: FileHandle;
    try {
      const flags = writable ? constants.O_RDWR | (options.create ? constants.O_CREAT : 0) : constants.O_RDONLY;
      handle = await open(path, flags);
    } catch (cause) {
      throw explain(path, cause);
    }
    if ((await handle.stat()).isDirectory()) {
      await handle.close();
      throw explain(path, { code: 'EISDIR' });
    }
    return new NodeFile(path, handle, writable);
  }

  async size(): Promise<number> {
    const stat = await this.handle.stat();
    if (!stat.isBlockDevice()) return stat.size;
    return blockDeviceSize(this.handle);
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const { bytesRead } = await this.handle.read(into, done, into.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    let done = 0;
    while (done < from.length) {
      const { bytesWritten } = await this.handle.write(from, done, from.length - done, offset + done);
      done += bytesWritten;
    }
  }

  truncate(size: number): Promise<void> {
    return this.handle.truncate(size);
  }

  sync(): Promise<void> {
    return this.handle.datasync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** A block device has no size in its stat: the end is where nothing can be read any more. */
async function blockDeviceSize(handle: FileHandle): Promise<number> {
  const byte = new Uint8Array(1);
  const readable = async (at: number) => (await handle.read(byte, 0, 1, at)).bytesRead === 1;
  let low = 0;
  let high = 512;
  while (high < 2 ** 52 && (await readable(high - 1).catch(() => false))) {
    low = high;
    high *= 2;
  }
  while (high - low > 512) {
    const middle = Math.floor((low + high) / 1024) * 512;
    if (await readable(middle - 1).catch(() => false)) low = middle;
    else high = middle;
  }
  return low;
}

/** A whole file; throws HostError as `open` does. */
export async function readWhole(path: string): Promise<Uint8Array> {
  const file = await NodeFile.open(path);
  try {
    const bytes = new Uint8Array(await file.size());
    const count = await file.read(0, bytes);
    return count === bytes.length ? bytes : bytes.slice(0, count);
  } catch (cause) {
    throw explain(path, cause);
  } finally {
    await file.close();
  }
}

function explain(path: string, cause: unknown): HostError {
  switch ((cause as { code?: string }).code) {
    case 'ENOENT':
      return new HostError('file-not-found', `${path} does not exist`, 'check the path', cause);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new HostError(
        'file-denied',
        `${path} cannot be opened: permission denied`,
        'check its permissions',
        cause,
      );
    case 'EISDIR':
      return new HostError('file-directory', `${path} is a directory`, 'name a file', cause);
    default: {
      const why = cause instanceof Error ? cause.message : String(cause);
      return new HostError('file-open', `${path} cannot be read: ${why}`, 'check the file', cause);
    }
  }
}
