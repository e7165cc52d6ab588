/**
 * SiFive test finisher: the guest's way to power off, fail or reset the board.
 *
 * Spec: SiFive E31/U54 manuals have no page on it; behaviour as the device tree
 * binding `sifive,test1` and the generic `syscon-poweroff`/`syscon-reboot` use it.
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, Mmio } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

const STATE = layout('sifive-test', 1, {});

const FAIL = 0x3333;
const PASS = 0x5555;
const RESET = 0x7777;

const REGISTERS = bank<SifiveTest>(
  0x1000,
  { FINISHER: { at: 0, read: () => 0, write: (finisher, value) => finisher.finish(value) } },
  { access: [2, 4] },
);

export interface Finish {
  /** The guest ended the machine; `code` is 0 for success. */
  poweroff(code: number): void;
  reset(): void;
}

export class SifiveTest implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  private readonly outcome: Finish;

  constructor(name: string, log: DeviceLog, outcome: Finish) {
    this.name = name;
    this.log = log;
    this.outcome = outcome;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {}

  finish(value: number): void {
    const status = value & 0xffff;
    if (status === FAIL) this.outcome.poweroff(value >>> 16);
    else if (status === PASS) this.outcome.poweroff(0);
    else if (status === RESET) this.outcome.reset();
    else this.log.guestError(this.name, `unknown status 0x${value.toString(16)}`);
  }
}
