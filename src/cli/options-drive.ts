/** Block devices: `-drive` and `-pflash`. */
import type { DrivePlan } from './options-plan.ts';
import { OptionError, Params, refuse } from './options-values.ts';

const OTHER_INTERFACES = ['ide', 'scsi', 'floppy', 'sd', 'mtd', 'xen', 'virtio'];
/** Known, and without effect on a raw image that one process holds. */
const WITHOUT_EFFECT = [
  'aio',
  'discard',
  'detect-zeroes',
  'rerror',
  'werror',
  'locking',
  'auto-read-only',
  'file.locking',
  'unmap',
];
const THROTTLES = /^(bps|iops|throttling\.|group$)/;

export class Drives {
  private readonly plans: DrivePlan[] = [];
  private readonly snapshot: boolean;
  private readonly interfaces: readonly string[];

  /** `snapshot`: `-snapshot` was given. `interfaces` are what the board has for `if=`, the default first. */
  constructor(snapshot: boolean, interfaces: readonly string[] = ['none', 'virtio', 'pflash']) {
    this.snapshot = snapshot;
    this.interfaces = interfaces;
  }

  list(): readonly DrivePlan[] {
    return this.plans;
  }

  /** One `-pflash FILE`. */
  pflash(where: string, file: string): void {
    this.push({ ...this.plain(where, file), id: this.nextId('pflash'), interface: 'pflash', index: this.nextFlash() });
  }

  /** -hda, -cdrom, -fda, ...: an image in a place of its own. */
  image(where: string, name: string, file: string): void {
    const floppy = name.startsWith('fd');
    const index = name === 'cdrom' ? 2 : name.charCodeAt(2) - 'a'.charCodeAt(0);
    const type = floppy ? 'floppy' : 'ide';
    if (!this.interfaces.includes(type)) refuse(where, 'this board has no such drive bay', 'use -drive if=virtio');
    const cdrom = name === 'cdrom';
    const id = floppy ? `floppy${index}` : `ide${index >> 1}-${cdrom ? 'cd' : 'hd'}${index & 1}`;
    this.push({ ...this.plain(where, file), id, interface: type, index, cdrom, readOnly: cdrom });
  }

  /** One `-drive`. */
  drive(where: string, text: string): void {
    const params = Params.parse(where, text);
    const type = params.text('if') ?? this.interfaces[0];
    if (!this.interfaces.includes(type) && OTHER_INTERFACES.includes(type)) {
      const mend = this.interfaces.includes('ide')
        ? 'use if=ide or if=virtio'
        : 'use if=none with -device virtio-blk-device,drive=ID';
      refuse(where, `this board has no '${type}' drives`, mend);
    }
    if (!this.interfaces.includes(type)) throw new OptionError(where, `unsupported bus type '${type}'`);
    const media = params.word('media', 'disk', 'cdrom');
    const format = params.text('format') ?? params.text('driver');
    if (format !== undefined && format !== 'raw') {
      refuse(
        where,
        `images of format '${format}' are not there yet`,
        `convert it: qemu-img convert -O raw FILE FILE.raw`,
      );
    }
    const file = params.text('file') ?? params.text('file.filename') ?? params.text('filename');
    if (!file) refuse(where, 'a drive without a medium is not there', 'give file=FILE');
    if (/^(nbd|ssh|https?|ftps?|iscsi|rbd|gluster|json|blkdebug|fat|vvfat):/.test(file))
      refuse(where, `'${file.slice(0, file.indexOf(':'))}' images are not there yet`, 'use a file');
    params.word('file.driver', 'file', 'host_device');
    const cache = params.word('cache', 'none', 'writeback', 'writethrough', 'directsync', 'unsafe', 'off');
    const noFlush = params.onOff('cache.no-flush') ?? cache === 'unsafe';
    params.ignore('cache.direct', 'cache.writeback', ...WITHOUT_EFFECT);
    if (params.onOff('copy-on-read')) refuse(where, 'copy-on-read is for backing files', 'leave it out');
    const unit = params.number('unit', 0, 31);
    const bus = params.number('bus', 0, 31);
    const index = params.number('index', 0, 31) ?? (bus === undefined ? unit : bus * 2 + (unit ?? 0));
    const readOnly = (params.onOff('readonly') ?? params.onOff('read-only') ?? false) || media === 'cdrom';
    const plan: DrivePlan = {
      ...this.plain(where, file),
      id: params.text('id') ?? this.nextId(type === 'none' ? 'none' : type),
      interface: type,
      cdrom: media === 'cdrom',
      index: type === 'pflash' ? (index ?? this.nextFlash()) : index,
      readOnly,
      snapshot: params.onOff('snapshot') ?? this.snapshot,
      formatGiven: format === 'raw',
      noFlush,
    };
    const throttle = params.rest().find(([key]) => THROTTLES.test(key));
    if (throttle) refuse(where, `throttling ('${throttle[0]}') is not there yet`, 'leave it out');
    params.finish();
    this.push(plan);
  }

  private plain(where: string, file: string): DrivePlan {
    return {
      id: '',
      where,
      file,
      interface: 'none',
      readOnly: false,
      snapshot: this.snapshot,
      formatGiven: false,
      noFlush: false,
    };
  }

  private push(plan: DrivePlan): void {
    if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(plan.id)) {
      throw new OptionError(
        plan.where,
        "Parameter 'id' expects an identifier",
        "letters, digits, '-', '.' and '_', starting with a letter",
      );
    }
    if (this.plans.some((other) => other.id === plan.id))
      throw new OptionError(plan.where, `Duplicate ID '${plan.id}' for drive`);
    if (plan.interface === 'ide' || plan.interface === 'floppy') {
      const taken = (other: DrivePlan) => other.interface === plan.interface && other.index === plan.index;
      if (plan.index !== undefined && this.plans.some(taken))
        throw new OptionError(
          plan.where,
          `drive with bus=${plan.index >> 1}, unit=${plan.index & 1} (index=${plan.index}) exists`,
        );
    }
    if (plan.interface === 'pflash') {
      if ((plan.index ?? 0) > 1)
        throw new OptionError(plan.where, 'this board has two flash banks', 'use unit=0 or unit=1');
      if (this.plans.some((other) => other.interface === 'pflash' && other.index === plan.index))
        throw new OptionError(plan.where, `drive with bus=0, unit=${plan.index} (index=${plan.index}) exists`);
    }
    this.plans.push(plan);
  }

  private nextFlash(): number {
    return this.plans.some((plan) => plan.interface === 'pflash' && plan.index === 0) ? 1 : 0;
  }

  private nextId(prefix: string): string {
    for (let i = 0; ; i++) if (!this.plans.some((plan) => plan.id === prefix + i)) return prefix + i;
  }
}
