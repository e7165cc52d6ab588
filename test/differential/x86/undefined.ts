/**
 * What instructions read, write and leave undefined of the arithmetic flags.
 *
 * Spec: SDM volume 1, appendix "EFLAGS Cross-Reference"; volume 2, "Flags
 * Affected" of the mnemonics, "Operation" for results that are undefined.
 */
import type { StateAccess } from '../../../src/isa/isa.ts';
import type { Decoded } from '../../../src/isa/x86/decode.ts';
import type { Row } from '../../../src/isa/x86/opcode.ts';
import { CC_NAMES } from '../../../src/isa/x86/rows/move.ts';

const BITS: Readonly<Record<string, number>> = { o: 0x800, s: 0x80, z: 0x40, a: 0x10, p: 4, c: 1 };
const mask = (letters: string): number => [...letters].reduce((sum, letter) => sum | BITS[letter], 0);

interface Effect {
  readonly reads: number;
  readonly writes: number;
  readonly undefined: number;
  /** The result itself is undefined. */
  readonly result?: boolean;
}

const NONE: Effect = { reads: 0, writes: 0, undefined: 0 };
const table = new Map<string, Effect>();
/** Mnemonics; what they read, write and leave undefined, by the flags' initials. */
function flags(mnemonics: string, reads: string, writes: string, undefinedFlags = ''): void {
  for (const name of mnemonics.split(' '))
    table.set(name, { reads: mask(reads), writes: mask(writes), undefined: mask(undefinedFlags) });
}
flags('add sub cmp neg xadd cmpxchg cmpsb cmps scasb scas popcnt popf', '', 'oszapc');
flags('adc sbb', 'c', 'oszapc');
flags('inc dec', '', 'oszap');
flags('and or xor test', '', 'oszpc', 'a');
flags('mul imul', '', 'oc', 'szap');
flags('div idiv', '', '', 'oszapc');
flags('daa das', 'ac', 'szapc', 'o');
flags('aaa aas', 'a', 'ac', 'oszp');
flags('aam aad', '', 'szp', 'oac');
flags('bt bts btr btc', '', 'c', 'osap');
flags('bsf bsr', '', 'z', 'cosap');
flags('tzcnt lzcnt', '', 'cz', 'osap');
flags('cmpxchg8b arpl verr verw lar lsl', '', 'z');
flags('clc stc', '', 'c');
flags('cmc', 'c', 'c');
flags('sahf', '', 'szapc');
flags('lahf', 'szapc', '');
flags('pushf', 'oszapc', '');
flags('salc', 'c', '');
flags('loope loopne', 'z', '');
flags('into', 'o', '');
flags('andn blsi blsmsk blsr bzhi', '', 'oszc', 'ap');
flags('bextr', '', 'ozc', 'asp');
flags('adcx', 'c', 'c');
flags('adox', 'o', 'o');
flags('ptest vptest vtestps vtestpd comiss comisd ucomiss ucomisd', '', 'oszapc');
flags('vcomiss vcomisd vucomiss vucomisd', '', 'oszapc');
flags('pcmpestri pcmpestrm pcmpistri pcmpistrm vpcmpestri vpcmpestrm vpcmpistri vpcmpistrm', '', 'oszapc');
flags('fcomi fcomip fucomi fucomip', '', 'oszapc');

const CONDITION_FLAGS = ['o', 'c', 'z', 'cz', 's', 'p', 'so', 'zso'];
CC_NAMES.forEach((cc, n) => {
  const reads = CONDITION_FLAGS[n >> 1];
  for (const prefix of ['j', 'set', 'cmov', 'fcmov']) if (!table.has(prefix + cc)) flags(prefix + cc, reads, '');
});
for (const [cc, reads] of Object.entries({ b: 'c', e: 'z', be: 'cz', u: 'p' })) {
  flags(`fcmov${cc}`, reads, '');
  flags(`fcmovn${cc}`, reads, '');
}

/** The count of a shift before it is cut. */
function countOf({ operands, row }: Decoded, state: StateAccess): number {
  const last = operands.length - 1;
  const operand = operands[last];
  if (operand.kind === 'imm') return Number(operand.value) & 0xff;
  return row.operands[last] === 'CL' ? Number(state.get64('gpr', 1) & 0xffn) : 0;
}

