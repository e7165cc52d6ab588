/**
 * The ar(5) container, as Debian packages use it.
 *
 * Spec: deb(5) and ar(5) of Debian 13. Departure: no symbol tables and no long
 * names (neither BSD's nor GNU's); a package has none.
 */
import { latin1 } from '../bits/text.ts';
import type { ByteReader } from './byte-reader.ts';

export interface ArMember {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** The content; what of it is not read is skipped. */
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
}

const MAGIC = '!<arch>\n';
const HEADER_SIZE = 60;

/** Walks the members in order. */
export async function* arMembers(reader: ByteReader): AsyncGenerator<ArMember, void, undefined> {
  if (latin1(await reader.exactly(MAGIC.length)) !== MAGIC) throw reader.malformed('it is no ar archive');
  for (;;) {
    const raw = await reader.exactlyOrEnd(HEADER_SIZE);
    if (raw === undefined) return;
    const header = latin1(raw);
    if (header.slice(58) !== '`\n') throw reader.malformed('bad ar member header');
    const digits = header.slice(48, 58).trimEnd();
    if (!/^\d{1,10}$/.test(digits)) throw reader.malformed('bad ar member size');
    const size = Number(digits);
    const end = reader.offset + size;
    yield { name: header.slice(0, 16).trimEnd().replace(/\/$/, ''), size, body: reader.slice(size) };
    await reader.skip(end - reader.offset);
    // Members start at even offsets; the padding byte may be missing at the end of the file.
    if (size % 2 === 1 && (await reader.exactlyOrEnd(1)) === undefined) return;
  }
}
