/**
 * The decoder against objdump: for every row encodings of all forms, whose
 * length and mnemonic must be what objdump says.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { rows } from '../../../src/isa/x86/rows/index.ts';
import { Mode } from '../../../src/isa/x86/state.ts';
import { Random } from '../random.ts';
import { encode, exists } from './encode.ts';

const EACH = Number(process.env.TRAPFRAME_COUNT ?? 6);
/** Encodings stand so far apart, NOPs between them. */
const STRIDE = 32;

const folder = mkdtempSync(join(tmpdir(), 'trapframe-x86-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const PREFIXES = /^(rex(\.[WRXB]+)?|lock|repz?|repnz|data16|addr(16|32)|[cdefgs]s|bnd|notrack|xacquire|xrelease)$/;

/** Mnemonics and lengths by offset, as objdump prints them. */
function objdump(code: Uint8Array, bits: 32 | 64): Map<number, { text: string; length: number }> {
  const file = join(folder, `code${bits}`);
  writeFileSync(file, code);
  const mode = bits === 64 ? 'i386:x86-64' : 'i386';
  const args = ['-D', '-w', '-b', 'binary', '-M', 'intel-mnemonic', '-m', mode, file];
  const { stdout } = spawnSync('objdump', args, { encoding: 'utf8', maxBuffer: 1 << 29 });
  const found = new Map<number, { text: string; length: number }>();
  for (const line of stdout.split('\n')) {
    const [address, bytes, text] = line.split('\t');
    if (text === undefined) continue;
    const words = text.trim().split(/\s+/);
    // A prefix alone on its line is objdump's way with prefixes that mean nothing.
    while (words.length > 1 && PREFIXES.test(words[0])) words.shift();
    found.set(Number.parseInt(address, 16), { text: words[0], length: bytes.trim().split(' ').length });
  }
  return found;
}

const CC_ALIASES: Readonly<Record<string, string>> = {
  c: 'b',
  nae: 'b',
  nc: 'ae',
  nb: 'ae',
  z: 'e',
  nz: 'ne',
  na: 'be',
  nbe: 'a',
  pe: 'p',
  po: 'np',
  nge: 'l',
  nl: 'ge',
  ng: 'le',
  nle: 'g',
};
/** Mnemonics without what only objdump or only we write. */
function plain(name: string): string {
  const cc = /^(j|set|cmov)(\w+)$/.exec(name);
  if (cc && CC_ALIASES[cc[2]]) return cc[1] + CC_ALIASES[cc[2]];
  return (
    name
      // What a comparison asks, and which halves are multiplied, are operands of ours.
      .replace(/^(v?cmp)\w*?_?[a-z]*(ps|pd|ss|sd)$/, '$1$2')
      .replace(/^(v?)pclmul[lh]q[lh]qdq$/, '$1pclmulqdq')
      .replace(/\(.*/, '')
  );
}
/** What objdump has no name for: undocumented or with fields that the processor does not look at. */
const UNKNOWN = /^(fcom2|fcomp[35]|fstpnce|fstp[89]|fxch[47]|salc|wbinvd|mfence|sfence|lfence|vmmcall)$/;
/** Whether objdump's name is ours with an operand size. */
function sized(ours: string, theirs: string, w: boolean): boolean {
  if (/^(w|d|q|l|64)$/.test(theirs.slice(ours.length)) && theirs.startsWith(ours)) return true;
  return w && /^v?(mov|pinsr|pextr)d$/.test(ours) && theirs === ours.replace(/d$/, 'q');
}
/** Groups of names of the same thing. */
const SAME: readonly (readonly string[])[] = [
  ['movs', 'movsb', 'movsw', 'movsd', 'movsq'],
  ['cmps', 'cmpsb', 'cmpsw', 'cmpsd', 'cmpsq'],
  ['stos', 'stosb', 'stosw', 'stosd', 'stosq'],
  ['lods', 'lodsb', 'lodsw', 'lodsd', 'lodsq'],
  ['scas', 'scasb', 'scasw', 'scasd', 'scasq'],
  ['ins', 'insb', 'insw', 'insd'],
  ['outs', 'outsb', 'outsw', 'outsd'],
  ['cbw', 'cwde', 'cdqe'],
  ['cwd', 'cdq', 'cqo'],
  ['pushf', 'pushfw', 'pushfd', 'pushfq'],
  ['popf', 'popfw', 'popfd', 'popfq'],
  ['pusha', 'pushaw', 'pushad'],
  ['popa', 'popaw', 'popad'],
  ['iret', 'iretw', 'iretd', 'iretq'],
  ['ret', 'retw', 'retq'],
  ['retf', 'retfw', 'retfq', 'rex.W'],
  ['jcxz', 'jecxz', 'jrcxz'],
  ['mov', 'movabs'],
  ['xlat', 'xlatb'],
  [
    'nop',
    'xchg',
    'pause',
    'prefetcht0',
    'prefetcht1',
    'prefetcht2',
    'prefetchnta',
    'prefetch',
    'prefetchw',
    'prefetchwt1',
    'cldemote',
    'endbr64',
    'endbr32',
    'rdsspd',
    'rdsspq',
    'bndmk',
    'bndcl',
    'bndcu',
    'bndcn',
    'bndmov',
    'bndldx',
    'bndstx',
    'prefetchit0',
    'prefetchit1',
    'nopw',
    'nopl',
  ],
  ['cmpxchg8b', 'cmpxchg16b'],
  ['sysret', 'sysretd', 'sysretq', 'sysretl'],
  ['sysexit', 'sysexitd', 'sysexitq', 'sysexitl'],
  ['shl', 'sal'],
];
const sameAs = (name: string) => SAME.find((list) => list.includes(name))?.[0] ?? name;

const version = spawnSync('objdump', ['--version']);
const missing = version.status === 0 ? false : 'objdump is not installed (Debian package binutils)';

for (const bits of [64, 32] as const) {
  test(`rows of ${bits}-bit code as objdump reads them`, { skip: missing }, (t) => {
    const seed = testSeed(process.env);
    t.diagnostic(`TRAPFRAME_SEED=${seed}`);
    const random = new Random(seed);
    const list = rows()
      .filter((row) => exists(row, bits))
      .flatMap((row) => Array.from({ length: EACH }, () => row));
    const code = new Uint8Array(STRIDE * list.length).fill(0x90);
    const lengths = list.map((row, n) => {
      const at = STRIDE * n;
      const place = {
        bits,
        ip: at,
        target: 0x1234_5678,
        jump: at + 100,
        dataBase: 0,
        fsBase: 0,
        gsBase: 0,
        wrong: false,
      };
      const { bytes } = encode(row, random, place);
      code.set(bytes, at);
      return bytes.length;
    });
    const theirs = objdump(code, bits);
    const view = new DataView(code.buffer);
    const wrong = new Map<string, string>();
    for (const [n, row] of list.entries()) {
      const at = STRIDE * n;
      const said = `${row.mnemonic} (${row.text}) ${Buffer.from(code.subarray(at, at + lengths[n])).toString('hex')}`;
      const decoded = isa.decode(view, at, STRIDE, bits === 64 ? Mode.longUser : Mode.flatUser);
      const key = `${row.mnemonic} ${row.text}`;
      if (decoded === 'beyond' || decoded === undefined) {
        wrong.set(key, `${said}: ours takes it for none`);
        continue;
      }
      // What objdump prints from here on to where our instruction ends, prefixes on lines of their own.
      let end = at;
      let text = '';
      while (end < at + lengths[n]) {
        const line = theirs.get(end);
        if (!line) break;
        text = line.text;
        end += line.length;
        if (!PREFIXES.test(line.text)) break;
      }
      const names = [decoded.x86.row.mnemonic, text].map(plain);
      // Where the rows have NOPs objdump has an extension of its own, which knows no 16-bit addresses.
      if (/^0F 1[AB]/.test(row.text) && decoded.length === lengths[n]) continue;
      const same =
        names[0] === names[1] || sameAs(names[0]) === sameAs(names[1]) || sized(names[0], names[1], decoded.x86.w);
      if (UNKNOWN.test(names[0]) && names[1] === '' && decoded.length === lengths[n]) continue;
      if (decoded.length !== lengths[n] || end - at !== lengths[n] || !same)
        wrong.set(key, `${said}: ours ${names[0]} of ${decoded.length} bytes, objdump ${text} of ${end - at}`);
    }
    assert.deepEqual([...wrong.values()].slice(0, 20), [], `${wrong.size} rows`);
  });
}
