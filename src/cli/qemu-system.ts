/**
 * QEMU's command line for a system emulator, as a plan. Pure: no file is
 * touched here, except that `-readconfig` asks `readText` for one.
 *
 * Spec: QEMU 7.2, "Invocation"; qemu-system-riscv64's behaviour where that is silent.
 */
import { ACTIONS } from '../machine/actions.ts';
import type { AccelConfig, DeviceConfig } from '../machine/config.ts';
import { splitOptions, type Option } from './options.ts';
import * as board from './options-board.ts';
import { parseChardev } from './options-chardev.ts';
import {
  applyGlobals,
  type GlobalProperty,
  parseDevice,
  parseGlobal,
  parseNetwork,
  boardProperty,
  parseObject,
} from './options-device.ts';
import { Drives } from './options-drive.ts';
import type { FwCfgPlan, Parsed, SystemPlan } from './options-plan.ts';
import { readConfig } from './options-readconfig.ts';
import { Streams } from './options-streams.ts';
import { OptionError, Params, refuse } from './options-values.ts';
import { parseBoot } from './options-x86.ts';
import { lists, parseFwCfg, parseLog } from './qemu-small-options.ts';
import { type Target, targetOf } from './targets.ts';

const CTRL_A = 1;

export interface ParseContext {
  /** The architecture; riscv64 when left out. */
  readonly target?: string;
  /** The text of a file; throws what the host throws. */
  readText(path: string): string;
}

/** Parses a command line (without the program's name). Throws OptionError. */
export function parseSystem(argv: readonly string[], context: ParseContext): Parsed {
  const target = targetOf(context.target ?? 'riscv64');
  const options = splitOptions(argv, target.options).flatMap((option) =>
    option.name === 'readconfig' ? fromFile(option, context) : [option],
  );
  for (const option of options) {
    if (option.name === 'h' || option.name === 'help') return { request: { kind: 'help' } };
    if (option.name === 'version') return { request: { kind: 'version' } };
    const list = lists(option);
    if (list) return { request: list };
  }
  const parser = new SystemParser(options, target);
  for (const option of options) parser.take(option);
  return { plan: parser.plan() };
}

function fromFile({ value: file, where }: Option, context: ParseContext): Option[] {
  let text: string;
  try {
    text = context.readText(file);
  } catch (cause) {
    throw new OptionError(where, `Cannot read config file ${file}: ${(cause as Error).message}`);
  }
  return readConfig('-readconfig', file, text);
}

type Mutable<T> = { -readonly [K in keyof T]?: T[K] };
type Take = (where: string, value: string, name: string) => void;

class SystemParser {
  private readonly target: Target;
  private readonly board: board.BoardChoice;
  private readonly out: Mutable<SystemPlan> = {};
  private readonly streams = new Streams();
  private readonly drives: Drives;
  private readonly devicesLater: Option[] = [];
  private readonly objects = new Set<string>();
  private readonly globals: GlobalProperty[] = [];
  private readonly fwCfg: FwCfgPlan[] = [];
  private readonly accels: { name: string; where: string }[] = [];
  private readonly firmwarePaths: string[] = [];
  private readonly optionRoms: string[] = [];
  private readonly notes: string[] = [];
  private readonly display = { nographic: false, none: false, nodefaults: false };
  private reboot = 'reset';
  private shutdown = 'poweroff';

  constructor(options: readonly Option[], target: Target) {
    this.target = target;
    this.board = { machine: target.machine, properties: {}, boot: {} };
    // Which drives and devices there are depends on the board, wherever it is named.
    for (const { name, value, where } of options)
      if (name === 'M' || name === 'machine') target.parseMachine(where, value, this.board);
    const snapshot = options.some((option) => option.name === 'snapshot');
    this.drives = new Drives(snapshot, target.interfaces(this.board.machine));
  }

  take({ name, value, where }: Option): void {
    const take = Object.hasOwn(this.takers, name) ? this.takers[name] : undefined;
    if (!take) throw new OptionError(where, 'is not there yet', '-help lists what is');
    take(where, value, name);
  }

