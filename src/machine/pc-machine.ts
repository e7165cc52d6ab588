/** Puts the parts of an x86 machine together and wires them. */
import type { Board, SpaceAccelerator } from '../accel/accelerator.ts';
import type { KvmCpuOffer } from '../accel/kvm/x86/cpuid.ts';
import { createSwitching } from '../accel/create.ts';
import { loadIsa } from '../accel/isas.ts';
import type { ApicCpu } from '../devices/apic/apic-wiring.ts';
import type { MemoryArea } from '../hw/memory-area.ts';
import { cpuid } from '../isa/x86/cpuid/cpuid.ts';
import { missingFeatures } from '../isa/x86/cpuid/features.ts';
import { init, startUp } from '../isa/x86/cpu.ts';
import { Eflags, Line } from '../isa/x86/state.ts';
import type { MachineConfig } from './config.ts';
import { InputRouter } from './input-router.ts';
import type { KernelIrqchip } from './kernel-irqchip.ts';
import { chooseIrqchip } from './choose-irqchip.ts';
import { KvmClock } from './kvm-clock.ts';
import { KvmStealTime } from './kvm-steal-time.ts';
import type { MachineHost } from './machine-host.ts';
import { deviceLog } from './machine-log.ts';
import { clockOf, dmaOf, type MachineParts, offeredBy, switchingOptions } from './machine-parts.ts';
import { buildMicrovm, microvmMemory } from './microvm.ts';
import { buildPc, pcMemory, type PcBoard } from './pc.ts';
import { pcAreas } from './pc-firmware.ts';
import { FOUR_GIB, type PcMemory } from './pc-memory.ts';
import { PC_NAMES } from './pc-names.ts';
import type { GuestMemory } from './pc-parts.ts';
import { RunLoop } from './run-loop.ts';
import type { StateAccess } from '../isa/isa.ts';
import { enterSmm, leaveSmm, SAVE_AREA } from '../isa/x86/smm.ts';
import { rateBits, timeStamp } from '../isa/x86/time-stamp.ts';
import { cpuidOptions, x86CpuModel, missingCr4 } from './x86-cpu.ts';
import { X86EventLog } from './x86-event-log.ts';
import { Hypercalls } from './x86-hypercalls.ts';
import { processorSignature, X86HostCalls } from './x86-host-calls.ts';
import { x86Monitor } from './x86-monitor.ts';

/** What KVM here offers processors, and when that was asked: milliseconds of the host. */
let known: { readonly offer: KvmCpuOffer; readonly at: number } | undefined;

/** Interrupt inputs of a vCPU: the bits of `Line` by number. */
const INPUT = { intr: 0, nmi: 1, smi: 2 } as const;

