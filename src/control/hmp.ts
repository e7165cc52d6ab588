/**
 * The human monitor's commands, without a terminal: one line in, text out.
 *
 * Spec: QEMU 7.2, "QEMU Monitor"; messages as QEMU words them, since scripts read them.
 * Departure: a command that QEMU has and we do not answers with its name and what to use.
 */
import { ACTIONS } from '../machine/actions.ts';
import { switchAccelerator } from './switch-accelerator.ts';
import { type Control, ControlError } from './hub.ts';
import { type Command, count, type Session, text, Usage } from './hmp-command.ts';
import type { Format } from './hmp-dump.ts';
import { Scanner } from './hmp-expression.ts';
import { OTHER_TOPICS, TOPICS } from './hmp-info.ts';
import { MEMORY_COMMANDS } from './hmp-memory.ts';
import { registerByName } from './hmp-registers.ts';
import { moveMouse, parseChord, sendKeys, setMouseButtons } from './input.ts';
import { isPictureFormat, screendump } from './screendump.ts';

export class Hmp implements Session {
  readonly control: Control;
  /** The processor that `x`, `info registers` and `$name` look at. */
  cpu = 0;
  /** Lines of the editor, when there is one. */
  history: () => readonly string[] = () => [];
  format: Format = { count: 1, letter: 'x', size: 4 };

  constructor(control: Control) {
    this.control = control;
  }

  selectCpu(index: number): boolean {
    if (!this.control.machine.vcpus[index]) return false;
    this.cpu = index;
    return true;
  }

  /** Runs one line; what goes wrong is text as well. */
  async execute(line: string): Promise<string> {
    const scanner = new Scanner(line, (name) => {
      const vcpu = this.control.machine.vcpus[this.cpu];
      return vcpu ? registerByName(vcpu, name) : undefined;
    });
    // A format may follow without a space: `x/4xw`.
    scanner.space();
    const name = /^[^\s/]*/.exec(line.slice(scanner.at))?.[0] ?? '';
    if (name === '' && scanner.done) return '';
    scanner.at += name.length;
    const found = find(name);
    if (!found) return unknown(name);
    const [canonical, command] = found;
    try {
      const text = await command.run(this, scanner);
      if (canonical !== 'info' && canonical !== 'help' && !scanner.done)
        return `${names(canonical, command)}: extraneous characters at the end of line\n${tryHelp(name)}`;
      return text;
    } catch (error) {
      if (error instanceof Usage) return `${error.message}\n${tryHelp(name)}`;
      if (error instanceof ControlError && SYNTAX.test(error.message)) return `${error.message}\n${tryHelp(name)}`;
      return `Error: ${(error as Error).message}\n`;
    }
  }

  /** Completions of the last word of a line. */
  complete(line: string): string[] {
    const words = line.split(/\s+/);
    const last = words.at(-1) ?? '';
    const pool =
      words.length === 1
        ? Object.entries(COMMANDS).flatMap(([name, { also }]) => (also ? [name, also] : [name]))
        : words.length === 2 && words[0] === 'info'
          ? Object.keys(TOPICS)
          : words.length === 2 && (words[0] === 'help' || words[0] === '?')
            ? Object.keys(COMMANDS)
            : [];
    return pool.filter((word) => word.startsWith(last)).sort();
  }
}

/** Messages of the expression and format readers, which QEMU ends with the pointer to the help. */
const SYNTAX =
  /^(unexpected end|invalid char|'\)' expected|unknown register|division by zero|number too large|missing term|unterminated|unsupported escape|expression too deep)/;

const tryHelp = (name: string) => `Try "help ${name}" for more information\n`;
const names = (name: string, { also }: Command) => (also ? `${name}|${also}` : name);

function find(name: string): [string, Command] | undefined {
  if (Object.hasOwn(COMMANDS, name)) return [name, COMMANDS[name]];
  return Object.entries(COMMANDS).find(([, { also }]) => also === name);
}

