/** The texts of `-help`, `-version` and the lists (`-machine help`, `-device help`, ...). */
import { CPU_FEATURES } from './options-board.ts';
import type { ListTopic, Request } from './options-plan.ts';
import { OptionError } from './options-values.ts';
import { LOG_ITEMS } from './qemu-small-options.ts';
import { type Target, targetOf } from './targets.ts';
import { x86CpuList } from './x86-cpu-list.ts';

const HELP: readonly (readonly [heading: string, rows: readonly (readonly [string, string])[]])[] = [
  [
    'Machine',
    [
      ['-M, -machine virt[,PROPERTY=VALUE...]', 'the board (-machine help, -machine virt,help)'],
      ['-cpu rv64|max[,FEATURE=on|off...]', 'the processor and its extensions (-cpu help)'],
      ['-accel jit|kvm|reference|auto', 'how instructions run: compiled, by the host’s processor, one by one'],
      ['-accel kvm:jit, -enable-kvm', 'the first that can be had; -accel kvm'],
      ['-smp N', 'number of processors [1]'],
      ['-m SIZE', 'memory: 512 (MiB), 1G, ... [128M]'],
      ['-rtc [base=utc|localtime|DATE][,clock=host|vm]', 'the clock on the wall'],
      ['-icount shift=N|auto[,sleep=on|off]', 'virtual time: 2^N ns an instruction'],
      ['-name NAME, -uuid UUID', 'what the machine is called'],
    ],
  ],
  [
    'What to boot',
    [
      ['-kernel FILE, -initrd FILE, -append TEXT', 'a kernel, its initial ramdisk and its command line'],
      ['-bios none|default|FILE', 'firmware: default is the built-in SBI'],
      ['-dtb FILE', "a device tree in place of the board's own"],
      ['-fw_cfg name=NAME,file=FILE|string=TEXT', 'an entry for firmware and guest to read'],
      ['-L DIR', 'where to look for firmware'],
    ],
  ],
  [
    'Disks and devices',
    [
      ['-drive file=FILE,format=raw,if=none|virtio|pflash[,id=ID]...', 'a disk image, or flash memory'],
      ['-pflash FILE', 'flash memory'],
      ['-snapshot', 'forget what is written to disks'],
      ['-device DRIVER[,PROPERTY=VALUE...]', 'a device (-device help)'],
      ['-object rng-random|rng-builtin,id=ID', 'a source of random numbers'],
    ],
  ],
  [
    'Serial ports, monitor, control',
    [
      ['-nographic', 'serial port and monitor share the terminal: Ctrl-a h helps, Ctrl-a x ends'],
      ['-serial DEV, -monitor DEV, -qmp DEV', 'stdio, mon:stdio, null, none, file:PATH, pipe:PATH,'],
      ['', 'unix:PATH,server=on,wait=off, tcp:HOST:PORT,server=on,wait=off, telnet:..., chardev:ID'],
      ['-chardev KIND,id=ID[,mux=on][,logfile=FILE]...', 'a character device (-chardev help)'],
      ['-mon chardev=ID[,mode=control]', 'a monitor, or QMP, on a character device'],
      ['-echr CODE', 'the escape key in place of Ctrl-a'],
      ['-display none, -vga none', 'no display (there are none)'],
    ],
  ],
  [
    'Running',
    [
      ['-S', 'stop before the first instruction'],
      ['-no-reboot, -no-shutdown', 'end instead of rebooting; stop instead of ending'],
      ['-action reboot=..., shutdown=...', 'the same, in one option'],
      ['-d ITEMS, -D FILE', 'log (-d help) to stderr or a file'],
      ['-pidfile FILE', 'write the process id'],
      ['-msg timestamp=on', 'the time before each message'],
      ['-readconfig FILE', "options from a file in QEMU's format"],
    ],
  ],
];

