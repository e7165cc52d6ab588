/** What a machine is made of, whatever its processor; nothing runs yet. */
import type { Board, SpaceAccelerator, StateVcpu } from '../accel/accelerator.ts';
import type { DeviceLog, Dma } from '../hw/device.ts';
import type { DisplaySource } from '../hw/display.ts';
import type { MachineInput, VcpuView } from './api.ts';
import type { MachineBoard } from './board.ts';
import type { MachineClock } from './machine-clock.ts';
import type { RunLoop } from './run-loop.ts';

export interface MachineParts {
  readonly accel: SpaceAccelerator;
  /** The board as accelerators see it. */
  readonly hooks: Board;
  readonly clock: MachineClock;
  readonly loop: RunLoop;
  readonly board: MachineBoard;
  readonly log: DeviceLog;
  /** What the guest may ask for; to be set by the machine. */
  readonly outcome: { poweroff(code: number): void; reset(): void };
  /** Power-on state of the vCPUs; the board has been reset. */
  resetCpus(): void;
  readonly display?: DisplaySource;
  readonly input?: MachineInput;
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
  };
}

/** A vCPU for embedders; `changed` is told when a register was written. */
export function view(vcpu: StateVcpu, changed: () => void): VcpuView {
  const { state } = vcpu;
  return {
    index: vcpu.index,
    get instructions() {
      return vcpu.instructions;
    },
    get halted() {
      return state.waiting || state.stopped;
    },
    registerNames: () => vcpu.registerNames(),
    readRegister: (name) => vcpu.readRegister(name),
    writeRegister(name, value) {
      vcpu.writeRegister(name, value);
      changed();
    },
    translate: (virtual) => vcpu.translate(virtual),
  };
}
