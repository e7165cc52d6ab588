/** The pieces that random programs are made of: loops, calls, faults, code that changes itself. */
import { Decoder } from '../../src/isa/riscv/decode.ts';
import { rows } from '../../src/isa/riscv/rows.ts';
import { type Assembler, encode, Label, rowOf } from './assembler.ts';
import { CSR, RESUME } from './firmware.ts';
import * as make from './instructions.ts';
import { INNER, OUTER, PTR, RA, S0, SP } from './instructions.ts';
import { randomLeaf } from './page-tables.ts';
import type { Random } from './random.ts';

/** What the program may know of the world it runs in. */
export interface Surroundings {
  readonly mode: 0 | 1 | 3;
  /** Virtual addresses of pages that may be read and written. */
  readonly data: readonly bigint[];
  /** Addresses where something is wrong, or strange. */
  readonly wild: readonly bigint[];
  /** Pages whose table entries may be changed, and where these entries can be written. */
  readonly entries: readonly { readonly va: bigint; readonly at: bigint }[];
  /** Physical pages that random entries may name. */
  readonly pages: readonly number[];
  /** M-mode whose data accesses are translated (MPRV). */
  readonly mprv: boolean;
  /** Nothing that the specification leaves open, nor what QEMU 7.2 is known to do otherwise. */
  readonly portable?: boolean;
  /** Where nothing can be fetched, for portable programs: data that is executed would be instructions of QEMU's. */
  readonly nowhere?: readonly bigint[];
  /** No traps are to be provoked, nor what another implementation may do otherwise. */
  readonly gentle?: boolean;
  /** Extensions and mnemonics that are not there. */
  readonly without?: ReadonlySet<string>;
}

const decoder = new Decoder(rows);
/** Counters count otherwise there, and these registers have bits that we have not, or the other way round. */
const UNLIKE_QEMU: ReadonlySet<number> = new Set([
  CSR.cycle,
  CSR.time,
  CSR.instret,
  CSR.mcycle,
  CSR.minstret,
  CSR.misa,
  CSR.menvcfg,
  CSR.senvcfg,
  CSR.pmpaddr0,
  CSR.pmpcfg0,
  CSR.mcounteren,
  CSR.scounteren,
  CSR.mip,
  // QEMU 7.2 keeps bit 0.
  CSR.sepc,
  CSR.mepc,
]);
const HOT_LOOP = [170, 420] as const;

export class Blocks {
  private readonly a: Assembler;
  private readonly random: Random;
  private readonly world: Surroundings;
  private readonly functions: Label[] = [];

  constructor(a: Assembler, random: Random, world: Surroundings) {
    this.a = a;
    this.random = random;
    this.world = world;
  }

  /** A whole program; falls out at its end. */
  program(blocks: number): void {
    this.pointers();
    for (let n = 0; n < 4; n++) this.functions.push(new Label());
    const main = new Label();
    this.a.to('jal', main, { d: 0 });
    for (const label of this.functions) this.function(label);
    this.a.place(main);
    for (let n = 0; n < blocks; n++) {
      // Whoever gets lost in this block goes on behind it.
      const behind = new Label();
      this.a.la(RESUME, behind);
      this.block();
      this.a.place(behind);
    }
  }

  private compute(): void {
    this.a.word(make.compute(this.random, this.world.without));
  }

  private access(base?: number, misaligned = 0.1): void {
    const { portable, without } = this.world;
    this.a.word(make.access(this.random, base, portable ? 0 : misaligned, without));
  }

  /** Whether those that fault do so as loads or as stores is a matter on which QEMU changes its mind. */
  private atomic(): void {
    if (!this.world.portable) this.a.word(make.atomic(this.random));
  }

  private dataAddress(): bigint {
    const { random } = this;
    if (this.world.gentle || this.world.portable)
      return random.pick(this.world.data) + BigInt(random.between(256, 400) * 8);
    const offset = random.weighted([
      [6, 2048],
      [2, random.below(512) * 8],
      [1, random.below(4096)],
      [1, 4096 - random.below(12)],
    ]);
    return random.pick(this.world.data) + BigInt(offset);
  }
  private pointers(): void {
    for (const pointer of [SP, S0, PTR]) this.a.li(pointer, this.dataAddress());
  }

