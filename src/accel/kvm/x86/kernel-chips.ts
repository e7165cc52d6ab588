/**
 * Requests to the interrupt controllers and the timer that KVM has in the
 * kernel. Who has their state at which time is not decided here.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_CREATE_IRQCHIP,
 * KVM_CAP_SPLIT_IRQCHIP, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_IRQ_LINE.
 */
import { Cap } from '../abi.ts';
import { KvmError, type KvmVcpuPort, type KvmVmPort } from '../port.ts';
import { Msr } from './abi-x86.ts';
import {
  CapIrq,
  ChipId,
  Irqchip,
  IrqLevel,
  KvmIrq,
  Lapic,
  Msi,
  Pit,
  PIT_SPEAKER_DUMMY,
  PitConfig,
  Routing,
  RoutingType,
  X2apicApi,
} from './abi-irqchip.ts';
import { enableCap } from './msr-filter.ts';
import { readMsr, writeMsr } from './vcpu-registers.ts';

/** Where interrupt controllers are: all in the kernel, only those of processors, none. QEMU's kernel-irqchip. */
export type IrqchipKind = 'on' | 'split' | 'off';

const PINS = 24;
const NEEDED: Readonly<Record<'on' | 'split', Readonly<Record<string, number>>>> = {
  on: {
    KVM_CAP_IRQCHIP: Cap.irqchip,
    KVM_CAP_IRQ_ROUTING: CapIrq.irqRouting,
    KVM_CAP_SIGNAL_MSI: CapIrq.signalMsi,
    KVM_CAP_MP_STATE: Cap.mpState,
    KVM_CAP_PIT2: CapIrq.pit2,
    KVM_CAP_PIT_STATE2: CapIrq.pitState2,
  },
  split: {
    KVM_CAP_SPLIT_IRQCHIP: CapIrq.splitIrqchip,
    KVM_CAP_IRQ_ROUTING: CapIrq.irqRouting,
    KVM_CAP_SIGNAL_MSI: CapIrq.signalMsi,
    KVM_CAP_MP_STATE: Cap.mpState,
  },
};

/** The capabilities that this KVM lacks for it. */
export function missingFor(kind: IrqchipKind, kvm: { checkExtension(capability: number): number }): string[] {
  if (kind === 'off') return [];
  return Object.entries(NEEDED[kind]).flatMap(([name, number]) => (kvm.checkExtension(number) > 0 ? [] : [name]));
}

/** A message that a pin of the I/O APIC sends. */
export interface MessageRoute {
  readonly gsi: number;
  readonly address: number;
  readonly data: number;
}

export class KernelChips {
  readonly kind: 'on' | 'split';
  private readonly vm: KvmVmPort;
  private readonly level = new DataView(new ArrayBuffer(IrqLevel.size));
  private readonly levelBytes = new Uint8Array(this.level.buffer);
  private readonly msi = new DataView(new ArrayBuffer(Msi.size));
  private readonly msiBytes = new Uint8Array(this.msi.buffer);

  /** Makes them; before vCPUs are. Throws KvmError. */
  constructor(vm: KvmVmPort, kind: 'on' | 'split', pit: boolean) {
    this.vm = vm;
    this.kind = kind;
    const missing = missingFor(kind, vm);
    if (missing.length > 0)
      throw new KvmError(
        'kvm-version',
        `kernel-irqchip=${kind}: KVM here lacks ${missing.join(', ')}`,
        'use kernel-irqchip=off',
      );
    if (kind === 'split') {
      enableCap(vm, CapIrq.splitIrqchip, PINS);
      // Ours does not say either that it can withhold an EOI from the I/O APIC.
      if (vm.checkExtension(CapIrq.x2apicApi) & X2apicApi.disableSuppressEoiBroadcast)
        enableCap(vm, CapIrq.x2apicApi, X2apicApi.disableSuppressEoiBroadcast);
      return;
    }
    vm.ioctl(KvmIrq.createIrqchip);
    if (!pit) return;
    const config = new DataView(new ArrayBuffer(PitConfig.size));
    config.setUint32(PitConfig.flags, PIT_SPEAKER_DUMMY, true);
    vm.ioctl(KvmIrq.createPit2, new Uint8Array(config.buffer));
  }

  // Local APICs

  lapic(vcpu: KvmVcpuPort): DataView {
    const bytes = new Uint8Array(Lapic.size);
    vcpu.ioctl(KvmIrq.getLapic, bytes);
    return new DataView(bytes.buffer);
  }
  setLapic(vcpu: KvmVcpuPort, state: DataView): void {
    vcpu.ioctl(KvmIrq.setLapic, new Uint8Array(state.buffer));
  }
  apicBase(vcpu: KvmVcpuPort): bigint {
    return readMsr(vcpu, Msr.apicBase) ?? 0n;
  }
  setApicBase(vcpu: KvmVcpuPort, value: bigint): void {
    writeMsr(vcpu, Msr.apicBase, value);
  }
  tscDeadline(vcpu: KvmVcpuPort): bigint {
    return readMsr(vcpu, Msr.tscDeadline) ?? 0n;
  }
  setTscDeadline(vcpu: KvmVcpuPort, value: bigint): void {
    writeMsr(vcpu, Msr.tscDeadline, value);
  }
  mpState(vcpu: KvmVcpuPort): number {
    const bytes = new Uint8Array(4);
    vcpu.ioctl(KvmIrq.getMpState, bytes);
    return bytes[0];
  }
  setMpState(vcpu: KvmVcpuPort, state: number): void {
    vcpu.ioctl(KvmIrq.setMpState, Uint8Array.of(state, 0, 0, 0));
  }

