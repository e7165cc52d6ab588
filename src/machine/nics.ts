/**
 * Network cards: what `-device e1000,mac=...,netdev=...` says, and the cards by
 * name.
 *
 * A machine has a card only where one is asked for: QEMU's default card comes
 * with its default network, which is not there yet. A card without `netdev` has
 * a cable with nobody at the other end, and a link that is up, as in QEMU.
 */
import { ConfigError } from '../bits/errors.ts';
import { E1000 } from '../devices/e1000/e1000.ts';
import { ne2kPci } from '../devices/ne2000/ne2k-pci.ts';
import { Rtl8139 } from '../devices/rtl8139/rtl8139.ts';
import type { Device, Wiring } from '../hw/device.ts';
import { Cable, type Link } from '../hw/link.ts';
import type { PciFunction } from '../hw/pci.ts';
import type { DeviceConfig, MachineConfig } from './config.ts';

export interface Nic {
  readonly link: Link;
  /** Six bytes. */
  readonly mac: Uint8Array;
}
export interface PciNic {
  readonly pci: PciFunction;
  /** Reset, saved and loaded beside the function. */
  readonly card: Device;
}
type PciNicModel = (name: string, wiring: Wiring, nic: Nic, rom: Uint8Array | undefined) => PciNic;

/** The first address that QEMU gives to a card without one; the next gets the next. */
const FIRST_MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const ISA_NIC = 'ne2k_isa';

export const PCI_NICS: Readonly<Record<string, PciNicModel>> = {
  e1000: (name, wiring, { link, mac }, rom) => {
    const card = new E1000(name, wiring, link, { mac, rom });
    return { card, pci: card.pci };
  },
  rtl8139: (name, wiring, { link, mac }, rom) => {
    const card = new Rtl8139(name, wiring, link, { mac, rom });
    return { card, pci: card.pci };
  },
  ne2k_pci: (name, wiring, { link, mac }, rom) => ne2kPci(name, wiring, link, mac, rom),
};

/** The expansion ROM of a card, by QEMU's file name, unless `romfile` or `rombar` says no. */
export function nicRom({ driver, properties }: DeviceConfig, config: MachineConfig): Uint8Array | undefined {
  if (properties['romfile'] === '' || properties['rombar'] === '0') return undefined;
  return config.roms?.[properties['romfile'] ?? `efi-${driver}.rom`];
}

/** The end of the cable and the address of a `-device` of the machine. Throws ConfigError. */
export function nicOf(device: DeviceConfig, config: MachineConfig): Nic {
  const { driver, properties } = device;
  const { netdev } = properties;
  if (netdev === undefined) return { link: new Cable().ends[0], mac: macOf(device, config) };
  const network = config.netdevs?.find(({ id }) => id === netdev);
  if (!network) {
    const what = `Property '${driver}.netdev' can't find value '${netdev}'`;
    throw new ConfigError('netdev-missing', what, 'leave netdev out; the card then has no network');
  }
  const taken = config.devices.find((other) => other !== device && other.properties['netdev'] === netdev);
  if (taken && config.devices.indexOf(taken) < config.devices.indexOf(device))
    throw new ConfigError('netdev-taken', `the network ${netdev} has a card already`, 'give each card its own netdev');
  return { link: network.link, mac: macOf(device, config) };
}

function isNic(driver: string): boolean {
  return driver in PCI_NICS || driver === ISA_NIC || driver.startsWith('virtio-net');
}

/** The address that a card names; the first one that is still free otherwise. */
function macOf(device: DeviceConfig, config: MachineConfig): Uint8Array {
  const taken = new Set<string>();
  for (const other of config.devices) {
    if (!isNic(other.driver)) continue;
    let mac = explicitMac(other);
    for (let last = FIRST_MAC[5]; !mac; last++) {
      const free = Uint8Array.from([...FIRST_MAC.slice(0, 5), last]);
      if (!taken.has(free.join())) mac = free;
    }
    taken.add(mac.join());
    if (other === device) return mac;
  }
  return explicitMac(device) ?? Uint8Array.from(FIRST_MAC);
}

function explicitMac({ driver, properties: { mac } }: DeviceConfig): Uint8Array | undefined {
  if (mac === undefined) return undefined;
  if (/^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(mac))
    return Uint8Array.from(mac.split(/[:-]/), (byte) => Number.parseInt(byte, 16));
  throw new ConfigError('property-value', `${driver}: mac=${mac} is no address`, 'as in mac=52:54:00:12:34:56');
}

/** `info network`: cards, and the networks that they are on. */
export function describeNics(config: MachineConfig): string {
  const count = new Map<string, number>();
  return config.devices
    .filter(({ driver }) => isNic(driver))
    .flatMap((device) => {
      const { driver, id, properties } = device;
      const number = count.get(driver) ?? 0;
      count.set(driver, number + 1);
      const mac = [...macOf(device, config)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
      const card = `${id ?? `${driver}.${number}`}: index=0,type=nic,model=${driver},macaddr=${mac}`;
      return properties['netdev'] === undefined ? [card] : [card, ` \\ ${properties['netdev']}: index=0`];
    })
    .join('\n');
}
