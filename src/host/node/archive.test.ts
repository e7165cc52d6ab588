import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HostError } from '../../bits/errors.ts';
import { archiveMirrors } from './archive-mirrors.ts';
import { cacheDirectory, FileCache } from './cache.ts';
import { openUrl } from './fetch.ts';
import { bar, ProgressView, size } from './progress.ts';

let scratch: string;
before(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), 'trapframe-host-'));
});
after(() => rmSync(scratch, { recursive: true }));

describe('mirrors', () => {
  const apt = (files: Readonly<Record<string, string>>): string => {
    const directory = mkdtempSync(path.join(scratch, 'apt-'));
    mkdirSync(path.join(directory, 'sources.list.d'));
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(directory, name), text);
    return directory;
  };

  test('the environment decides alone', () => {
    assert.deepEqual(archiveMirrors({ TRAPFRAME_MIRROR: 'http://m.example/debian/' }, '/nowhere'), [
      'http://m.example/debian',
    ]);
  });

  test('without apt: Debian`s own', () => {
    assert.deepEqual(archiveMirrors({}, '/nowhere'), ['https://deb.debian.org/debian']);
  });

  test('apt`s, in both formats', () => {
    const oneLine = apt({
      'sources.list':
        '# deb http://no.example/debian x main\ndeb [arch=amd64 signed-by=/k] http://a.example/debian/ trixie main\n' +
        'deb-src http://src.example/debian trixie main\ndeb http://a.example/debian-security trixie-security main\n',
    });
    assert.deepEqual(archiveMirrors({}, oneLine), ['http://a.example/debian', 'https://deb.debian.org/debian']);
    const deb822 = apt({
      'sources.list.d/debian.sources':
        'Types: deb\nURIs: http://b.example/x/debian\n http://c.example/debian\nSuites: trixie trixie-updates\n\n' +
        'Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nEnabled: no\n',
      'sources.list.d/ubuntu.sources': 'Types: deb\nURIs: http://d.example/ubuntu\nSuites: noble\n',
      'sources.list.d/old.sources.disabled': 'Types: deb\nURIs: http://e.example/debian\nSuites: trixie\n',
    });
    assert.deepEqual(archiveMirrors({}, deb822), [
      'http://b.example/x/debian',
      'http://c.example/debian',
      'https://deb.debian.org/debian',
    ]);
    const same = apt({ 'sources.list': 'deb http://deb.debian.org/debian trixie main\n' });
    assert.deepEqual(archiveMirrors({}, same), ['http://deb.debian.org/debian']);
  });
});

describe('cache', () => {
  test('its place', () => {
    assert.equal(cacheDirectory({ TRAPFRAME_CACHE: '/x/y' }), '/x/y');
    assert.equal(cacheDirectory({ XDG_CACHE_HOME: '/x' }), path.join('/x', 'trapframe'));
    assert.equal(cacheDirectory({}, 'linux'), path.join(os.homedir(), '.cache', 'trapframe'));
  });

  test('files', async () => {
    const cache = new FileCache(path.join(scratch, 'files'));
    assert.equal(await cache.read('a/b'), undefined);
    assert.deepEqual(await cache.list('a'), []);
    await cache.write('a/b', Buffer.from('one'));
    await cache.write('a/b', Buffer.from('three'));
    assert.equal(String(await cache.read('a/b')), 'three');
    assert.equal(await cache.size('a/b'), 5);
    assert.deepEqual(await cache.list('a'), [{ name: 'a/b', size: 5 }]);
    assert.deepEqual(readdirSync(path.join(scratch, 'files', 'a')), ['b'], 'no temporary file stays');
    await cache.remove('a');
    assert.equal(await cache.size('a/b'), undefined);
    await assert.rejects(cache.read('../x'), HostError);
  });

  test('a directory that cannot be written is a clear error', async () => {
    writeFileSync(path.join(scratch, 'plain'), '');
    const cache = new FileCache(path.join(scratch, 'plain', 'below'));
    const isClear = (error: unknown) => error instanceof HostError && /TRAPFRAME_CACHE/.test(error.message);
    await assert.rejects(cache.write('a', Buffer.from('x')), isClear);
  });

  test('a lock excludes, and a dead process`s lock is taken over', async () => {
    const waits: number[] = [];
    const cache = new FileCache(path.join(scratch, 'locks'), (owner) => void waits.push(owner));
    let inside = 0;
    const work = () =>
      cache.locked('x', async () => {
        assert.equal(++inside, 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
      });
    await Promise.all([work(), work(), work()]);
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    writeFileSync(path.join(scratch, 'locks', 'x.lock'), `${dead} ${os.hostname()}\n`);
    await work();
    assert.deepEqual(readdirSync(path.join(scratch, 'locks')), []);
    assert.ok(
      waits.every((owner) => owner === process.pid),
      'only the live owner was waited for',
    );
  });

  test('a lock of another live process is waited for', async () => {
    const waits: number[] = [];
    const cache = new FileCache(path.join(scratch, 'other'), (owner) => void waits.push(owner));
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 300)']);
    mkdirSync(path.join(scratch, 'other'));
    writeFileSync(path.join(scratch, 'other', 'x.lock'), `${child.pid} ${os.hostname()}\n`);
    await cache.locked('x', async () => {});
    assert.deepEqual(waits, [child.pid]);
    assert.notEqual(child.exitCode, null);
  });
});

