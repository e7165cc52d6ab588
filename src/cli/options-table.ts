/**
 * Every option name of QEMU 7.2's system emulators: whether it takes an
 * argument, and what stands in its place when it is not there.
 *
 * Invariant: a name that QEMU knows is never "invalid option": it works, is
 * accepted because leaving it out changes nothing, or is refused by name with
 * the nearest thing that works.
 */

export interface OptionRow {
  readonly argument: boolean;
  /** Why the option is refused and what to use; undefined when the option is parsed. */
  readonly refused?: readonly [what: string, mend: string];
}

const flag: OptionRow = { argument: false };
const takes: OptionRow = { argument: true };
const noFlag = (what: string, mend: string): OptionRow => ({ argument: false, refused: [what, mend] });
const no = (what: string, mend: string): OptionRow => ({ argument: true, refused: [what, mend] });

const DRIVE = 'use -drive file=FILE,format=raw,if=none,id=d0 -device virtio-blk-device,drive=d0';
const SERIAL = 'use -nographic or -serial stdio';
const noDisk = no('this board has no such drive bay', DRIVE);
const noScreen = no('there are no displays yet', SERIAL);
const noAudio = no('there are no sound cards', 'leave it out');
const x86Only = noFlag('is for x86 machines', 'leave it out');
const wrap = (what: string) => `${what} is left to the system around the emulator`;

export const OPTIONS: Readonly<Record<string, OptionRow>> = {
  // Standard options
  h: flag,
  help: flag,
  version: flag,
  machine: takes,
  M: takes,
  cpu: takes,
  accel: takes,
  smp: takes,
  numa: no('there is one memory node', 'leave it out'),
  'add-fd': no('file descriptors cannot be passed in', 'name the file by its path'),
  set: no('is not there', 'write the parameter into the option itself'),
  global: takes,
  boot: takes,
  m: takes,
  'mem-path': no('guest memory has no file behind it yet', 'use -m SIZE alone'),
  'mem-prealloc': flag,
  k: takes,
  'audio-help': noFlag('there are no sound cards', 'leave it out'),
  audio: noAudio,
  audiodev: takes,
  device: takes,
  name: takes,
  uuid: takes,

  // Block devices
  fda: noDisk,
  fdb: noDisk,
  hda: noDisk,
  hdb: noDisk,
  hdc: noDisk,
  hdd: noDisk,
  cdrom: noDisk,
  blockdev: no('block graphs are not there yet', DRIVE),
  drive: takes,
  mtdblock: no('is for boards with on-board flash of another kind', 'use -drive if=pflash,file=FILE,format=raw'),
  sd: noDisk,
  snapshot: flag,
  fsdev: no('shared folders are not there yet', DRIVE),
  virtfs: no('shared folders are not there yet', DRIVE),
  iscsi: no('iSCSI is not there', DRIVE),

  // USB
  usb: noFlag('there is no USB controller yet', 'use virtio devices'),
  usbdevice: no('there is no USB controller yet', 'use virtio devices'),

  // Displays
  display: takes,
  nographic: flag,
  spice: noScreen,
  portrait: noFlag('there are no displays yet', SERIAL),
  rotate: noScreen,
  vga: takes,
  'full-screen': noFlag('there are no displays yet', SERIAL),
  g: noScreen,
  vnc: takes,

  // Networks
  netdev: takes,
  nic: takes,
  net: takes,

  // Character devices and control
  chardev: takes,
  serial: takes,
  parallel: takes,
  monitor: takes,
  qmp: takes,
  'qmp-pretty': takes,
  mon: takes,
  debugcon: no('is for x86 machines', 'use -serial'),
  echr: takes,
  tpmdev: no('there is no TPM', 'leave it out'),
  gdb: no('the gdb stub is not there yet', 'look at the machine with the monitor: -nographic, then Ctrl-a c'),
  s: noFlag('the gdb stub is not there yet', 'look at the machine with the monitor: -nographic, then Ctrl-a c'),

  // Boot images
  bios: takes,
  pflash: takes,
  kernel: takes,
  append: takes,
  initrd: takes,
  dtb: takes,
  'option-rom': no('is for machines with PCI firmware', 'use -bios FILE'),
  fw_cfg: takes,
  L: takes,

  // Debugging and expert options
  compat: no('there is no deprecation policy', 'leave it out'),
  pidfile: takes,
  singlestep: noFlag('is not there', 'use -accel reference, which runs one instruction at a time'),
  preconfig: noFlag('is not there', 'use -S, which stops before the first instruction'),
  S: flag,
  overcommit: takes,
  d: takes,
  D: takes,
  dfilter: no('is not there', 'filter the log of -d afterwards'),
  seed: no('random numbers cannot be seeded yet', 'leave it out'),
  'enable-kvm': flag,
  'no-reboot': flag,
  'no-shutdown': flag,
  action: takes,
  loadvm: no('snapshots come later', 'leave it out: the machine then starts from reset'),
  incoming: no('migration comes later', 'leave it out: the machine then starts from reset'),
  'only-migratable': noFlag('migration comes later', 'leave it out'),
  daemonize: noFlag('the emulator stays in the foreground', 'use `nohup ... &`, or a service manager, with -pidfile'),
  rtc: takes,
  icount: takes,
  'watchdog-action': takes,
  nodefaults: flag,
  'no-user-config': flag,
  nodefconfig: flag,
  chroot: no(wrap('changing the root'), 'use `chroot DIR trapframe-system-...` or a container'),
  runas: no(wrap('changing the user'), 'use `setpriv --reuid USER trapframe-system-...`, or sudo -u'),
  semihosting: noFlag('semihosting is not there', 'use -serial for output and the test finisher for the exit code'),
  'semihosting-config': no(
    'semihosting is not there',
    'use -serial for output and the test finisher for the exit code',
  ),
  sandbox: takes,
  readconfig: takes,
  trace: no('there are no trace events', 'use -d ITEMS (-d help lists them)'),
  plugin: no('TCG plugins do not fit', 'use -d ITEMS (-d help lists them)'),
  'async-teardown': flag,
  msg: takes,
  'dump-vmstate': no('migration comes later', 'leave it out'),
  'enable-sync-profile': noFlag('is not there', 'leave it out'),
  object: takes,
  qtest: no('the test protocol is not there', 'use -qmp'),
  'qtest-log': no('the test protocol is not there', 'use -qmp'),

  // Other targets' options, which QEMU's parser knows as well
  'no-acpi': x86Only,
  'no-hpet': x86Only,
  'no-fd-bootchk': x86Only,
  'win2k-hack': x86Only,
  smbios: no('is for machines with SMBIOS tables', 'leave it out'),
  acpitable: no('is for machines with ACPI tables', 'leave it out'),
  'prom-env': no('is for PowerPC and SPARC machines', 'leave it out'),
  'old-param': noFlag('is for Arm machines', 'leave it out'),
  'xen-domid': no('Xen is not there', 'use -accel jit'),
  'xen-attach': noFlag('Xen is not there', 'use -accel jit'),
  'xen-domid-restrict': noFlag('Xen is not there', 'use -accel jit'),
};

/** The option names nearest to a mistyped one. */
export function nearest(name: string): string | undefined {
  let best: string | undefined;
  let least = name.length <= 3 ? 2 : 3;
  for (const other of Object.keys(OPTIONS)) {
    if (other.length < 3) continue;
    const distance = edits(name.slice(0, 32), other);
    if (distance < least) {
      least = distance;
      best = other;
    }
  }
  return best;
}

/** Levenshtein distance. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