/** What an instruction will do to the flags, from the state before it. */
export function effectOf(decoded: Decoded, state: StateAccess): Effect {
  const { mnemonic } = decoded.row;
  // Nothing is done at all.
  if (decoded.rep && decoded.row.traits.string && BigInt.asUintN(decoded.asize, state.get64('gpr', 1)) === 0n)
    return NONE;
  const found = table.get(mnemonic);
  if (found) return found;
  const shift = /^(sh[lr]|sar|ro[lr]|rc[lr]|sh[lr]d)$/.exec(mnemonic);
  if (!shift) return mnemonic === 'bswap' && decoded.osize === 16 ? { ...NONE, result: true } : NONE;
  const { size } = decoded.operands[0];
  const count = countOf(decoded, state) & (size === 64 ? 63 : 31);
  const reads = mnemonic.startsWith('rc') ? mask('c') : 0;
  if (count === 0) return { ...NONE, reads };
  const overflow = count === 1 ? 0 : mask('o');
  if (mnemonic.startsWith('r')) return { reads, writes: mask('co') & ~overflow, undefined: overflow };
  if (mnemonic.endsWith('d')) {
    if (count > size) return { ...NONE, undefined: mask('oszapc'), result: true };
    return { reads, writes: mask('ocszp') & ~overflow, undefined: overflow | mask('a') };
  }
  const carry = mnemonic !== 'sar' && count >= size ? mask('c') : 0;
  return { reads, writes: mask('ocszp') & ~overflow & ~carry, undefined: overflow | carry | mask('a') };
}

/** Operands for which the SDM says nothing: of F2XM1 beyond 1, of FYL2XP1 beyond 1 - sqrt(1/2). */
function isOutside(mnemonic: string, state: StateAccess): boolean {
  if (mnemonic !== 'f2xm1' && mnemonic !== 'fyl2xp1') return false;
  const exponent = Number(state.get64('fpr', 2 * state.get32('ftop') + 1)) & 0x7fff;
  return exponent !== 0x7fff && exponent >= (mnemonic === 'f2xm1' ? 0x3fff : 0x3ffd);
}

const TRANSCENDENTAL = /^(f2xm1|fyl2xp?1?|fp?a?tan|fptan|fsin|fcos|fsincos)$/;
const PARTIAL = /^(pusha|popa|enter|fldenv|fbstp|fstp|fn?save|fn?stenv|v?maskmov(q|dqu)|v(p?gather|p?maskmov).*)$/;

/** Follows a case: which flags are undefined, and whether anything that is compared depends on them. */
export class Undefined {
  flags = 0;
  /** Before the last instruction: what counts where it faults. */
  before = 0;
  /** Something read what is undefined. */
  tainted = false;
  private last: Row | undefined;
  /** Where it faults it may have done a part of its work: how much is the processor's own. */
  partial = false;
  /** A near call: whether its target or its stack is looked at first is the processor's own. */
  call = false;
  /** Single-precision results are approximations. */
  approximate = false;
  /** x87 results may be off by a unit in the last place, and how they were rounded is the processor's own. */
  transcendental = false;
  /** C1 of the x87 status word: the SDM has it cleared, AMD's processors leave it. */
  c1 = false;
  /** What the SDM has fault AMD's processors take: unaligned operands in memory, bit 17 of MXCSR. */
  taken = false;
  watch(decoded: Decoded | undefined, state: StateAccess): void {
    // Where a repeated instruction faults later its flags may be those from before it.
    if (!decoded?.rep || decoded.row !== this.last) this.before = this.flags;
    this.last = decoded?.row;
    if (!decoded) return;
    const effect = effectOf(decoded, state);
    if (effect.reads & this.flags || effect.result) this.tainted = true;
    const { mnemonic } = decoded.row;
    if (PARTIAL.test(mnemonic)) this.partial = true;
    if (mnemonic === 'call') this.call = true;
    if (/^v?r(cp|sqrt)[ps]s$/.test(mnemonic)) this.approximate = true;
    if (/^fu?comip?$/.test(mnemonic)) this.c1 = true;
    if (TRANSCENDENTAL.test(mnemonic)) this.transcendental = true;
    if (isOutside(mnemonic, state)) this.tainted = true;
    if (/^(sha.*|v?ldmxcsr)$/.test(mnemonic)) this.taken = true;
    this.flags = (this.flags & ~effect.writes) | effect.undefined;
  }
}
