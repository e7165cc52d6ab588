/** The commands of QMP that are here, in QEMU's schema. */
import { ACTIONS, type Actions } from '../machine/actions.ts';
import { type Control, ControlError } from './hub.ts';
import { readEvents, readKeys, sendEvents, sendKeys } from './input.ts';
import { setHaltPoll, switchAccelerator } from './switch-accelerator.ts';
import type { Json } from './json-values.ts';
import { type Arguments, integer, type QmpCommand } from './qmp-arguments.ts';
import { STATISTICS_COMMANDS, vcpuPath } from './qmp-statistics.ts';
import { isPictureFormat, screendump } from './screendump.ts';

type Run = QmpCommand['run'];
const query = (run: Run): QmpCommand => ({ run });
/** No screen has a name yet. */
const noDevice = (name: Json) => new ControlError(`Device '${name}' not found`, 'DeviceNotFound');

const EVENTS = [
  'STOP',
  'RESUME',
  'SHUTDOWN',
  'RESET',
  'POWERDOWN',
  'SUSPEND',
  'WAKEUP',
  'GUEST_PANICKED',
  'GUEST_CRASHLOADED',
  'WATCHDOG',
];

/** The version as QEMU reports its own, so that clients can compare numbers. */
export function versionOf(control: Control): Json {
  const [major = 0, minor = 0, micro = 0] = control.info.version.split('.').map((part) => parseInt(part, 10) || 0);
  return { qemu: { micro, minor, major }, package: `Trapframe ${control.info.version}` };
}

