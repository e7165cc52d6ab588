/**
 * Debian's archive as a source of files: packages by pinned hash, or the newest
 * one through the signed index.
 *
 * The chain of trust: a pinned SHA-256 of the package; or an OpenPGP key of ours
 * -> InRelease -> SHA-256 of Packages.xz -> SHA-256 of the package.
 *
 * Spec: Debian wiki "DebianRepository/Format".
 */
import { fromUtf8 } from '../bits/text.ts';
import { collect, once } from './byte-reader.ts';
import { fileFromDeb, type FoundFile } from './deb.ts';
import { type IndexedFile, type PackageRecord, type Release, findPackages, parseRelease } from './debian-index.ts';
import { compareVersions } from './debian-version.ts';
import { ImageError } from './image-error.ts';
import type { ByteStream, ImageHost } from './ports.ts';

/** Where packages of one kind are indexed. */
export interface PackageSet {
  /** `trixie` */
  readonly suite: string;
  /** Path of the index below the suite: `main/binary-riscv64`. */
  readonly index: string;
  readonly pattern: RegExp;
}

const MAX_RELEASE = 16 << 20;
const MAX_INDEX = 512 << 20;

export class DebianArchive {
  readonly #host: ImageHost;
  readonly #keys: readonly string[];
  readonly #now: number;
  readonly #releases = new Map<string, Promise<Release>>();
  readonly #indices = new Map<string, Promise<string>>();

  /** `now` is milliseconds since the epoch, for the expiry of releases. */
  constructor(host: ImageHost, keys: readonly string[], now: number) {
    this.#host = host;
    this.#keys = keys;
    this.#now = now;
  }

  /** The newest package of a set, as the signed index has it; undefined when there is none. */
  async newest(set: PackageSet): Promise<PackageRecord | undefined> {
    const found = findPackages(await this.#index(set.suite, set.index), set.pattern);
    // Kernels carry their version in the name: 6.12.9 is older than 6.12.10.
    found.sort((a, b) => compareVersions(a.version, b.version) || compareVersions(a.name, b.name));
    return found.at(-1);
  }

  /**
   * A file out of a package, hash checked. Undefined when no mirror has the
   * package; throws `hash-mismatch` when it is not what the record says.
   */
  async take(record: PackageRecord, pattern: RegExp, limit: number): Promise<FoundFile | undefined> {
    const response = await this.#open(record.filename);
    if (response === undefined) return undefined;
    return this.#checked(response.body, record, record.name, record.version, (body) =>
      fileFromDeb(body, pattern, this.#host.codecs, limit, record.name),
    );
  }

  #release(suite: string): Promise<Release> {
    return memoised(this.#releases, suite, async () => {
      const path = `dists/${suite}/InRelease`;
      const response = await this.#open(path);
      if (response === undefined) throw this.#absent(path);
      const message = fromUtf8(await collect(response.body, MAX_RELEASE, path));
      const text = await this.#host.codecs.verifyClearSigned(message, this.#keys);
      if (text === undefined) {
        throw new ImageError(
          'bad-signature',
          `${path} of ${this.#host.mirrors.join(', ')} is not signed by Debian`,
          'use another mirror (TRAPFRAME_MIRROR)',
        );
      }
      const release = parseRelease(text);
      if (release.codename !== suite && release.suite !== suite) {
        throw new ImageError(
          'wrong-release',
          `${path} is the release of ${release.codename}`,
          'use another mirror (TRAPFRAME_MIRROR)',
        );
      }
      if (release.validUntil !== undefined && !(release.validUntil >= this.#now)) {
        throw new ImageError(
          'release-expired',
          `${path} has expired: the mirror is stale`,
          'use another mirror (TRAPFRAME_MIRROR), or set the clock',
        );
      }
      return release;
    });
  }