  private block(): void {
    const { random, world } = this;
    if (random.chance(0.3)) this.a.li(random.pick([SP, S0, PTR]), this.dataAddress());
    const rough = world.gentle ? 0 : 1;
    random.weighted<() => void>([
      [6, () => this.straight(random.between(3, 15))],
      [7, () => this.loop()],
      [3, () => this.call()],
      [3 * rough, () => this.wildAccess()],
      [2 * rough, () => this.wildJump()],
      [2, () => (world.gentle ? this.floatCsr() : this.csr())],
      [2 * rough, () => this.environment()],
      [world.portable ? 0 : 2, () => this.reservation()],
      [2, () => this.selfModifying()],
      [world.entries.length > 0 && world.mode !== 0 ? 4 : 0, () => this.changeEntry()],
      [world.mode === 0 ? 0 : 2, () => this.status()],
    ])();
  }

  private straight(count: number, misaligned = 0.03): void {
    const { random, a } = this;
    const faults = this.world.portable ? 0 : misaligned;
    for (let n = 0; n < count; n++) {
      a.word(
        random.weighted<() => number>([
          [9, () => make.compute(random, this.world.without)],
          [4, () => make.float(random, this.world.without)],
          [7, () => make.access(random, undefined, faults, this.world.without)],
        ])(),
      );
      if (random.chance(0.05)) this.atomic();
      if (random.chance(0.08)) this.skip();
    }
  }

  /** A branch forward over a few instructions. */
  private skip(): void {
    const { a, random } = this;
    const over = new Label();
    if (random.chance(0.3)) a.to(random.pick(['c.beqz', 'c.bnez']), over, { a: random.between(8, 15) });
    else
      a.to(random.pick(['beq', 'bne', 'blt', 'bge', 'bltu', 'bgeu']), over, {
        a: random.below(32),
        b: random.chance(0.2) ? 0 : random.below(32),
      });
    for (let n = random.between(1, 3); n > 0; n--) this.compute();
    a.place(over);
  }

  private loop(): void {
    const { a, random } = this;
    const hot = random.chance(0.4);
    a.li(OUTER, BigInt(hot ? random.between(...HOT_LOOP) : random.between(2, 12)));
    const top = a.label();
    this.straight(random.between(1, hot ? 9 : 12), random.chance(0.15) ? 0.1 : 0);
    if (random.chance(0.3)) a.to('jal', random.pick(this.functions), { d: RA });
    if (random.chance(0.25)) {
      a.op('addi', { d: INNER, a: 0, i: random.between(2, 6) });
      const inner = a.label();
      this.straight(random.between(1, 4), 0);
      a.op('addi', { d: INNER, a: INNER, i: -1 });
      a.to('bne', inner, { a: INNER, b: 0 });
    }
    if (random.chance(0.3)) this.advance();
    if (!this.world.gentle && random.chance(0.05)) this.environment();
    a.op('addi', { d: OUTER, a: OUTER, i: -1 });
    // Too far for a branch: jump back and branch over it.
    if (random.chance(0.3)) {
      const out = new Label();
      a.to('beq', out, { a: OUTER, b: 0 });
      a.to('jal', top, { d: 0 });
      a.place(out);
    } else a.to('bne', top, { a: OUTER, b: 0 });
    if (this.world.gentle || this.world.portable) a.li(PTR, this.dataAddress());
  }

  /** Moves a pointer, so that a loop walks through a page and beyond. */
  private advance(): void {
    this.a.op('addi', {
      d: PTR,
      a: PTR,
      i: this.world.gentle || this.world.portable ? 8 : this.random.pick([8, 16, 24, -8, 4, 1, 64]),
    });
  }

  private function(label: Label): void {
    const { a, random } = this;
    while (random.chance(0.4)) a.op('c.addi'); // c.nop: entries are at all offsets
    a.place(label);
    this.straight(random.between(1, 8), 0);
    if (random.chance(0.5)) a.op('c.jr', { a: RA });
    else a.op('jalr', { d: 0, a: RA, i: 0 });
  }

  private call(): void {
    const { a, random } = this;
    const target = random.pick(this.functions);
    switch (random.below(3)) {
      case 0:
        a.to('jal', target, { d: RA });
        break;
      case 1:
        a.la(6, target);
        a.op('c.jalr', { a: 6 });
        break;
      default:
        a.la(RA, target);
        a.op('jalr', { d: RA, a: RA, i: random.below(2) }); // the lowest bit goes away
    }
  }

