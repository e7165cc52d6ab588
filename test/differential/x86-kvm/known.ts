/**
 * Where KVM is known to do other than a processor, and we do as a processor
 * does. kvm_pvm has no processor's help: kernel code runs in Linux's
 * instruction emulator, user code natively with the host's descriptor table.
 * On a KVM that uses VT-x or AMD-V none of these is expected.
 *
 * Spec: SDM volume 2 and 3, of the instructions named.
 */
import type { ModeName } from '../x86-system/environment.ts';
import type { Case } from './cases.ts';
import { dataBaseOf } from './place.ts';

interface Known {
  readonly why: string;
  readonly name: RegExp;
  readonly modes?: readonly ModeName[];
  readonly user?: boolean;
  /** All lines of what differs are like this; left out: whatever differs. */
  readonly lines?: RegExp;
}

const FRAME = /^RAM 0x([67][0-9a-f]{3}|f[78][0-9a-f]{2}):/;

const KNOWN: readonly Known[] = [
  {
    why: 'user code runs natively: with the host’s selectors, descriptors, IOPL and IF; SYSCALL needs our help and leaves a page fault’s traces',
    name: /./,
    modes: ['long'],
    user: true,
  },
  {
    why: 'frames of exceptions are pushed without the base of SS',
    name: /./,
    modes: ['protected16', 'segmented32', 'compatibility'],
    lines: FRAME,
  },
  {
    why: 'user code outside 64-bit mode gets #UD where Linux’s emulator does not know the instruction, and loses AC',
    name: /./,
    modes: ['protected16', 'segmented32', 'flat32', 'compatibility'],
    user: true,
  },
  {
    why: 'INT n outside real mode',
    name: /^int/,
    modes: ['protected16', 'segmented32', 'flat32', 'compatibility', 'long'],
  },
  {
    why: 'IRET pops without the base of SS, and does not look at the new SS',
    name: /^iret$/,
    modes: ['protected16', 'segmented32', 'compatibility', 'long'],
  },
  {
    why: 'far calls in compatibility mode push with the new code’s width',
    name: /^call far/,
    modes: ['compatibility'],
  },
  {
    why: 'there are no call gates and no task switches',
    name: /^(call|jmp) far/,
    modes: ['protected16', 'segmented32', 'flat32', 'compatibility', 'long'],
  },
  { why: 'SYSRET always loads the 64-bit selector', name: /^sysret$/ },
  {
    why: 'SYSENTER and SYSEXIT are not there in long mode, as on AMD’s processors',
    name: /^sys(enter|exit)$/,
    modes: ['compatibility', 'long'],
  },
  { why: 'what is not canonical is made canonical, as on AMD’s processors', name: /^wrmsr 17[56]$/ },
  { why: 'IA32_PAT takes anything', name: /^wrmsr 277$/ },
  { why: 'LTR of a selector in the local table: error code 0', name: /^ltr$/ },
  {
    why: 'a null SS is kept as a usable one',
    name: /^(lss|mov ss, r|pop ss)$/,
    modes: ['long'],
    lines: /^seg(Attr|Limit)\[2\]/,
  },
  { why: 'a push at SP=1 wraps', name: /^push at a bad stack$/, modes: ['real'] },
];

/** Why a difference is none of ours; undefined: it is. */
export function known(c: Case, lines: readonly string[]): string | undefined {
  return KNOWN.find(
    ({ name, modes, user, lines: like }) =>
      name.test(c.name) &&
      (!modes || modes.includes(c.mode)) &&
      (user === undefined || user === c.user) &&
      (!like || (lines.every((line) => like.test(line)) && (like !== FRAME || dataBaseOf(c.mode) !== 0))),
  )?.why;
}
