/** Whether two outcomes of a case are the same, and how a failure is told. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Case, CODE, codeOf, FLAGS, type Outcome } from './record.ts';
import type { Undefined } from './undefined.ts';

const hex = (x: bigint | number): string => `0x${x.toString(16)}`;
const GPR_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [1, 'CF'],
  [4, 'PF'],
  [0x10, 'AF'],
  [0x40, 'ZF'],
  [0x80, 'SF'],
  [0x400, 'DF'],
  [0x800, 'OF'],
];
const flagNames = (flags: bigint): string =>
  FLAG_NAMES.filter(([bit]) => Number(flags) & bit)
    .map(([, name]) => name)
    .join(' ') || '-';

const bytesHex = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');
const PARTS: readonly (readonly [string, number, number])[] = [
  ['fcw', 0, 2],
  ['fsw', 2, 2],
  ['ftw', 4, 1],
  ['mxcsr', 24, 4],
  ...Array.from({ length: 8 }, (_, n): readonly [string, number, number] => [`st${n}`, 32 + 16 * n, 10]),
  ...Array.from({ length: 16 }, (_, n): readonly [string, number, number] => [`xmm${n}`, 160 + 16 * n, 16]),
];

const LAST_PAGE = 0x7fff_ffff_f000n;

/**
 * Stack faults by addresses that are not canonical are told apart from others by the processor alone, and whether an
 * address that is not aligned is beyond its segment's limit too. Of the
 * kernel's half of addresses, and of the page below, Linux says that pages are there.
 */
const faultKind = ({ fault }: Outcome, either: boolean): string => {
  if (!fault) return 'none';
  const vector = either && fault.vector === 12 ? 13 : fault.vector;
  const error = fault.address >= LAST_PAGE ? fault.error & ~1 : fault.error;
  return `vector ${vector} error ${hex(error)}${vector === 14 ? ` at ${hex(fault.address)}` : ''}`;
};

const areEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
/** As RCPPS and RSQRTPS may differ: by twice their relative error, where they are numbers at all. */
function areClose(a: Uint8Array, b: Uint8Array): boolean {
  if (areEqual(a, b) || a.length !== 16) return areEqual(a, b);
  const [x, y] = [new DataView(a.buffer), new DataView(b.buffer)];
  for (let at = 0; at < 16; at += 4) {
    if (x.getUint32(at, true) === y.getUint32(at, true)) continue;
    const [p, q] = [x.getFloat32(at, true), y.getFloat32(at, true)];
    if (!(Math.abs(p - q) <= Math.abs(q) * 3 * 2 ** -12)) return false;
  }
  return true;
}

/** Extended doubles two units in the last place apart at most. */
function areNeighbours(a: Uint8Array, b: Uint8Array): boolean {
  const [x, y] = [new DataView(a.buffer), new DataView(b.buffer)];
  // Denormal numbers have the exponent of the smallest normal ones.
  const exponent = (view: DataView) => view.getUint16(8, true) | (view.getUint16(8, true) & 0x7fff ? 0 : 1);
  if (exponent(x) !== exponent(y)) return false;
  const away = x.getBigUint64(0, true) - y.getBigUint64(0, true);
  return away >= -2n && away <= 2n;
}

const MEMORY_FAULTS: ReadonlySet<number> = new Set([12, 13, 14]);

const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;

