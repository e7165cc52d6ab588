/** The opcodes D8 to DF as a disassembler names them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Decoder, SHORT } from '../decode.ts';
import { Mode } from '../state.ts';
import { x87Rows } from './x87.ts';

const decoder = new Decoder(x87Rows());
const SLOT = 4;

/** Every opcode with every register form, and every memory form through RBX; NOPs behind. */
const encodings: readonly (readonly number[])[] = Array.from({ length: 8 }, (_, n) => 0xd8 + n).flatMap((byte) => [
  ...Array.from({ length: 8 }, (_, digit) => [byte, (digit << 3) | 3]),
  ...Array.from({ length: 64 }, (_, n) => [byte, 0xc0 + n]),
]);

/** The mnemonic at each encoding; '(bad)' where there is none. */
function objdump(): string[] | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-x87-'));
  try {
    const file = join(folder, 'code');
    const bytes = new Uint8Array(encodings.length * SLOT).fill(0x90);
    for (const [n, encoding] of encodings.entries()) bytes.set(encoding, n * SLOT);
    writeFileSync(file, bytes);
    const options = ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '-w', '--no-show-raw-insn', file];
    const { stdout, status } = spawnSync('objdump', options, { encoding: 'utf8', maxBuffer: 1 << 24 });
    if (status !== 0) return undefined;
    const at = new Map<number, string>();
    for (const [, address, mnemonic] of stdout.matchAll(/^ *([0-9a-f]+):\s+(\S+)/gm))
      at.set(Number.parseInt(address, 16), mnemonic);
    return encodings.map((_, n) => at.get(n * SLOT) ?? '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What processors execute and this disassembler does not know. */
const UNDOCUMENTED = new Set(['fstpnce', 'fcom2', 'fcomp3', 'fxch4', 'fcomp5', 'fxch7', 'fstp8', 'fstp9']);

test('x87 mnemonics and what is no instruction, by objdump', (t) => {
  const theirs = objdump();
  if (!theirs) {
    t.skip('there is no objdump (Debian package binutils)');
    return;
  }
  encodings.forEach((encoding, n) => {
    const decoded = decoder.decode((at) => encoding[at] ?? 0x90, Mode.long);
    assert.notEqual(decoded, SHORT);
    const ours = decoded === SHORT || 'illegal' in decoded ? '(bad)' : decoded.row.mnemonic;
    // "fneni(8087 only)"; the 80287's FRSTPM is no instruction any more.
    const name = theirs[n].split('(287')[0].split('(8087')[0];
    const known = UNDOCUMENTED.has(ours) ? '(bad)' : ours;
    const hex = encoding.map((byte) => byte.toString(16)).join(' ');
    assert.equal(known, name === 'frstpm' ? '(bad)' : name, `${hex}: ${ours}`);
  });
});
