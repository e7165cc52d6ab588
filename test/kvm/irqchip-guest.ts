/** Firmware of a few bytes that goes to flat protected mode and takes interrupts there. */
import { setTimeout as pause } from 'node:timers/promises';
import { Assembler, CC, R, S } from '../../src/machine/x86-assembler.ts';

const FIRMWARE = 0xf_0000;
const IDT = 0x1000;
/** Counters and flags of guests, words of 32 bits; what is 0 at first. */
export const CELL = { count: 0x2000, go: 0x2004, started: 0x2008, other: 0x200c, seen: 0x2010 } as const;
/** Counts processors that have begun. */
export const STARTED = 0x2ffc;
export const LAPIC = 0xfee0_0000;
export const IOAPIC = 0xfec0_0000;
export const PRINT = 0x3f8;
/** The page of the start-up message that begins here again. */
export const SIPI_PAGE = FIRMWARE >> 12;

/** 32-bit code; a second processor that is started goes to label `ap`. */
export class Firmware extends Assembler {
  private labelCount = 0;

  constructor() {
    super();
    this.cli().db(0x31, 0xc0, 0x8e, 0xd8); // xor ax, ax; mov ds, ax
    this.db(0x8b, 0x1e).dw(STARTED); // mov bx, [started]
    this.db(0xff, 0x06).dw(STARTED); // inc word [started]
    this.db(0x2e, 0x66, 0x0f, 0x01, 0x16).ref16('gdtr'); // lgdt [cs:gdtr]
    this.movFromControl(R.ax, 0).db(0x0c, 1).movToControl(0, R.ax);
    this.jmpFar32(8, 'flat', FIRMWARE).bits(32).label('flat');
    this.movImm(R.ax, 0x10);
    for (const segment of [S.ds, S.es, S.ss]) this.movToSegment(segment, R.ax);
    this.movImm(R.sp, 0x7000).db(0x0f, 0x01, 0x1d).dd(0x0ff0); // lidt [0xff0]
    this.movImm16(R.ax, 0x7ff).db(0x66, 0xa3).dd(0xff0); // the limit, and below the base
    this.store(0xff2, IDT).db(0x0f, 0x01, 0x1d).dd(0xff0);
    this.db(0x66, 0x85, 0xdb).jcc(CC.zero, 'bsp'); // test bx, bx
    this.movImm(R.sp, 0x6000);
    this.db(0xe9).ref32('ap', 0); // made relative by `bytes`
    this.label('ap-jump-end').label('bsp');
  }

  /** mov dword [address], value */
  store(address: number, value: number): this {
    return this.db(0xc7, 0x05).dd(address).dd(value);
  }
  /** mov eax, [address] */
  load(address: number): this {
    return this.db(0xa1).dd(address);
  }
  /** lock inc dword [address] */
  inc(address: number): this {
    return this.db(0xf0, 0xff, 0x05).dd(address);
  }
  /** out port, value: a byte */
  out(port: number, value: number): this {
    return this.movImm16(R.dx, port).db(0xb0, value, 0xee);
  }
  in(port: number): this {
    return this.movImm16(R.dx, port).db(0xec);
  }
  print(letter: string): this {
    return this.out(PRINT, letter.charCodeAt(0));
  }
  sti(): this {
    return this.db(0xfb);
  }
  hlt(): this {
    return this.db(0xf4);
  }
  /** Until the word is at least `value`; `how` is done between looks, with interrupts on or off as they are. */
  until(address: number, value: number, how: 'spin' | 'hlt'): this {
    const name = `until${this.labelCount++}`;
    this.label(name).cli();
    this.load(address).aluImm('cmp', R.ax, value).jcc(CC.notCarry, `${name}-end`);
    if (how === 'hlt') this.sti().hlt();
    return this.jmp(name).label(`${name}-end`);
  }
  /** The gate of a vector. */
  gate(vector: number, handler: string): this {
    this.db(0xc7, 0x05)
      .dd(IDT + 8 * vector)
      .ref16(handler)
      .dw(8);
    return this.store(IDT + 8 * vector + 4, (FIRMWARE & 0xffff_0000) | 0x8e00);
  }
  /** A handler that counts and ends the interrupt at the local APIC. */
  handler(name: string, cell: number, body: () => void = () => {}): this {
    this.label(name).db(0x60).inc(cell); // pusha
    body();
    return this.store(LAPIC + 0xb0, 0).db(0x61, 0xcf); // popa; iret
  }
  /** The pair of 8259s: vectors from 0x20, all masked but those in `open`. */
  pics(open = 0): this {
    for (const [port, ...values] of [
      [0x20, 0x11],
      [0x21, 0x20, 4, 1],
      [0xa0, 0x11],
      [0xa1, 0x28, 2, 1],
    ])
      for (const value of values) this.out(port, value);
    return this.out(0x21, ~open & 0xff).out(0xa1, (~open >> 8) & 0xff);
  }
  enableApic(): this {
    return this.store(LAPIC + 0xf0, 0x1ff);
  }
  /** A pin of the I/O APIC to processor 0. */
  pin(pin: number, entry: number): this {
    this.store(IOAPIC, 0x11 + 2 * pin).store(IOAPIC + 0x10, 0);
    return this.store(IOAPIC, 0x10 + 2 * pin).store(IOAPIC + 0x10, entry);
  }
  /** A byte, and a word of 16 bits. */
  store8(address: number, value: number): this {
    return this.db(0xc6, 0x05).dd(address).db(value);
  }
  store16(address: number, value: number): this {
    return this.db(0x66, 0xc7, 0x05).dd(address).dw(value);
  }
  /** A register of a PCI function on bus 0. */
  pci(slot: number, register: number, value: number): this {
    this.movImm16(R.dx, 0xcf8)
      .movImm(R.ax, 0x8000_0000 + (slot << 11) + register)
      .outDx();
    return this.movImm16(R.dx, 0xcfc).movImm(R.ax, value).outDx();
  }
  end(): this {
    const name = `end${this.labelCount++}`;
    return this.label(name).cli().hlt().jmp(name);
  }

  bytes(): number[] {
    const second = this.here;
    this.label('gdtr').dw(23).ref32('gdt', FIRMWARE).label('gdt').dd(0).dd(0);
    this.dd(0xffff).dd(0x00cf_9b00).dd(0xffff).dd(0x00cf_9300);
    if (!this.has('ap')) this.label('ap').db(0xf4);
    const code = this.finish();
    const view = new DataView(code.buffer);
    const end = this.place('ap-jump-end');
    view.setInt32(end - 4, view.getInt32(end - 4, true) - end, true);
    if (second > 0x8000) throw new Error('too long');
    return [...code];
  }

  private places(): Map<string, number> {
    return (this as unknown as { labels: Map<string, number> }).labels;
  }
  private has(name: string): boolean {
    return this.places().has(name);
  }
  private place(name: string): number {
    return this.places().get(name) ?? 0;
  }
}

export async function until(what: () => boolean, why: () => string, limit = 8000): Promise<void> {
  for (const start = performance.now(); !what(); await pause(2))
    if (performance.now() - start > limit) throw new Error(`it takes too long: ${why()}`);
}