describe('fetching', () => {
  const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
  let server: http.Server;
  let base: string;
  const seen: (string | undefined)[] = [];
  before(async () => {
    server = http.createServer((request, response) => {
      const range = request.headers.range;
      seen.push(range);
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
      const first = seen.length === 1;
      switch (request.url) {
        case '/good':
          return response.writeHead(200, { 'content-length': content.length }).end(content);
        case '/breaks': {
          // Every connection brings a quarter; ranges are honoured.
          const piece = content.subarray(from, from + 25_000);
          response.writeHead(range ? 206 : 200, { 'content-length': content.length - from });
          if (from + piece.length === content.length) return response.end(piece);
          return response.write(piece, () => setTimeout(() => response.destroy(), 20));
        }
        case '/rangeless':
          response.writeHead(200, { 'content-length': content.length });
          if (!first) return response.end(content);
          return response.write(content.subarray(0, 30_000), () => setTimeout(() => response.destroy(), 20));
        case '/busy':
          return first ? response.writeHead(503).end() : response.writeHead(200).end('ok');
        case '/silent':
          response.writeHead(200, { 'content-length': 10 });
          return response.write('x');
        case '/denied':
          return response.writeHead(403).end();
        default:
          return response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const get = async (name: string, silence = 5000): Promise<Buffer | undefined> => {
    seen.length = 0;
    const response = await openUrl(`${base}/${name}`, { attempts: 2, pause: 1, silence });
    if (response === undefined) return undefined;
    const parts: Uint8Array[] = [];
    for await (const part of response.body) parts.push(part);
    return Buffer.concat(parts);
  };
  const isFailed = (error: unknown) => error instanceof HostError && error.code === 'fetch-failed';

  test('a file, a missing one, a busy server', async () => {
    assert.deepEqual(await get('good'), content);
    assert.equal(await get('missing'), undefined);
    assert.equal(String(await get('busy')), 'ok');
  });

  test('a broken connection is taken up where it broke', async () => {
    assert.deepEqual(await get('breaks'), content);
    assert.deepEqual(seen, [undefined, 'bytes=25000-', 'bytes=50000-', 'bytes=75000-']);
    assert.deepEqual(await get('rangeless'), content);
  });

  test('failures are typed, and say what to do', async () => {
    await assert.rejects(get('denied'), isFailed);
    assert.equal(seen.length, 1, 'a refusal is final');
    await assert.rejects(get('silent', 50), isFailed);
    const closed = openUrl('http://127.0.0.1:1/x', { attempts: 2, pause: 1 });
    await assert.rejects(closed, (error) => isFailed(error) && /TRAPFRAME_MIRROR/.test(String(error)));
  });
});

describe('progress', () => {
  test('sizes', () => {
    assert.deepEqual([0, 999, 1000, 52_381_500, 999_960, 1.5e9].map(size), [
      '0 B',
      '999 B',
      '1.0 kB',
      '52.4 MB',
      '1.0 MB',
      '1.5 GB',
    ]);
  });

  test('a bar fits its terminal', () => {
    for (const columns of [1, 20, 40, 60, 80, 200]) {
      const line = bar('kernel', 26_000_000, 52_000_000, 1e6, columns);
      assert.ok(line.length < Math.max(columns, 2), `${columns}: ${line}`);
    }
    assert.equal(
      bar('k', 5e6, 10e6, 1e6, 80),
      'k [###############...............] 5.0 MB of 10.0 MB, 1.0 MB/s, 5 s left',
    );
    assert.equal(bar('k', 5e6, undefined, 1e6, 70), 'k 5.0 MB, 1.0 MB/s');
  });

  test('one line a file when nobody watches', () => {
    let text = '';
    let now = 0;
    const view = new ProgressView({ write: (more) => void (text += more) }, () => now);
    const transfer = view.begin('kernel', 1000);
    for (let i = 0; i < 10; i++) transfer.advance(100);
    now = 2000;
    transfer.end('SHA-256 verified');
    assert.equal(text, 'kernel: 1.0 kB in 2.0 s, SHA-256 verified\n');
  });
});

test('the executables and the cache agree on the directory', () => {
  // bin/launch.js runs on old Nodes and cannot import the TypeScript: its copy must name the same places.
  const launcher = readFileSync(new URL('../../../bin/launch.js', import.meta.url), 'utf8');
  for (const word of ['TRAPFRAME_CACHE', 'XDG_CACHE_HOME', 'LOCALAPPDATA', "'Library', 'Caches', 'trapframe'"]) {
    assert.ok(launcher.includes(word), word);
  }
});