/** Lines about what differs but for what is undefined. `wide`: vector and x87 registers are looked at. */
export function differences(c: Case, ours: Outcome, right: Outcome, indefinite: Undefined, wide: boolean): string[] {
  const lines: string[] = [];
  const differ = (name: string, a: string, b: string) => {
    if (a !== b) lines.push(`${name}: ours ${a}, right ${b}`);
  };
  // Where a near transfer goes to an address that is not canonical the processor faults at the transfer, we at the target.
  if (ours.fault?.vector === 13 && right.fault?.vector === 13 && !isCanonical(ours.ip)) return [];
  // AMD's processors push before they look at the code segment's limit.
  const limit = c.segments === 'based' && ours.fault && right.fault && MEMORY_FAULTS.has(right.fault.vector);
  if (limit && indefinite.call && ours.fault?.vector === 13) return [];
  // An offset that is not canonical with a base that makes the address so: AMD's processors fault.
  const kernel = c.bits === 64 && ours.fault?.vector === 14 && ours.fault.address >> 63n !== 0n;
  if (kernel && (right.fault?.vector === 13 || right.fault?.vector === 12)) return [];
  if (indefinite.taken && ours.fault?.vector === 13) return [];
  // An access across the end of flat segments is beyond their limit; we go on at address 0.
  const wraps = c.bits === 32 && ours.fault?.vector === 14 && ours.fault.address > 0xffff_ff00n;
  if (wraps && (right.fault?.vector === 13 || right.fault?.vector === 12)) return [];
  // Which of an operand's bytes faults first: one beyond its segment's limit, or one in a page that cannot be written.
  if (limit && indefinite.partial && MEMORY_FAULTS.has(ours.fault?.vector ?? 0)) return [];
  if (indefinite.partial && ours.fault && right.fault) {
    differ('fault', `vector ${ours.fault.vector}`, `vector ${right.fault.vector}`);
    return lines;
  }
  const either = c.bits === 64 || wide;
  differ('fault', faultKind(ours, either), faultKind(right, either));
  differ('ip', hex(ours.ip - BigInt(CODE + c.at)), hex(right.ip - BigInt(CODE + c.at)));
  for (let n = 0; n < (c.bits === 64 ? 16 : 8); n++) {
    const cut = (x: bigint) => hex(BigInt.asUintN(c.bits === 64 ? 64 : 32, x));
    differ(GPR_NAMES[n], cut(ours.end.gpr[n]), cut(right.end.gpr[n]));
  }
  const flags = FLAGS & ~BigInt(right.fault ? indefinite.before : indefinite.flags);
  differ('flags', flagNames(ours.end.flags & flags), flagNames(right.end.flags & flags));
  for (const at of new Set([...ours.words.keys(), ...right.words.keys()])) {
    const text = (x: bigint | undefined) => (x === undefined ? 'unchanged' : hex(x));
    differ(`data+${hex(at)}`, text(ours.words.get(at)), text(right.words.get(at)));
  }
  if (!wide) return lines;
  const close = indefinite.approximate ? areClose : areEqual;
  const part = (name: string, a: Uint8Array, b: Uint8Array) => {
    if (!close(a, b)) differ(name, bytesHex(a), bytesHex(b));
  };
  // Of an instruction that cannot store its result we have the exception flags already, the processor has not.
  const stores = ours.fault !== undefined && right.fault !== undefined && MEMORY_FAULTS.has(right.fault.vector);
  for (const [name, at, length] of PARTS) {
    const [a, b] = [ours.end.fx.slice(at, at + length), right.end.fx.slice(at, at + length)];
    if (name === 'fsw' && (indefinite.c1 || indefinite.transcendental || stores)) a[1] = (a[1] & ~2) | (b[1] & 2);
    if (stores && name === 'fsw') {
      a[0] = b[0];
      a[1] = (a[1] & 0x7f) | (b[1] & 0x80);
    }
    if (stores && name === 'mxcsr') a[0] = (a[0] & ~0x3f) | (b[0] & 0x3f);
    if (!(indefinite.transcendental && name.startsWith('st') && areNeighbours(a, b))) part(name, a, b);
  }
  for (let n = 0; n < 16; n++) {
    const half = ({ end: { ymmh } }: Outcome) => ymmh.slice(16 * n, 16 * n + 16);
    part(`ymm${n} high`, half(ours), half(right));
  }
  return lines;
}

/** Code in words: by objdump where there is one, else its bytes. */
export function disassembly(code: Uint8Array, bits: 16 | 32 | 64, at: number): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-x86-'));
  try {
    const file = join(folder, 'code');
    writeFileSync(file, code);
    const mode = bits === 64 ? 'i386:x86-64' : bits === 32 ? 'i386' : 'i8086';
    const args = ['-D', '-w', '-b', 'binary', '-m', mode, `--adjust-vma=${at}`, file];
    const { status, stdout } = spawnSync('objdump', args, { encoding: 'utf8' });
    if (status === 0) return stdout.split('\n').filter((line) => /^\s*[0-9a-f]+:/.test(line));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return [Buffer.from(code).toString('hex')];
}

/** What a case is. */
export function describeCase(c: Case, wide: boolean): string[] {
  const { gpr, flags, fx, ymmh } = c.start;
  const lines = disassembly(codeOf(c), c.bits, CODE + c.at);
  lines.push(
    `bytes ${c.code.map((bytes) => Buffer.from(bytes).toString('hex')).join(' ')}, ${c.bits}-bit code, segments ${c.segments ?? 'flat'}`,
  );
  const used = c.bits === 64 ? 16 : 8;
  lines.push(`from ${[...gpr.slice(0, used)].map((value, n) => `${GPR_NAMES[n]}=${hex(value)}`).join(' ')}`);
  lines.push(`flags ${flagNames(flags)}`);
  for (const { at, value } of c.patches) lines.push(`data+${hex(at)} = ${hex(value)}`);
  if (wide) {
    lines.push(PARTS.map(([name, at, length]) => `${name}=${bytesHex(fx.subarray(at, at + length))}`).join(' '));
    lines.push(
      Array.from({ length: 16 }, (_, n) => `ymmh${n}=${bytesHex(ymmh.subarray(16 * n, 16 * n + 16))}`).join(' '),
    );
  }
  return lines;
}
