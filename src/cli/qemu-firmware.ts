/**
 * Firmware that boards look for by QEMU's file names: in the directories of
 * `-L`, where the system's packages put it, in our cache, or out of Debian's
 * archive into the cache.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TrapframeError } from '../bits/errors.ts';
import { PC_NAMES } from '../machine/pc-names.ts';
import type { SystemPlan } from './options-plan.ts';

/** Where packages of distributions put what QEMU loads. */
export const SYSTEM_DIRECTORIES: readonly string[] = [
  '/usr/share/seabios',
  '/usr/share/qemu',
  '/usr/share/qemu-firmware',
];
const ARCHIVE = 'pc-firmware';

/** What decides which files a board looks for. */
export interface FirmwareQuestion extends Pick<SystemPlan, 'machine' | 'defaults' | 'vga' | 'firmwarePaths'> {
  readonly bios: unknown;
  readonly drives: readonly { readonly interface?: string }[];
  readonly devices: readonly { readonly driver: string }[];
}

/** The names that a plan's board asks for; empty for boards that bring their own. */
export function firmwareNames(plan: FirmwareQuestion): string[] {
  const kind = Object.hasOwn(PC_NAMES, plan.machine) ? PC_NAMES[plan.machine].kind : undefined;
  if (kind === undefined || kind === 'microvm') return [];
  const names: string[] = [];
  const hasFlash = plan.drives.some((drive) => drive.interface === 'pflash');
  if (plan.bios === 'default' && !hasFlash) names.push(kind === 'isapc' ? 'bios.bin' : 'bios-256k.bin');
  const hasVga = plan.vga === undefined ? plan.defaults : plan.vga !== 'none';
  if (kind === 'isapc' ? hasVga : hasVga || plan.devices.some(({ driver }) => driver === 'VGA'))
    names.push(kind === 'isapc' ? 'vgabios.bin' : 'vgabios-stdvga.bin');
  return names;
}

/** The files that there are, by name. A board says itself what it cannot do without. */
export async function findFirmware(plan: FirmwareQuestion): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {};
  const missing: string[] = [];
  for (const name of firmwareNames(plan)) {
    const path = [...plan.firmwarePaths, ...SYSTEM_DIRECTORIES]
      .map((at) => join(at, name))
      .find((at) => existsSync(at));
    if (path !== undefined) found[name] = new Uint8Array(readFileSync(path));
    else missing.push(name);
  }
  if (missing.length === 0) return found;
  const [{ imageHost }, { ensureGuest }, { firmwareCatalogue }] = await Promise.all([
    import('./start-images.ts'),
    import('../image/guest-files.ts'),
    import('../image/catalogue.ts'),
  ]);
  try {
    const files = await ensureGuest(imageHost(false), ARCHIVE, Date.now(), { catalogue: firmwareCatalogue });
    for (const name of missing) found[name] = await files.read(name);
  } catch (error) {
    if (!(error instanceof TrapframeError)) throw error;
    process.stderr.write(`firmware ${missing.join(', ')}: ${error.message}\n`);
  }
  return found;
}
