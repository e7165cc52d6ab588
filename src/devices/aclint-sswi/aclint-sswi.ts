/**
 * ACLINT SSWI: lets supervisor software interrupt another hart without its
 * firmware.
 *
 * Spec: RISC-V ACLINT 1.0-rc4, "Supervisor-level Software Interrupt Device
 * (SSWI)". A register for each hart: writing 1 gives it an edge; it reads as 0.
 */
import { type Bank, bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

/** The interrupt itself is pending in the hart, in mip.SSIP; nothing stays here. */
const STATE = layout('aclint-sswi', 1, {});

const WINDOW = 0x4000;

export class AclintSswi implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  private readonly harts: readonly IrqLine[];

  /** `harts`: a line for each; rising edges count. */
  constructor(name: string, log: DeviceLog, harts: readonly IrqLine[]) {
    this.name = name;
    this.log = log;
    this.harts = harts;
    this.mmio = registers(harts.length).on(this);
  }

  /** Nothing to forget, nothing to put out: a line at rest is low. */
  reset(): void {}

  interrupt(hart: number): void {
    this.harts[hart].set(true);
    this.harts[hart].set(false);
  }
}

function registers(harts: number): Bank<AclintSswi> {
  return bank<AclintSswi>(WINDOW, {
    SETSSIP: {
      at: 0,
      count: harts,
      read: () => 0,
      write: (sswi, value, hart) => {
        if (value & 1) sswi.interrupt(hart);
      },
    },
  });
}
