/**
 * Gets a guest's files: out of the cache, or else out of Debian's archive into
 * the cache. Only what is booted is kept, not the packages.
 */
import { fromUtf8, utf8 } from '../bits/text.ts';
import { type CatalogueFile, type CatalogueGuest, type ImageSource, catalogue } from './catalogue.ts';
import { DebianArchive } from './debian-archive.ts';
import type { PackageRecord } from './debian-index.ts';
import { debianArchiveKeys } from './debian-keys.ts';
import { ImageError } from './image-error.ts';
import type { ImageHost } from './ports.ts';

/** What stands beside a cached file, as `NAME.json`. */
export interface FileRecord {
  readonly package: string;
  readonly version: string;
  /** Of the file itself. */
  readonly sha256: string;
  readonly size: number;
  /** The catalogue's pin under which it was fetched. */
  readonly pin: string;
}

export interface GuestFiles {
  readonly guest: CatalogueGuest;
  /** Bytes, by the catalogue's names. */
  readonly sizes: ReadonlyMap<string, number>;
  /** The content of a file by the catalogue's name. */
  read(name: string): Promise<Uint8Array>;
}

export interface GuestFilesOptions {
  /** Instead of Debian's keys and the built-in catalogue; for tests. */
  readonly keys?: readonly string[];
  readonly catalogue?: readonly CatalogueGuest[];
}

/** Where the cache keeps a guest's file. */
export const storeName = (arch: string, file: string): string => `images/${arch}/${file}`;

/**
 * All files of an architecture's default guest.
 *
 * `now` is milliseconds since the epoch. Throws `no-such-guest`, `offline`,
 * `fetch-failed`, `hash-mismatch`, `bad-signature`, `guest-unavailable`.
 */
export async function ensureGuest(
  host: ImageHost,
  arch: string,
  now: number,
  options: GuestFilesOptions = {},
): Promise<GuestFiles> {
  const guests = options.catalogue ?? catalogue;
  const guest = guests.find((candidate) => candidate.arch === arch);
  if (guest === undefined) {
    const known = guests.map((candidate) => candidate.arch).join(', ');
    throw new ImageError('no-such-guest', `there is no guest for ${arch}`, `choose one of: ${known}`);
  }
  if (!(await isComplete(host, guest))) {
    await host.store.locked(storeName(arch, 'fetch'), async () => {
      const archive = new DebianArchive(host, options.keys ?? debianArchiveKeys, now);
      for (const file of guest.files) await ensureFile(host, archive, guest, file);
    });
  }
  const sizes = new Map<string, number>();
  for (const file of guest.files) sizes.set(file.name, (await host.store.size(storeName(arch, file.name))) ?? 0);
  return {
    guest,
    sizes,
    async read(name) {
      const content = await host.store.read(storeName(arch, name));
      if (content !== undefined) return content;
      throw new ImageError('no-such-file', `the ${arch} guest has no ${name}`, 'fetch it: trapframe images fetch');
    },
  };
}

async function isComplete(host: ImageHost, guest: CatalogueGuest): Promise<boolean> {
  for (const file of guest.files) {
    if ((await cachedRecord(host, guest.arch, file.name))?.pin !== pinOf(file)) return false;
  }
  return true;
}

/** What the cache holds of a file; undefined when it is missing or damaged. */
async function cachedRecord(host: ImageHost, arch: string, name: string): Promise<FileRecord | undefined> {
  const text = await host.store.read(`${storeName(arch, name)}.json`);
  const record = text === undefined ? undefined : parseRecord(fromUtf8(text));
  // Its hash was checked when it was written; a cut-off file is what can happen to it since.
  return record !== undefined && (await host.store.size(storeName(arch, name))) === record.size ? record : undefined;
}

export function parseRecord(text: string): FileRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Record<string, unknown>;
  const isRecord =
    typeof record['size'] === 'number' &&
    ['package', 'version', 'sha256', 'pin'].every((key) => typeof record[key] === 'string');
  return isRecord ? (value as FileRecord) : undefined;
}

const pinOf = (file: CatalogueFile): string => file.sources.map((source) => source.pinned.sha256).join(' ');

async function ensureFile(
  host: ImageHost,
  archive: DebianArchive,
  guest: CatalogueGuest,
  file: CatalogueFile,
): Promise<void> {
  const cached = await cachedRecord(host, guest.arch, file.name);
  if (cached?.pin === pinOf(file)) return;
  try {
    await fetchFile(host, archive, guest, file);
  } catch (error) {
    if (cached === undefined) throw error;
    host.progress.note(`${file.title} could not be fetched; using ${cached.package} ${cached.version} from the cache`);
  }
}

async function fetchFile(
  host: ImageHost,
  archive: DebianArchive,
  guest: CatalogueGuest,
  file: CatalogueFile,
): Promise<void> {
  for (const [index, source] of file.sources.entries()) {
    const taken = await takeFrom(host, archive, file, source);
    if (taken === undefined) {
      const next = file.sources.at(index + 1)?.pinned;
      if (next !== undefined) {
        host.progress.note(`${source.pinned.name} is not on this mirror: taking ${file.title} out of ${next.name}`);
      }
      continue;
    }
    const { content, from } = taken;
    const hasher = host.codecs.sha256();
    hasher.update(content);
    const record: FileRecord = {
      package: from.name,
      version: from.version,
      sha256: hasher.digest(),
      size: content.length,
      pin: pinOf(file),
    };
    const name = storeName(guest.arch, file.name);
    await host.store.write(name, content);
    await host.store.write(`${name}.json`, utf8(`${JSON.stringify(record, null, 2)}\n`));
    return;
  }
  throw new ImageError(
    'guest-unavailable',
    `${host.mirrors.join(', ')} has no package with ${file.title}`,
    'name another Debian mirror in TRAPFRAME_MIRROR',
  );
}

/** The pinned package, or else the newest one that the signed index knows. */
async function takeFrom(host: ImageHost, archive: DebianArchive, file: CatalogueFile, source: ImageSource) {
  const { pinned } = source;
  const exact = await archive.take(pinned, source.file, file.limit);
  if (exact !== undefined) return { content: exact.content, from: pinned };
  const newest: PackageRecord | undefined = await archive.newest(source.set);
  if (newest === undefined || newest.filename === pinned.filename) return undefined; // listed, but not carried here
  const found = await archive.take(newest, source.file, file.limit);
  if (found === undefined) return undefined;
  host.progress.note(
    `${pinned.name} ${pinned.version} is gone from the mirror: took ${newest.name} ${newest.version} through the signed index`,
  );
  return { content: found.content, from: newest };
}
