/**
 * Who talks over which character device: serial ports, monitors, and the
 * defaults when nobody says (QEMU's: `-nographic` is the terminal, shared).
 */
import { parseShortForm } from './options-chardev.ts';
import type { ChardevPlan, MonitorPlan } from './options-plan.ts';
import { OptionError, Params } from './options-values.ts';

export class Streams {
  readonly chardevs: ChardevPlan[] = [];
  /** Ids of chardevs; undefined is an empty slot. */
  readonly serials: (string | undefined)[] = [];
  readonly parallels: (string | undefined)[] = [];
  debugcon: string | undefined;
  readonly monitors: MonitorPlan[] = [];
  private readonly ids = new Set<string>();
  private readonly users = new Map<string, number>();
  private serialGiven = false;
  private monitorGiven = false;

  chardev(plan: ChardevPlan): void {
    if (this.ids.has(plan.id)) throw new OptionError(plan.where, `Duplicate ID '${plan.id}' for chardev`);
    if (plan.kind === 'stdio' && this.usesStdio()) {
      throw new OptionError(
        plan.where,
        'cannot use stdio by multiple character devices',
        'mux=on, or mon:stdio, lets a serial port and the monitor share it',
      );
    }
    this.ids.add(plan.id);
    this.chardevs.push(plan);
  }

  serial(where: string, value: string): void {
    this.serialGiven = true;
    if (value.startsWith('mon:')) this.monitorGiven = true;
    const form = parseShortForm(where, value, `serial${this.serials.length}`);
    if ('none' in form) {
      this.serials.push(undefined);
      return;
    }
    if ('existing' in form) {
      this.serials.push(form.existing);
      return;
    }
    this.chardev(form.make);
    this.serials.push(form.make.id);
    if (value.startsWith('mon:')) this.monitors.push({ chardev: form.make.id, mode: 'readline', pretty: false });
  }

  /** -parallel and -debugcon: the id of the chardev, undefined for none. */
  private other(where: string, value: string, name: string): string | undefined {
    const form = parseShortForm(where, value, name);
    if ('none' in form) return undefined;
    if ('existing' in form) return form.existing;
    this.chardev(form.make);
    return form.make.id;
  }

  parallel(where: string, value: string): void {
    this.parallels.push(this.other(where, value, `parallel${this.parallels.length}`));
  }

  console(where: string, value: string): void {
    this.debugcon = this.other(where, value, 'debugcon');
  }

  /** -monitor, -qmp and -qmp-pretty. */
  monitor(where: string, value: string, mode: 'readline' | 'control', pretty: boolean): void {
    this.monitorGiven = true;
    const form = parseShortForm(where, value, `compat_monitor${this.monitors.length}`);
    if ('none' in form) return;
    if ('make' in form) this.chardev(form.make);
    this.monitors.push({ chardev: 'make' in form ? form.make.id : form.existing, mode, pretty });
  }

  mon(where: string, value: string): void {
    this.monitorGiven = true;
    const params = Params.parse(where, value, 'chardev');
    const chardev = params.text('chardev');
    const mode = params.word('mode', 'readline', 'control') ?? 'readline';
    const pretty = params.onOff('pretty') ?? false;
    params.ignore('id');
    params.finish();
    if (!chardev) throw new OptionError(where, "Parameter 'chardev' is missing");
    if (pretty && mode !== 'control') throw new OptionError(where, "'pretty' is not compatible with HMP monitors");
    this.monitors.push({ chardev, mode, pretty });
  }

  /** The default serial port and monitor. Where QEMU would open a window, the nearest thing is the terminal. */
  addDefaults(display: { nographic: boolean; none: boolean; nodefaults: boolean }): void {
    const serial = !display.nodefaults && !this.serialGiven;
    const monitor = !display.nodefaults && !this.monitorGiven;
    if (display.none && !display.nographic) return;
    if (!display.nographic && this.usesStdio()) return;
    const where = display.nographic ? '-nographic' : 'by default';
    if (serial && monitor) this.serial(where, 'mon:stdio');
    else if (serial) this.serial(where, 'stdio');
    else if (monitor && display.nographic) this.monitor(where, 'stdio', 'readline', false);
  }

  /** Notes that `id` has one more user. */
  use(id: string, where: string): void {
    if (!this.ids.has(id)) throw new OptionError(where, `chardev "${id}" not found`, `add -chardev KIND,id=${id}`);
    this.users.set(id, (this.users.get(id) ?? 0) + 1);
  }

  /** After everybody is known: ports and monitors exist, and only a mux is shared. */
  check(): void {
    for (const id of this.serials) if (id !== undefined) this.use(id, `-serial chardev:${id}`);
    for (const id of this.parallels) if (id !== undefined) this.use(id, `-parallel chardev:${id}`);
    if (this.debugcon !== undefined) this.use(this.debugcon, '-debugcon');
    for (const monitor of this.monitors) this.use(monitor.chardev, `-mon chardev=${monitor.chardev}`);
    for (const plan of this.chardevs) {
      if ((this.users.get(plan.id) ?? 0) > 1 && !plan.mux)
        throw new OptionError(plan.where, `Device '${plan.id}' is in use`, 'mux=on lets several share it');
      if (plan.mux && this.monitors.some((monitor) => monitor.chardev === plan.id && monitor.mode === 'control'))
        throw new OptionError(
          plan.where,
          `QMP cannot share the chardev '${plan.id}'`,
          'give -qmp a chardev of its own',
        );
    }
  }

  private usesStdio(): boolean {
    return this.chardevs.some((plan) => plan.kind === 'stdio');
  }
}
