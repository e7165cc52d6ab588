/**
 * A directory that keeps what was fetched: TRAPFRAME_CACHE, or `trapframe`
 * under XDG_CACHE_HOME, ~/.cache (~/Library/Caches and %LOCALAPPDATA% on their
 * systems). Files appear whole or not at all; locks keep two processes from
 * doing the same work twice.
 */
import { type FileHandle, link, mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { HostError } from '../../bits/errors.ts';

export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (environment['TRAPFRAME_CACHE']) return path.resolve(environment['TRAPFRAME_CACHE']);
  if (environment['XDG_CACHE_HOME']) return path.join(environment['XDG_CACHE_HOME'], 'trapframe');
  if (platform === 'darwin') return path.join(os.homedir(), 'Library', 'Caches', 'trapframe');
  if (platform === 'win32' && environment['LOCALAPPDATA']) return path.join(environment['LOCALAPPDATA'], 'trapframe');
  return path.join(os.homedir(), '.cache', 'trapframe');
}

/** How long a waiting process sleeps between two looks at a lock, in ms. */
const LOCK_POLL = 100;
/** A lock file whose owner could not be read for so long (ms) is a leftover of a crash. */
const LOCK_STALE = 10_000;

export class FileCache {
  readonly directory: string;
  readonly #onWait: (owner: number) => void;

  /** `onWait` is told once when a lock is held by another process. */
  constructor(directory: string, onWait: (owner: number) => void = () => {}) {
    this.directory = directory;
    this.#onWait = onWait;
  }

  locate(name: string): string {
    const full = path.resolve(this.directory, name);
    if (!full.startsWith(path.resolve(this.directory) + path.sep)) {
      throw new HostError('cache-name', `${name} leaves the cache`, 'please report this');
    }
    return full;
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.locate(name));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#failed('read', name, error);
    }
  }

  async size(name: string): Promise<number | undefined> {
    const status = await stat(this.locate(name)).catch(() => undefined);
    return status?.isFile() ? status.size : undefined;
  }

  async write(name: string, content: Uint8Array): Promise<void> {
    const full = this.locate(name);
    const temporary = `${full}.${process.pid}.part`;
    let file: FileHandle | undefined;
    try {
      await mkdir(path.dirname(full), { recursive: true });
      file = await open(temporary, 'w');
      await file.writeFile(content);
      await file.sync(); // a crash must not leave a name with half of the content
      await file.close();
      await rename(temporary, full);
    } catch (error) {
      await file?.close().catch(() => {});
      await rm(temporary, { force: true }).catch(() => {});
      throw this.#failed('write', name, error);
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.locate(name), { force: true, recursive: true });
  }

  async list(prefix: string): Promise<{ name: string; size: number }[]> {
    const found: { name: string; size: number }[] = [];
    let names: string[];
    try {
      names = await readdir(path.join(this.directory, prefix), { recursive: true });
    } catch (error) {
      if (isAbsent(error)) return found;
      throw this.#failed('read', prefix, error);
    }
    for (const name of names.sort()) {
      const full = path.join(this.directory, prefix, name);
      const status = await stat(full).catch(() => undefined);
      if (status?.isFile()) found.push({ name: path.posix.join(prefix, toPosix(name)), size: status.size });
    }
    return found;
  }

  /** Runs `body` while no other process holds the lock of this name. A lock whose owner is gone is taken over. */
  async locked<T>(name: string, body: () => Promise<T>): Promise<T> {
    const lock = `${this.locate(name)}.lock`;
    let isTold = false;
    for (;;) {
      if (await this.#acquire(lock, name)) break;
      const owner = await lockOwner(lock);
      if (owner === 'gone') {
        await takeAway(lock);
        continue;
      }
      if (!isTold && typeof owner === 'number') {
        isTold = true;
        this.#onWait(owner);
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL));
    }
    try {
      return await body();
    } finally {
      await rm(lock, { force: true });
    }
  }

  async #acquire(lock: string, name: string): Promise<boolean> {
    try {
      await mkdir(path.dirname(lock), { recursive: true });
      const file = await open(lock, 'wx');
      await file.writeFile(`${process.pid} ${os.hostname()}\n`);
      await file.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw this.#failed('write', name, error);
    }
  }

  #failed(verb: string, name: string, cause: unknown): HostError {
    return new HostError(
      'cache-failed',
      `cannot ${verb} ${path.join(this.directory, name)}: ${cause instanceof Error ? cause.message : cause}`,
      'make room or permit access, or name another directory in TRAPFRAME_CACHE',
      cause,
    );
  }
}

/** The holder's process id; `gone` when it has ended; undefined when that cannot be told (yet). */
async function lockOwner(lock: string): Promise<number | 'gone' | undefined> {
  const text = await readFile(lock, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const match = /^(\d+) (.*)\n$/.exec(text);
  if (match === null) {
    // Between creation and writing; or the owner died right there.
    const status = await stat(lock).catch(() => undefined);
    return status !== undefined && Date.now() - status.mtimeMs > LOCK_STALE ? 'gone' : undefined;
  }
  const pid = Number(match[1]);
  if (match[2] !== os.hostname()) return pid; // a shared home directory: we cannot look
  try {
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'gone' : pid;
  }
}

/** Removes a dead lock. When another process has taken it over in the meantime, it gets its lock back. */
async function takeAway(lock: string): Promise<void> {
  const grave = `${lock}.${process.pid}`;
  await rename(lock, grave).catch(() => {});
  if (typeof (await lockOwner(grave)) === 'number') await link(grave, lock).catch(() => {});
  await rm(grave, { force: true });
}

function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function toPosix(name: string): string {
  return name.split(path.sep).join('/');
}
