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
  /** The case has IOPL 3. */
  readonly iopl3?: boolean;
  /** All lines of what differs are like this; left out: whatever differs. */
  readonly lines?: RegExp | ((line: string) => boolean);
}

const FRAME = /^RAM 0x([67][0-9a-f]{3}|f[78][0-9a-f]{2}):/;

/** IF, IOPL and AC: native user code has them as the host wants, or loses them. */
const HOSTS_FLAGS = 0x4_3200;
/** Where the flags stand in the frame of an exception with an error code on the stack of privilege level 0 (`long`). */
const FRAME_FLAGS = 0x6ee8;
/** The instruction's address in that frame, and the error code. */
const FRAME_ORIGIN = /^RAM 0x6ed[0-9a-f]:/;

const LINE = /^(?:(eflags|gpr\[11\])|RAM 0x([0-9a-f]+)): reference 0x([0-9a-f]+), KVM 0x([0-9a-f]+)$/;

/** A line of what differs that shows nothing but the flags above: in EFLAGS, in R11, or where they were pushed. */
function hostsFlags(line: string, pushed: readonly number[] = [FRAME_FLAGS]): boolean {
  const found = LINE.exec(line);
  if (!found) return false;
  const [, , place, ours, kvms] = found;
  const difference = parseInt(ours, 16) ^ parseInt(kvms, 16);
  if (place === undefined) return (difference & ~HOSTS_FLAGS) === 0;
  const at = parseInt(place, 16);
  const base = pushed.find((start) => at >= start && at < start + 4);
  return base !== undefined && ((difference << (8 * (at - base))) & ~HOSTS_FLAGS) === 0;
}

const KNOWN: readonly Known[] = [
  {
    why: 'native user code has IOPL 0 and IF, and loses AC',
    name: /^(?!syscall)/,
    ...{ modes: ['long'], user: true },
    lines: (line) => hostsFlags(line),
  },
  {
    why: 'PUSHF of native user code shows those; now and then its page is not marked as dirty',
    name: /^pushf$/,
    ...{ modes: ['long'], user: true },
    lines: (line) =>
      hostsFlags(line, [FRAME_FLAGS, 0x7df8]) || /^RAM 0x100[0-9a-f]{2}: reference 0x67, KVM 0x27$/.test(line),
  },
  {
    why: 'IOPL 3 gives native user code neither ports nor IF',
    name: /^(in (al|e?ax), dx|out dx, (al|e?ax)|ins[bwd]|outs[bwd]|cli|sti)$/,
    ...{ modes: ['long'], user: true, iopl3: true },
  },
  {
    why: 'native user code sees the host’s descriptor table',
    name: /^(mov [defgs]s, r|pop [fg]s|l[fgs]s|lar|lsl|verr|verw)$/,
    ...{ modes: ['long'], user: true },
    lines: (line) =>
      hostsFlags(line) ||
      FRAME_ORIGIN.test(line) ||
      /^(seg(Selector|Limit|Attr|Base)|gpr|eflags|RAM 0x6e[ef])/.test(line),
  },
  {
    why: 'native user code sees the host’s selectors',
    name: /^mov r, seg$/,
    ...{ modes: ['long'], user: true },
    lines: (line) => /^gpr\[/.test(line) || hostsFlags(line),
  },
  {
    why: 'ICEBP of native user code is a fault',
    name: /^icebp$/,
    ...{ modes: ['long'], user: true },
    lines: (line) => hostsFlags(line) || FRAME_ORIGIN.test(line),
  },
  {
    why: 'SYSCALL of native user code leaves a page fault’s traces: its frame and CR2; and has the host’s IF',
    name: /^syscall$/,
    ...{ modes: ['long'], user: true },
    lines: (line) => /^(cr2:|RAM 0x6e[d-f][0-9a-f]:)/.test(line) || hostsFlags(line),
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
    ({ name, modes, user, iopl3, lines: like }) =>
      name.test(c.name) &&
      (!modes || modes.includes(c.mode)) &&
      (user === undefined || user === c.user) &&
      (!iopl3 || (c.flags & 0x3000) === 0x3000) &&
      (!like || lines.every((line) => (typeof like === 'function' ? like(line) : like.test(line)))) &&
      (like !== FRAME || dataBaseOf(c.mode) !== 0),
  )?.why;
}