function unknown(name: string): string {
  if (!OTHER_COMMANDS.includes(name)) return `unknown command: '${name}'\n`;
  return `Error: the command '${name}' is not there yet; "help" lists those that are\n`;
}

const control = (help: string, act: (control: Control) => void | Promise<void>, also?: string): Command => ({
  also,
  help,
  async run(hmp, scanner) {
    if (scanner.done) await act(hmp.control);
    return '';
  },
});
const COMMANDS: Readonly<Record<string, Command>> = {
  ...MEMORY_COMMANDS,
  accel: {
    parameters: '[kvm|jit|reference]',
    help: 'show the accelerator, or move the running machine to another one',
    async run({ control: { machine } }, scanner) {
      const name = scanner.word();
      if (name === undefined) return `${machine.accelerator}\n`;
      await switchAccelerator(machine, name);
      return '';
    },
  },
  cont: control('resume emulation', (hub) => hub.cont(), 'c'),
  cpu: {
    parameters: 'index',
    help: 'set the default CPU',
    run(hmp, scanner) {
      if (!hmp.selectCpu(Number(scanner.expression()))) return 'invalid CPU index\n';
      return '';
    },
  },
  help: {
    also: '?',
    parameters: '[cmd]',
    help: 'show the help',
    run: (_, scanner) => helpText(scanner.word(), scanner.word()),
  },
  info: { parameters: '[subcommand]', help: 'show various information about the machine', run: info },
  log: {
    parameters: 'item1[,...]',
    help: 'log the given items (none: nothing)',
    run(hmp, scanner) {
      const items = text('log', scanner);
      const { log } = hmp.control.host;
      if (!log) throw new ControlError('logging is fixed; use -d on the command line');
      return log(items === 'none' ? [] : items.split(',')) ?? '';
    },
  },
  mouse_button: {
    parameters: 'state',
    help: 'change mouse button state (1=L, 2=M, 4=R)',
    run(hmp, scanner) {
      const state = Number(scanner.expression());
      if (scanner.done) setMouseButtons(hmp.control, state);
      return '';
    },
  },
  mouse_move: {
    parameters: 'dx dy [dz]',
    help: 'send mouse move events',
    run(hmp, scanner) {
      const [dx, dy] = [count('mouse_move', scanner), count('mouse_move', scanner)];
      const dz = scanner.done ? 0 : count('mouse_move', scanner);
      if (scanner.done) moveMouse(hmp.control, dx, dy, dz);
      return '';
    },
  },
  watchdog_action: {
    parameters: '[reset|shutdown|poweroff|pause|debug|none|inject-nmi]',
    help: 'change watchdog action',
    run(hmp, scanner) {
      const word = scanner.word();
      const action = ACTIONS.watchdog.find((known) => known === word);
      if (!action) throw new ControlError(`invalid parameter value: ${word}`);
      hmp.control.machine.setActions({ watchdog: action });
      return '';
    },
  },
  nmi: {
    help: 'inject an NMI',
    run({ control: { machine } }, scanner) {
      if (!scanner.done) return '';
      if (!machine.nmi) throw new ControlError('this feature or command is not currently supported');
      machine.nmi();
      return '';
    },
  },
  quit: control('quit the emulator', (hub) => hub.quit(), 'q'),
  screendump: {
    parameters: 'filename [-f format]',
    help: "save the screen as image 'filename' in specified format 'format' ('png' or 'ppm')",
    async run(hmp, scanner) {
      const file = scanner.word();
      if (file === undefined) throw new Usage('screendump: filename expected');
      let format = 'ppm';
      if (scanner.peek() === '-') {
        if (scanner.word() !== '-f') throw new Usage("screendump: the only option is '-f'");
        format = text('screendump', scanner);
      }
      if (!scanner.done) return '';
      if (!isPictureFormat(format)) throw new ControlError(`invalid parameter value: ${format}`);
      await screendump(hmp.control, file, format);
      return '';
    },
  },
  sendkey: {
    parameters: 'keys [hold_ms]',
    help: "send keys to the VM (e.g. 'sendkey ctrl-alt-f1', default hold time=100 ms)",
    run(hmp, scanner) {
      const chord = parseChord(text('sendkey', scanner));
      const hold = scanner.done ? undefined : scanner.expression();
      if ('wrong' in chord) return `invalid parameter: ${chord.wrong}\n`;
      if (scanner.done) sendKeys(hmp.control, chord.keys, hold);
      return '';
    },
  },
  stop: control('stop emulation', (hub) => hub.stop(), 's'),
  system_powerdown: control('send system power down event', (hub) => hub.powerdown()),
  system_reset: control('reset the system', (hub) => hub.reset()),
  system_wakeup: control('wakeup guest from suspend', (hub) => hub.wakeup()),
};

