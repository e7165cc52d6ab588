/**
 * A PC's interrupt controllers and timer, in the kernel while KVM runs the
 * machine (QEMU's kernel-irqchip=on|split) and the chipset's own at all other
 * times. With `split` only the local APICs go.
 *
 * Spec: Linux documentation, "The Definitive KVM API Documentation".
 *
 * State is in one place at a time. It goes to the kernel before an entry and
 * comes back when another accelerator takes over, in a pause, at a reset, and
 * when somebody reaches for registers from user space. The wires belong to the
 * board always: it knows their levels.
 */
import { MpState } from '../accel/kvm/abi.ts';
import type { IrqchipVcpu, KvmArch, KvmIrqchip } from '../accel/kvm/arch.ts';
import type { KvmVcpuPort, KvmVmPort } from '../accel/kvm/port.ts';
import { CapIrq, ChipId } from '../accel/kvm/x86/abi-irqchip.ts';
import { PitReadBack } from '../accel/kvm/x86/pit-read-back.ts';
import { KernelChips, type MessageRoute } from '../accel/kvm/x86/kernel-chips.ts';
import { decodeLapic, encodeLapic, type LapicTimerLook, lookAtTimer } from '../accel/kvm/x86/lapic-state.ts';
import { enableCap } from '../accel/kvm/x86/msr-filter.ts';
import { decodeIoapic, decodePic, encodeIoapic, encodePic } from '../accel/kvm/x86/pic-state.ts';
import type { CpuState } from '../accel/cpu-state.ts';
import { messageOf } from '../devices/apic/apic-bus.ts';
import type { LocalApic } from '../devices/apic/local-apic.ts';
import { IOAPIC_PINS } from '../devices/ioapic/ioapic.ts';
import type { ChipsElsewhere, PcChipset } from './pc-chipset.ts';
import { KernelPit } from './kernel-pit.ts';

const IO_APIC = 0xfec0_0000;
/** Interrupts whose numbers a message can have. */
const WIRES = IOAPIC_PINS;

export interface KernelIrqchipOptions {
  readonly kind: 'on' | 'split';
  /** The board has an 8254. */
  readonly pit: boolean;
  /** KVM_CAP_HALT_POLL: a processor that waits is looked at for so long before its thread sleeps. */
  readonly haltPollNs?: number | undefined;
}

export class KernelIrqchip implements KvmIrqchip, ChipsElsewhere {
  away = false;
  readonly kind: 'on' | 'split';
  private readonly options: KernelIrqchipOptions;
  private chips: KernelChips | undefined;
  private vcpus: readonly IrqchipVcpu[] = [];
  private arch: KvmArch | undefined;
  private chipset: PcChipset | undefined;
  /** How many interrupts each processor took; undefined where the kernel does not count them. */
  private taken: readonly ((() => number) | undefined)[] = [];
  private pit: KernelPit | undefined;
  private readBack: PitReadBack | undefined;
  /** Levels that the kernel knows, a bit each. */
  private told = 0;
  private readonly routes: (MessageRoute | undefined)[] = [];
  private routesChanged = true;
  private coming = false;
  private vm: KvmVmPort | undefined;
  private haltPollNs: number | undefined;
  /** Processors that were given an interrupt of the 8259 since their state was here. */
  private readonly given = new Set<number>();
  /** KVM_GET_MP_STATE, as KVM is known to have it. */
  private readonly mpStates = new Map<KvmVcpuPort, number>();

  constructor(options: KernelIrqchipOptions) {
    this.options = options;
    this.haltPollNs = options.haltPollNs;
    this.kind = options.kind;
    if (options.kind === 'on') this.wire = (gsi, level) => this.line(gsi, level);
  }

  // What KVM asks

  setUpVm(vm: KvmVmPort): void {
    const { kind, pit } = this.options;
    this.chips = new KernelChips(vm, kind, pit);
    if (kind === 'on') this.chips.routePc();
    this.vm = vm;
    if (this.haltPollNs !== undefined) this.pollBeforeHalt(this.haltPollNs);
  }

  /** For how long, at most, the kernel spins before it lets a processor sleep; false where this KVM cannot be told. */
  pollBeforeHalt(ns: number): boolean {
    this.haltPollNs = ns;
    const { vm } = this;
    if (!vm) return true;
    if (vm.checkExtension(CapIrq.haltPoll) <= 0) return false;
    enableCap(vm, CapIrq.haltPoll, ns);
    return true;
  }

  bind(vcpus: readonly IrqchipVcpu[], arch: KvmArch): void {
    this.vcpus = vcpus;
    this.arch = arch;
    if (this.vm && this.kind === 'on' && this.options.pit) this.readBack = new PitReadBack(this.vm, vcpus.length);
    this.taken = vcpus.map((vcpu) => vcpu.counter('irq_injections'));
  }

