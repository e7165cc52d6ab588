/**
 * Which Debian mirror to ask: TRAPFRAME_MIRROR when set; otherwise the one that
 * this host's apt uses (it works behind the host's firewall), then Debian's own.
 *
 * Spec: sources.list(5) of Debian 13, both formats.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export const DEBIAN_MIRROR = 'https://deb.debian.org/debian';

/** Mirrors in order of preference, without a trailing slash. */
export function archiveMirrors(environment: NodeJS.ProcessEnv = process.env, aptDirectory = '/etc/apt'): string[] {
  const wanted = environment['TRAPFRAME_MIRROR'];
  if (wanted) return [wanted.replace(/\/+$/, '')];
  const mirrors = aptSources(aptDirectory).map((uri) => uri.replace(/\/+$/, ''));
  // The same host over http and https is one mirror, asked as apt asks it.
  const byPlace = new Map<string, string>();
  for (const mirror of [...mirrors, DEBIAN_MIRROR]) {
    const place = mirror.replace(/^https?:/, '');
    if (!byPlace.has(place)) byPlace.set(place, mirror);
  }
  return [...byPlace.values()];
}

function aptSources(directory: string): string[] {
  const uris: string[] = [];
  for (const [name, text] of sourceFiles(directory)) {
    const sources = name.endsWith('.sources') ? deb822Sources(text) : oneLineSources(text);
    for (const { uri, suites } of sources) {
      // Ubuntu, security and third-party archives do not carry Debian's releases.
      if (/^https?:\/\/[^/]+\/(?:.*\/)?debian\/?$/.test(uri) && suites.some((suite) => !suite.includes('security'))) {
        uris.push(uri);
      }
    }
  }
  return uris;
}

function sourceFiles(directory: string): [string, string][] {
  const names = ['sources.list'];
  const parts = path.join(directory, 'sources.list.d');
  try {
    names.push(
      ...readdirSync(parts)
        .filter((name) => /\.(list|sources)$/.test(name))
        .sort()
        .map((name) => path.join('sources.list.d', name)),
    );
  } catch {
    // No such directory: this host has no apt.
  }
  return names.flatMap((name): [string, string][] => {
    try {
      return [[name, readFileSync(path.join(directory, name), 'utf8')]];
    } catch {
      return [];
    }
  });
}

interface Source {
  readonly uri: string;
  readonly suites: readonly string[];
}

function oneLineSources(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const words = line
      .replace(/#.*/, '')
      .replace(/\[[^\]]*\]/, ' ')
      .trim()
      .split(/\s+/);
    return words[0] === 'deb' && words.length >= 3 ? [{ uri: words[1], suites: [words[2]] }] : [];
  });
}

function deb822Sources(text: string): Source[] {
  return text.split(/\n\s*\n/).flatMap((block) => {
    const fields = new Map<string, string>();
    let key = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('#')) continue;
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match) fields.set((key = match[1].toLowerCase()), match[2]);
      else if (key !== '' && /^\s+\S/.test(line)) fields.set(key, `${fields.get(key)} ${line.trim()}`);
    }
    const list = (name: string): string[] => (fields.get(name) ?? '').split(/\s+/).filter((word) => word !== '');
    if (!list('types').includes('deb') || fields.get('enabled') === 'no') return [];
    return list('uris').map((uri) => ({ uri, suites: list('suites') }));
  });
}