  #index(suite: string, directory: string): Promise<string> {
    return memoised(this.#indices, `${suite}/${directory}`, async () => {
      const release = await this.#release(suite);
      const path = `${directory}/Packages.xz`;
      const entry = release.files.get(path);
      if (entry === undefined) {
        throw new ImageError('no-such-index', `${suite} has no ${path}`, 'this needs another Debian release');
      }
      // By hash, an index cannot change between reading InRelease and fetching it.
      const byHash = `dists/${suite}/${directory}/by-hash/SHA256/${entry.sha256}`;
      const response =
        (release.byHash ? await this.#open(byHash) : undefined) ?? (await this.#open(`dists/${suite}/${path}`));
      if (response === undefined) throw this.#absent(`dists/${suite}/${path}`);
      const packed = await this.#checked(response.body, entry, `${suite} ${path}`, '', (body) =>
        collect(body, entry.size, path),
      );
      const unpacked = this.#host.codecs.decompress('xz', once(packed));
      return fromUtf8(await collect(unpacked, MAX_INDEX, path));
    });
  }

  /** Shows the transfer, hashes what passes and hands the result out only when the hash fits. */
  async #checked<T>(
    body: ByteStream,
    expected: IndexedFile,
    name: string,
    version: string,
    use: (body: ByteStream) => Promise<T>,
  ): Promise<T> {
    const transfer = this.#host.progress.begin(version === '' ? name : `${name} ${version}`, expected.size);
    const hasher = this.#host.codecs.sha256();
    let length = 0;
    const mismatch = (found: string) =>
      new ImageError(
        'hash-mismatch',
        `${name} is not what was asked for: ${found}, expected ${expected.sha256} (${expected.size} bytes)`,
        'try again, or use another mirror (TRAPFRAME_MIRROR)',
      );
    const source = body[Symbol.asyncIterator]();
    let sourceFailure: { readonly error: unknown } | undefined;
    const pull = async (): Promise<Uint8Array | undefined> => {
      try {
        const next = await source.next();
        if (next.done) return undefined;
        length += next.value.length;
        if (length > expected.size) throw mismatch(`more than ${expected.size} bytes`);
        hasher.update(next.value);
        transfer.advance(next.value.length);
        return next.value;
      } catch (error) {
        sourceFailure = { error };
        throw error;
      }
    };
    const watched = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      for (let chunk = await pull(); chunk !== undefined; chunk = await pull()) yield chunk;
    };
    let result: T | undefined;
    let failure: { readonly error: unknown } | undefined;
    try {
      result = await use(watched());
    } catch (error) {
      failure = { error };
    }
    try {
      if (sourceFailure !== undefined) throw (sourceFailure as { readonly error: unknown }).error;
      // Corrupt data breaks a decoder before the end: the hash over all of it tells who is to blame.
      while ((await pull()) !== undefined);
      const digest = hasher.digest();
      if (digest !== expected.sha256) throw mismatch(`SHA-256 ${digest}, ${length} bytes`);
      if (failure !== undefined) throw failure.error;
    } catch (error) {
      await source.return?.();
      transfer.end('failed');
      throw error;
    }
    transfer.end('SHA-256 verified');
    return result as T;
  }

  async #open(path: string) {
    if (this.#host.offline) {
      throw new ImageError(
        'offline',
        `${path} is not in the cache, and fetching is switched off`,
        'run once without --no-fetch',
      );
    }
    let failure: unknown;
    for (const mirror of this.#host.mirrors) {
      try {
        const response = await this.#host.network.open(`${mirror}/${path}`);
        if (response !== undefined) return response;
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  #absent(path: string): ImageError {
    return new ImageError(
      'no-such-file',
      `none of ${this.#host.mirrors.join(', ')} has ${path}`,
      'use another mirror (TRAPFRAME_MIRROR)',
    );
  }
}

function memoised<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let value = cache.get(key);
  if (value === undefined) {
    value = make();
    cache.set(key, value);
  }
  return value;
}
