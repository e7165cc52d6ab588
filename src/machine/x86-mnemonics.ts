/**
 * The assembler's names for rows, whose mnemonics are the SDM's: suffixes for sizes, and what is written otherwise.
 *
 * Spec: the GNU assembler's manual, "AT&T Syntax versus Intel Syntax", "AT&T Mnemonic versus Intel Mnemonic".
 */
import type { Decoded } from '../isa/x86/decode.ts';
import type { Operand } from '../isa/x86/instance.ts';

export interface Named {
  readonly mnemonic: string;
  /** Operands as they are written, by number, or ready; undefined: all, the last first. */
  readonly written?: readonly (number | string)[];
}

const SUFFIX: Readonly<Record<number, string>> = { 8: 'b', 16: 'w', 32: 'l', 64: 'q' };
const set = (words: string) => new Set(words.split(' '));

/** With the suffix of the first operand. */
const BY_FIRST = set(
  'add or adc sbb and sub xor cmp test inc dec not neg mul imul div idiv xadd cmpxchg movbe xchg lea rol ror rcl rcr ' +
    'shl shr sar shld shrd bt bts btr btc bsf bsr tzcnt lzcnt popcnt bswap adcx adox andn blsr blsmsk blsi bextr bzhi ' +
    'pext pdep mulx shlx sarx shrx rorx lar lsl sldt str smsw lmsw lldt ltr rdrand rdseed rdfsbase rdgsbase wrfsbase ' +
    'wrgsbase mov movnti les lds lss lfs lgs nop',
);
/** With the suffix of the last. */
const BY_LAST = set('cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss crc32');
/** With the suffix of the operand size; `return` and `jump` with those that 64-bit code has. */
const BY_SIZE = set('push pop ins outs movs cmps stos lods scas pushf popf pusha popa');
const LOADS_OF_TABLES = set('sgdt sidt lgdt lidt');
/** What the accumulator and its extension are to AT&T. */
const EXTENSIONS: Readonly<Record<string, readonly [string, string, string]>> = {
  cbw: ['cbtw', 'cwtl', 'cltq'],
  cwd: ['cwtd', 'cltd', 'cqto'],
};
/** Rows that are otherwise called. */
const OTHERWISE: Readonly<Record<string, string>> = {
  ...{ xlat: 'xlatb', fwait: 'wait', retf: 'lret', fcom2: 'fcom', fcomp3: 'fcomp', fcomp5: 'fcomp', fxch4: 'fxch' },
  ...{ fxch7: 'fxch', fstp8: 'fstp', fstp9: 'fstp', fneni: 'feni8087_nop', fndisi: 'fdisi8087_nop', fnsetpm: 'fsetpm' },
  // AT&T has these two pairs the other way round.
  ...{ fsubrp: 'fsubp', fsubp: 'fsubrp', fdivrp: 'fdivp', fdivp: 'fdivrp' },
};
const SWAPPED: Readonly<Record<string, string>> = { fsub: 'fsubr', fsubr: 'fsub', fdiv: 'fdivr', fdivr: 'fdiv' };
/** Instructions with a 64-bit form by REX.W alone. */
const WIDE = /^(fxsave|fxrstor|xsave|xrstor|xsavec|xsaveopt|xsaves|xrstors)$/;
const X87_INTEGER = /^fi(add|mul|sub|subr|div|divr|com|comp|ld|st|stp|sttp)$/;
const X87_REAL = /^f(add|mul|sub|subr|div|divr|com|comp|ld|st|stp)$/;

const PREDICATES = 'eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true '
  .concat(
    'eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us',
  )
  .split(' ');

const backwards = (operands: readonly Operand[]) => operands.map((_, n) => n).reverse();

