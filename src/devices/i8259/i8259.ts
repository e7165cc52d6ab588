/**
 * The PC's pair of 8259A interrupt controllers, the second on input 2 of the
 * first, with the edge/level control registers (ELCR) of the PCI chipsets.
 *
 * Spec: Intel 8259A (231468), "Initialization Command Words" and "Operation
 * Command Words"; Intel 82371AB (PIIX4), "Edge/Level Control Registers".
 * Departures, QEMU's: an edge stays requested when its wire falls before
 * anybody took it; the level mode of ICW1 is not there, ELCR decides; MCS-80
 * mode and the buffered modes are not there.
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import { array, create, layout, u1, u8 } from '../../state/layout.ts';

const MASTER = 0;
const SLAVE = 1;
/** The master's input that the slave drives. */
const CASCADE = 2;
const NONE = -1;

const ICW1 = { IC4: 0x01, SINGLE: 0x02, LEVEL: 0x08, IS: 0x10 };
const ICW4 = { AUTO_EOI: 0x02, SPECIAL_FULLY_NESTED: 0x10 };
const OCW3 = { READ_ISR: 0x01, READ: 0x02, POLL: 0x04, IS: 0x08, SPECIAL_MASK: 0x20, SET_SPECIAL_MASK: 0x40 };
/** R, SL and EOI of OCW2. */
const OCW2 = {
  CLEAR_ROTATE_ON_AUTO_EOI: 0,
  EOI: 1,
  SPECIFIC_EOI: 3,
  SET_ROTATE_ON_AUTO_EOI: 4,
  ROTATE_ON_EOI: 5,
  SET_PRIORITY: 6,
  ROTATE_ON_SPECIFIC_EOI: 7,
};
/** Inputs that may be level-triggered: not the timer, the keyboard, the cascade, the RTC and the coprocessor. */
const ELCR_MASK = [0xf8, 0xde];

/** What a write to the odd port is. */
const EXPECT = { OCW1: 0, ICW2: 1, ICW3: 2, ICW4: 3 };

// Each array holds the master's value and the slave's.
const STATE = layout('i8259', 1, {
  irr: array(u8, 2), // interrupt requests
  imr: array(u8, 2), // masked inputs
  isr: array(u8, 2), // in service
  wires: array(u8, 2), // the inputs as last seen: an edge is a change to 1
  elcr: array(u8, 2), // level-triggered inputs
  base: array(u8, 2), // ICW2: the vector of input 0
  first: array(u8, 2), // the input of the highest priority
  expects: array(u8, 2), // EXPECT
  needsIcw4: array(u1, 2),
  single: array(u1, 2),
  autoEoi: array(u1, 2),
  rotateOnAutoEoi: array(u1, 2),
  specialFullyNested: array(u1, 2),
  specialMask: array(u1, 2),
  readIsr: array(u1, 2),
  poll: array(u1, 2),
});

const registers = (chip: number) =>
  bank<I8259>(
    2,
    {
      COMMAND: { at: 0, read: (pic) => pic.readCommand(chip), write: (pic, value) => pic.writeCommand(chip, value) },
      DATA: { at: 1, read: (pic) => pic.readData(chip), write: (pic, value) => pic.writeData(chip, value) },
    },
    { width: 1 },
  );
const MASTER_REGISTERS = registers(MASTER);
const SLAVE_REGISTERS = registers(SLAVE);
const ELCR_REGISTERS = bank<I8259>(
  2,
  {
    ELCR: {
      at: 0,
      count: 2,
      read: ({ state }, chip) => state.elcr[chip],
      write: ({ state }, value, chip) => {
        state.elcr[chip] = value & ELCR_MASK[chip];
      },
    },
  },
  { width: 1 },
);

