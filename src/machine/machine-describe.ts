/** The monitor's pictures of a machine: `info qtree`, `info mtree`, `info block`, ... */
import type { SwitchingAccelerator } from '../accel/switching.ts';
import { describeKvm } from './kvm-describe.ts';
import type { MachineApi } from './api.ts';
import type { MachineConfig } from './config.ts';
import type { MachineBoard } from './board.ts';
import { describeIrq, describeLapics } from './pc-describe-apic.ts';
import { describePci, describePic } from './pc-describe.ts';

export type DescribeTopic = Parameters<MachineApi['describe']>[0];

export function describe(
  topic: DescribeTopic,
  config: MachineConfig,
  board: MachineBoard,
  accel: SwitchingAccelerator,
): string {
  switch (topic) {
    case 'qtree':
      return [
        'bus: main-system-bus',
        ...board.devices.map(({ name, layout }) => `  dev: ${layout.name}, id "${name}"`),
      ].join('\n');
    case 'mtree': {
      const areas = board.bus.list().map(({ name, base, size }) => ({ name, base, size, kind: 'i/o' }));
      for (const { name, base, size } of board.ramAreas) areas.push({ name, base, size, kind: 'ram' });
      const lines = areas.map(
        ({ name, base, size, kind }) => `  ${hex(base)}-${hex(base + size - 1)} (prio 0, ${kind}): ${name}`,
      );
      const ports = (board.ports?.list() ?? []).map(
        ({ name, base, size }) => `  ${hex(base)}-${hex(base + size - 1)} (prio 0, i/o): ${name}`,
      );
      const rest = ports.length ? ['address-space: I/O', ...ports] : [];
      return ['address-space: memory', ...lines, ...rest].join('\n');
    }
    case 'block':
      return config.drives
        .map(({ id, disk, interface: type }) => {
          const access = disk.readOnly ? 'read-only' : 'read-write';
          return `${id}: ${disk.size} bytes, ${type}, ${access}`;
        })
        .join('\n');
    case 'chardev':
      return config.chardevs
        .map(({ id, backend }) => `${id}: ${backend.connected === false ? 'nobody is there' : 'open'}`)
        .join('\n');
    case 'kvm':
      return describeKvm(accel);
    case 'pic':
      return describePic(board);
    case 'lapic':
      return describeLapics(board);
    case 'irq':
      return describeIrq(board);
    case 'pci':
      return describePci(board.pci);
    case 'jit':
      return [
        `accelerator: ${accel.name}`,
        ...accel.vcpus.map(({ index, instructions }) => `CPU #${index}: ${instructions} instructions`),
      ].join('\n');
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(16, '0');
}
