/** Which rows user-mode cases may have, and which follow each other well. */
import type { Row } from '../../../src/isa/x86/opcode.ts';
import { rows } from '../../../src/isa/x86/rows/index.ts';
import type { Random } from '../random.ts';
import { exists } from './encode.ts';

/** What user-mode cases cannot have. */
const LEFT_OUT: readonly (readonly [mnemonics: string, reason: string])[] = [
  ['int int1 int3 into', 'the kernel or the end of a case takes them'],
  ['syscall sysenter sysret sysexit iret retf', 'they leave the program'],
  ['vmcall vmmcall', 'the hypervisor answers'],
  ['cpuid rdtsc rdtscp rdpmc rdrand rdseed rdpid xgetbv', 'each processor answers otherwise'],
  ['sgdt sidt sldt str smsw lar lsl verr verw', "the answers are the kernel's"],
  ['wrfsbase wrgsbase lds les lss lfs lgs', 'segments stay through a process'],
  ['in out insb ins outsb outs', "permissions are in the task's segment"],
  ['rdpkru wrpkru xsetbv monitor mwait', 'processors without them raise another fault'],
  [
    'xsave xsavec xsaveopt xsaves xrstor xrstors fxsave fxrstor fsave frstor',
    'images have parts that processors fill as they like',
  ],
];
const leftOut = new Set(LEFT_OUT.flatMap(([mnemonics]) => mnemonics.split(' ')));

/** Rows whose operands say what they cannot be here: far pointers, segment registers that are written. */
function usable(row: Row): boolean {
  if (leftOut.has(row.mnemonic)) return false;
  if (row.operands.some((code) => code[0] === 'A')) return false;
  if (/^(jmp|call)$/.test(row.mnemonic) && row.traits.flow === 'system') return false;
  if (row.mnemonic === 'mov' && row.operands[0] === 'Sw') return false;
  // With LOCK AMD's processors have control register 8 there.
  if (/^0F 2[02] /.test(row.text)) return false;
  return !(row.mnemonic === 'pop' && /^(ES|SS|DS|FS|GS)$/.test(row.operands[0]));
}

const isWide = ({ traits: { gate } }: Row): boolean => gate !== undefined;

/** Integer rows, or those of x87 and vectors. `has`: what the oracle's processor has, by Linux's names. */
export function subjects(bits: 16 | 32 | 64, wide: boolean, has: ReadonlySet<string>): readonly Row[] {
  return rows().filter(
    (row) =>
      exists(row, bits) &&
      usable(row) &&
      isWide(row) === wide &&
      (!row.traits.feature || has.has(LINUX[row.traits.feature] ?? row.traits.feature)),
  );
}
/** Linux's names of features where they are not QEMU's. */
const LINUX: Readonly<Record<string, string>> = {
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  sse3: 'pni',
  'sha-ni': 'sha_ni',
  invpcid: 'none',
};

const SETTERS =
  /^(add|sub|adc|sbb|and|or|xor|cmp|test|inc|dec|neg|mul|imul|sh[lr]|sar|ro[lr]|rc[lr]|sh[lr]d|bt[src]?|popcnt|tzcnt|lzcnt|cmpxchg|xadd|sahf|clc|stc|cmc|scasb|cmps)$/;
const USERS =
  /^(adc|sbb|set.*|cmov.*|j(?!mp|cxz).*|rc[lr]|inc|dec|lahf|pushf|loopn?e|salc|daa|das|aaa|aas|cmc|bt[src]?|sh[lr]|sar|cmpxchg8b)$/;

/** Picks the rows of cases: single instructions, and setters of flags followed by users of them. */
export function chooser(list: readonly Row[], sequences: number): (random: Random) => readonly Row[] {
  const mnemonics = [...new Set(list.map((row) => row.mnemonic))];
  const by = Map.groupBy(list, (row) => row.mnemonic);
  const setters = list.filter(({ mnemonic }) => SETTERS.test(mnemonic));
  const users = list.filter(({ mnemonic }) => USERS.test(mnemonic));
  return (random) => {
    if (sequences > 0 && random.chance(sequences)) {
      const middle = Array.from({ length: random.below(3) }, () => random.pick(random.chance(0.5) ? setters : users));
      const ends = ({ traits }: Row) => traits.flow !== undefined && traits.flow !== 'check';
      return [random.pick(setters), ...middle.filter((row) => !ends(row)), random.pick(users)];
    }
    return [random.pick(by.get(random.pick(mnemonics)) as Row[])];
  };
}