/** Throws ConfigError. */
export async function assemblePc(config: MachineConfig, host: MachineHost): Promise<MachineParts> {
  const log = deviceLog(config.log);
  const { kind } = PC_NAMES[config.machine];
  const accelerators = switchingOptions(config, host);
  const { kvmCpuOffer } = await import('../accel/kvm/x86/cpuid.ts');
  let irqchip: KernelIrqchip | undefined;
  const { names, offer } = offeredBy(accelerators, (kvm) => {
    // The same for each machine of a process: finding it out takes longer than making one.
    known ??= { offer: kvmCpuOffer(kvm), at: host.now() };
    irqchip = chooseIrqchip(config, kind, kvm);
    return known.offer;
  });
  const cpu = x86CpuModel(config.cpu, offer, {
    // What depends on the host is no part of a machine whose runs are all the same.
    // KVM serves them itself, and needs its own local APICs for it.
    hypercalls: offer === undefined || (irqchip !== undefined && offer.hypercalls),
    stealTime: !config.icount && host.waited?.() !== undefined,
    // It saves exits; under the JIT an interrupt takes longer with it. The kernel's local APICs have their own, and its
    // state cannot be moved; and see `PvEoi`.
    pvEoi: irqchip === undefined && names.includes('kvm') && !accelerators.threaded,
  });
  if (irqchip && !cpu.features.has('apic')) {
    if (config.kernelIrqchip)
      config.log?.write(`kernel-irqchip=${irqchip.kind}: the processors have no APIC; as with off`);
    irqchip = undefined;
  }
  if (cpu.missing.length > 0)
    config.log?.write(`warning: the emulated processor has no ${cpu.missing.join(', ')}; going on without`);
  const memory = kind === 'microvm' ? microvmMemory(config) : pcMemory(config, kind);
  const options = Array.from({ length: config.cpus }, (_, index) => cpuidOptions(cpu, index, config.cpus));
  // What the accelerator asks of the board, which is built on the accelerator.
  const late: { board?: PcBoard; calls: X86HostCalls[]; events?: X86EventLog[]; stealTime?: KvmStealTime } = {
    calls: [],
  };
  const hooks: Board = {
    mmioRead: (address, size) => late.board?.bus.read(address, size),
    mmioWrite: (address, size, value) => late.board?.bus.write(address, size, value) === true,
    now: () => clock.now(),
    as: (index, what) => loop.as(index, what),
    portRead: (port, size) => late.board?.ports?.read(port, size) ?? 0xffff_ffff,
    portWrite: (port, size, value) => late.board?.ports?.write(port, size, value),
    acknowledge(index) {
      const vector = late.board?.acknowledge(index) ?? -1;
      if (vector >= 0) late.events?.[index].taken(vector);
      return vector;
    },
    doorbells: () => late.board?.bus.doorbells() ?? [],
    mapVersion: () => late.board?.bus.version ?? 0,
    hostCall: (index, number, a, b) => late.calls[index]?.call(number, a, b) ?? 1,
  };
  const isa = await loadIsa('x86_64', missingFeatures(cpu.features));
  const accel = await createSwitching({
    isa,
    cpus: config.cpus,
    ramBase: 0,
    ramSize: config.memory,
    areas: pcAreas(config, kind),
    mapped: FOUR_GIB + memory.above,
    board: hooks,
    ...accelerators,
    names,
    irqchip,
    // A processor that waits in the kernel must not hold up the devices.
    threaded: irqchip ? true : accelerators.threaded,
    counterHz: cpu.tscHz,
    identify: (state, leaf, subleaf) => cpuid(options[state.index], state, leaf, subleaf),
  });
  const { vcpus } = accel;
  const states = vcpus.map(({ state }) => state);
  const clock = clockOf(config, host, vcpus);
  /** Processors whose next wait is over before it begins: KVM_HC_KICK_CPU. */
  const kicked = states.map(() => false);
  const loop = new RunLoop({
    host,
    clock,
    vcpus,
    deterministic: config.icount !== undefined,
    // The local APICs' timers are devices.
    ownDeadline: () => Infinity,
    isWoken(index) {
      const state = states[index];
      const lines = state.get32('lines');
      const enabled = (state.get32('eflags') & Eflags.if) !== 0;
      if (kicked[index]) {
        kicked[index] = false;
        state.set32('waiting', 0);
        return true;
      }
      if (lines & Line.smi && !state.get32('inSmm')) return true;
      return (lines & Line.nmi) !== 0 || ((lines & Line.intr) !== 0 && enabled);
    },
    entering(index) {
      late.board?.managed?.(states[index].get32('inSmm') !== 0);
      late.stealTime?.entering(index, clock.now());
    },
    left: () => late.board?.managed?.(false),
    onStopped(index) {
      if (!states[index].get32('shutdown')) return;
      // A triple fault resets a PC.
      if (config.log?.items.has('int') || config.log?.items.has('cpu_reset'))
        config.log.write(`cpu${index}: triple fault at 0x${states[index].pc.toString(16)}`);
      states[index].set32('shutdown', 0);
      outcome.reset();
    },
  });
  clock.onEarlier = () => loop.wake();
  accel.onBack = (index) => loop.attend(index);

  const dma = dmaOf(accel);
  const cpus: ApicCpu[] = vcpus.map((vcpu, index) => {
    const { state } = vcpu;
    const raise = (input: number) => {
      state.setLine(input, true);
      loop.attend(index);
    };
    return {
      intr: {
        set(level) {
          state.setLine(INPUT.intr, level);
          if (level) loop.attend(index);
        },
      },
      nmi: () => raise(INPUT.nmi),
      smi() {
        // KVM is told by the state that the interpreter has to go on.
        if (accel.name === 'kvm') vcpu.sync();
        raise(INPUT.smi);
        if (accel.name === 'kvm') vcpu.refresh();
      },
      init() {
        vcpu.sync();
        init(state, index !== 0);
        vcpu.refresh();
        loop.attend(index);
      },
      startup(vector) {
        vcpu.sync();
        startUp(state, vector);
        vcpu.refresh();
        loop.attend(index);
      },
    };
  });
  const apics = cpu.features.has('apic');
  // QEMU's `auto` asks KVM whether it can; with ours the interpreter would execute all of it.
  const { smm } = config.machineProperties ?? {};
  const hasSmm = smm === 'on' || (smm !== 'off' && accel.name !== 'kvm');
  const build = kind === 'microvm' ? buildMicrovm : buildPc;
  const board = await build(config, {
    wiring: { clock, dma, log },
    memory: guestMemory(accel, memory),
    cpus,
    current: () => Math.max(0, loop.running),
    apics,
    kernelIoApic: irqchip?.kind === 'on',
    tsc: (index) => ({
      now: () => Number(BigInt.asIntN(64, timeStamp(states[index], clock.now()))),
      hz: cpu.tscHz,
    }),
    a20: { set: (level) => setA20(level) },
    processor: processorSignature(options[0], states[0]),
    random: (into) => host.random(into),
    smm: hasSmm,
    inSmm: () => loop.running >= 0 && states[loop.running].get32('inSmm') !== 0,
  });
  const setA20 = (level: boolean) => {
    const mask = level ? (1n << 64n) - 1n : (1n << 64n) - 1n - (1n << 20n);
    for (const vcpu of vcpus) {
      if (vcpu.state.get64('a20') === mask) continue;
      vcpu.state.set64('a20', mask);
      vcpu.flushTranslations?.();
    }
  };
  late.board = board;
  irqchip?.connect(board.chipset);
  const { log: lines } = config;
  const logged = { next: 0 };
  if (lines?.items.has('int'))
    late.events = states.map((state) => new X86EventLog(state, logged, (text) => lines.write(text)));
  const saveArea = (state: StateAccess, write: boolean): DataView | undefined => {
    const at = state.getNumber('smbase') + SAVE_AREA.at;
    const bytes = accel.space.range(at, SAVE_AREA.size, write);
    if (bytes && write) accel.written(at, SAVE_AREA.size);
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const kvmClock = cpu.paravirtual?.has('kvmclock')
    ? new KvmClock(
        dma,
        clock,
        {
          ...{ cpus: config.cpus, hz: cpu.tscHz },
          read: (now) => timeStamp(states[0], now),
          added: (index) => states[index].get64('tscOffset'),
        },
        cpu.paravirtual.has('kvmclock-stable-bit'),
      )
    : undefined;
  const waited = {
    thread: (index: number) => vcpus[index].hostThread,
    waited: (thread: number | undefined) => host.waited?.(thread),
    wants: (index: number) => !states[index].waiting && !states[index].stopped,
  };
  const stealTime = cpu.paravirtual?.has('kvm-steal-time') ? new KvmStealTime(dma, waited, config.cpus) : undefined;
  accel.guestClock = {
    stopped: () => kvmClock?.stopped(),
    started(paused) {
      kvmClock?.started(paused);
      // KVM does not say whom it has told not to wait. Who is woken for nothing looks again.
      if (!paused && cpu.paravirtual?.has('kvm-pv-unhalt')) kicked.fill(true);
    },
  };
  late.stealTime = stealTime;
  const hypercalls = new Hypercalls({
    ...{ cpus: config.cpus, bus: board.chipset.apicBus },
    kick(index) {
      const { waiting } = states[index];
      kicked[index] = !waiting;
      if (waiting) states[index].set32('waiting', 0);
      loop.attend(index);
    },
  });
  late.calls = states.map(
    (state, index) =>
      new X86HostCalls({
        isa,
        cpuid: options[index],
        state,
        apic: board.chipset.apics[index],
        reach: () => board.chipset.reach(true),
        kvmClock,
        stealTime,
        hypercalls: cpu.paravirtual && hypercalls,
        sync: () => vcpus[index].sync(),
        index,
        log,
        random: (into) => host.random(into),
        events: late.events?.[index],
        smm: {
          enter() {
            board.managed?.(true);
            late.events?.[index].managed(true);
            enterSmm(state, saveArea(state, true), cpu.features.has('lm'));
          },
          leave() {
            const valid = leaveSmm(state, saveArea(state, false), cpu.features.has('lm'));
            board.managed?.(false);
            late.events?.[index].managed(false);
            return valid;
          },
        },
      }),
  );
  const outcome: MachineParts['outcome'] = {
    ...{ poweroff() {}, reset() {}, suspend() {}, wake() {} },
    ...{ panic() {}, watchdog() {} },
  };
  /** The instruction that asked for a reset, for sleep or for the end is the last one. */
  const last = (ask: () => void) => {
    for (const state of states) {
      state.stopped = true;
      state.attention = true;
    }
    ask();
  };
  board.onPoweroff = (code) => last(() => outcome.poweroff(code));
  board.onReset = () => last(() => outcome.reset());
  board.onPanic = (event) => outcome.panic(event);
  board.onWatchdog = () => outcome.watchdog();
  if (board.suspendToRam) {
    board.suspendToRam.onSuspend = () => last(() => outcome.suspend());
    board.suspendToRam.onWake = (cause) => outcome.wake(cause);
  }
  /** A counter that KVM cannot set is the machine's under each accelerator, and for all processors alike. */
  const counterSkew = (): bigint => {
    if (offer?.tscFixed === undefined || !known) return 0n;
    const passed = (host.now() - known.at) * 1e6 - clock.now();
    return offer.tscFixed + BigInt(Math.round((passed * cpu.tscHz) / 1e9));
  };
  const resetCpus = () => {
    kvmClock?.reset();
    kicked.fill(false);
    stealTime?.reset();
    const skew = counterSkew();
    vcpus.forEach((vcpu, index) => {
      vcpu.reset();
      const { state } = vcpu;
      state.set64('gpr', BigInt(processorSignature(options[index], state).eax), 2);
      state.set32('physicalBits', cpu.physicalBits);
      state.set64('tscRate', rateBits(cpu.tscHz));
      state.set64('tscSkew', skew);
      state.set64('cr4Missing', missingCr4(cpu.features));
      state.set32('linearBits', cpu.features.has('la57') ? 57 : 48);
      state.set32('logEvents', late.events ? 1 : 0);
      state.stopped = index !== 0;
    });
  };
  const router = new InputRouter(clock);
  for (const sink of board.inputs) router.add(sink);
  router.onPressed = () => board.suspendToRam?.onWake('other');
  const input = board.inputs.length > 0 ? router : undefined;
  const chips = () => {
    irqchip?.home();
    for (const apic of board.chipset.apics) apic.pvEoi.poll();
  };
  const text = vcpus.map((vcpu) => x86Monitor(vcpu, (address, length) => accel.space.range(address, length)));
  const { display } = board;
  const parts = { accel, hooks, clock, loop, board, log, outcome, resetCpus, chips, display, input, text };
  const waitsInKernel = irqchip;
  const pollBeforeHalt = waitsInKernel && ((ns: number) => waitsInKernel.pollBeforeHalt(ns));
  return { ...parts, guestClock: kvmClock, pollBeforeHalt };
}

/** The space as a PC board shows it to its guest. */
function guestMemory(accel: SpaceAccelerator, { below, above }: PcMemory): GuestMemory {
  const { space } = accel;
  const ram = space.ramBytes();
  const areas = new Map<string, MemoryArea>();
  /** A guest may point a BAR at RAM, which stays. */
  const onRam = (at: number, size: number) =>
    at < below || at + size > FOUR_GIB + above || (above > 0 && at + size > FOUR_GIB);
  return {
    ram,
    writeRam(offset, data, size = data.length) {
      ram.set(data, offset);
      ram.fill(0, offset + data.length, offset + size);
      accel.written(offset, size);
    },
    mapRam: (address, length, offset, readOnly = false) =>
      space.map(address, length, space.ram.host + offset, readOnly),
    mapArea: (name, address, length, offset, readOnly) =>
      space.map(address, length, space.area(name).host + offset, readOnly),
    unmap: (address, length) => space.unmap(address, length),
    area(name) {
      const known = areas.get(name);
      if (known) return known;
      const own = space.memoryArea(name);
      const area: MemoryArea = {
        bytes: own.bytes,
        place: (at) => own.place(at === undefined || onRam(at, own.bytes.length) ? undefined : at),
        get readOnly() {
          return own.readOnly;
        },
        set readOnly(value) {
          own.readOnly = value;
        },
      };
      areas.set(name, area);
      return area;
    },
  };
}
