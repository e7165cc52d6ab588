/** What guests do wrong, as lines of `-d guest_errors,unimp`. */
import { type DeviceLog, silentLog } from '../hw/device.ts';
import type { MachineConfig } from './config.ts';

export function deviceLog(log: MachineConfig['log']): DeviceLog {
  const line = (item: string) =>
    log?.items.has(item)
      ? (device: string, message: string) => log.write(`${device}: ${message}`)
      : silentLog.guestError;
  return { guestError: line('guest_errors'), unimplemented: line('unimp') };
}
