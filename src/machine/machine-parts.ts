/** What a machine is made of, whatever its processor; nothing runs yet. */
import type { AcceleratorOptions, Board, SpaceAccelerator, StateVcpu } from '../accel/accelerator.ts';
import type { SwitchingOptions } from '../accel/create.ts';
import { KvmError, type KvmPort } from '../accel/kvm/port.ts';
import type { AcceleratorName, GuestClock, SwitchingAccelerator } from '../accel/switching.ts';
import type { WakeCause } from '../hw/acpi/acpi-pm.ts';
import type { DeviceLog, Dma } from '../hw/device.ts';
import type { DisplaySource } from '../hw/display.ts';
import type { MachineInput, ProcessorText, VcpuView } from './api.ts';
import type { MachineBoard } from './board.ts';
import type { MachineConfig } from './config.ts';
import { type MachineClock, RealClock, VirtualClock } from './machine-clock.ts';
import type { MachineHost } from './machine-host.ts';
import type { RunLoop } from './run-loop.ts';

export interface MachineParts {
  readonly accel: SwitchingAccelerator;
  /** The board as accelerators see it. */
  readonly hooks: Board;
  readonly clock: MachineClock;
  readonly loop: RunLoop;
  readonly board: MachineBoard;
  readonly log: DeviceLog;
  /** What the guest may ask for; to be set by the machine. */
  readonly outcome: {
    poweroff(code: number): void;
    reset(): void;
    suspend(): void;
    wake(cause: WakeCause): void;
    panic(event: 'panicked' | 'crashloaded'): void;
    watchdog(): void;
  };
  /** Power-on state of the vCPUs; the board has been reset. */
  resetCpus(): void;
  /** Brings back what of the board is in the kernel: somebody is going to look at it, or change it. */
  readonly chips?: () => void;
  /** How long the kernel spins before it lets a processor sleep, ns; false: it cannot be told. Absent: no processor sleeps there. */
  readonly pollBeforeHalt?: ((ns: number) => boolean) | undefined;
  /** A clock that the guest reads without leaving. */
  readonly guestClock?: GuestClock | undefined;
  readonly display?: DisplaySource;
  readonly input?: MachineInput;
  /** Of each vCPU, where its kind has one. */
  readonly text?: readonly ProcessorText[];
}

/** Of the accelerator's options those that the host gives. */
export function compilerOf(host: MachineHost): Pick<AcceleratorOptions, 'compiler' | 'hot' | 'codeStore'> {
  return {
    compiler: host.compiler && (() => host.compiler?.()),
    codeStore: host.codeStore?.(),
    hot: host.hot && ((make) => (host.hot ? host.hot(make) : make())),
  };
}

/** The accelerators that are asked for, in order. */
export function accelNames({ accel, icount }: MachineConfig, host: MachineHost): readonly AcceleratorName[] {
  if (accel === 'auto') return !icount && host.kvmIsFast?.() ? ['kvm', 'jit'] : ['jit'];
  return typeof accel === 'string' ? [accel] : accel;
}

/** What is the same for every machine in the options of its accelerators. */
export function switchingOptions(
  config: MachineConfig,
  host: MachineHost,
): Pick<
  SwitchingOptions,
  'names' | 'stay' | 'threaded' | 'kvm' | 'noKvm' | 'refused' | 'onMoved' | 'compiler' | 'hot' | 'codeStore'
> {
  const names = accelNames(config, host);
  const note = (line: string) => config.log?.write(line);
  let noKvm: string | undefined;
  if (config.icount) noKvm = 'KVM cannot count instructions, which -icount needs';
  else if (!names.includes('kvm')) noKvm = 'the machine was not made for KVM: -accel jit:kvm makes one that is';
  return {
    names,
    stay: config.accelStay,
    threaded: config.accelThreads ?? config.cpus > 1,
    kvm: host.kvm && (() => (host.kvm as NonNullable<typeof host.kvm>)()),
    noKvm,
    refused: (name, error) => note(`${name}: ${error.message}`),
    onMoved: (message) => note(message),
    ...compilerOf(host),
  };
}

/**
 * What KVM offers the machine's processors, and the accelerators that are left when it is not there. Throws KvmError
 * where no other was asked for.
 */
export function offeredBy<T>(
  options: ReturnType<typeof switchingOptions>,
  ask: (kvm: KvmPort) => T,
): { readonly names: readonly AcceleratorName[]; readonly offer: T | undefined } {
  const { names, kvm, noKvm, refused } = options;
  if (!kvm || noKvm !== undefined) return { names, offer: undefined };
  try {
    const port = kvm();
    try {
      return { names, offer: ask(port) };
    } finally {
      port.close();
    }
  } catch (error) {
    const others = names.filter((name) => name !== 'kvm');
    if (!(error instanceof KvmError) || others.length === 0) throw error;
    refused('kvm', error);
    return { names: others, offer: undefined };
  }
}

/** The machine's time: the host's, or with `-icount` that of the instructions executed. */
export function clockOf(config: MachineConfig, host: MachineHost, vcpus: readonly StateVcpu[]): MachineClock {
  if (!config.icount) return new RealClock(host, config.rtc);
  return new VirtualClock(host, config.rtc, config.icount, () =>
    vcpus.reduce((sum, vcpu) => sum + vcpu.instructions, 0),
  );
}

/** Guest memory as devices reach it. */
export function dmaOf(accel: SpaceAccelerator): Dma {
  return {
    readable: (address, length) => accel.space.range(address, length),
    writable(address, length) {
      const bytes = accel.space.range(address, length, true);
      if (bytes) accel.written(address, length);
      return bytes;
    },
    stretch: undefined,
  };
}

/** A vCPU for embedders; `changed` is told when a register was written. */
export function view(vcpu: StateVcpu, changed: () => void, text?: ProcessorText): VcpuView {
  const { state } = vcpu;
  return {
    index: vcpu.index,
    get instructions() {
      return vcpu.instructions;
    },
    get halted() {
      vcpu.sync?.(); // it may wait in the kernel
      return state.waiting || state.stopped;
    },
    registerNames: () => vcpu.registerNames(),
    readRegister: (name) => vcpu.readRegister(name),
    writeRegister(name, value) {
      vcpu.writeRegister(name, value);
      changed();
    },
    translate: (virtual) => vcpu.translate(virtual),
    text,
  };
}