  private wildAccess(): void {
    const { a, random } = this;
    const { portable } = this.world;
    const offset = portable ? random.below(512) * 8 : random.pick([0, 0, 8, -8, 2040, 4094, random.below(4096)]);
    a.li(PTR, random.pick(this.world.wild) + BigInt(offset));
    for (let n = random.between(1, 4); n > 0; n--) {
      const r = random.below(10);
      if (r === 0) this.atomic();
      else if (r === 1 && !portable) a.word(make.cacheBlock(random));
      else this.access(PTR);
      if (random.chance(0.3)) this.compute();
    }
    a.li(PTR, this.dataAddress());
  }

  private wildJump(): void {
    const { a, random } = this;
    // Data that is executed would be other instructions to QEMU.
    const targets = this.world.nowhere ?? this.world.wild;
    a.li(7, random.pick(targets) + BigInt(random.pick([0, 2, 4094, random.below(2048) * 2])));
    a.op('jalr', { d: RA, a: 7, i: 0 });
  }

  /** Flags and the rounding mode. */
  private floatCsr(): void {
    const { a, random } = this;
    const d = random.pick([0, 5, 9, 28]);
    a.op(random.pick(['csrrwi', 'csrrsi', 'csrrci']), { d, k: CSR.fflags, z: random.below(32) });
    a.op('csrrwi', { d, k: CSR.frm, z: random.below(5) });
    a.csrr(random.pick([5, 9, 28]), random.pick([CSR.fflags, CSR.fcsr, CSR.frm]));
  }

  private csr(): void {
    const { a, random } = this;
    const { portable } = this.world;
    const readable = Object.values(CSR).filter((number) => !portable || !UNLIKE_QEMU.has(number));
    const writable = [CSR.fflags, CSR.frm, CSR.fcsr, CSR.sscratch, CSR.sepc, CSR.scause, CSR.stval, CSR.scounteren];
    const machine = [CSR.mcounteren, CSR.mcycle, CSR.minstret, CSR.mepc, CSR.mcause, CSR.mtval, CSR.sip];
    for (let n = random.between(1, 5); n > 0; n--) {
      const d = random.pick([0, 5, 6, 7, 9, 10, 28]);
      if (random.chance(0.4)) a.csrr(d, random.pick(readable));
      else {
        const k = random.pick(
          (random.chance(0.7) ? writable : machine).filter((n) => !portable || !UNLIKE_QEMU.has(n)),
        );
        const immediate = random.chance(0.4);
        const name = random.pick(['csrrw', 'csrrs', 'csrrc']) + (immediate ? 'i' : '');
        a.op(name, { d, k, a: random.below(32), z: random.below(32) });
      }
    }
    if (random.chance(0.7)) a.op('csrrwi', { d: 0, k: CSR.frm, z: random.below(5) });
  }

  /** Asks for a trap: calls, breakpoints, words that are no instruction, instructions of other modes. */
  private environment(): void {
    const { a, random } = this;
    const z = { d: 30, a: 0, i: 0 };
    const { portable } = this.world;
    random.weighted<() => void>([
      [
        2,
        () => {
          a.op('addi', z); // x30 must not say that the program is done
          a.op('ecall');
        },
      ],
      [1, () => a.op('ebreak')],
      [1, () => a.op('c.ebreak')],
      [
        3,
        () => {
          let word = make.anyWord(random);
          while (decoder.decode(word) !== undefined) word = make.anyWord(random);
          a.word(portable ? random.pick([0, 0xffffffff]) : word);
        },
      ],
      [1, () => a.op('fence.i')],
      [1, () => a.op('sfence.vma', { a: random.pick([0, 0, 9]), b: random.pick([0, 0, 10]) })],
      [portable ? 0 : 1, () => a.op('csrrs', { d: 9, k: random.u32() & 0xfff, a: 0 })],
    ])();
  }

  private reservation(): void {
    const { a, random } = this;
    a.li(PTR, random.pick(this.world.data) + BigInt(random.below(500) * 8));
    const wide = random.chance(0.5);
    const same = this.world.gentle || random.chance(0.9) ? wide : !wide;
    a.word(make.atomic(random, rowOf(wide ? 'lr.d' : 'lr.w')));
    for (let n = random.below(3); n > 0; n--)
      if (random.chance(0.7)) this.compute();
      else this.access(undefined, 0);
    a.word(make.atomic(random, rowOf(same ? 'sc.d' : 'sc.w')));
    if (!this.world.gentle && random.chance(0.3)) a.word(make.atomic(random, rowOf('sc.w')));
  }