function info(hmp: Session, scanner: Scanner): string {
  const name = scanner.word();
  if (name === undefined) return helpText('info');
  if (!Object.hasOwn(TOPICS, name)) {
    if (OTHER_TOPICS.includes(name)) throw new ControlError(`'info ${name}' is not there; "help info" lists what is`);
    return `unknown command: 'info ${name}'\n`;
  }
  const topic = TOPICS[name];
  const argument = topic.parameters ? scanner.word() : undefined;
  if (!scanner.done)
    return `${name}: extraneous characters at the end of line\nTry "help info ${name}" for more information\n`;
  return topic.run(hmp, argument);
}

function helpText(name?: string, topic?: string): string {
  const lineOf = (label: string, parameters: string | undefined, help: string) =>
    `${label} ${parameters ?? ''} -- ${help}\n`;
  if (name === undefined)
    return Object.entries(COMMANDS)
      .sort(([p], [q]) => (p < q ? -1 : 1))
      .map(([key, command]) => lineOf(names(key, command), command.parameters, command.help))
      .join('');
  if (name === 'info') {
    const known = topic === undefined || Object.hasOwn(TOPICS, topic);
    if (!known) return `unknown command: 'info ${topic}'\n`;
    return Object.entries(TOPICS)
      .filter(([key]) => topic === undefined || key === topic)
      .map(([key, { parameters, help }]) => lineOf(`info ${key}`, parameters, help))
      .join('');
  }
  const found = find(name);
  return found ? lineOf(names(...found), found[1].parameters, found[1].help) : unknown(name);
}

/** Commands that QEMU has and this monitor does not. */
const OTHER_COMMANDS: readonly string[] =
  'announce_self balloon block_job_cancel block_job_complete block_job_pause block_job_resume block_job_set_speed block_resize block_set_io_throttle block_stream boot_set calc_dirty_rate cancel_vcpu_dirty_limit change chardev-add chardev-change chardev-remove chardev-send-break client_migrate_info closefd commit delvm device_add device_del drive_add drive_backup drive_del drive_mirror dump-guest-memory dumpdtb eject exit_preconfig expire_password gdbserver getfd gpa2hpa gpa2hva hostfwd_add hostfwd_remove loadvm logfile migrate migrate_cancel migrate_continue migrate_incoming migrate_pause migrate_recover migrate_set_capability migrate_set_parameter migrate_start_postcopy mouse_set nbd_server_add nbd_server_remove nbd_server_start nbd_server_stop netdev_add netdev_del object_add object_del pcie_aer_inject_error qemu-io qom-get qom-list qom-set replay_break replay_delete_break replay_seek ringbuf_read ringbuf_write savevm set_link set_password set_vcpu_dirty_limit singlestep snapshot_blkdev snapshot_blkdev_internal snapshot_delete_blkdev_internal stopcapture sync-profile trace-event wavcapture x_colo_lost_heartbeat'.split(
    ' ',
  );
