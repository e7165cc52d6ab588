/** Options with a small language of their own: -d, -fw_cfg, and the requests for lists (`-cpu help`). */
import type { Option } from './options.ts';
import type { FwCfgPlan, ListTopic, Request } from './options-plan.ts';
import { OptionError, Params, refuse, splitCommas } from './options-values.ts';

/** What `-d` can log, with QEMU's names. */
export const LOG_ITEMS: Readonly<Record<string, string>> = {
  guest_errors: 'what the guest does wrong with a device',
  unimp: 'what the guest asks for and is not there',
  int: 'interrupts and exceptions',
  in_asm: 'guest instructions of each compiled block',
  cpu_reset: 'processor state before a reset',
  mmu: 'page-table walks',
};
const OTHER_LOG_ITEMS = [
  'out_asm',
  'op',
  'op_opt',
  'op_ind',
  'op_plugin',
  'exec',
  'cpu',
  'fpu',
  'pcall',
  'page',
  'nochain',
  'plugin',
  'strace',
  'tid',
  'vpu',
  'none',
];

export function parseLog(where: string, text: string): string[] {
  const items = text.split(',');
  for (const item of items) {
    if (item === 'all' || Object.hasOwn(LOG_ITEMS, item)) continue;
    if (OTHER_LOG_ITEMS.includes(item) || item.startsWith('trace:'))
      refuse(where, `'${item}' is not logged`, `use ${Object.keys(LOG_ITEMS).join(', ')}`);
    throw new OptionError(where, `there is no log item '${item}'`, '-d help lists them');
  }
  return items.includes('all') ? Object.keys(LOG_ITEMS) : items;
}

export function parseFwCfg(where: string, text: string): FwCfgPlan {
  const params = Params.parse(where, text, 'name');
  const name = params.text('name');
  const file = params.text('file');
  const string = params.text('string');
  if (params.has('gen_id')) refuse(where, 'generated entries are not there', 'use file= or string=');
  params.finish();
  if (!name)
    throw new OptionError(where, 'invalid argument(s)', 'name=opt/NAME,file=FILE or name=opt/NAME,string=TEXT');
  if ((file === undefined) === (string === undefined))
    throw new OptionError(where, 'invalid argument(s)', 'give either file= or string=');
  if (name.length > 55) throw new OptionError(where, 'name too long (max. 55 char)');
  return { where, name, file, text: string };
}

const LISTS: Readonly<Record<string, ListTopic>> = {
  machine: 'machine',
  M: 'machine',
  cpu: 'cpu',
  accel: 'accel',
  device: 'device',
  d: 'd',
  display: 'display',
  chardev: 'chardev',
  object: 'object',
  netdev: 'netdev',
  vga: 'vga',
  drive: 'drive',
};

/** The list that an option asks for with `help` or `?`, if it does. */
export function lists(option: Option): Request | undefined {
  const topic = LISTS[option.name];
  if (!topic) return undefined;
  const [first, ...rest] = splitCommas(option.value);
  if (first === 'help' || first === '?' || /^[a-z_]+=(help|\?)$/.test(first)) return { kind: 'list', topic };
  if (!rest.includes('help') && !rest.includes('?')) return undefined;
  if (topic === 'machine') return { kind: 'list', topic: 'machine-properties', subject: first };
  if (topic === 'device') return { kind: 'list', topic: 'device-properties', subject: first.replace(/^driver=/, '') };
  if (topic === 'drive' && option.value.includes('format=')) return undefined;
  return undefined;
}