/** The text that answers a request. Throws OptionError when there is nothing by that name. */
export function answer(request: Request, program: string, version: string, arch = 'riscv64'): string {
  const target = targetOf(arch);
  switch (request.kind) {
    case 'version':
      return `Trapframe ${version} (${program})\n`;
    case 'help':
      return help(program, version, target);
    case 'list':
      return list(target, request.topic, request.subject);
  }
}

function help(program: string, version: string, target: Target): string {
  const sections = HELP.map(
    ([heading, rows]) => `${heading}:\n${rows.map(([left, right]) => row(left, right)).join('')}\n`,
  );
  const refused = Object.entries(target.options)
    .filter(([, option]) => option.refused)
    .map(([name]) => name);
  return (
    `Trapframe ${version}\nusage: ${program} [options], with the options of qemu-system-${target.name}\n\n` +
    sections.join('') +
    `Known to QEMU and not here (each says what to use instead):\n${wrap(refused.map((name) => '-' + name))}`
  );
}

function row(left: string, right: string): string {
  return left.length < 40 ? `  ${left.padEnd(40)} ${right}\n` : `  ${left}\n  ${''.padEnd(40)} ${right}\n`;
}

function wrap(words: readonly string[], width = 100): string {
  let text = '';
  let line = ' ';
  for (const word of words) {
    if (line.length + word.length >= width) {
      text += line + '\n';
      line = ' ';
    }
    line += ' ' + word;
  }
  return `${text}${line}\n`;
}

function list(target: Target, topic: ListTopic, subject?: string): string {
  const devices = target.devices(target.machine);
  const rows = (heading: string, table: Readonly<Record<string, string>>) =>
    `${heading}\n${Object.entries(table)
      .map(([name, about]) => `${name.padEnd(20)} ${about}\n`)
      .join('')}`;
  switch (topic) {
    case 'machine':
      return rows('Supported machines are:', target.machines);
    case 'machine-properties':
      return rows(`${target.machine}-machine options:`, target.machineProperties);
    case 'cpu':
      if (target.x86)
        return x86CpuList({
          host: 'processor with all supported host features; needs KVM',
          max: 'Enables all features supported by the accelerator in the current host',
        });
      return `${rows('CPU models:', { rv64: 'RV64GC and the extensions below that are there (default)', max: 'the same' })}\nFeatures:\n${wrap(CPU_FEATURES)}`;
    case 'accel':
      return rows('Accelerators:', {
        jit: 'guest code compiled to WebAssembly (default; also called tcg)',
        kvm: 'guest code on the host’s processor, by /dev/kvm (x86-64 guests on x86-64 Linux)',
        auto: 'kvm where it is faster than jit, else jit',
        reference: 'every instruction evaluated from its definition: slow',
      });
    case 'device':
      return rows('Devices:', Object.fromEntries(Object.entries(devices).map(([name, { about }]) => [name, about])));
    case 'device-properties': {
      const device = Object.hasOwn(devices, subject ?? '') ? devices[subject ?? ''] : undefined;
      if (!device)
        throw new OptionError(
          `-device ${subject},help`,
          `'${subject}' is not a valid device model name`,
          '-device help lists them',
        );
      return `${subject} options:\n${device.properties.map((name) => `  ${name}\n`).join('')}`;
    }
    case 'd':
      return rows('Log items (comma separated):', LOG_ITEMS);
    case 'display':
      return 'Available display backend types:\nnone\n';
    case 'chardev':
      return 'Available chardev backend types:\n  file\n  null\n  pipe\n  ringbuf\n  socket\n  stdio\n';
    case 'object':
      return 'List of user creatable objects:\n  rng-builtin\n  rng-random\n';
    case 'netdev':
      return 'There are no network backends yet.\n';
    case 'vga':
      return rows(
        'Displays:',
        target.x86 ? { std: 'standard VGA (default)', none: 'no graphic card' } : { none: 'no graphic card (default)' },
      );
    case 'drive':
      return 'Supported formats: raw\n';
  }
}