  /** What each option does, by name. */
  private readonly takers: Readonly<Record<string, Take>> = {
    ...sameFor(['M', 'machine'], () => {}), // looked at before
    ...sameFor(['kernel', 'initrd', 'append', 'dtb'], (_, value, name) => {
      this.board.boot[name] = value;
    }),
    bios: (_, value) => {
      this.board.boot.firmware = value;
    },
    L: (_, value) => this.firmwarePaths.push(value),
    cpu: (where, value) => {
      this.out.cpu = this.target.parseCpu(where, value);
    },
    accel: (where, value) => {
      const { name, stay, threads, irqchip, haltPollNs } = board.parseAccel(where, value);
      this.addAccels(where, name);
      this.out.accelStay = stay ?? this.out.accelStay;
      this.out.accelThreads = threads ?? this.out.accelThreads;
      this.out.kernelIrqchip = irqchip ?? this.out.kernelIrqchip;
      this.out.haltPollNs = haltPollNs ?? this.out.haltPollNs;
    },
    'enable-kvm': (where) => this.addAccels(where, 'kvm'),
    smp: (where, value) => {
      this.out.cpus = board.parseSmp(where, value, this.board.machine, this.target.maxCpus);
    },
    m: (where, value) => {
      this.out.memory = board.parseMemory(where, value);
    },
    rtc: (where, value) => {
      this.out.rtc = board.parseRtc(where, value);
    },
    icount: (where, value) => {
      this.out.icount = board.parseIcount(where, value);
    },
    boot: (where, value) => {
      this.out.boot = { ...this.out.boot, ...parseBoot(where, value) };
    },
    'option-rom': (where, value) => this.optionRoms.push(Params.parse(where, value, 'romfile').text('romfile') ?? ''),
    ...sameFor(['no-acpi', 'no-hpet'], (_, __, name) => {
      this.board.properties[name.slice(3)] = 'off';
    }),
    ...sameFor(['smbios', 'no-fd-bootchk', 'win2k-hack'], (where, _, name) => {
      this.notes.push(`${where}: -${name} is accepted and changes nothing`);
    }),

    drive: (where, value) => this.drives.drive(where, value),
    pflash: (where, value) => this.drives.pflash(where, value),
    ...sameFor(['fda', 'fdb', 'hda', 'hdb', 'hdc', 'hdd', 'cdrom'], (where, value, name) =>
      this.drives.image(where, name, value),
    ),
    // Drives, objects and chardevs that a device names may stand behind it.
    device: (where, value, name) => this.devicesLater.push({ name, value, where }),
    object: (where, value) => this.object(where, value),
    global: (where, value) => this.globals.push(parseGlobal(where, value)),
    ...sameFor(['netdev', 'nic', 'net'], (where, value, name) => parseNetwork(where, name, value)),
    fw_cfg: (where, value) => this.fwCfg.push(parseFwCfg(where, value)),

    chardev: (where, value) => this.streams.chardev(parseChardev(where, value)),
    serial: (where, value) => this.streams.serial(where, value),
    monitor: (where, value) => this.streams.monitor(where, value, 'readline', false),
    ...sameFor(['qmp', 'qmp-pretty'], (where, value, name) =>
      this.streams.monitor(where, value, 'control', name === 'qmp-pretty'),
    ),
    mon: (where, value) => this.streams.mon(where, value),
    parallel: (where, value) => {
      if (this.target.x86) this.streams.parallel(where, value);
      else only(where, value, /^(none|null)$/, 'this board has no parallel port', 'use -parallel none');
    },
    debugcon: (where, value) => this.streams.console(where, value),
    echr: (where, value) => this.escapeKey(where, value),
    nographic: () => {
      this.display.nographic = true;
    },
    nodefaults: () => {
      this.display.nodefaults = true;
    },
    display: (where, value) => this.displayType(where, value),
    vga: (where, value) => {
      if (this.target.x86) only(where, value, /^(none|std)$/, 'there is no such graphics card', 'use -vga std or none');
      else only(where, value, /^none$/, 'there are no displays yet', 'use -vga none -nographic');
      this.out.vga = value;
    },
    vnc: (where, value) =>
      only(
        where,
        value,
        /^none$/,
        'there are no displays yet',
        'use -nographic, or -serial tcp:HOST:PORT,server=on,wait=off',
      ),
    audiodev: (where, value) => only(where, value, /^(driver=)?none(,|$)/, 'there are no sound cards', 'leave it out'),

    'no-reboot': () => {
      this.reboot = 'shutdown';
    },
    'no-shutdown': () => {
      this.shutdown = 'pause';
    },
    action: (where, value) => this.action(where, value),
    'watchdog-action': (where, value) => this.action(where, `watchdog=${value.replace(/^action=/, '')}`),
    name: (where, value) => this.guestName(where, value),
    uuid: (where, value) => this.uuid(where, value),
    pidfile: (_, value) => {
      this.out.pidFile = value;
    },
    S: () => {
      this.out.paused = true;
    },
    d: (where, value) => {
      this.out.log = parseLog(where, value);
    },
    D: (_, value) => {
      this.out.logFile = value;
    },
    msg: (where, value) => this.messages(where, value),
    sandbox: (where, value) =>
      only(
        where,
        value,
        /^(enable=)?off(,|$)/,
        'system calls cannot be filtered from inside',
        'use a container, or `systemd-run -p SystemCallFilter=...`',
      ),
    overcommit: (where, value) => {
      if (Params.parse(where, value).onOff('mem-lock'))
        refuse(where, 'guest memory cannot be locked', 'use mem-lock=off');
    },
    // Nothing of the kind is here: as if they were not given.
    ...sameFor(['k', 'mem-prealloc', 'no-user-config', 'nodefconfig', 'async-teardown', 'snapshot'], () => {}),
  };