export class I8259 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Two ports at 0x20. */
  readonly master: Mmio;
  /** Two ports at 0xa0. */
  readonly slave: Mmio;
  /** Two ports at 0x4d0. */
  readonly elcr: Mmio;
  private readonly int: IrqLine;

  /** `int` is the INT output of the master. */
  constructor(name: string, log: DeviceLog, int: IrqLine) {
    this.name = name;
    this.log = log;
    this.int = int;
    this.master = MASTER_REGISTERS.on(this);
    this.slave = SLAVE_REGISTERS.on(this);
    this.elcr = ELCR_REGISTERS.on(this);
  }

  /** The wire of input 0..15, except 2. */
  input(irq: number): IrqLine {
    if (!(irq >= 0 && irq < 16 && irq !== CASCADE)) throw new RangeError(`i8259: no input ${irq}`);
    return { set: (level) => this.wire(irq, level) };
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.output();
  }

  /** The second one's INT is a wire of the first, at once. */
  resumed(): void {
    const { wires } = this.state;
    wires[MASTER] = (wires[MASTER] & ~(1 << CASCADE)) | (this.best(SLAVE) !== NONE ? 1 << CASCADE : 0);
    this.output();
  }

  wire(irq: number, level: boolean): void {
    this.request(irq >> 3, 1 << (irq & 7), level);
    this.changed(irq >> 3);
  }

  /** True while INT is high. */
  get pending(): boolean {
    return this.best(MASTER) !== NONE;
  }

  /** The processor's two INTA cycles: the vector. With nothing left to serve, that of input 7 (spurious). */
  acknowledge(): number {
    const { base } = this.state;
    const irq = this.best(MASTER);
    let vector = base[MASTER] + (irq === NONE ? 7 : irq);
    if (irq === CASCADE) {
      const second = this.best(SLAVE);
      if (second !== NONE) this.take(SLAVE, second);
      // The slave's INT falls in an INTA cycle; when it has more to ask, that is a new edge.
      this.request(MASTER, 1 << CASCADE, false);
      vector = base[SLAVE] + (second === NONE ? 7 : second);
    }
    if (irq !== NONE) this.take(MASTER, irq);
    this.changed(irq === CASCADE ? SLAVE : MASTER);
    return vector;
  }

  /** INT is a function of the state. */
  private output(): void {
    this.int.set(this.best(MASTER) !== NONE);
  }

  /** The state of a chip changed. The slave's INT is a wire of the master, which remembers edges. */
  private changed(chip: number): void {
    if (chip === SLAVE) this.request(MASTER, 1 << CASCADE, this.best(SLAVE) !== NONE);
    this.output();
  }

  readCommand(chip: number): number {
    const { state } = this;
    return state.poll[chip] ? this.polled(chip) : state.readIsr[chip] ? state.isr[chip] : state.irr[chip];
  }

  readData(chip: number): number {
    return this.state.poll[chip] ? this.polled(chip) : this.state.imr[chip];
  }

  writeCommand(chip: number, value: number): void {
    if (value & ICW1.IS) this.initialize(chip, value);
    else if (value & OCW3.IS) this.operate(chip, value);
    else this.endOfInterrupt(chip, value >> 5, value & 7);
  }

  writeData(chip: number, value: number): void {
    const { state } = this;
    const last = state.needsIcw4[chip] ? EXPECT.ICW4 : EXPECT.OCW1;
    switch (state.expects[chip]) {
      case EXPECT.OCW1:
        state.imr[chip] = value;
        this.changed(chip);
        break;
      case EXPECT.ICW2:
        state.base[chip] = value & 0xf8;
        state.expects[chip] = state.single[chip] ? last : EXPECT.ICW3;
        break;
      case EXPECT.ICW3: // the cascade is soldered
        state.expects[chip] = last;
        break;
      case EXPECT.ICW4:
        state.specialFullyNested[chip] = value & ICW4.SPECIAL_FULLY_NESTED ? 1 : 0;
        state.autoEoi[chip] = value & ICW4.AUTO_EOI ? 1 : 0;
        state.expects[chip] = EXPECT.OCW1;
        break;
    }
  }

  private initialize(chip: number, value: number): void {
    const { state } = this;
    if (value & ICW1.LEVEL) this.log.unimplemented(this.name, 'level-triggered mode of ICW1; ELCR decides');
    // All but the levels of level-triggered wires and ELCR starts over.
    const irr = state.irr[chip] & state.elcr[chip];
    const elcr = state.elcr[chip];
    for (const row of Object.values(state)) row[chip] = 0;
    state.irr[chip] = irr;
    state.elcr[chip] = elcr;
    state.expects[chip] = EXPECT.ICW2;
    state.needsIcw4[chip] = value & ICW1.IC4 ? 1 : 0;
    state.single[chip] = value & ICW1.SINGLE ? 1 : 0;
    this.changed(chip);
  }

  private operate(chip: number, value: number): void {
    const { state } = this;
    if (value & OCW3.POLL) state.poll[chip] = 1;
    if (value & OCW3.READ) state.readIsr[chip] = value & OCW3.READ_ISR;
    if (!(value & OCW3.SET_SPECIAL_MASK)) return;
    state.specialMask[chip] = value & OCW3.SPECIAL_MASK ? 1 : 0;
    this.changed(chip);
  }

  private endOfInterrupt(chip: number, command: number, level: number): void {
    const { state } = this;
    switch (command) {
      case OCW2.CLEAR_ROTATE_ON_AUTO_EOI:
      case OCW2.SET_ROTATE_ON_AUTO_EOI:
        state.rotateOnAutoEoi[chip] = command >> 2;
        return;
      case OCW2.EOI:
      case OCW2.ROTATE_ON_EOI: {
        const highest = this.highest(chip, state.isr[chip]);
        if (highest === NONE) return;
        state.isr[chip] &= ~(1 << highest);
        if (command === OCW2.ROTATE_ON_EOI) state.first[chip] = (highest + 1) & 7;
        break;
      }
      case OCW2.SPECIFIC_EOI:
        state.isr[chip] &= ~(1 << level);
        break;
      case OCW2.SET_PRIORITY:
        state.first[chip] = (level + 1) & 7;
        break;
      case OCW2.ROTATE_ON_SPECIFIC_EOI:
        state.isr[chip] &= ~(1 << level);
        state.first[chip] = (level + 1) & 7;
        break;
    }
    this.changed(chip);
  }

  /** A poll is an acknowledge that the processor makes by reading. */
  private polled(chip: number): number {
    const irq = this.best(chip);
    this.state.poll[chip] = 0;
    if (irq === NONE) return 0;
    this.take(chip, irq);
    this.changed(chip);
    return 0x80 | irq;
  }

  private request(chip: number, mask: number, level: boolean): void {
    const { irr, wires, elcr } = this.state;
    if (level && (elcr[chip] & mask || !(wires[chip] & mask))) irr[chip] |= mask;
    if (!level && elcr[chip] & mask) irr[chip] &= ~mask;
    if (level) wires[chip] |= mask;
    else wires[chip] &= ~mask;
  }

  private take(chip: number, irq: number): void {
    const { state } = this;
    if (!state.autoEoi[chip]) state.isr[chip] |= 1 << irq;
    else if (state.rotateOnAutoEoi[chip]) state.first[chip] = (irq + 1) & 7;
    if (!(state.elcr[chip] & (1 << irq))) state.irr[chip] &= ~(1 << irq);
  }

  /** The input that may interrupt now, or NONE. */
  private best(chip: number): number {
    const { state } = this;
    const irq = this.highest(chip, state.irr[chip] & ~state.imr[chip]);
    if (irq === NONE) return NONE;
    let serving = state.isr[chip];
    if (state.specialMask[chip]) serving &= ~state.imr[chip];
    // The slave may interrupt the master again while one of its own is served.
    if (state.specialFullyNested[chip] && chip === MASTER) serving &= ~(1 << CASCADE);
    const served = this.highest(chip, serving);
    return served === NONE || this.priority(chip, irq) < this.priority(chip, served) ? irq : NONE;
  }

  /** The input of the highest priority among those in `mask`, or NONE. */
  private highest(chip: number, mask: number): number {
    if (mask === 0) return NONE;
    let irq = this.state.first[chip];
    while (!(mask & (1 << irq))) irq = (irq + 1) & 7;
    return irq;
  }

  /** 0 is the highest. */
  private priority(chip: number, irq: number): number {
    return (irq - this.state.first[chip]) & 7;
  }
}