export function named(decoded: Decoded, bits: 16 | 32 | 64): Named {
  const { row, operands, osize, w } = decoded;
  const name = row.mnemonic;
  const suffix = SUFFIX[osize] ?? '';
  const first = operands[0];
  const last = operands[operands.length - 1];
  const of = (operand: Operand | undefined) => SUFFIX[operand?.size ?? 0] ?? suffix;
  const renamed = OTHERWISE[name] ?? name;
  if (row.opcode.map === 0 && row.opcode.byte >= 0xd8 && row.opcode.byte <= 0xdf) return x87(decoded, renamed);
  const predicate = comparison(decoded);
  if (predicate) return predicate;
  const conversion = /^v?cvt(t?)pd2(dq|ps)$/.exec(name);
  if (conversion && row.opcode.vex && (decoded.vectorLength === 256 || last.kind === 'mem'))
    return { mnemonic: name + (decoded.vectorLength === 256 ? 'y' : 'x') };
  if (name === 'mov') return move(decoded, bits);
  if (name === 'nop' && operands.length === 0) return { mnemonic: name };
  if (/^cmov/.test(name) || BY_FIRST.has(name)) {
    const written = name === 'xchg' && row.opcode.byte === 0x90 && row.opcode.register ? [0, 1] : undefined;
    return { mnemonic: name + of(first), written };
  }
  if (name === 'movzx' || name === 'movsx') return { mnemonic: `mov${name[3]}${of(last)}${of(first)}` };
  if (name === 'movsxd') return { mnemonic: `movs${of(last)}${of(first)}` };
  if (BY_LAST.has(name)) return { mnemonic: name + of(last) };
  if (name in EXTENSIONS) return { mnemonic: EXTENSIONS[name][osize === 16 ? 0 : osize === 32 ? 1 : 2] };
  if (LOADS_OF_TABLES.has(name)) return { mnemonic: name + (bits === 64 ? 'q' : suffix) };
  if (WIDE.test(name) && w) return { mnemonic: `${name}64` };
  if (row.traits.string) return string(decoded, bits);
  if (BY_SIZE.has(name)) return { mnemonic: name + suffix };
  switch (name) {
    case 'cmpxchg8b':
      return { mnemonic: w ? 'cmpxchg16b' : name };
    case 'movd':
    case 'vmovd':
    case 'pinsrd':
    case 'vpinsrd':
    case 'pextrd':
    case 'vpextrd':
      return { mnemonic: w ? name.slice(0, -1) + 'q' : name };
    case 'enter':
      return { mnemonic: name, written: [0, 1] };
    case 'jmp':
    case 'call':
      return branch(decoded, bits);
    case 'jcxz':
      return { mnemonic: { 16: 'jcxz', 32: 'jecxz', 64: 'jrcxz' }[decoded.asize] };
    case 'ret':
    case 'iret':
    case 'retf':
      return { mnemonic: renamed + suffix };
    case 'sysret':
      return { mnemonic: name + (w ? 'q' : 'l') };
    case 'aam':
    case 'aad':
      return { mnemonic: name, written: first.kind === 'imm' && Number(first.value) === 10 ? [] : [0] };
    case 'in':
    case 'out': {
      const byte = (row.opcode.byte & 1) === 0;
      const accumulator = byte ? '%al' : osize === 16 ? '%ax' : '%eax';
      const mnemonic = name + (byte ? 'b' : osize === 16 ? 'w' : 'l');
      return { mnemonic, written: name === 'in' ? [0, accumulator] : [accumulator, 0] };
    }
    case 'ud1':
    case 'ud0':
      return { mnemonic: name + of(first) };
  }
  return { mnemonic: renamed };
}

/** MOV: what takes 64 bits as they are has a name of its own; moves of segment registers to memory are of 16 bits. */
function move({ row, operands, osize }: Decoded, bits: 16 | 32 | 64): Named {
  const [to, from] = operands;
  const segment = operands.find((operand) => operand.kind === 'reg' && operand.file === 'seg');
  const memory = operands.find((operand) => operand.kind === 'mem');
  const control = operands.find(
    (operand) => operand.kind === 'reg' && (operand.file === 'cr' || operand.file === 'dr'),
  );
  const size = segment ? (memory ? 16 : osize) : (control?.size ?? to.size);
  const absolute =
    bits === 64 && memory?.kind === 'mem' && memory.asize === 64 && row.operands.some((code) => code[0] === 'O');
  const whole = from.kind === 'imm' && from.size === 64;
  return { mnemonic: `mov${absolute || whole ? 'abs' : ''}${SUFFIX[size]}` };
}

