/**
 * `trapframe images`: what was fetched, how big it is and where; fetching ahead
 * of time; throwing it away. Also makes the host's side of src/image.
 */
import { parseArgs } from 'node:util';
import { ConfigError } from '../bits/errors.ts';
import { fromUtf8 } from '../bits/text.ts';
import { decompress, sha256, verifyClearSigned } from '../host/node/archive-codecs.ts';
import { archiveMirrors } from '../host/node/archive-mirrors.ts';
import { cacheDirectory, FileCache } from '../host/node/cache.ts';
import { openUrl } from '../host/node/fetch.ts';
import { ProgressView, size } from '../host/node/progress.ts';
import { catalogue } from '../image/catalogue.ts';
import { ensureGuest, parseRecord, storeName } from '../image/guest-files.ts';
import type { ImageHost } from '../image/ports.ts';

export function imageHost(offline: boolean): ImageHost {
  const progress = new ProgressView();
  return {
    network: { open: (url) => openUrl(url) },
    codecs: { sha256, decompress, verifyClearSigned },
    store: new FileCache(cacheDirectory(), (owner) =>
      progress.note(`waiting for another trapframe that is fetching (process ${owner})`),
    ),
    progress,
    mirrors: archiveMirrors(),
    offline,
  };
}

const HELP = `Usage: trapframe images [list | fetch [ARCH...] | path [ARCH] | clean]

  list    what is in the cache, and what could be fetched (the default)
  fetch   fetch the guests of these architectures (default: all of them)
  path    print the directory of an architecture's files (default: of all)
  clean   remove every fetched image

The cache is TRAPFRAME_CACHE (default: trapframe in the user's cache directory);
the mirror is TRAPFRAME_MIRROR (default: apt's on this host, then Debian's own).
`;

export async function imagesMain(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [verb = 'list', ...rest] = positionals;
  const host = imageHost(false);
  switch (verb) {
    case 'list':
      return list(host);
    case 'fetch':
      for (const arch of rest.length > 0 ? rest : catalogue.map((guest) => guest.arch)) {
        const { guest, sizes } = await ensureGuest(host, arch, Date.now());
        const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
        process.stdout.write(`${arch}: ${guest.title}, ${size(total)} in ${host.store.locate(`images/${arch}`)}\n`);
      }
      return 0;
    case 'path':
      process.stdout.write(`${host.store.locate(rest[0] === undefined ? 'images' : `images/${rest[0]}`)}\n`);
      return 0;
    case 'clean': {
      const files = await host.store.list('images');
      await host.store.remove('images');
      process.stdout.write(`removed ${files.length} files, ${size(files.reduce((sum, file) => sum + file.size, 0))}\n`);
      return 0;
    }
    default:
      throw new ConfigError('unknown-command', `there is no "trapframe images ${verb}"`, 'see trapframe images --help');
  }
}

async function list(host: ImageHost): Promise<number> {
  const sizes = new Map((await host.store.list('images')).map((file) => [file.name, file.size]));
  for (const guest of catalogue) {
    process.stdout.write(`${guest.arch}: ${guest.title}\n`);
    for (const file of guest.files) {
      const name = storeName(guest.arch, file.name);
      const bytes = sizes.get(name);
      const text = await host.store.read(`${name}.json`);
      const record = text === undefined ? undefined : parseRecord(fromUtf8(text));
      const state =
        bytes === undefined || record === undefined
          ? `not fetched (${size(file.sources[0].pinned.size)} or more to fetch)`
          : `${size(bytes)}, from ${record.package} ${record.version}`;
      process.stdout.write(`  ${file.name.padEnd(10)} ${file.title.padEnd(24)} ${state}\n`);
    }
  }
  const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  process.stdout.write(`${size(total)} in ${host.store.locate('images')}\n`);
  return 0;
}