export const QMP_COMMANDS: Readonly<Record<string, QmpCommand>> = {
  // Answered by the server itself; listed so that query-commands knows it.
  qmp_capabilities: { takes: { enable: 'array?' }, run: () => undefined },
  'query-version': query((control) => versionOf(control)),
  'query-commands': query(() => Object.keys(QMP_COMMANDS).map((name) => ({ name }))),
  'query-events': query(() => EVENTS.map((name) => ({ name }))),
  'query-status': query(({ machine }) => ({
    status: machine.state,
    singlestep: false,
    running: machine.state === 'running',
  })),
  'query-name': query(({ info }) => (info.name === undefined ? {} : { name: info.name })),
  'query-uuid': query(({ info }) => ({ UUID: info.uuid ?? '00000000-0000-0000-0000-000000000000' })),
  'query-target': query(({ info }) => ({ arch: info.target })),
  'query-kvm': query(({ machine }) => ({
    enabled: machine.accelerator === 'kvm',
    present: machine.accelerator === 'kvm' || machine.kvm !== undefined,
  })),
  'x-trapframe-query-accelerator': query(({ machine }) => ({
    accelerator: machine.accelerator,
    kvm: (machine.kvm ?? []).map(({ vcpu, entries, interrupted, exits, emulated }) => ({
      'cpu-index': vcpu,
      entries,
      interrupted,
      exits,
      emulated,
    })),
  })),
  'x-trapframe-set-accelerator': {
    takes: { accelerator: 'string' },
    run: ({ machine }, { accelerator }) => switchAccelerator(machine, accelerator as string).then(() => undefined),
  },
  'x-trapframe-set-halt-poll': {
    takes: { ns: 'integer' },
    run: ({ machine }, { ns }) => setHaltPoll(machine, ns as number),
  },
  ...STATISTICS_COMMANDS,
  'query-cpus-fast': query(({ machine, info }) =>
    machine.vcpus.map((vcpu) => ({
      'thread-id': info.process,
      props: { 'core-id': vcpu.index },
      'qom-path': vcpuPath(vcpu.index),
      'cpu-index': vcpu.index,
      target: info.target,
    })),
  ),
  'query-machines': query(({ info }) => [
    {
      'hotpluggable-cpus': false,
      name: info.board,
      'numa-mem-supported': false,
      'default-cpu-type': 'rv64-riscv-cpu',
      'cpu-max': 512,
      deprecated: false,
      'default-ram-id': 'riscv_virt_board.ram',
      'is-default': true,
    },
  ]),
  'query-current-machine': query(({ machine }) => ({ 'wakeup-suspend-support': machine.canSuspend })),
  'query-memory-size-summary': query(({ info }) => ({ 'base-memory': info.memory })),
  'query-chardev': query(({ info }) =>
    info.chardevs().map(({ label, filename, frontendOpen }) => ({ 'frontend-open': frontendOpen, filename, label })),
  ),
  'query-block': query(({ info }) =>
    info.blocks().map(({ device, file, readOnly, size }) => ({
      device,
      locked: false,
      removable: false,
      type: 'unknown',
      'io-status': 'ok',
      inserted: { file, ro: readOnly, drv: 'raw', image: { filename: file, format: 'raw', 'virtual-size': size } },
    })),
  ),
  'query-iothreads': query(() => []),
  'query-mice': query(({ machine }) =>
    (machine.input?.pointers() ?? []).map(({ name, absolute }, index) => ({
      name,
      index,
      current: index === 0,
      absolute,
    })),
  ),
  'query-pci': query(() => []),
  'query-vnc': query(() => ({ enabled: false })),
  'query-jobs': query(() => []),
  'query-block-jobs': query(() => []),
  'query-migrate': query(() => ({})),
  'query-balloon': {
    run() {
      throw new ControlError('No balloon device has been activated', 'DeviceNotActive');
    },
  },
  stop: query((control) => control.stop().then(() => undefined)),
  cont: query((control) => void control.cont()),
  system_reset: query((control) => void control.reset()),
  system_wakeup: query((control) => void control.wakeup()),
  system_powerdown: query((control) => void control.powerdown()),
  quit: query((control) => void control.quit()),
  pmemsave: {
    takes: { val: 'integer', size: 'integer', filename: 'string' },
    run: (control, { val, size, filename }) =>
      control.savePhysical(integer(val), integer(size), filename as string).then(() => undefined),
  },
  memsave: {
    takes: { val: 'integer', size: 'integer', filename: 'string', 'cpu-index': 'integer?' },
    run: (control, { val, size, filename, 'cpu-index': cpu }) =>
      control
        .saveVirtual(integer(val), integer(size), filename as string, Number(integer(cpu ?? 0)))
        .then(() => undefined),
  },
  screendump: {
    takes: { filename: 'string', device: 'string?', head: 'integer?', format: 'string?' },
    async run(control, { filename, device, head, format = 'ppm' }) {
      if (!isPictureFormat(format as string))
        throw new ControlError(`Parameter 'format' does not accept value '${format}'`);
      if (device !== undefined) throw noDevice(device);
      if (head !== undefined) throw new ControlError("'head' must be specified together with 'device'");
      await screendump(control, filename as string, format as 'ppm' | 'png');
      return undefined;
    },
  },
  'send-key': {
    takes: { keys: 'array', 'hold-time': 'integer?' },
    run: (control, { keys, 'hold-time': hold }) =>
      sendKeys(control, readKeys(keys as readonly Json[]), hold === undefined ? undefined : integer(hold)) as undefined,
  },
  'input-send-event': {
    takes: { device: 'string?', head: 'integer?', events: 'array' },
    run(control, { device, events }) {
      const read = readEvents(events as readonly Json[]);
      if (device !== undefined) throw noDevice(device);
      sendEvents(control, read);
      return undefined;
    },
  },
  'set-action': {
    takes: { reboot: 'string?', shutdown: 'string?', panic: 'string?', watchdog: 'string?' },
    run({ machine }, given) {
      machine.setActions(actionsOf(given));
      return {};
    },
  },
  'inject-nmi': {
    run({ machine }) {
      if (!machine.nmi) throw new ControlError('this feature or command is not currently supported');
      machine.nmi();
      return {};
    },
  },
  'human-monitor-command': {
    takes: { 'command-line': 'string', 'cpu-index': 'integer?' },
    async run(control, { 'command-line': line, 'cpu-index': cpu }) {
      const { Hmp } = await import('./hmp.ts');
      const hmp = new Hmp(control);
      if (cpu !== undefined && !hmp.selectCpu(Number(integer(cpu))))
        throw new ControlError("Parameter 'cpu-index' expects a CPU number");
      return (await hmp.execute(line as string)).replaceAll('\n', '\r\n');
    },
  },
};

/** Throws ControlError for what is no action. */
function actionsOf(given: Arguments): Partial<Actions> {
  for (const [event, words] of Object.entries(ACTIONS)) {
    const word = given[event];
    if (word !== undefined && !(words as readonly unknown[]).includes(word))
      throw new ControlError(`Parameter '${event}' does not accept value '${word}'`);
  }
  return given as Partial<Actions>;
}