  private object(where: string, value: string): void {
    const { id } = parseObject(where, value);
    if (this.objects.has(id))
      throw new OptionError(where, `attempt to add duplicate property '${id}' to object (type 'container')`);
    this.objects.add(id);
  }

  private displayType(where: string, value: string): void {
    const type = value.split(',')[0];
    if (type !== 'none' && !/^(gtk|sdl|curses|cocoa|spice-app|dbus|egl-headless|vnc(=.*)?)$/.test(type))
      throw new OptionError(where, `Parameter 'type' does not accept value '${type}'`);
    if (type !== 'none') refuse(where, 'there are no displays yet', 'use -nographic, or -display none -serial stdio');
    this.display.none = true;
  }

  private escapeKey(where: string, value: string): void {
    const code = value.length === 1 ? value.charCodeAt(0) : Number(value);
    if (!(Number.isInteger(code) && code > 0 && code < 256))
      throw new OptionError(where, 'Bad argument to echr', 'a character or its code, e.g. 0x1d');
    this.out.escape = code;
  }

  private action(where: string, value: string): void {
    const params = Params.parse(where, value);
    this.reboot = params.word('reboot', 'reset', 'shutdown') ?? this.reboot;
    this.shutdown = params.word('shutdown', 'poweroff', 'pause') ?? this.shutdown;
    this.out.panic = params.word('panic', ...ACTIONS.panic) ?? this.out.panic;
    this.out.watchdog = params.word('watchdog', ...ACTIONS.watchdog) ?? this.out.watchdog;
    params.finish();
  }

  private guestName(where: string, value: string): void {
    const params = Params.parse(where, value, 'guest');
    this.out.name = params.text('guest');
    params.ignore('process', 'debug-threads');
    params.finish();
  }