  /** The board, which is built after its accelerator. */
  connect(chipset: PcChipset): void {
    this.chipset = chipset;
    const { ioApic, pit, speaker, hpet, wiring } = chipset;
    if (ioApic) ioApic.onTable = () => this.tableChanged();
    if (this.kind === 'on' && pit && this.options.pit) {
      const { clock } = wiring;
      this.pit = new KernelPit({ pit, speaker, hpet, clock, readBack: () => this.readBack, ring: () => this.ring() });
    }
    if (hpet) hpet.onLegacy = () => this.pit?.legacyChanged();
  }

  leave(): void {
    if (!this.away) this.toKernel();
    if (this.routesChanged && this.kind === 'split') this.route();
  }

  loadCpu(vcpu: KvmVcpuPort, state: CpuState): void {
    const wanted = state.stopped ? MpState.initReceived : state.waiting ? MpState.halted : MpState.runnable;
    if (this.mpStates.get(vcpu) !== wanted) this.chips?.setMpState(vcpu, wanted);
    this.mpStates.set(vcpu, wanted);
  }

  storeCpu(vcpu: KvmVcpuPort, state: CpuState): void {
    if (!this.chips) return;
    const now = this.chips.mpState(vcpu);
    this.mpStates.set(vcpu, now);
    state.stopped = now === MpState.uninitialized || now === MpState.initReceived;
    state.setWord(state.isa.fields.waiting, now === MpState.halted ? 1 : 0);
  }

  acknowledge(cpu: number): number {
    const pic = this.chipset?.pic;
    if (this.kind === 'on' || !pic?.pending) return -1;
    this.given.add(cpu);
    return pic.acknowledge();
  }

  endOfInterrupt(vector: number): void {
    this.chipset?.apicBus.endOfInterrupt(vector);
  }

  close(): void {
    this.readBack?.close();
  }

  // What the chipset asks while they are away

  message(address: number, data: number): void {
    this.chips?.message(address, data);
  }

  wire: ((gsi: number, level: boolean) => void) | undefined;

  private line(gsi: number, level: boolean): void {
    const bit = 1 << gsi;
    this.told = level ? this.told | bit : this.told & ~bit;
    this.chips?.line(gsi, level);
  }

  reach(local: boolean): void {
    if (local || this.kind === 'on') this.home();
  }

  /** A rise of the 8254's wire that the kernel's does not make. */
  private ring(): void {
    if (this.told & 1) return;
    this.chips?.line(0, true);
    this.chips?.line(0, false);
  }

  private tableChanged(): void {
    this.routesChanged = true;
  }

  // To the kernel

  private toKernel(): void {
    const { chipset, chips, vcpus } = this;
    if (!chipset || !chips) throw new Error('there is no board yet');
    this.pit?.prepare();
    for (const { vcpu, state: cpu } of vcpus) {
      const apic = chipset.apics[this.indexOf(vcpu)];
      const current = apic.timer.currentCount();
      apic.leave();
      const base = BigInt(apic.apicBase);
      chips.setApicBase(vcpu, base);
      this.arch?.setLocalController?.(vcpu, cpu, base, apic.state.tpr);
      const state = chips.lapic(vcpu);
      encodeLapic(apic.state, current, state);
      chips.setLapic(vcpu, state);
      const [low, high] = apic.tscDeadline;
      if (low || high) chips.setTscDeadline(vcpu, BigInt(low) | (BigInt(high) << 32n));
    }
    if (this.kind === 'on') this.sendChips(chipset, chips);
    this.away = true;
    chipset.go(this);
    if (this.kind === 'on') return;
    const asks = chipset.pic?.pending === true;
    for (const { intr } of chipset.parts.cpus) intr.set(asks);
  }

  private sendChips({ pic, ioApic, levels }: PcChipset, chips: KernelChips): void {
    if (!ioApic) return;
    const { chipset } = this;
    if (chipset) {
      // The 8254's own wire is the kernel's to drive.
      chipset.silent = true;
      this.pit?.leave(chips);
      chipset.silent = false;
      levels = chipset.levels;
    }
    // Wires that are high are no edges: nobody listens while they are told.
    chips.setChip(ChipId.ioapic, (view) => encodeIoapic(ioApic.state, IO_APIC, view, true));
    for (let gsi = 0; gsi < WIRES; gsi++)
      if (((levels ^ this.told) >>> gsi) & 1) this.line(gsi, ((levels >>> gsi) & 1) !== 0);
    if (pic)
      for (const chip of [ChipId.picMaster, ChipId.picSlave])
        chips.setChip(chip, (view) => encodePic({ ...pic.state, wires: picWires(levels) }, chip, view));
    chips.setChip(ChipId.ioapic, (view) =>
      encodeIoapic({ ...ioApic.state, wires: ioApicWires(levels) }, IO_APIC, view),
    );
  }

