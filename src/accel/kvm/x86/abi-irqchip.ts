/**
 * Linux's KVM interface as numbers: interrupt controllers and the timer in the
 * kernel. Names are the kernel's; all structures are little-endian.
 *
 * Spec: Linux documentation, "The Definitive KVM (Kernel-based Virtual Machine)
 * API Documentation" (KVM API version 12): KVM_GET_LAPIC, KVM_GET_IRQCHIP,
 * KVM_GET_PIT2, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_IRQ_LINE;
 * arch/x86/include/uapi/asm/kvm.h.
 */
import { request } from '../abi.ts';

const { io, ior, iow, iowr } = request;

/** struct kvm_lapic_state: the window's registers, by their offsets there. */
export const Lapic = {
  size: 1024,
  id: 0x020,
  version: 0x030,
  tpr: 0x080,
  ldr: 0x0d0,
  dfr: 0x0e0,
  svr: 0x0f0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  lvtCmci: 0x2f0,
  icr: 0x300,
  icr2: 0x310,
  /** Timer, thermal, performance, LINT0, LINT1, error: 16 bytes apart. */
  lvt: 0x320,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
} as const;

/** struct kvm_irqchip: which one, then its state. */
export const Irqchip = { size: 520, chipId: 0, state: 8 } as const;
export const ChipId = { picMaster: 0, picSlave: 1, ioapic: 2 } as const;

/** struct kvm_pic_state: bytes. */
export const PicState = {
  lastIrr: 0,
  irr: 1,
  imr: 2,
  isr: 3,
  priorityAdd: 4,
  irqBase: 5,
  readRegSelect: 6,
  poll: 7,
  specialMask: 8,
  initState: 9,
  autoEoi: 10,
  rotateOnAutoEoi: 11,
  specialFullyNestedMode: 12,
  init4: 13,
  elcr: 14,
  elcrMask: 15,
} as const;

/** struct kvm_ioapic_state. */
export const IoapicState = { baseAddress: 0, ioregsel: 8, id: 12, irr: 16, redirtbl: 24, pins: 24 } as const;

/** struct kvm_pit_state2: three channels, flags. */
export const Pit = { size: 112, channel: 24, flags: 72 } as const;
/** struct kvm_pit_channel_state. */
export const PitChannel = {
  count: 0,
  latchedCount: 4,
  countLatched: 6,
  statusLatched: 7,
  status: 8,
  readState: 9,
  writeState: 10,
  writeLatch: 11,
  rwMode: 12,
  mode: 13,
  bcd: 14,
  gate: 15,
  countLoadTime: 16,
} as const;
export const PitFlags = { hpetLegacy: 1, speakerDataOn: 2 } as const;
/** struct kvm_pit_config. */
export const PitConfig = { size: 64, flags: 0 } as const;
export const PIT_SPEAKER_DUMMY = 1;

/** struct kvm_irq_level. */
export const IrqLevel = { size: 8, irq: 0, level: 4 } as const;
/** struct kvm_msi. */
export const Msi = { size: 32, addressLo: 0, addressHi: 4, data: 8, flags: 12 } as const;
/** struct kvm_irq_routing and its entries; what is behind a number is an input of a chip, or a message. */
export const Routing = {
  header: 8,
  entry: 48,
  gsi: 0,
  type: 4,
  flags: 8,
  irqchip: 16,
  pin: 20,
  addressLo: 16,
  data: 24,
} as const;
export const RoutingType = { irqchip: 1, msi: 2 } as const;

/** struct kvm_clock_data. */
export const ClockData = { size: 48, clock: 0, flags: 8 } as const;

export const KvmIrq = {
  createIrqchip: io(0x60),
  irqLine: iow(0x61, IrqLevel.size),
  getIrqchip: iowr(0x62, Irqchip.size),
  setIrqchip: ior(0x63, Irqchip.size),
  setGsiRouting: iow(0x6a, 8),
  createPit2: iow(0x77, PitConfig.size),
  setClock: iow(0x7b, ClockData.size),
  getClock: ior(0x7c, ClockData.size),
  getLapic: ior(0x8e, Lapic.size),
  setLapic: iow(0x8f, Lapic.size),
  getMpState: ior(0x98, 4),
  setMpState: iow(0x99, 4),
  getPit2: ior(0x9f, Pit.size),
  setPit2: iow(0xa0, Pit.size),
  signalMsi: iow(0xa5, Msi.size),
} as const;

export const CapIrq = {
  irqchip: 0,
  irqRouting: 25,
  pit2: 33,
  pitState2: 35,
  adjustClock: 39,
  signalMsi: 77,
  splitIrqchip: 121,
  x2apicApi: 129,
  haltPoll: 182,
} as const;
/** Arguments of KVM_CAP_X2APIC_API: 0xff is nobody in particular; a split chip does not say that it can withhold EOIs. */
export const X2apicApi = { disableSuppressEoiBroadcast: 8 } as const;
