/**
 * A system emulator's life: command line, machine, control plane, exit code.
 *
 * What only some runs need (QMP, the monitor, help texts, sockets) is loaded
 * when it is needed: start-up counts.
 */
import { openSync, readFileSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { TrapframeError } from '../bits/errors.ts';
import type { Control, ControlHost } from '../control/hub.ts';
import type { ByteStream } from '../control/byte-stream.ts';
import { onEndingSignal } from '../host/node/signals.ts';
import type { MachineApi, ShutdownCause } from '../machine/api.ts';
import type { DriveConfig, MachineConfig } from '../machine/config.ts';
import { MachineStreams } from './main-streams.ts';
import type { SystemPlan } from './options-plan.ts';
import { OptionError } from './options-values.ts';
import { Messages } from './qemu-messages.ts';
import { closeDrives, openFiles } from './qemu-open.ts';
import { parseSystem } from './qemu-system.ts';
import { version } from './version.ts';

/** Builds a machine; what a test replaces. */
export type CreateMachine = (config: MachineConfig) => Promise<MachineApi>;

const createMachine: CreateMachine = async (config) => {
  const [{ Machine }, { NodeMachineHost }] = await Promise.all([
    import('../machine/machine.ts'),
    import('../host/node/machine-host.ts'),
  ]);
  return Machine.create(config, new NodeMachineHost());
};

/** How long output may take to leave after a signal asked us to end. */
const HURRY_MS = 200;

/** `trapframe-system-TARGET ARGV...`; resolves to the exit code. */
export async function main(
  argv: readonly string[],
  target: string,
  create: CreateMachine = createMachine,
): Promise<number> {
  const program = `trapframe-system-${target}`;
  const messages = new Messages(program);
  try {
    const parsed = parseSystem(argv, { target, readText: (path) => readFileSync(path, 'utf8') });
    if ('request' in parsed) {
      const { answer } = await import('./qemu-help.ts');
      process.stdout.write(answer(parsed.request, program, version(), target));
      return 0;
    }
    const { plan } = parsed;
    messages.configure({ timestamps: plan.timestamps, guest: plan.guestNameInMessages ? plan.name : undefined });
    for (const note of plan.notes) messages.note(note);
    return await new Session(plan, target, messages).run(create);
  } catch (error) {
    if (!(error instanceof TrapframeError)) throw error;
    messages.failure(error);
    return 1;
  }
}

class Session {
  private readonly plan: SystemPlan;
  private readonly target: string;
  private readonly messages: Messages;
  private readonly streams: MachineStreams;
  private machine: MachineApi | undefined;
  private drives: readonly DriveConfig[] = [];
  private end: (outcome: { cause: ShutdownCause; code: number }) => void = () => {};
  private readonly ended: Promise<{ cause: ShutdownCause; code: number }>;
  /** Resolves a moment after a signal. */
  private readonly hurry: Promise<void>;
  private hurryUp: () => void = () => {};
  private ending = false;

  constructor(plan: SystemPlan, target: string, messages: Messages) {
    this.plan = plan;
    this.target = target;
    this.messages = messages;
    this.streams = new MachineStreams(plan.escape, () => this.stop('host-qmp-quit'));
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    this.hurry = new Promise((resolve) => {
      this.hurryUp = resolve;
    });
  }

  async run(create: CreateMachine): Promise<number> {
    const stopListening = onEndingSignal((_, number) => {
      this.messages.note(`terminating on signal ${number}`);
      setTimeout(this.hurryUp, HURRY_MS).unref();
      this.stop('host-signal');
    });
    // A machine that stands still has nothing else to keep the process alive.
    const alive = setInterval(() => {}, 2 ** 30);
    const { plan } = this;
    let pidFile: string | undefined;
    try {
      if (plan.pidFile !== undefined) pidFile = this.writePid(plan.pidFile);
      const files = await openFiles(plan);
      this.drives = files.drives;
      try {
        await this.streams.open(plan.chardevs);
        if (await this.waitForClients()) await this.live(await create(this.config(files)));
      } catch (error) {
        await closeDrives(files.drives);
        throw error;
      }
      const { code } = await this.ended;
      return code;
    } finally {
      await this.streams.close(this.hurry);
      if (pidFile !== undefined) unlinkQuietly(pidFile);
      stopListening();
      clearInterval(alive);
    }
  }

  /** Ends the machine, whatever stage it is in. */
  private stop(cause: ShutdownCause): void {
    this.ending = true;
    const done = () => this.end({ cause, code: 0 });
    if (this.machine) void this.machine.stop(cause).then(done, done);
    else done();
  }

  /** `server=on` without `wait=off`: not before somebody is there. Returns whether to go on. */
  private async waitForClients(): Promise<boolean> {
    for (const { where, filename, connected } of this.streams.awaited()) {
      this.messages.note(`${where}: info: waiting for connection on: ${filename}`);
      await Promise.race([connected, this.ended]);
      if (this.ending) return false;
    }
    return !this.ending;
  }

  /** From the machine's creation to its end. */
  private async live(machine: MachineApi): Promise<void> {
    this.machine = machine;
    machine.on('shutdown', ({ cause, code }) =>
      this.end({ cause, code: cause.startsWith('host-') && cause !== 'host-error' ? 0 : code }),
    );
    if (this.ending) this.stop('host-signal'); // the signal came while it was built
    await this.control(machine);
    if (!this.plan.paused && !this.ending) machine.start();
    await this.ended;
    await machine[Symbol.asyncDispose]();
  }

  private config(files: Awaited<ReturnType<typeof openFiles>>): MachineConfig {
    const { plan } = this;
    const items = new Set(plan.log);
    const { base, clock } = plan.rtc;
    return {
      ...files,
      machine: plan.machine,
      machineProperties: plan.machineProperties,
      accel: plan.accel,
      accelStay: plan.accelStay,
      accelThreads: plan.accelThreads,
      kernelIrqchip: plan.kernelIrqchip,
      haltPollNs: plan.haltPollNs,
      cpu: plan.cpu,
      cpus: plan.cpus,
      memory: plan.memory,
      append: plan.append,
      serials: plan.serials.map((id) => (id === undefined ? undefined : this.streams.device(id))),
      parallels: plan.parallels.map((id) => (id === undefined ? undefined : this.streams.device(id))),
      debugcon: plan.debugcon === undefined ? undefined : this.streams.device(plan.debugcon),
      boot: plan.boot,
      defaults: plan.defaults,
      vga: plan.vga,
      graphic: plan.graphic,
      uuid: plan.uuid,
      chardevs: this.streams.configs(plan),
      devices: plan.devices,
      rtc: { base: base === 'utc' ? undefined : base === 'localtime' ? localTime() : base, clock },
      icount: plan.icount,
      noReboot: plan.noReboot,
      noShutdown: plan.noShutdown,
      panic: plan.panic,
      watchdog: plan.watchdog,
      log: { items, write: this.logWriter() },
    };
  }

  private logWriter(): (line: string) => void {
    const { logFile } = this.plan;
    if (logFile === undefined) return (line) => process.stderr.write(`${line}\n`);
    let fd: number;
    try {
      fd = openSync(logFile, 'w');
    } catch (cause) {
      throw new OptionError(`-D ${logFile}`, (cause as Error).message);
    }
    return (line) => {
      writeSync(fd, `${line}\n`);
    };
  }

  /** Monitors and QMP, as far as there are any. */
  private async control(machine: MachineApi): Promise<void> {
    const { plan } = this;
    if (plan.monitors.length === 0) return;
    let hub: Promise<Control> | undefined;
    const control = () => {
      hub ??= this.hub(machine);
      return hub;
    };
    for (const { chardev, mode, pretty } of plan.monitors) {
      const { stream, port, first } = this.streams.monitor(chardev);
      if (mode === 'control') {
        const { QmpServer } = await import('../control/qmp.ts');
        new QmpServer(stream, await control(), pretty);
      } else if (first) await openMonitor(stream, await control());
      else if (port) {
        // Behind Ctrl-a c: loaded when somebody goes there. Events before that are nobody's.
        let monitor: Promise<{ focus(): void }> | undefined;
        port.onFocus = () => {
          if (monitor) void monitor.then((opened) => opened.focus());
          else monitor = control().then((opened) => openMonitor(stream, opened));
        };
      }
    }
  }

  private async hub(machine: MachineApi): Promise<Control> {
    const { Control } = await import('../control/hub.ts');
    const { plan, streams, target } = this;
    return new Control(machine, nodeHost(), {
      target,
      board: plan.machine,
      memory: plan.memory,
      name: plan.name,
      uuid: plan.uuid,
      process: process.pid,
      version: version(),
      chardevs: () => streams.info(),
      blocks: () =>
        plan.drives.map(({ id, file, readOnly }) => {
          const size = this.drives.find((drive) => drive.id === id)?.disk.size ?? 0;
          return { device: id, file, readOnly, size };
        }),
    });
  }

  private writePid(path: string): string {
    try {
      writeFileSync(path, `${process.pid}\n`);
    } catch (cause) {
      throw new OptionError('', `cannot create PID file: ${(cause as Error).message}`);
    }
    return path;
  }
}

async function openMonitor(stream: ByteStream, control: Control): Promise<{ focus(): void }> {
  const { MonitorServer } = await import('../control/monitor.ts');
  return new MonitorServer(stream, control);
}

function nodeHost(): ControlHost {
  return {
    now: () => performance.timeOrigin + performance.now(),
    async save(path, chunks) {
      const { saveFile } = await import('../host/node/chardev-save.ts');
      await saveFile(path, chunks);
    },
  };
}

/** The guest's clock shows local time: the host's, as if it were UTC. */
function localTime(): number {
  const now = new Date();
  return now.getTime() - now.getTimezoneOffset() * 60_000;
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}
