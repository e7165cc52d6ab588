/**
 * SiFive PLIC: routes wired interrupts to contexts (a hart in M- or S-mode).
 *
 * Spec: RISC-V Platform-Level Interrupt Controller 1.0.0, "Memory Map".
 * Departure: a source whose wire falls before anybody claimed it is no longer
 * pending (the gateway holds no memory), as in QEMU.
 */
import { type Bank, bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import { array, create, type Layout, layout, type StateOf, u8, u32 } from '../../state/layout.ts';

const MAX_PRIORITY = 7;

type Row = ReturnType<typeof array<number>>;
type PlicFields = {
  readonly level: Row;
  readonly pending: Row;
  readonly claimed: Row;
  readonly priority: Row;
  readonly enable: Row;
  readonly threshold: Row;
};

export interface PlicShape {
  /** Sources are 1..sources. */
  readonly sources: number;
  /** The interrupt input of each context, in order of context. */
  readonly contexts: readonly IrqLine[];
  /** Size of the window, bytes. */
  readonly size: number;
}

export class Plic implements Device<Layout<PlicFields>> {
  readonly name: string;
  readonly layout: Layout<PlicFields>;
  readonly state: StateOf<Layout<PlicFields>>;
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  /** 32-bit words that hold one bit a source. */
  readonly words: number;
  private readonly contexts: readonly IrqLine[];
  private readonly sources: number;

  constructor(name: string, log: DeviceLog, shape: PlicShape) {
    this.name = name;
    this.log = log;
    this.contexts = shape.contexts;
    this.sources = shape.sources;
    this.words = (shape.sources >> 5) + 1;
    this.layout = layout(`plic-${shape.sources}-${shape.contexts.length}`, 1, {
      // One bit a source.
      level: array(u32, this.words), // the wires
      pending: array(u32, this.words),
      claimed: array(u32, this.words), // taken and not completed: the gateway is closed
      priority: array(u8, shape.sources + 1),
      enable: array(u32, this.words * shape.contexts.length),
      threshold: array(u8, shape.contexts.length),
    });
    this.state = create(this.layout);
    this.mmio = registers(this, shape).on(this);
  }

  /** The wire of source 1..sources. */
  source(source: number): IrqLine {
    if (!(source >= 1 && source <= this.sources)) throw new RangeError(`plic: no source ${source}`);
    return { set: (level) => this.wire(source, level) };
  }

  /** The wires belong to the devices: their levels outlive a reset. */
  reset(): void {
    const { level } = this.state;
    Object.assign(this.state, create(this.layout), { level, pending: [...level] });
    this.output();
  }

  resumed(): void {
    this.output();
  }

  wire(source: number, level: boolean): void {
    const { state } = this;
    if (get(state.level, source) === level) return;
    set(state.level, source, level);
    if (get(state.claimed, source)) return;
    set(state.pending, source, level);
    this.output();
  }

  /** Shows every context whether something above its threshold waits. */
  output(): void {
    for (let context = 0; context < this.contexts.length; context++) {
      this.contexts[context].set(this.best(context, this.state.threshold[context]) !== 0);
    }
  }

  /** The pending, enabled source of the highest priority above `least`; the lowest number wins a tie; 0 for none. */
  private best(context: number, least: number): number {
    const { pending, priority, enable } = this.state;
    let found = 0;
    let highest = least;
    for (let word = 0; word < this.words; word++) {
      let ready = pending[word] & enable[context * this.words + word];
      while (ready) {
        const bit = 31 - Math.clz32(ready & -ready);
        ready &= ready - 1;
        const source = word * 32 + bit;
        if (priority[source] <= highest) continue;
        found = source;
        highest = priority[source];
      }
    }
    return found;
  }

  /** Claiming looks at no threshold, says the spec. */
  claim(context: number): number {
    const source = this.best(context, 0);
    if (source) {
      set(this.state.pending, source, false);
      set(this.state.claimed, source, true);
      this.output();
    }
    return source;
  }

  complete(context: number, source: number): void {
    const { state } = this;
    const exists = source >= 1 && source <= this.sources;
    if (!exists || !((state.enable[context * this.words + (source >>> 5)] >>> (source & 31)) & 1)) {
      this.log.guestError(this.name, `context ${context} completes source ${source}, which is not its own`);
      return;
    }
    set(state.claimed, source, false);
    if (get(state.level, source)) set(state.pending, source, true);
    this.output();
  }
}

function get(bits: readonly number[], source: number): boolean {
  return ((bits[source >> 5] >>> (source & 31)) & 1) === 1;
}

function set(bits: number[], source: number, value: boolean): void {
  const bit = 1 << (source & 31);
  bits[source >> 5] = (value ? bits[source >> 5] | bit : bits[source >> 5] & ~bit) >>> 0;
}

function registers(plic: Plic, shape: PlicShape): Bank<Plic> {
  const contexts = shape.contexts.length;
  const { words } = plic;
  return bank<Plic>(shape.size, {
    PRIORITY: {
      at: 4,
      count: shape.sources,
      read: ({ state }, index) => state.priority[index + 1],
      write: (device, value, index) => {
        device.state.priority[index + 1] = value & MAX_PRIORITY;
        device.output();
      },
    },
    PENDING: { at: 0x1000, count: words, read: ({ state }, word) => state.pending[word] },
    ...Object.fromEntries(
      Array.from({ length: contexts }, (_, context) => [
        `ENABLE${context}`,
        {
          at: 0x2000 + context * 0x80,
          count: words,
          read: ({ state }: Plic, word: number) => state.enable[context * words + word],
          write: (device: Plic, value: number, word: number) => {
            // Source 0 does not exist, nor do those beyond the last.
            const last = shape.sources - word * 32;
            const exist = last >= 31 ? -1 : (2 << last) - 1;
            device.state.enable[context * words + word] = (value & exist & (word === 0 ? ~1 : -1)) >>> 0;
            device.output();
          },
        },
      ]),
    ),
    THRESHOLD: {
      at: 0x20_0000,
      count: contexts,
      stride: 0x1000,
      read: ({ state }, context) => state.threshold[context],
      write: (device, value, context) => {
        device.state.threshold[context] = value & MAX_PRIORITY;
        device.output();
      },
    },
    CLAIM: {
      at: 0x20_0004,
      count: contexts,
      stride: 0x1000,
      read: (device, context) => device.claim(context),
      write: (device, value, context) => device.complete(context, value),
    },
  });
}
