/** The board and its processors: -machine, -cpu, -smp, -m, -accel, -rtc, -icount. */
import type { AcceleratorName } from '../accel/switching.ts';
import type { AccelConfig, CpuConfig } from '../machine/config.ts';
import { OptionError, Params, refuse, splitCommas, onOff } from './options-values.ts';

/** Boards that QEMU's riscv64 target has and this emulator does not. */
const OTHER_BOARDS = [
  'none',
  'spike',
  'sifive_e',
  'sifive_u',
  'shakti_c',
  'microchip-icicle-kit',
  'amd-microblaze-v-generic',
  'xiangshan-kunminghu',
  'tt-atlantis',
];

export const MACHINE_PROPERTIES: Readonly<Record<string, string>> = {
  aclint: 'on|off: an ACLINT in place of the CLINT (default off)',
  acpi: 'on|off|auto: accepted; there are no ACPI tables',
  aia: 'none: the PLIC; the APLIC comes later',
  dumpdtb: 'FILE: write the device tree and quit',
};
/** Known to QEMU, and the same thing as leaving them out. */
const WITHOUT_EFFECT = [
  'dump-guest-core',
  'mem-merge',
  'usb',
  'graphics',
  'suppress-vmdesc',
  'phandle-start',
  'nvdimm',
  'hmat',
  'aia-guests',
  'acpi',
  'iommu-sys',
  'dt-compatible',
  'x-oem-id',
  'x-oem-table-id',
];

export interface BoardChoice {
  machine: string;
  properties: Record<string, string>;
  accel?: string;
  kernelIrqchip?: 'on' | 'split' | 'off';
  /** Options that stand among the machine's properties: `kernel=`, `initrd=`, `append=`, `dtb=`, `firmware=`. */
  boot: Record<string, string>;
}

/** One `-machine`; a later one adds to an earlier one. */
export function parseMachine(where: string, text: string, into: BoardChoice): void {
  const params = Params.parse(where, text, 'type');
  const type = params.text('type');
  if (type !== undefined) {
    if (OTHER_BOARDS.includes(type)) refuse(where, `the board '${type}' is not there`, 'use -M virt');
    if (type !== 'virt') throw new OptionError(where, 'unsupported machine type', '-machine help lists them');
    into.machine = type;
  }
  into.accel = params.text('accel') ?? into.accel;
  for (const key of ['kernel', 'initrd', 'append', 'dtb', 'firmware']) {
    const value = params.text(key);
    if (value !== undefined) into.boot[key] = value;
  }
  const aia = params.text('aia');
  if (aia !== undefined && aia !== 'none')
    refuse(where, `aia=${aia} is not there yet`, 'leave it out: the machine has a PLIC');
  if (params.has('dumpdtb')) refuse(where, 'dumpdtb is not there yet', 'read /sys/firmware/fdt in the guest');
  if (params.has('memory-backend')) refuse(where, 'guest memory has no back ends yet', 'use -m SIZE alone');
  if (params.has('confidential-guest-support')) refuse(where, 'confidential guests are not there', 'leave it out');
  const aclint = params.onOff('aclint');
  if (aclint !== undefined) into.properties.aclint = aclint ? 'on' : 'off';
  params.ignore(...WITHOUT_EFFECT);
  const [unknown] = params.rest();
  if (unknown)
    throw new OptionError(where, `Property 'virt-machine.${unknown[0]}' not found`, '-machine virt,help lists them');
}

/** Accelerators of QEMU's that are not here, and would not run anywhere that we do. */
const ELSEWHERE = ['xen', 'hax', 'hvf', 'nvmm', 'whpx', 'mshv', 'qtest'];

/** The accelerators that options ask for, in their order; those that are not here are passed over where others are. */
export function chooseAccels(asked: readonly { readonly name: string; readonly where: string }[]): {
  accel: AccelConfig;
  notes: string[];
} {
  const accels: AcceleratorName[] = [];
  const notes: string[] = [];
  let auto = false;
  for (const { name, where } of asked) {
    if (name === 'auto') auto = true;
    else if (name === 'jit' || name === 'reference' || name === 'kvm') accels.push(name);
    else if (name === 'tcg') {
      accels.push('jit');
      notes.push(`${where}: tcg is called jit here`);
    } else if (!ELSEWHERE.includes(name))
      throw new OptionError(where, `invalid accelerator ${name}`, '-accel help lists them');
  }
  if (auto) return { accel: 'auto', notes };
  if (accels.length === 0) {
    const [{ name, where }] = asked;
    refuse(where, `the accelerator '${name}' is not there`, 'use -accel jit');
  }
  const [only, ...more] = new Set(accels);
  return { accel: more.length > 0 ? [only, ...more] : only, notes };
}

