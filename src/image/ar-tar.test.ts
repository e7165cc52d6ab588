import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { utf8 } from '../bits/text.ts';
import { arMembers } from './ar.ts';
import { ByteReader, collect, concat } from './byte-reader.ts';
import { ImageError } from './image-error.ts';
import { safePath, tarEntries } from './tar.ts';

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;

/** Chunks of odd sizes: no reader may depend on where a stream is cut. */
async function* chunked(bytes: Uint8Array, size = 7): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function listTar(bytes: Uint8Array, size?: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of tarEntries(new ByteReader(chunked(bytes, size), 'test.tar'))) {
    const content = await collect(entry.body, 1 << 20, entry.path);
    lines.push(`${entry.type} ${entry.path} ${entry.mode.toString(8)} ${content.length} ${entry.target}`);
  }
  return lines;
}

interface Header {
  readonly name?: string;
  readonly size?: string;
  readonly type?: string;
}

/** A tar header as tar(5) has it; fields as written. */
function tarHeader({ name = 'file', size = '00000000000', type = '0' }: Header): Uint8Array {
  const header = new Uint8Array(512);
  const put = (at: number, text: string): void => header.set(utf8(text), at);
  put(0, name);
  put(100, '0000644\0');
  put(124, size);
  put(156, type);
  put(257, 'ustar\x0000');
  put(148, '        ');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}

const isCode = (code: string) => (error: unknown) => error instanceof ImageError && error.code === code;

