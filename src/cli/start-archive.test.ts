/** The way from a signed archive to a cached guest, against an archive made here and served on loopback. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { createCleartextMessage, generateKey, readPrivateKey, sign } from 'openpgp';
import { TrapframeError } from '../bits/errors.ts';
import { utf8 } from '../bits/text.ts';
import { decompress, sha256, verifyClearSigned } from '../host/node/archive-codecs.ts';
import { FileCache } from '../host/node/cache.ts';
import { openUrl } from '../host/node/fetch.ts';
import { concat, once } from '../image/byte-reader.ts';
import type { CatalogueGuest } from '../image/catalogue.ts';
import { fileFromDeb } from '../image/deb.ts';
import { ensureGuest } from '../image/guest-files.ts';
import type { ImageHost } from '../image/ports.ts';
import { startMain } from './start.ts';

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const xz = (bytes: Uint8Array): Uint8Array => spawnSync('xz', ['-c'], { input: bytes }).stdout;
const lacksXz = spawnSync('xz', ['--version']).error === undefined ? false : 'no xz on this host';
const KERNEL = 'boot/vmlinux-1';
const RELEASE = 'dists/trixie/InRelease';
const INDEX = 'dists/trixie/main/binary-all/Packages.xz';
const isCode = (code: string) => (error: unknown) => error instanceof TrapframeError && error.code === code;

function tar(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const header = new Uint8Array(512);
    const put = (at: number, text: string): void => header.set(utf8(text), at);
    put(0, `./${name}`);
    put(100, '0000644\0');
    put(124, `${content.length.toString(8).padStart(11, '0')}\0`);
    put(156, '0');
    put(257, 'ustar\x0000');
    put(148, '        ');
    put(
      148,
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
    );
    return [header, content, new Uint8Array((512 - (content.length % 512)) % 512)];
  });
  return concat([...parts, new Uint8Array(1024)]);
}

function deb(dataName: string, data: Uint8Array): Uint8Array {
  const member = (name: string, content: Uint8Array): Uint8Array[] => {
    const numbers = `${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}`;
    const header = `${name.padEnd(16)}${numbers}${String(content.length).padEnd(10)}\`\n`;
    return [utf8(header), content, new Uint8Array(content.length % 2)];
  };
  return concat([utf8('!<arch>\n'), ...member('debian-binary', utf8('2.0\n')), ...member(dataName, data)]);
}

const gzipDeb = (content: string): Uint8Array => deb('data.tar.gz', gzipSync(tar({ [KERNEL]: utf8(content) })));

interface Package {
  readonly name: string;
  readonly version: string;
  readonly file: string;
  readonly content: Uint8Array;
}
const paragraph = ({ name, version, file, content }: Package): string =>
  `Package: ${name}\nVersion: ${version}\nFilename: ${file}\nSize: ${content.length}\nSHA256: ${hex(content)}\n`;
const record = ({ name, version, file, content }: Package) => ({
  name,
  version,
  filename: file,
  size: content.length,
  sha256: hex(content),
});

describe('a signed archive on loopback', () => {
  let keys: { privateKey: string; publicKey: string };
  let strangers: { privateKey: string; publicKey: string };
  let server: http.Server;
  let mirror: string;
  let scratch: string;
  let served: Map<string, Uint8Array>;
  const requests: string[] = [];
  const notes: string[] = [];

  before(async () => {
    const userIDs = [{ name: 'Test Archive', email: 'test@example.org' }];
    keys = await generateKey({ userIDs, type: 'curve25519' });
    strangers = await generateKey({ userIDs, type: 'curve25519' });
    server = http.createServer((request, response) => {
      const name = (request.url ?? '/').slice(1);
      requests.push(name);
      const content = served.get(name);
      if (content === undefined) response.writeHead(404).end();
      else response.writeHead(200, { 'content-length': content.length }).end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    scratch = mkdtempSync(path.join(os.tmpdir(), 'trapframe-archive-'));
  });
  after(() => {
    server.close();
    rmSync(scratch, { recursive: true });
  });

  const old: Package = { name: 'linux-1', version: '1.9-1', file: 'pool/linux-1_1.9-1.deb', content: gzipDeb('old') };
  const fresh: Package = {
    name: 'linux-2',
    version: '1.10-1',
    file: 'pool/linux-2_1.10-1.deb',
    content: gzipDeb('new'),
  };

  const guests = (pinned: Package): readonly CatalogueGuest[] => [
    {
      arch: 'test',
      title: 'Test',
      files: [
        {
          name: 'kernel',
          title: 'Test kernel',
          limit: 1 << 20,
          sources: [
            {
              pinned: record(pinned),
              set: { suite: 'trixie', index: 'main/binary-all', pattern: /^linux-/ },
              file: /^boot\/vmlinux-/,
            },
          ],
        },
      ],
    },
  ];

  async function publish(packages: readonly Package[], privateKey: string, extra = ''): Promise<void> {
    const index = xz(utf8(packages.map(paragraph).join('\n')));
    const release = `Suite: stable\nCodename: trixie\n${extra}SHA256:\n ${hex(index)} ${index.length} main/binary-all/Packages.xz\n`;
    const signed = await sign({
      message: await createCleartextMessage({ text: release }),
      signingKeys: await readPrivateKey({ armoredKey: privateKey }),
    });
    served = new Map([
      [RELEASE, utf8(signed)],
      [INDEX, index],
      ...packages.map((one): [string, Uint8Array] => [one.file, one.content]),
    ]);
    requests.length = notes.length = 0;
  }

  let count = 0;
  function host(cache = `cache-${count++}`, offline = false): ImageHost {
    return {
      network: { open: (url) => openUrl(url, { attempts: 1, pause: 1 }) },
      codecs: { sha256, decompress, verifyClearSigned },
      store: new FileCache(path.join(scratch, cache)),
      progress: { note: (line) => void notes.push(line), begin: () => ({ advance() {}, end() {} }) },
      mirrors: [mirror],
      offline,
    };
  }
  const ensure = async (images: ImageHost, pinned: Package, now = Date.now()): Promise<string> => {
    const guest = await ensureGuest(images, 'test', now, { keys: [keys.publicKey], catalogue: guests(pinned) });
    return Buffer.from(await guest.read('kernel')).toString();
  };

  test('a pinned package needs no index, and the second time no network', { skip: lacksXz }, async () => {
    await publish([old, fresh], keys.privateKey);
    const images = host('kept');
    assert.equal(await ensure(images, old), 'old');
    assert.deepEqual(requests, [old.file]);
    assert.equal(await ensure(images, old), 'old');
    assert.equal(await ensure(host('kept', true), old), 'old');
    assert.equal(requests.length, 1);
  });

  test('a pinned package that is gone: the newest one through the index, said in one line', {
    skip: lacksXz,
  }, async () => {
    await publish([{ ...old, name: 'linux-0', version: '1.2-1' }, fresh], keys.privateKey);
    served.delete(old.file);
    assert.equal(await ensure(host(), old), 'new');
    assert.equal(notes.length, 1);
    assert.match(notes[0], /linux-1 1\.9-1 is gone.*linux-2 1\.10-1/);
  });

  test('another key`s signature is refused', { skip: lacksXz }, async () => {
    await publish([fresh], strangers.privateKey);
    await assert.rejects(ensure(host(), old), isCode('bad-signature'));
  });

  test('a changed InRelease is refused', { skip: lacksXz }, async () => {
    await publish([fresh], keys.privateKey);
    served.set(RELEASE, utf8(Buffer.from(served.get(RELEASE)!).toString().replace('stable', 'stAble')));
    await assert.rejects(ensure(host(), old), isCode('bad-signature'));
    served.set(RELEASE, utf8('Codename: trixie\n'));
    await assert.rejects(ensure(host(), old), isCode('bad-signature'));
  });

  test('text outside the signature does not count', { skip: lacksXz }, async () => {
    await publish([fresh], keys.privateKey);
    const signed = Buffer.from(served.get(RELEASE)!).toString();
    served.set(
      RELEASE,
      utf8(`Codename: evil\nSHA256:\n ${'00'.repeat(32)} 1 main/binary-all/Packages.xz\n\n${signed}`),
    );
    const outcome = await ensure(host(), old).catch((error: unknown) => error);
    assert.ok(outcome === 'new' || isCode('bad-signature')(outcome), String(outcome));
  });

  test('an expired release and another suite`s are refused', { skip: lacksXz }, async () => {
    await publish([fresh], keys.privateKey, 'Valid-Until: Sat, 01 Jan 2022 00:00:00 UTC\n');
    await assert.rejects(ensure(host(), old), isCode('release-expired'));
    assert.equal(await ensure(host(), old, Date.UTC(2021, 1, 1)), 'new');
    const catalogue = structuredCloneGuests(guests(old), 'sid');
    served.set('dists/sid/InRelease', served.get(RELEASE)!);
    const options = { keys: [keys.publicKey], catalogue };
    await assert.rejects(ensureGuest(host(), 'test', Date.now(), options), isCode('wrong-release'));
  });

  test('a changed Packages is refused', { skip: lacksXz }, async () => {
    await publish([fresh], keys.privateKey);
    served.set(INDEX, xz(utf8(paragraph({ ...fresh, content: gzipDeb('evil') }))));
    await assert.rejects(ensure(host(), old), isCode('hash-mismatch'));
  });

  test('a changed package is refused and not kept', { skip: lacksXz }, async () => {
    await publish([old], keys.privateKey);
    const images = host();
    for (const evil of [
      gzipDeb('evil'),
      old.content.slice(0, -40),
      concat([old.content, utf8('more')]),
      utf8('junk'),
    ]) {
      served.set(old.file, evil);
      await assert.rejects(ensure(images, old), isCode('hash-mismatch'));
    }
    assert.deepEqual(await images.store.list('images'), []);
  });

  test('without a network: a clear error, or the older file that is there', { skip: lacksXz }, async () => {
    await publish([old, fresh], keys.privateKey);
    await assert.rejects(ensure(host('none', true), old), isCode('offline'));
    const images = host('older');
    assert.equal(await ensure(images, old), 'old');
    assert.equal(await ensure(host('older', true), fresh), 'old');
    assert.match(notes.join(), /could not be fetched; using linux-1 1\.9-1/);
  });

  test('a cut-off cached file is fetched again', { skip: lacksXz }, async () => {
    await publish([old], keys.privateKey);
    const images = host();
    await ensure(images, old);
    writeFileSync(images.store.locate('images/test/kernel'), 'ol');
    assert.equal(await ensure(images, old), 'old');
  });

  test('two at once fetch once', { skip: lacksXz }, async () => {
    await publish([old], keys.privateKey);
    const images = host();
    assert.deepEqual(await Promise.all([ensure(images, old), ensure(images, old)]), ['old', 'old']);
    assert.deepEqual(requests, [old.file]);
  });

  test('trapframe start boots what it fetched, and says how', async () => {
    served = new Map();
    const store = new FileCache(path.join(scratch, 'start'));
    writeFileSync(path.join(scratch, 'k'), '');
    const images = { ...host(), store };
    const ran: string[][] = [];
    const context = {
      terminal: undefined,
      images: () => images,
      run: async (arch: string, argv: readonly string[]) => {
        ran.push([arch, ...argv]);
        return 9;
      },
    };
    const argv = ['--kernel', 'K', '--initrd', 'I', '--exec', 'id', '--memory', '1G', '--', '-d', 'int'];
    assert.equal(await startMain(argv, context), 4);
    assert.equal(
      ran[0].join(' '),
      'x86_64 -M q35 -device isa-debug-exit,iobase=1281,iosize=1 -m 1G -smp 1 -accel auto -kernel K -initrd I -append console=ttyS0 panic=-1 trapframe.exec=aWQ= -nographic -no-reboot -d int',
    );
    await startMain(['--arch', 'riscv64', ...argv], context);
    assert.match(ran[1].join(' '), /^riscv64 -M virt -m 1G -smp 1 -accel auto -kernel K /);
    // A PC's exit code is the command's status twice and one more.
    const status = (code: number) => startMain(argv, { ...context, run: async () => code });
    assert.deepEqual([await status(0), await status(11), await status(255)], [0, 5, 127]);
    await assert.rejects(startMain(['--nonsense'], context), isCode('bad-option'));
    await assert.rejects(startMain(['--arch', 'vax'], context), isCode('no-such-guest'));
  });
});

function structuredCloneGuests(guests: readonly CatalogueGuest[], suite: string): CatalogueGuest[] {
  return guests.map((guest) => ({
    ...guest,
    files: guest.files.map((file) => ({
      ...file,
      sources: file.sources.map((source) => ({ ...source, set: { ...source.set, suite } })),
    })),
  }));
}

describe('files out of packages', () => {
  const files = {
    'usr/share/doc': utf8('doc'),
    [KERNEL]: utf8('kernel'.repeat(50_000)),
    last: new Uint8Array(3 << 20),
  };
  const codecs = { sha256, decompress, verifyClearSigned };
  const take = (bytes: Uint8Array, pattern = /^boot\//) => fileFromDeb(once(bytes), pattern, codecs, 1 << 20, 'x.deb');
  const forms: [string, (data: Uint8Array) => Uint8Array][] = [
    ['data.tar', (data) => data],
    ['data.tar.gz', (data) => gzipSync(data)],
    ['data.tar.zst', (data) => zstdCompressSync(data)],
    ['data.tar.xz', xz],
  ];
  for (const [name, compress] of forms) {
    test(name, { skip: name.endsWith('xz') && lacksXz }, async () => {
      const whole = compress(tar(files));
      for (let round = 0; round < 3; round++) {
        // The decompressor is stopped at the file: the next round shows that it was let go.
        assert.deepEqual(Buffer.from((await take(deb(name, whole))).content), Buffer.from(files[KERNEL]));
      }
      await assert.rejects(take(deb(name, whole), /^nowhere/), isCode('package-lacks-file'));
      await assert.rejects(take(deb(name, whole), /^last/), isCode('image-too-big'));
      const cut = deb(name, whole.subarray(0, whole.length >> 1));
      await assert.rejects(take(cut, /^nowhere/), (error) => error instanceof TrapframeError);
      await assert.rejects(take(deb(name, utf8('nonsense'.repeat(200)))), (error) => error instanceof TrapframeError);
      await assert.rejects(take(deb(name, new Uint8Array(0)), /^boot/), (error) => error instanceof TrapframeError);
    });
  }

  test('dpkg-deb`s packages', async (t) => {
    if (spawnSync('dpkg-deb', ['--version']).error !== undefined) return t.skip('no dpkg-deb on this host');
    const directory = mkdtempSync(path.join(os.tmpdir(), 'trapframe-deb-'));
    try {
      const script = `mkdir -p p/DEBIAN p/boot && printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' > p/DEBIAN/control && echo kernel > p/boot/vmlinux-1 && for z in gzip xz none; do dpkg-deb -Z$z --root-owner-group -b p $z.deb >/dev/null || exit 1; done`;
      assert.equal(spawnSync('sh', ['-c', script], { cwd: directory }).status, 0);
      for (const name of ['gzip', 'xz', 'none']) {
        const found = await take(readFileSync(path.join(directory, `${name}.deb`)));
        assert.equal(`${found.path} ${Buffer.from(found.content)}`, 'boot/vmlinux-1 kernel\n');
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