  /** Writes instructions over ones that stand ahead, or in a loop that runs over them. */
  private selfModifying(): void {
    const { a, random } = this;
    const slot = new Label();
    const wide = random.chance(0.6);
    const instruction = () => {
      const one = () => make.compute(random, this.world.without);
      let word = one();
      while (((word & 3) === 3) !== wide) word = one();
      return word;
    };
    a.li(
      OUTER,
      BigInt(
        random.weighted([
          [3, 2],
          [2, random.between(3, 9)],
          [1, 200],
        ]),
      ),
    );
    const top = a.label();
    a.group(() => {
      a.li(6, BigInt(instruction()));
      a.la(7, slot);
      // Every other time, or only once in a while.
      const over = new Label();
      a.op('andi', { d: 5, a: OUTER, i: random.pick([1, 1, 15, 63]) });
      a.to('bne', over, { a: 5, b: 0 });
      a.op(wide ? 'sw' : 'sh', { a: 7, b: 6, i: 0 });
      a.op('fence.i');
      a.place(over);
    });
    if (random.chance(0.5)) this.compute();
    a.place(slot);
    a.word(instruction());
    this.compute();
    a.op('addi', { d: OUTER, a: OUTER, i: -1 });
    a.to('bne', top, { a: OUTER, b: 0 });
  }

  /** Changes a page-table entry, fences, and touches the page. */
  private changeEntry(): void {
    const { a, random, world } = this;
    const { va, at } = random.pick(world.entries);
    const once = () => {
      // Without its fence, accelerators may differ and both be right.
      a.group(() => {
        a.li(PTR, at);
        a.li(6, randomLeaf(random, world.pages, world.mode === 0, world.portable));
        a.op('sd', { a: PTR, b: 6, i: 0 });
        a.li(PTR, va + BigInt(random.pick([0, 8, 2048, 4088, world.portable ? 64 : 4095])));
        if (random.chance(0.5)) a.op('sfence.vma', { a: PTR });
        else a.op('sfence.vma');
      });
      for (let n = random.between(1, 4); n > 0; n--) {
        if (random.chance(0.85)) this.access(PTR);
        else this.atomic();
      }
    };
    once();
    if (random.chance(0.5)) once();
    if (!world.portable && random.chance(0.2)) {
      a.li(7, va + BigInt(random.below(2048) * 2));
      a.op('jalr', { d: RA, a: 7, i: 0 });
    }
    a.li(PTR, this.dataAddress());
  }

  /** Turns bits of the status register that matter to what follows. */
  private status(): void {
    const { a, random, world } = this;
    const bits = [1n << 18n, 1n << 19n, 3n << 13n, (world.portable ? 3n : 1n) << 13n, 1n << 1n, 1n << 5n, 1n << 8n];
    if (world.mode === 3) {
      bits.push(1n << 20n, 1n << 21n, 1n << 22n, 1n << 7n);
      if (world.mprv) bits.push(1n << 17n, 1n << 11n, 3n << 11n, 1n << 11n, 3n << 11n, 1n << 18n, 1n << 19n);
    }
    const k = world.mode === 3 ? CSR.mstatus : CSR.sstatus;
    for (let n = random.between(1, 3); n > 0; n--) {
      a.li(9, random.pick(bits) | (random.chance(0.2) ? random.pick(bits) : 0n));
      a.word(encode(rowOf(random.pick(['csrrs', 'csrrc'])), { d: random.pick([0, 10]), k, a: 9 }));
      for (let m = random.between(1, 3); m > 0; m--) this.access();
    }
    if (random.chance(0.6)) {
      // Floating point on again.
      a.li(9, 3n << 13n);
      a.op('csrrs', { d: 0, k, a: 9 });
    }
    if (world.mode === 3 && random.chance(0.3)) {
      a.li(9, (random.integer() & ((7n << 61n) | 0xf1n)) | (world.portable ? 3n << 61n : 0n));
      a.csrw(CSR.menvcfg, 9);
    }
    if (world.mode === 3 && random.chance(0.2)) {
      // A software interrupt of our own making; the handler clears it.
      a.li(9, 2n);
      a.csrw(CSR.mie, 9);
      a.csrw(CSR.mip, 9);
      a.op('csrrsi', { d: 0, k: CSR.mstatus, z: 8 });
      a.op('csrrci', { d: 0, k: CSR.mstatus, z: 8 });
    }
  }
}