  private uuid(where: string, value: string): void {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) {
      const mend = 'as in 550e8400-e29b-41d4-a716-446655440000';
      throw new OptionError(where, 'failed to parse UUID string: wrong format', mend);
    }
    this.out.uuid = value.toLowerCase();
  }

  private messages(where: string, value: string): void {
    const params = Params.parse(where, value, 'timestamp');
    this.out.timestamps = params.onOff('timestamp') ?? false;
    this.out.guestNameInMessages = params.onOff('guest-name') ?? false;
    params.finish();
  }

  private addAccels(where: string, names: string): void {
    for (const name of names.split(':')) this.accels.push({ name, where });
  }

  private accelerator(): AccelConfig {
    if (this.accels.length === 0 && this.board.accel)
      this.addAccels(`-machine accel=${this.board.accel}`, this.board.accel);
    if (this.accels.length === 0) return 'jit';
    const { accel, notes } = board.chooseAccels(this.accels);
    this.notes.push(...notes);
    return accel;
  }

  private buildDevices(): DeviceConfig[] {
    const ids = new Set<string>();
    const { machine } = this.board;
    const choice = { table: this.target.devices(machine), aliases: this.target.aliases(machine) };
    const parsed = this.devicesLater.map(({ where, value }) => parseDevice(where, value, ids, choice));
    for (const [index, { driver, properties }] of parsed.entries()) {
      const { where } = this.devicesLater[index];
      const { chardev, rng, drive } = properties;
      if (chardev !== undefined) this.streams.use(chardev, where);
      if (rng !== undefined && !this.objects.has(rng))
        throw new OptionError(where, `Device '${rng}' not found`, `add -object rng-random,id=${rng}`);
      if (drive !== undefined && !this.drives.list().some((plan) => plan.id === drive)) {
        const mend = `add -drive id=${drive},if=none,file=FILE`;
        throw new OptionError(where, `Property '${driver}.drive' can't find value '${drive}'`, mend);
      }
    }
    const { devices, unused } = applyGlobals(parsed, this.globals);
    for (const { driver, property, value } of unused) {
      const own = boardProperty(`${driver}.${property}`);
      if (own !== undefined) this.board.properties[own] = /^(1|yes|true)$/.test(value) ? 'on' : value;
      else this.notes.push(`warning: -global ${driver}.${property} has no device to act on`);
    }
    return devices;
  }

  plan(): SystemPlan {
    const { kernel, initrd, append, dtb, firmware } = this.board.boot;
    if (append && !kernel) throw new OptionError('', '-append only allowed with -kernel option');
    if (initrd && !kernel) throw new OptionError('', '-initrd only allowed with -kernel option');
    const accel = this.accelerator();
    this.streams.addDefaults(this.display);
    const devices = this.buildDevices();
    this.streams.check();
    if (this.out.rtc?.clock === 'vm' && !this.out.icount)
      this.notes.push('-rtc clock=vm: without -icount this is the host clock');
    return {
      cpu: this.target.cpu,
      cpus: 1,
      memory: 128 * 2 ** 20,
      escape: CTRL_A,
      rtc: { base: 'utc', clock: 'host' },
      paused: false,
      log: [],
      timestamps: false,
      guestNameInMessages: false,
      ...this.out,
      machine: this.board.machine,
      kernelIrqchip: this.out.kernelIrqchip ?? this.board.kernelIrqchip,
      machineProperties: this.board.properties,
      accel,
      bios:
        firmware === undefined || firmware === 'default'
          ? 'default'
          : firmware === 'none'
            ? 'none'
            : { file: firmware },
      firmwarePaths: this.firmwarePaths,
      kernel,
      initrd,
      append,
      dtb,
      chardevs: this.streams.chardevs,
      serials: this.streams.serials,
      parallels: this.streams.parallels,
      debugcon: this.streams.debugcon,
      optionRoms: this.optionRoms,
      defaults: !this.display.nodefaults,
      graphic: !this.display.nographic,
      monitors: this.streams.monitors,
      drives: this.drives.list(),
      devices,
      noReboot: this.reboot === 'shutdown',
      noShutdown: this.shutdown === 'pause',
      fwCfg: this.fwCfg,
      notes: this.notes,
    };
  }
}

function sameFor(names: readonly string[], take: Take): Record<string, Take> {
  return Object.fromEntries(names.map((name) => [name, take]));
}

/** Refuses every value but those that `allowed` matches. */
function only(where: string, value: string, allowed: RegExp, what: string, mend: string): void {
  if (!allowed.test(value)) refuse(where, what, mend);
}
