/** The monitor's pictures of a machine: `info qtree`, `info mtree`, `info block`, ... */
import type { SwitchingAccelerator } from '../accel/switching.ts';
import { describeKvm } from './kvm-describe.ts';
import type { MachineTopic } from './api.ts';
import type { MachineConfig } from './config.ts';
import type { MachineBoard } from './board.ts';
import { deviceTree } from './device-tree-listing.ts';
import { flatMemory, memoryTree } from './memory-tree.ts';
import { describeNics } from './nics.ts';
import { describeIrq, describeLapics } from './pc-describe-apic.ts';
import { describePci, describePic } from './pc-describe.ts';
import { pcAreas } from './pc-firmware.ts';
import { PC_NAMES } from './pc-names.ts';

export function describe(
  topic: MachineTopic,
  config: MachineConfig,
  board: MachineBoard,
  accel: SwitchingAccelerator,
): string {
  switch (topic) {
    case 'qtree':
      return deviceTree(board, config);
    case 'mtree':
      return memoryTree({ board, space: accel.space, areas: areasOf(config) });
    case 'flat-mtree':
      return flatMemory({ board, space: accel.space, areas: areasOf(config) });
    case 'network':
      return describeNics(config);
    case 'kvm':
      return describeKvm(accel);
    case 'pic':
      return describePic(board);
    case 'lapic':
      return describeLapics(board);
    case 'irq':
      return describeIrq(board);
    case 'pci':
      return describePci(board.pci, new Set(config.devices.flatMap(({ id }) => id ?? [])));
    case 'jit':
      return [
        `accelerator: ${accel.name}`,
        ...accel.vcpus.map(({ index, instructions }) => `CPU #${index}: ${instructions} instructions`),
        ...(accel.describe?.() ?? []),
      ].join('\n');
  }
}

/** Memory that is not RAM, by name. */
function areasOf(config: MachineConfig): string[] {
  return config.machine in PC_NAMES ? pcAreas(config, PC_NAMES[config.machine].kind).map(({ name }) => name) : [];
}