  /** A message-signalled interrupt: the write of `data` to `address`. */
  message(address: number, data: number): void {
    const { msi } = this;
    msi.setUint32(Msi.addressLo, address >>> 0, true);
    msi.setUint32(Msi.addressHi, Math.floor(address / 2 ** 32), true);
    msi.setUint32(Msi.data, data, true);
    try {
      this.vm.ioctl(KvmIrq.signalMsi, this.msiBytes);
    } catch (error) {
      // A guest's message may be meant for nobody.
      if (!(error instanceof KvmError) || error.errno === 'EBADF') throw error;
    }
  }

  /** What the I/O APIC of user space sends, so that the ends of level-triggered interrupts leave to us. */
  routeMessages(routes: readonly MessageRoute[]): void {
    this.route(routes.length, (view, n, at) => {
      const { gsi, address, data } = routes[n];
      view.setUint32(at + Routing.gsi, gsi, true);
      view.setUint32(at + Routing.type, RoutingType.msi, true);
      view.setUint32(at + Routing.addressLo, address, true);
      view.setUint32(at + Routing.data, data, true);
    });
  }

  // All in the kernel

  /** Which inputs of which chips an interrupt's number is, as a PC wires them: 0 is the I/O APIC's pin 2. */
  routePc(more: readonly MessageRoute[] = []): void {
    const pins: (readonly [gsi: number, chip: number, pin: number])[] = [];
    for (let irq = 0; irq < 16; irq++)
      if (irq !== 2) pins.push([irq, irq < 8 ? ChipId.picMaster : ChipId.picSlave, irq & 7]);
    for (let gsi = 0; gsi < PINS; gsi++) if (gsi !== 2) pins.push([gsi, ChipId.ioapic, gsi === 0 ? 2 : gsi]);
    this.route(pins.length + more.length, (view, n, at) => {
      if (n < pins.length) {
        const [gsi, chip, pin] = pins[n];
        view.setUint32(at + Routing.gsi, gsi, true);
        view.setUint32(at + Routing.type, RoutingType.irqchip, true);
        view.setUint32(at + Routing.irqchip, chip, true);
        view.setUint32(at + Routing.pin, pin, true);
        return;
      }
      const { gsi, address, data } = more[n - pins.length];
      view.setUint32(at + Routing.gsi, gsi, true);
      view.setUint32(at + Routing.type, RoutingType.msi, true);
      view.setUint32(at + Routing.addressLo, address, true);
      view.setUint32(at + Routing.data, data, true);
    });
  }

  private route(count: number, write: (view: DataView, n: number, at: number) => void): void {
    const view = new DataView(new ArrayBuffer(Routing.header + count * Routing.entry));
    view.setUint32(0, count, true);
    for (let n = 0; n < count; n++) write(view, n, Routing.header + n * Routing.entry);
    this.vm.ioctl(KvmIrq.setGsiRouting, new Uint8Array(view.buffer));
  }

  line(gsi: number, level: boolean): void {
    this.level.setUint32(IrqLevel.irq, gsi, true);
    this.level.setUint32(IrqLevel.level, level ? 1 : 0, true);
    this.vm.ioctl(KvmIrq.irqLine, this.levelBytes);
  }

  /** One of ChipId; the view begins with the chip's own state. */
  chip(id: number): DataView {
    const bytes = new Uint8Array(Irqchip.size);
    bytes[Irqchip.chipId] = id;
    this.vm.ioctl(KvmIrq.getIrqchip, bytes);
    return new DataView(bytes.buffer, Irqchip.state);
  }
  setChip(id: number, write: (state: DataView) => void): void {
    const bytes = new Uint8Array(Irqchip.size);
    bytes[Irqchip.chipId] = id;
    write(new DataView(bytes.buffer, Irqchip.state));
    this.vm.ioctl(KvmIrq.setIrqchip, bytes);
  }

  pit(): DataView {
    const bytes = new Uint8Array(Pit.size);
    this.vm.ioctl(KvmIrq.getPit2, bytes);
    return new DataView(bytes.buffer);
  }
  setPit(write: (state: DataView) => void): void {
    const bytes = new Uint8Array(Pit.size);
    write(new DataView(bytes.buffer));
    this.vm.ioctl(KvmIrq.setPit2, bytes);
  }
}
