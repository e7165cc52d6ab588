/**
 * What an AHCI port holds, and its registers.
 *
 * Spec: Serial ATA AHCI 1.3.1, "Port Registers".
 */
import { type Banked, bank } from '../../hw/bank.ts';
import { f64, i32, initially, layout, type StateOf, u1, u32 } from '../../state/layout.ts';

export const PORT_SIZE = 0x80;
export const CMD = { ST: 1, SUD: 2, POD: 4, CLO: 8, FRE: 0x10, FR: 0x4000, CR: 0x8000, WRITABLE: 0x0f00_0017 };
export const IS = { DHRS: 1, PSS: 2, SDBS: 8, OFS: 0x100_0000, HBFS: 0x2000_0000, TFES: 0x4000_0000 };
const IE_BITS = 0xfdc0_00ff;
export const NO_SIGNATURE = 0xffff_ffff;
const LINK_UP = 0x113; // a device, generation 1, active

export const STATE = layout('ahci-port', 1, {
  clb: u32,
  clbu: u32,
  fb: u32,
  fbu: u32,
  is: u32,
  ie: u32,
  cmd: initially(u32, CMD.SUD | CMD.POD),
  tfd: initially(u32, 0x7f),
  sig: initially(u32, NO_SIGNATURE),
  sctl: u32,
  serr: u32,
  sact: u32,
  ci: u32,
  running: initially(i32, -1), // the slot of the unqueued command
  queued: u32, // slots that the disk works on
  moved: f64, // bytes of the running command by PIO
  halted: u1, // an error waits for software to restart the port
  greeted: u1, // the drive's first frame was received
  resetting: u1, // SRST is set
});

/** A port as its registers see it. */
export interface PortRegisters extends Banked {
  readonly state: StateOf<typeof STATE>;
  /** PxCMD with what follows from the state. */
  readonly command: number;
  readonly drive: object | undefined;
  acknowledge(ones: number): void;
  changed(): void;
  setCommand(value: number): void;
  setControl(value: number): void;
  issue(ones: number): void;
}

export const REGISTERS = bank<PortRegisters>(
  PORT_SIZE,
  {
    PxCLB: { at: 0x00, field: 'clb', mask: ~0x3ff },
    PxCLBU: { at: 0x04, field: 'clbu' },
    PxFB: { at: 0x08, field: 'fb', mask: ~0xff },
    PxFBU: { at: 0x0c, field: 'fbu' },
    PxIS: { at: 0x10, read: ({ state }) => state.is, write: (port, ones) => port.acknowledge(ones) },
    PxIE: { at: 0x14, field: 'ie', mask: IE_BITS, after: (port) => port.changed() },
    PxCMD: { at: 0x18, read: (port) => port.command, write: (port, value) => port.setCommand(value) },
    PxTFD: { at: 0x20, read: ({ state }) => state.tfd, write: () => {} },
    PxSIG: { at: 0x24, read: ({ state }) => state.sig, write: () => {} },
    PxSSTS: { at: 0x28, read: (port) => (port.drive ? LINK_UP : 0), write: () => {} },
    PxSCTL: { at: 0x2c, read: ({ state }) => state.sctl, write: (port, value) => port.setControl(value) },
    PxSERR: {
      at: 0x30,
      read: ({ state }) => state.serr,
      write: ({ state }, ones) => {
        state.serr = (state.serr & ~ones) >>> 0;
      },
    },
    PxSACT: {
      at: 0x34,
      read: ({ state }) => state.sact,
      write: ({ state }, ones) => {
        if (state.cmd & CMD.ST) state.sact = (state.sact | ones) >>> 0;
      },
    },
    PxCI: { at: 0x38, read: ({ state }) => state.ci, write: (port, ones) => port.issue(ones) },
    PxSNTF: { at: 0x3c, read: () => 0, write: () => {} },
    PxFBS: { at: 0x40, read: () => 0, write: () => {} },
  },
  { access: [1, 2, 4] },
);