/** One `-accel`; returns the accelerator's name, or several with colons between. */
export function parseAccel(
  where: string,
  text: string,
): {
  readonly name: string;
  readonly stay: boolean | undefined;
  readonly threads: boolean | undefined;
  readonly irqchip: 'on' | 'split' | 'off' | undefined;
  readonly haltPollNs: number | undefined;
} {
  const params = Params.parse(where, text, 'accel');
  const name = params.text('accel') ?? '';
  const thread = params.word('thread', 'single', 'multi');
  const irqchip = params.word('kernel-irqchip', 'on', 'off', 'split');
  params.ignore(
    'tb-size',
    'split-wx',
    'one-insn-per-tb',
    'kvm-shadow-mem',
    'dirty-ring-size',
    'notify-vmexit',
    'notify-window',
    'igd-passthru',
  );
  const move = params.onOff('x-trapframe-move');
  const poll = params.text('x-trapframe-halt-poll-ns');
  const haltPollNs = poll === undefined ? undefined : Number(poll);
  if (haltPollNs !== undefined && !(/^\d+$/.test(poll ?? '') && haltPollNs < 2 ** 32))
    throw new OptionError(where, `invalid time '${poll}'`, 'use a number of nanoseconds below 2^32');
  params.finish();
  const threads = thread === undefined ? undefined : thread === 'multi';
  return { name, stay: move === undefined ? undefined : !move, threads, irqchip, haltPollNs };
}

/** The features that `-cpu rv64,...` can switch, with QEMU's names. */
export const CPU_FEATURES: readonly string[] =
  'i e g m a f d c s u h v zicsr zifencei zicntr zihpm zihintpause zihintntl zawrs zacas zaamo zalrsc zabha zfa zfh zfhmin zfbfmin zba zbb zbc zbs zbkb zbkc zbkx zkn zks zkr zkt zk zknd zkne zknh zksed zksh zicond zicbom zicboz zicbop zicfilp zicfiss zimop zcmop zca zcb zcd zce zcf zcmp zcmt zfinx zdinx zhinx zhinxmin zmmul zve32f zve64f zve64d zvfh zvbb sstc svadu svade svinval svnapot svpbmt svvptc smaia ssaia smstateen ssstateen smepmp sscofpmf ssnpm smnpm smmpm ssccptr sscounterenw ssstrict sstvala sstvecd ssu64xl ssdbltrp smdbltrp smcntrpmf smcdeleg ssccfg mmu pmp sv32 sv39 sv48 sv57 sv64 epmp aia Counters Zifencei Zicsr Zihintpause Zawrs Zfa Zfh Zfhmin Zve32f Zve64f Zve64d Sscofpmf rva22u64 rva22s64 rva23u64 rva23s64'.split(
    ' ',
  );
const CPU_VALUES = [
  'vlen',
  'elen',
  'vext_spec',
  'priv_spec',
  'cbom_blocksize',
  'cbop_blocksize',
  'cboz_blocksize',
  'mvendorid',
  'marchid',
  'mimpid',
  'pmu-num',
  'pmu-mask',
  'resetvec',
  'short-isa-string',
  'hartid',
  'rnmi-interrupt-vector',
];
const OTHER_CPUS = [
  'any',
  'shakti-c',
  'sifive-e51',
  'sifive-u54',
  'sifive-e31',
  'x-rv128',
  'thead-c906',
  'veyron-v1',
  'rv64i',
  'rv64e',
  'lowrisc-ibex',
  'tt-ascalon',
  'xiangshan-nanhu',
  'rva22u64',
  'rva22s64',
  'rva23u64',
  'rva23s64',
  'rv32',
];

export function parseCpu(where: string, text: string): CpuConfig {
  const [model, ...flags] = splitCommas(text);
  if (OTHER_CPUS.includes(model))
    refuse(where, `the CPU model '${model}' is not there`, 'use rv64 or max, with features switched by name');
  if (model !== 'rv64' && model !== 'max')
    throw new OptionError(where, `unable to find CPU model '${model}'`, '-cpu help lists them');
  const features: Record<string, boolean | string> = {};
  for (const flag of flags) {
    if (flag === '') continue;
    const equals = flag.indexOf('=');
    let name = equals < 0 ? flag.replace(/^[+-]/, '') : flag.slice(0, equals);
    const value = equals < 0 ? (flag.startsWith('-') ? 'off' : 'on') : flag.slice(equals + 1);
    if (!CPU_FEATURES.includes(name) && !CPU_VALUES.includes(name))
      throw new OptionError(where, `Property '${model}-riscv-cpu.${name}' not found`, '-cpu help lists them');
    if (name === 'Counters') name = 'zicntr';
    if (CPU_VALUES.includes(name)) features[name] = value;
    else features[name.toLowerCase()] = onOff(where, name, value);
  }
  return { model, features };
}

const MAX_CPUS = 512;

