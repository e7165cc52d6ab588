/** `-device intel-iommu`: what its properties ask for, and whether this machine can have it. */
import { ConfigError } from '../bits/errors.ts';
import { IntelIommu } from '../devices/intel-iommu/intel-iommu.ts';
import { IOMMU_WINDOW } from '../devices/intel-iommu/registers.ts';
import type { MachineConfig } from './config.ts';
import type { PcChipset } from './pc-chipset.ts';

export const IOMMU_DRIVER = 'intel-iommu';
/** Those that mean nothing unless they are switched on, and are not here. */
const OFF_ONLY = ['device-iotlb', 'x-scalable-mode', 'x-pasid-mode', 'x-buggy-eim'];
export const IOMMU_PROPERTIES: readonly string[] = [
  ...['aw-bits', 'caching-mode', 'dma-drain', 'dma-translation', 'eim', 'intremap', 'pt', 'snoop-control', 'version'],
  ...OFF_ONLY,
];

type Choice = 'on' | 'off' | 'auto';

export interface IommuChoice {
  readonly addressBits: 39 | 48;
  readonly interrupts: Choice;
  readonly extendedInterrupts: Choice;
  readonly cachingMode: boolean;
  readonly drain: boolean;
  readonly dmaTranslation: boolean;
  readonly passThrough: boolean;
  readonly snoopControl: boolean;
}

/** What the machine's remapping unit is to be; undefined: there is none. Throws ConfigError. */
export function iommuOf({ devices, machine }: MachineConfig, board: string): IommuChoice | undefined {
  const [device, more] = devices.filter(({ driver }) => driver === IOMMU_DRIVER);
  if (!device) return undefined;
  if (board !== 'q35')
    throw new ConfigError('iommu-board', `${IOMMU_DRIVER}: the board '${machine}' has no place for it`, 'use -M q35');
  if (more)
    throw new ConfigError('iommu-twice', `${IOMMU_DRIVER}: a machine can have one only`, 'leave out the others');
  const { properties } = device;
  const flag = (name: string, preset: boolean): boolean => choice(name, preset ? 'on' : 'off', false) === 'on';
  const choice = (name: string, preset: Choice, auto = true): Choice => {
    const text = properties[name];
    if (text === undefined) return preset;
    if (/^(on|true|yes|y)$/.test(text)) return 'on';
    if (/^(off|false|no|n)$/.test(text)) return 'off';
    if (auto && text === 'auto') return 'auto';
    const what = `Parameter '${name}' does not accept value '${text}'`;
    throw new ConfigError('property-value', `${IOMMU_DRIVER}: ${what}`, `use on${auto ? ', auto' : ''} or off`);
  };
  for (const name of OFF_ONLY)
    if (flag(name, false))
      throw new ConfigError('iommu-property', `${IOMMU_DRIVER}: ${name}=on is not there`, `leave ${name} out`);
  if (!/^0*$/.test(properties['version'] ?? ''))
    throw new ConfigError('iommu-property', `${IOMMU_DRIVER}: version=${properties['version']}`, 'leave version out');
  const bits = Number(properties['aw-bits'] ?? 39);
  if (bits !== 39 && bits !== 48)
    throw new ConfigError(
      'iommu-width',
      `${IOMMU_DRIVER}: Supported values for aw-bits are: 39, 48`,
      'use one of them',
    );
  const interrupts = choice('intremap', 'auto');
  const extendedInterrupts = choice('eim', 'auto');
  if (extendedInterrupts === 'on' && interrupts === 'off')
    throw new ConfigError('iommu-eim', `${IOMMU_DRIVER}: eim=on cannot be selected without intremap=on`, 'use eim=off');
  return {
    addressBits: bits,
    interrupts,
    extendedInterrupts,
    cachingMode: flag('caching-mode', false),
    drain: flag('dma-drain', true),
    dmaTranslation: flag('dma-translation', true),
    passThrough: flag('pt', true),
    snoopControl: flag('snoop-control', false),
  };
}

/** Makes the unit and puts it where requests and interrupts pass. Throws ConfigError. */
export function addIommu(chipset: PcChipset, choice: IommuChoice): IntelIommu {
  const { ioApic, parts, wiring } = chipset;
  const possible = ioApic !== undefined && !parts.kernelIoApic;
  if (choice.interrupts === 'on' && !possible)
    throw new ConfigError(
      'iommu-intremap',
      `${IOMMU_DRIVER}: Interrupt Remapping cannot work ${ioApic ? 'with kernel-irqchip=on' : 'without an I/O APIC'}`,
      ioApic ? 'use kernel-irqchip=split or off' : 'use intremap=off',
    );
  const interrupts = choice.interrupts !== 'off' && possible;
  const unit = new IntelIommu({
    ...choice,
    name: IOMMU_DRIVER,
    log: wiring.log,
    memory: wiring.dma,
    interrupts,
    // As QEMU's `auto` without KVM: off.
    extendedInterrupts: interrupts && choice.extendedInterrupts === 'on',
    deliver: (message) => chipset.apicBus.deliver(message),
    pass: (address, data) => chipset.message(address, data),
    interruptsChanged: () => ioApic?.onTable?.(),
  });
  chipset.bus.add(unit.name, IOMMU_WINDOW.base, IOMMU_WINDOW.size, chipset.add(unit).mmio);
  if (ioApic && interrupts) ioApic.remapped = (address, data, ahead) => unit.remapped(address, data, undefined, ahead);
  return unit;
}
