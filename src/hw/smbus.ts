/**
 * The SMBus host controller of Intel's south bridges, and what may sit on its bus.
 *
 * Spec: Intel 82371AB (290562-001), "SMBus I/O Space Registers"; ICH9 data
 * sheet (316972-004), "SMBus I/O and Memory Mapped I/O Registers". Departures:
 * a transaction is over when it was started; no process call, no slave, no
 * packet error check (DEV_ERR).
 */
import { array, create, layout, u8 } from '../state/layout.ts';
import { bank } from './bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from './device.ts';

/** A device on the bus, by the commands that it knows; undefined and false stand for no acknowledge. */
export interface SmbusDevice {
  /** Reads a byte: at `command`, or the next one without it. */
  read(command: number | undefined): number | undefined;
  /** Writes a byte at `command`, or sends one without it. */
  write(command: number | undefined, value: number): boolean;
}

const STATUS = { INTERRUPT: 2, DEVICE_ERROR: 4, ALL: 0xfe } as const;
const CONTROL = { INTERRUPT_ENABLE: 1, START: 0x40, KEPT: 0x1f } as const;
const PROTOCOL = { QUICK: 0, BYTE: 1, BYTE_DATA: 2, WORD_DATA: 3, BLOCK: 5 } as const;
const BLOCK_SIZE = 32;

const STATE = layout('smbus', 1, {
  status: u8,
  control: u8,
  command: u8,
  address: u8,
  data: array(u8, 2),
  block: array(u8, BLOCK_SIZE),
  index: u8, // of the next byte of the block
});

const REGISTERS = bank<SmbusHost>(
  0x40,
  {
    SMBHSTSTS: { at: 0, read: (host) => host.state.status, write: (host, ones) => host.acknowledge(ones) },
    SMBHSTCNT: { at: 2, read: (host) => host.readControl(), write: (host, value) => host.start(value) },
    SMBHSTCMD: { at: 3, field: 'command' },
    SMBHSTADD: { at: 4, field: 'address' },
    SMBHSTDAT: { at: 5, count: 2, field: 'data' },
    SMBBLKDAT: { at: 7, read: (host) => host.readBlock(), write: (host, value) => host.writeBlock(value) },
    // The slave's side, which is not there: it never has anything to say.
    SLAVE: { at: 8, count: 0x38, read: () => 0, write: () => {} },
  },
  { width: 1 },
);

export class SmbusHost implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  private readonly devices: ReadonlyMap<number, SmbusDevice>;
  private readonly irq: IrqLine | undefined;

  /** `devices` by their 7-bit addresses. */
  constructor(name: string, log: DeviceLog, devices: ReadonlyMap<number, SmbusDevice>, irq?: IrqLine) {
    this.name = name;
    this.log = log;
    this.devices = devices;
    this.irq = irq;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.output();
  }

  resumed(): void {
    this.output();
  }

  acknowledge(ones: number): void {
    this.state.status &= ~(ones & STATUS.ALL);
    this.output();
  }

  readControl(): number {
    this.state.index = 0;
    return this.state.control & CONTROL.KEPT;
  }

  start(control: number): void {
    this.state.control = control & CONTROL.KEPT;
    if (!(control & CONTROL.START)) return;
    this.state.status |= this.transact((control >> 2) & 7) ? STATUS.INTERRUPT : STATUS.DEVICE_ERROR;
    this.output();
  }

  readBlock(): number {
    const { block, index } = this.state;
    this.state.index = (index + 1) % BLOCK_SIZE;
    return block[index % BLOCK_SIZE];
  }

  writeBlock(value: number): void {
    const { block, index } = this.state;
    block[index % BLOCK_SIZE] = value;
    this.state.index = (index + 1) % BLOCK_SIZE;
  }

  private transact(protocol: number): boolean {
    const { address, command, data, block } = this.state;
    const device = this.devices.get(address >> 1);
    const reading = (address & 1) !== 0;
    if (!device) return false;
    switch (protocol) {
      case PROTOCOL.QUICK:
        return true;
      case PROTOCOL.BYTE:
        return reading ? store(data, 0, device.read(undefined)) : device.write(undefined, command);
      case PROTOCOL.BYTE_DATA:
        return reading ? store(data, 0, device.read(command)) : device.write(command, data[0]);
      case PROTOCOL.WORD_DATA:
        if (!reading) return device.write(command, data[0]) && device.write((command + 1) & 0xff, data[1]);
        return store(data, 0, device.read(command)) && store(data, 1, device.read((command + 1) & 0xff));
      case PROTOCOL.BLOCK: {
        const length = reading ? BLOCK_SIZE : data[0];
        if (length < 1 || length > BLOCK_SIZE) return false;
        this.state.index = 0;
        for (let i = 0; i < length; i++) {
          const at = (command + i) & 0xff;
          if (reading ? !store(block, i, device.read(at)) : !device.write(at, block[i])) return false;
        }
        if (reading) data[0] = length;
        return true;
      }
      default:
        this.log.unimplemented(this.name, `protocol ${protocol}`);
        return false;
    }
  }

  private output(): void {
    const { status, control } = this.state;
    this.irq?.set(
      (control & CONTROL.INTERRUPT_ENABLE) !== 0 && (status & (STATUS.INTERRUPT | STATUS.DEVICE_ERROR)) !== 0,
    );
  }
}

/** An EEPROM of 256 bytes, as memory modules carry one: write-protected. */
export function smbusEeprom(contents: Uint8Array): SmbusDevice {
  let next = 0;
  const read = (command: number | undefined): number => {
    const at = command ?? next;
    next = (at + 1) & 0xff;
    return contents[at] ?? 0;
  };
  return {
    read,
    write: (command, value) => {
      // A byte sent alone is the address of the next one read.
      next = (command === undefined ? value : command + 1) & 0xff;
      return true;
    },
  };
}

function store(into: number[], at: number, value: number | undefined): boolean {
  if (value !== undefined) into[at] = value & 0xff;
  return value !== undefined;
}