  /** Messages of the I/O APIC of user space; a masked pin keeps its last one, whose end may still be to come. */
  private route(): void {
    const { chipset, routes } = this;
    this.routesChanged = false;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const message = chipset?.ioApic?.message(pin);
      if (message) routes[pin] = { gsi: pin, ...messageOf(message) };
    }
    this.chips?.routeMessages(routes.filter((route) => route !== undefined));
  }

  // From the kernel

  home(): void {
    if (!this.away || this.coming) return;
    this.coming = true;
    try {
      this.fromKernel();
    } finally {
      this.coming = false;
    }
  }

  private fromKernel(): void {
    const { chipset, chips, vcpus, given } = this;
    if (!chipset || !chips) return;
    this.parkAll();
    const looks = vcpus.map((vcpu) => {
      const index = this.indexOf(vcpu.vcpu);
      return settleTimer(vcpu, chips, given.has(index), this.taken[index]);
    });
    given.clear();
    this.parkAll();
    // From here on the kernel makes no interrupt of the 8254's.
    this.pit?.stop(chips);
    for (const vcpu of vcpus) vcpu.sync();
    const found = vcpus.map(({ vcpu, state }, n) => {
      const apic = chipset.apics[this.indexOf(vcpu)];
      const view = chips.lapic(vcpu);
      const missed = hasMissed(looks[n], lookAtTimer(view));
      apic.adoptBase(Number(chips.apicBase(vcpu)));
      const left = decodeLapic(view, apic.state);
      setDeadline(apic, chips.tscDeadline(vcpu));
      return { apic, left, missed, waiting: state.stopped };
    });
    if (this.kind === 'on') this.fetchChips(chipset, chips);
    this.away = false;
    chipset.go(undefined);
    const external = chipset.pic?.pending === true;
    for (const { apic, left, missed, waiting } of found) apic.adopt(left, missed, external, waiting);
    if (this.kind !== 'on') return;
    chipset.pic?.resumed();
    chipset.pit?.resumed();
  }

  private fetchChips(chipset: PcChipset, chips: KernelChips): void {
    const { pic, ioApic } = chipset;
    chipset.silent = true;
    this.pit?.home();
    chipset.silent = false;
    if (pic) {
      for (const chip of [ChipId.picMaster, ChipId.picSlave]) decodePic(chips.chip(chip), chip, pic.state);
      pic.state.wires = picWires(chipset.levels);
    }
    if (!ioApic) return;
    decodeIoapic(chips.chip(ChipId.ioapic), ioApic.state);
    ioApic.state.wires = ioApicWires(chipset.levels);
  }

  private parkAll(): void {
    for (const vcpu of this.vcpus) vcpu.park();
  }

  private indexOf(vcpu: KvmVcpuPort): number {
    return this.vcpus.findIndex((one) => one.vcpu === vcpu);
  }
}

/** Runs of a moment, in each of which a timer may be set and end again. */
const SETTLES = 6;
/** Those without an interrupt: one that was under way before is served in the first. */
const QUIET = 2;

interface Settled {
  readonly look: LapicTimerLook;
  /** The end of a count that shows none any more is known to its processor. */
  readonly seen: boolean;
}

/**
 * A timer that has ended shows only after its processor has run: until then the kernel keeps it to itself. Where the
 * processor took an interrupt meanwhile, it may have set the timer again, and that may have ended, too.
 */
function settleTimer({ vcpu, settle }: IrqchipVcpu, chips: KernelChips, given: boolean, taken?: () => number): Settled {
  let look = lookAtTimer(chips.lapic(vcpu));
  let seen = false;
  let quiet = 0;
  const unclear = () => look.counts && (look.periodic || look.current === 0);
  for (let n = 0; n < SETTLES && !seen && (unclear() || given); n++) {
    const before = taken?.() ?? 0;
    if (!settle()) break;
    look = lookAtTimer(chips.lapic(vcpu));
    quiet = taken !== undefined && taken() === before ? quiet + 1 : 0;
    seen = look.periodic || look.current > 0 || look.waits || quiet >= QUIET;
  }
  return { look, seen };
}

/** Whether a count has ended that nobody was told of; no processor has run since `before`. */
function hasMissed({ look, seen }: Settled, now: LapicTimerLook): boolean {
  if (!look.counts || !now.counts) return false;
  if (now.periodic) return now.current > look.current;
  return now.current === 0 && (look.current > 0 || !seen);
}

function setDeadline({ state }: LocalApic, value: bigint): void {
  state.tscDeadline[0] = Number(value & 0xffff_ffffn);
  state.tscDeadline[1] = Number(value >> 32n);
}

/** Inputs of the pair of 8259s, by chip; the cascade is no wire of the board's. */
const picWires = (levels: number): number[] => [levels & 0xfb, (levels >>> 8) & 0xff];
/** The I/O APIC's pins: interrupt 0 is at pin 2. */
const ioApicWires = (levels: number): number => ((levels & ~5) | (levels & 1 ? 4 : 0)) >>> 0;