function branch({ row, operands, osize }: Decoded, bits: 16 | 32 | 64): Named {
  const far = row.operands[0] === 'Ap' || row.operands[0] === 'M';
  const suffix = SUFFIX[osize];
  if (far) return { mnemonic: `l${row.mnemonic}${suffix}` };
  if (row.mnemonic === 'jmp' && operands[0].kind === 'imm') return { mnemonic: 'jmp' };
  return { mnemonic: row.mnemonic + (bits === 64 && osize !== 16 ? 'q' : suffix) };
}

/** String instructions name what they imply. */
function string({ row, osize, asize, seg }: Decoded, bits: 16 | 32 | 64): Named {
  const name = row.mnemonic;
  const byte = name.endsWith('b');
  const base = byte ? name.slice(0, -1) : name;
  const letter = { 16: '', 32: 'e', 64: 'r' }[asize];
  const source = `${seg < 0 ? '' : `%${['es', 'cs', 'ss', 'ds', 'fs', 'gs'][seg]}:`}(%${letter}si)`;
  const target = `${bits === 64 ? '' : '%es:'}(%${letter}di)`;
  const port = base === 'ins' || base === 'outs';
  const size = byte ? 8 : port && osize === 64 ? 32 : osize;
  const accumulator = { 8: '%al', 16: '%ax', 32: '%eax', 64: '%rax' }[size];
  const written = {
    movs: [source, target],
    cmps: [target, source],
    stos: [accumulator, target],
    lods: [source, accumulator],
    scas: [target, accumulator],
    ins: ['%dx', target],
    outs: [source, '%dx'],
  }[base];
  return { mnemonic: base + SUFFIX[size], written };
}

function x87({ row, operands }: Decoded, name: string): Named {
  const { byte } = row.opcode;
  const memory = operands.find((operand) => operand.kind === 'mem');
  if (memory) {
    if (X87_INTEGER.test(name)) return { mnemonic: name + { 16: 's', 32: 'l', 64: 'll' }[memory.size] };
    if (X87_REAL.test(name)) return { mnemonic: name + { 32: 's', 64: 'l', 80: 't' }[memory.size] };
    return { mnemonic: name };
  }
  if (byte === 0xdc && SWAPPED[name]) return { mnemonic: SWAPPED[name] };
  // One operand says it all where the other is the top of the stack.
  const single = byte === 0xd8 || byte === 0xde || /^fu?comi?p?$/.test(name);
  const number = row.operands.indexOf('T');
  if (single && number >= 0 && row.operands.length === 2) return { mnemonic: name, written: [number] };
  return { mnemonic: name };
}

/** Comparisons have their predicate in their name. */
function comparison({ row, operands }: Decoded): Named | undefined {
  const match = /^(v?cmp)(ps|pd|ss|sd)$/.exec(row.mnemonic);
  const last = operands[operands.length - 1];
  if (!match || last?.kind !== 'imm') return undefined;
  const number = Number(last.value) & 0xff;
  if (number >= (row.opcode.vex ? 32 : 8)) return undefined;
  return { mnemonic: match[1] + PREDICATES[number] + match[2], written: backwards(operands).slice(1) };
}

/** Whether the row's immediates are written without a sign, in so many bits; 0: with one. */
export function unsignedBits({ row, operands, osize }: Decoded, n: number, bits: 16 | 32 | 64): number {
  const code = row.operands[n];
  const first = operands[0];
  const size = first && first !== operands[n] && first.kind !== 'imm' ? first.size : osize;
  if (/^(and|or|xor)$/.test(row.mnemonic)) return size;
  if (row.mnemonic === 'enter') return 0;
  if (code === 'Ibs') return 0;
  if (row.mnemonic === 'push') return bits === 64 && osize === 64 ? 0 : osize;
  if (code === 'Ib') return 8;
  if (code === 'Iw') return 16;
  // An immediate of 32 bits that is extended to 64 has a sign.
  return size === 64 && operands[n].size !== 64 ? 0 : size;
}

/** LOCK and repetitions. */
export function prefixOf({ row, rep, lock }: Decoded): string {
  if (lock) return 'lock ';
  if (!row.traits.string || rep === 0) return '';
  const compares = /^(cmps|scas)b?$/.test(row.mnemonic);
  return rep === 0xf2 ? 'repne ' : compares ? 'repe ' : 'rep ';
}
