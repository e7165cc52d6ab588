/**
 * `isa-debug-exit`: a write ends the machine with an odd exit code, as test suites use it.
 *
 * Spec: QEMU 7.2's device of that name: a written value v is exit code 2 v + 1; reads give 0.
 */
import type { Device, Mmio } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

/** The defaults of `iobase` and `iosize`. */
export const DEBUG_EXIT_PORT = 0x501;
export const DEBUG_EXIT_SIZE = 2;

const STATE = layout('isa-debug-exit', 1, {});

export class IsaDebugExit implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  /** `iosize` ports. */
  readonly mmio: Mmio;

  /** `exit` ends the machine with a process's exit code, 1 to 255. */
  constructor(name: string, exit: (code: number) => void) {
    this.name = name;
    this.mmio = {
      read: () => 0,
      write: (_, __, value) => exit(((value << 1) | 1) & 0xff),
    };
  }

  reset(): void {}
}