for (const format of ['ustar', 'gnu', 'pax']) {
  test(`reads what the system's tar writes (${format})`, (t) => {
    if (!has('tar')) return t.skip('no tar on this host');
    const directory = mkdtempSync(path.join(os.tmpdir(), 'trapframe-tar-'));
    try {
      const deep = format === 'ustar' ? 'sub/dir' : `sub/${'long-'.repeat(30)}name`;
      mkdirSync(path.join(directory, deep), { recursive: true });
      writeFileSync(path.join(directory, deep, 'bytes'), 'x'.repeat(1000), { mode: 0o755 });
      writeFileSync(path.join(directory, 'empty'), '', { mode: 0o644 });
      symlinkSync('empty', path.join(directory, 'link'));
      const tar = execFileSync('tar', [`--format=${format}`, '-cf', '-', '-C', directory, 'sub', 'empty', 'link']);
      return Promise.all(
        [1, 511, 512, 100_000].map(async (size) => {
          const lines = await listTar(tar, size);
          assert.ok(lines.includes(`file ${deep}/bytes 755 1000 `), lines.join('\n'));
          assert.ok(lines.includes('file empty 644 0 '));
          assert.ok(lines.includes('symlink link 777 0 empty'));
        }),
      ).then(() => {});
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

test('an unread body is skipped', async () => {
  const content = utf8('0123456789'.repeat(60));
  const tar = concat([
    tarHeader({ name: 'a', size: `${content.length.toString(8).padStart(11, '0')}\0` }),
    content,
    new Uint8Array(1024 - content.length),
    tarHeader({ name: 'b' }),
  ]);
  const names: string[] = [];
  for await (const entry of tarEntries(new ByteReader(chunked(tar), 't'))) names.push(entry.path);
  assert.deepEqual(names, ['a', 'b']);
});

test('hostile tar archives are refused', async () => {
  const size = (text: string): string => text.padEnd(12, '\0');
  await assert.rejects(listTar(tarHeader({ size: size('00000001000') })), isCode('image-truncated'));
  await assert.rejects(listTar(tarHeader({}).subarray(0, 300)), isCode('image-truncated'));
  await assert.rejects(listTar(tarHeader({ size: size('77777777777'), type: 'L' })), isCode('image-malformed'));
  await assert.rejects(listTar(tarHeader({ size: size('9x') })), isCode('image-malformed'));
  await assert.rejects(listTar(tarHeader({ name: '../../etc/passwd' })), isCode('image-malformed'));
  await assert.rejects(listTar(tarHeader({ name: '/etc/passwd' })), isCode('image-malformed'));
  const broken = tarHeader({});
  broken[0] ^= 1;
  await assert.rejects(listTar(broken), isCode('image-malformed'));
  const base256 = tarHeader({});
  base256.fill(0xff, 124, 136);
  await assert.rejects(listTar(base256), isCode('image-malformed'));
  const pax = (record: string) => {
    const data = utf8(record);
    const header = tarHeader({ size: size(data.length.toString(8).padStart(11, '0')), type: 'x' });
    return concat([header, data, new Uint8Array(512 - data.length), tarHeader({ name: 'a' })]);
  };
  assert.deepEqual(await listTar(pax('12 path=abc\n')), ['file abc 644 0 ']);
  await assert.rejects(listTar(pax('999999 path=abc\n')), isCode('image-malformed'));
  await assert.rejects(listTar(pax('0 path=abc\n')), isCode('image-malformed'));
  await assert.rejects(listTar(pax('17 path=../../x\n')), isCode('image-malformed'));
  await assert.rejects(listTar(pax('22 size=9999999999999\n')), isCode('image-malformed'));
});

test('paths', () => {
  assert.equal(safePath('./usr//bin/./x'), 'usr/bin/x');
  for (const bad of ['/x', '../x', 'a/../../x', 'a\0b', 'a\\b']) assert.equal(safePath(bad), undefined, bad);
});

function arMember(name: string, content: Uint8Array, size = String(content.length)): Uint8Array {
  const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${size.padEnd(10)}\`\n`;
  return concat([utf8(header), content, new Uint8Array(content.length % 2)]);
}

async function listAr(bytes: Uint8Array): Promise<string[]> {
  const names: string[] = [];
  for await (const member of arMembers(new ByteReader(chunked(bytes), 'test.ar'))) {
    names.push(`${member.name}:${(await collect(member.body, 1 << 20, member.name)).length}`);
  }
  return names;
}

test('reads ar archives, ours and the system`s', async (t) => {
  const own = concat([utf8('!<arch>\n'), arMember('odd', utf8('abc')), arMember('even', utf8('abcd'))]);
  assert.deepEqual(await listAr(own), ['odd:3', 'even:4']);
  if (!has('ar')) return t.skip('no ar on this host: only our own archive was read');
  const directory = mkdtempSync(path.join(os.tmpdir(), 'trapframe-ar-'));
  try {
    writeFileSync(path.join(directory, 'one'), 'abc');
    writeFileSync(path.join(directory, 'two'), 'de');
    execFileSync('ar', ['rc', 'x.a', 'one', 'two'], { cwd: directory });
    assert.deepEqual(await listAr(readFileSync(path.join(directory, 'x.a'))), ['one:3', 'two:2']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('hostile ar archives are refused', async () => {
  const magic = utf8('!<arch>\n');
  await assert.rejects(listAr(utf8('!<arch>')), isCode('image-truncated'));
  await assert.rejects(listAr(utf8('PK34567890')), isCode('image-malformed'));
  await assert.rejects(listAr(concat([magic, utf8('short')])), isCode('image-truncated'));
  await assert.rejects(listAr(concat([magic, arMember('x', utf8('abc'), '9999999999')])), isCode('image-truncated'));
  await assert.rejects(listAr(concat([magic, arMember('x', utf8('abc'), '-1')])), isCode('image-malformed'));
  await assert.rejects(listAr(concat([magic, arMember('x', utf8('abc'), '0x10')])), isCode('image-malformed'));
});

test('a stream beyond its limit is refused, not collected', async () => {
  let given = 0;
  const endless = async function* () {
    for (;;) {
      given += 1000;
      yield new Uint8Array(1000);
    }
  };
  await assert.rejects(collect(endless(), 10_000, 'x'), isCode('image-too-big'));
  assert.ok(given <= 12_000);
});
