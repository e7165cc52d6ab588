/** The topics of `info`. */
import { type Control, ControlError } from './hub.ts';
import { registersText } from './hmp-registers.ts';

/** What a topic may see of the monitor that asks. */
interface Asker {
  readonly control: Control;
  readonly cpu: number;
  readonly history: () => readonly string[];
}

export interface Topic {
  readonly parameters?: string;
  readonly help: string;
  run(hmp: Asker, argument: string | undefined): string;
}

const describe = (topic: Parameters<Asker['control']['machine']['describe']>[0], help: string): Topic => ({
  help,
  run: ({ control }) => withNewline(control.machine.describe(topic)),
});
const withNewline = (text: string) => (text === '' || text.endsWith('\n') ? text : text + '\n');

/** Of the monitor's processor; unknown where its kind has none. */
const processor = (topic: 'mem' | 'tlb', help: string): Topic => ({
  help,
  run({ control, cpu }) {
    const { text } = control.machine.vcpus[cpu] ?? {};
    if (!text) throw new ControlError(`'info ${topic}' is not there for this processor`);
    return withNewline(text[topic]());
  },
});

export const TOPICS: Readonly<Record<string, Topic>> = {
  block: {
    help: 'show the block devices',
    run: ({ control }) =>
      control.info
        .blocks()
        .map(({ device, file, readOnly }) => `${device}: ${file} (raw${readOnly ? ', read-only' : ''})\n`)
        .join('\n'),
  },
  chardev: {
    help: 'show the character devices',
    run: ({ control }) =>
      control.info
        .chardevs()
        .map(({ label, filename }) => `${label}: filename=${filename}\n`)
        .join(''),
  },
  cpus: {
    help: 'show each CPU',
    run: ({ control, cpu }) =>
      control.machine.vcpus
        .map(
          ({ index, halted }) =>
            `${index === cpu ? '*' : ' '} CPU #${index}: thread_id=${control.info.process}${halted ? ' (halted)' : ''}\n`,
        )
        .join(''),
  },
  history: {
    help: 'show the command line history',
    run: (hmp) =>
      hmp
        .history()
        .map((line, i) => `${i}: '${line}'\n`)
        .join(''),
  },
  irq: describe('irq', 'show the interrupts statistics'),
  jit: describe('jit', 'show what the compiler has done'),
  kvm: describe('kvm', 'show KVM information, and what has left it for which reasons'),
  lapic: describe('lapic', 'show local APIC state'),
  mem: processor('mem', 'show the active virtual memory mappings'),
  mice: {
    help: 'show which guest mouse is receiving events',
    run({ control }) {
      const pointers = control.machine.input?.pointers() ?? [];
      if (pointers.length === 0) return 'No mouse devices connected\n';
      return pointers
        .map(({ name, absolute }, i) => `${i === 0 ? '*' : ' '} Mouse #${i}: ${name}${absolute ? ' (absolute)' : ''}\n`)
        .join('');
    },
  },
  memory_size_summary: {
    help: 'show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes.',
    run: ({ control }) => `base memory: ${control.info.memory}\nplugged memory: 0\n`,
  },
  mtree: {
    parameters: '[-f]',
    help: 'show memory tree (-f: dump flat view for address spaces)',
    run({ control: { machine } }, argument) {
      if (argument !== undefined && argument !== '-f')
        return `mtree: unsupported option ${argument}\nTry "help info mtree" for more information\n`;
      return withNewline(machine.describe(argument === '-f' ? 'flat-mtree' : 'mtree'));
    },
  },
  name: {
    help: 'show the name of the machine',
    run: ({ control }) => (control.info.name ? control.info.name + '\n' : ''),
  },
  network: describe('network', 'show the network state'),
  pci: describe('pci', 'show PCI information'),
  pic: describe('pic', 'show PIC state'),
  qtree: describe('qtree', 'show the devices'),
  registers: {
    parameters: '[-a|vcpu]',
    help: 'show the processor registers (-a: of all processors)',
    run({ control, cpu }, argument) {
      const { vcpus } = control.machine;
      if (argument === '-a') return vcpus.map(registersText).join('');
      const index = argument === undefined ? cpu : Number(argument);
      if (!vcpus[index]) return `CPU#${argument} not available\n`;
      return registersText(vcpus[index]);
    },
  },
  status: {
    help: 'show whether the machine runs',
    run({ control }) {
      const { state } = control.machine;
      if (state === 'running' || state === 'paused') return `VM status: ${state}\n`;
      return `VM status: paused (${state})\n`;
    },
  },
  tlb: processor('tlb', 'show virtual to physical memory mappings'),
  uuid: {
    help: 'show the UUID of the machine',
    run: ({ control }) => `${control.info.uuid ?? '00000000-0000-0000-0000-000000000000'}\n`,
  },
  version: { help: 'show the version', run: ({ control }) => `${control.info.version}Trapframe\n` },
};

/** Topics that QEMU has and this monitor does not. */
export const OTHER_TOPICS: readonly string[] =
  'accelerators balloon block-jobs blockstats capture cryptodev dirty_rate dump hotpluggable-cpus iothreads memdev memory-devices migrate migrate_capabilities migrate_parameters numa opcount profile qdm qom-tree ramblock rdma replay rocker rocker-of-dpa-flows rocker-of-dpa-groups rocker-ports roms snapshots spice stats sync-profile tpm trace-events usb usbhost usernet vcpu_dirty_limit virtio virtio-queue-element virtio-queue-status virtio-status virtio-vhost-queue-status vm-generation-id vnc'.split(
    ' ',
  );
