/**
 * `-readconfig FILE`: QEMU's INI-like configuration files, as options.
 *
 * `[drive "d0"]` with `key = "value"` lines is `-drive id=d0,key=value`.
 */
import type { Option } from './options.ts';
import { OptionError } from './options-values.ts';

/** QEMU's group names, where they differ from the option's. */
const GROUPS: Readonly<Record<string, string>> = { memory: 'm', 'smp-opts': 'smp', 'boot-opts': 'boot', cpudef: 'cpu' };
const SAME = [
  'machine',
  'drive',
  'device',
  'chardev',
  'mon',
  'netdev',
  'object',
  'rtc',
  'name',
  'accel',
  'icount',
  'fw_cfg',
  'global',
  'msg',
  'action',
  'overcommit',
  'sandbox',
  'nic',
  'net',
  'trace',
  'tpmdev',
  'spice',
  'numa',
  'fsdev',
];

/** Throws OptionError with file and line. */
export function readConfig(where: string, file: string, text: string): Option[] {
  const options: Option[] = [];
  let group: { name: string; pairs: string[]; line: number } | undefined;
  const close = () => {
    if (group)
      options.push({ name: group.name, value: group.pairs.join(','), where: `${where}: ${file}:${group.line}` });
  };
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    const at = `${where}: ${file}:${index + 1}`;
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[([^\]"\s]+)(?:\s+"([^"]*)")?\]$/.exec(line);
    const pair = /^([^=\s]+)\s*=\s*"([^"]*)"$/.exec(line);
    if (header) {
      close();
      const name = Object.hasOwn(GROUPS, header[1])
        ? GROUPS[header[1]]
        : SAME.includes(header[1])
          ? header[1]
          : undefined;
      if (!name) throw new OptionError(at, `There is no option group '${header[1]}'`);
      group = { name, pairs: header[2] === undefined ? [] : [`id=${doubleCommas(header[2])}`], line: index + 1 };
    } else if (pair) {
      if (!group) throw new OptionError(at, 'no group defined');
      group.pairs.push(`${pair[1]}=${doubleCommas(pair[2])}`);
    } else throw new OptionError(at, 'parse error', 'lines are [group "id"] or key = "value"');
  }
  close();
  return options;
}

function doubleCommas(value: string): string {
  return value.replaceAll(',', ',,');
}
