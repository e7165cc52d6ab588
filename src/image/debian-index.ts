/**
 * The texts of a Debian archive: Release and Packages.
 *
 * Spec: Debian wiki "DebianRepository/Format"; deb822(5).
 */

/** One paragraph of `Key: value` lines; continuation lines are joined with newlines. Keys in lower case. */
export type Paragraph = ReadonlyMap<string, string>;

export function* paragraphs(text: string): Generator<Paragraph, void, undefined> {
  for (const block of text.split(/\n(?:[ \t]*\n)+/)) {
    const paragraph = parseParagraph(block);
    if (paragraph.size > 0) yield paragraph;
  }
}

function parseParagraph(block: string): Map<string, string> {
  const fields = new Map<string, string>();
  let key = '';
  for (const line of block.split('\n')) {
    if (/^[ \t]/.test(line)) {
      if (key !== '') fields.set(key, `${fields.get(key)}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    key = line.slice(0, colon).toLowerCase();
    fields.set(key, line.slice(colon + 1).trim());
  }
  return fields;
}

export interface IndexedFile {
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

export interface Release {
  readonly codename: string;
  readonly suite: string;
  /** Path below the Release file's directory to its hash. */
  readonly files: ReadonlyMap<string, IndexedFile>;
  readonly byHash: boolean;
  /** Milliseconds since the epoch; undefined when the release does not expire. */
  readonly validUntil: number | undefined;
}

export function parseRelease(text: string): Release {
  const fields = parseParagraph(text);
  const files = new Map<string, IndexedFile>();
  for (const line of (fields.get('sha256') ?? '').split('\n')) {
    const match = /^([0-9a-f]{64})\s+(\d{1,12})\s+(\S+)$/.exec(line);
    if (match) files.set(match[3], { sha256: match[1], size: Number(match[2]) });
  }
  const until = fields.get('valid-until');
  return {
    codename: fields.get('codename') ?? '',
    suite: fields.get('suite') ?? '',
    files,
    byHash: fields.get('acquire-by-hash') === 'yes',
    validUntil: until === undefined ? undefined : Date.parse(until),
  };
}

export interface PackageRecord extends IndexedFile {
  readonly name: string;
  readonly version: string;
  /** Path below the archive's root. */
  readonly filename: string;
}

/** The packages of an index whose name matches; records without a usable hash are left out. */
export function findPackages(index: string, pattern: RegExp): PackageRecord[] {
  const found: PackageRecord[] = [];
  // Most of an index is other packages: look at the first line of a paragraph before parsing it.
  for (const block of index.split('\n\n')) {
    const name = /^(?:\s*)Package: *(\S+)/.exec(block)?.[1];
    if (name === undefined || !pattern.test(name)) continue;
    const fields = parseParagraph(block);
    const sha256 = fields.get('sha256') ?? '';
    const size = fields.get('size') ?? '';
    const filename = fields.get('filename') ?? '';
    const isUsable = /^[0-9a-f]{64}$/.test(sha256) && /^\d{1,12}$/.test(size) && isPoolPath(filename);
    if (!isUsable) continue;
    found.push({ name, version: fields.get('version') ?? '', filename, sha256, size: Number(size) });
  }
  return found;
}

/** Guards the URLs we build: a relative path without `..`, query or anything to be escaped. */
function isPoolPath(path: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9.+~_:/-]*$/.test(path) && !path.split('/').includes('..');
}