/** QEMU's rules for `-smp`: what is left out follows from the rest, sockets first. */
export function parseSmp(where: string, text: string, board = 'virt', limit = MAX_CPUS): number {
  const params = Params.parse(where, text, 'cpus');
  const number = (key: string) => params.number(key, 1, 2 ** 31);
  const cpus = number('cpus');
  const sockets = number('sockets');
  const cores = number('cores');
  const threads = number('threads');
  for (const level of ['dies', 'clusters', 'books', 'drawers', 'modules']) {
    if ((number(level) ?? 1) > 1) throw new OptionError(where, `${level} not supported by this machine's CPU topology`);
  }
  let most = number('maxcpus');
  params.finish();
  const known = (cores ?? 1) * (threads ?? 1);
  const product =
    sockets !== undefined || cores !== undefined || threads !== undefined ? (sockets ?? 1) * known : undefined;
  const total = most ?? cpus ?? product ?? 1;
  most = total;
  const online = cpus ?? most;
  if (sockets !== undefined && cores !== undefined && threads !== undefined && product !== most) {
    const topology = `sockets (${sockets}) * cores (${cores}) * threads (${threads})`;
    throw new OptionError(
      where,
      `Invalid CPU topology: product of the hierarchy must match maxcpus: ${topology} != maxcpus (${most})`,
    );
  }
  if (online > most)
    throw new OptionError(
      where,
      `Invalid CPU topology: maxcpus must be equal to or greater than smp: maxcpus (${most}) < smp_cpus (${online})`,
    );
  if (most > limit)
    throw new OptionError(where, `Invalid SMP CPUs ${most}. The max CPUs supported by machine '${board}' is ${limit}`);
  if (most > online) refuse(where, 'processors cannot be plugged in later', `use -smp ${most}`);
  return online;
}

const GIB = 2 ** 30;

/** Bytes of memory; a bare number counts MiB. */
export function parseMemory(where: string, text: string): number {
  const params = Params.parse(where, text, 'size');
  const size = params.size('size', 2 ** 20) ?? 128 * 2 ** 20;
  const slots = params.number('slots', 0, 256) ?? 0;
  const most = params.size('maxmem') ?? size;
  params.finish();
  if (slots > 0 && most === size) throw new OptionError(where, 'slots specified but no max-size');
  if (slots > 0 || most > size) refuse(where, 'memory cannot be plugged in later', 'give all of it with -m SIZE');
  if (size < 2 ** 20)
    throw new OptionError(where, 'the machine needs memory', 'at least 1M; 128M is a good least for Linux');
  if (size > 3 * GIB)
    refuse(where, `${Math.round(size / 2 ** 20)} MiB is more than this version can give`, 'at most 3G');
  return Math.ceil(size / 4096) * 4096;
}

export interface RtcChoice {
  readonly base: 'utc' | 'localtime' | number;
  readonly clock: 'host' | 'vm';
}

export function parseRtc(where: string, text: string): RtcChoice {
  const params = Params.parse(where, text);
  const base = params.text('base') ?? 'utc';
  const clock = params.word('clock', 'host', 'rt', 'vm') === 'vm' ? 'vm' : 'host';
  params.word('driftfix', 'none', 'slew');
  params.finish();
  if (base === 'utc' || base === 'localtime') return { base, clock };
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2}))?$/.exec(base);
  const at = match ? Date.parse(`${match[1]}T${match[2] ?? '00:00:00'}Z`) : Number.NaN;
  if (Number.isNaN(at))
    throw new OptionError(where, 'invalid datetime format', "valid formats: '2006-06-17T16:01:21' or '2006-06-17'");
  return { base: at, clock };
}

/** QEMU starts `shift=auto` at 2^3 ns an instruction; here it stays there. */
const AUTO_SHIFT = 3;

export function parseIcount(where: string, text: string): { shift: number; sleep: boolean } {
  const params = Params.parse(where, text, 'shift');
  const shiftText = params.text('shift') ?? 'auto';
  const sleep = params.onOff('sleep') ?? true;
  const align = params.onOff('align') ?? false;
  if (params.has('rr') || params.has('rrfile') || params.has('rrsnapshot'))
    refuse(where, 'record and replay come later', 'leave rr out');
  params.finish();
  const auto = shiftText === 'auto';
  const shift = auto ? AUTO_SHIFT : /^[0-9]{1,2}$/.test(shiftText) ? Number(shiftText) : 99;
  if (shift > 10) throw new OptionError(where, 'icount: Invalid shift value', 'from 0 to 10, or auto');
  if (auto && align) throw new OptionError(where, 'shift=auto and align=on are incompatible');
  if (auto && !sleep) throw new OptionError(where, 'shift=auto and sleep=off are incompatible');
  if (align) refuse(where, 'align is not there', 'leave it out');
  return { shift, sleep };
}
