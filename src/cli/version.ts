/** The version of the package that this program belongs to, as sources, as a checkout's bundle or installed. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export function version(): string {
  let directory = import.meta.dirname;
  while (!existsSync(path.join(directory, 'package.json'))) directory = path.dirname(directory);
  return (JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as { version: string }).version;
}
