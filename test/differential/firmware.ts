/**
 * What stands around a random program: where its parts lie, the M-mode code
 * that starts it, and the trap handlers that let it go on.
 *
 * The M-mode handler writes mcause, mtval, mepc and mstatus of every trap to a
 * log in RAM and resumes after the instruction, whose length it reads through
 * the program's own translation (MPRV, MXR). From outside its code the program
 * is sent back to where register RESUME says. The S-mode handler skips four
 * bytes, whatever was there; an interrupt it turns off.
 */
import { Assembler, Label } from './assembler.ts';

export const RAM_BASE = 0x8000_0000;
export const RAM_SIZE = 4 << 20;
/** Physical places. Each is a page or more. */
export const AREA = {
  boot: RAM_BASE,
  /** The program's code: 8 pages. */
  code: RAM_BASE + 0x4000,
  /** What loads and stores are about: 32 pages. */
  data: RAM_BASE + 0x20000,
  tables: RAM_BASE + 0x60000,
  tablesEnd: RAM_BASE + 0xa0000,
  /** The M-mode handler's: registers it saves, all registers at the end (from byte 0x100 on), then the log. */
  save: RAM_BASE + 0xa0000,
  log: RAM_BASE + 0xa1000,
  logEnd: RAM_BASE + 0xb1000,
} as const;
export const CODE_BYTES = 0x8000;
export const DATA_BYTES = 0x20000;
/** A device of 4 KiB that keeps what is written to it. */
export const DEVICE = 0x1000_0000;

/** SiFive's test finisher as on the virt board: writing 0x5555 ends the machine. */
export const FINISHER = 0x10_0000;

/** The register that says where to go on after getting lost. */
export const RESUME = 22;
/** In x30 of an `ecall`: the program is done. */
export const DONE = 0x5afe;

export const CSR = {
  fflags: 0x001,
  frm: 0x002,
  fcsr: 0x003,
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  satp: 0x180,
  mstatus: 0x300,
  misa: 0x301,
  medeleg: 0x302,
  mideleg: 0x303,
  mie: 0x304,
  mtvec: 0x305,
  mcounteren: 0x306,
  menvcfg: 0x30a,
  mscratch: 0x340,
  mepc: 0x341,
  mcause: 0x342,
  mtval: 0x343,
  mip: 0x344,
  pmpcfg0: 0x3a0,
  pmpaddr0: 0x3b0,
  mcycle: 0xb00,
  minstret: 0xb02,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
  mhartid: 0xf14,
} as const;

/** How the program is started. */
export interface Start {
  /** Address of its first instruction in its own mode. */
  readonly entry: bigint;
  readonly mode: 0 | 1 | 3;
  /** CSRs in the order in which they are written. */
  readonly csrs: readonly (readonly [number, bigint])[];
  /** Registers x1 to x31 and f0 to f31 as the program finds them. */
  readonly x: readonly bigint[];
  readonly f: readonly bigint[];
  readonly stvec: bigint;
}

const DONE_AT = 40;

/** The code at AREA.boot: first instruction first. */
export function firmware(start: Start): Uint8Array {
  const a = new Assembler(BigInt(AREA.boot));
  const handler = new Label();
  a.la(5, handler);
  a.csrw(CSR.mtvec, 5);
  a.li(5, BigInt(AREA.save));
  a.csrw(CSR.mscratch, 5);
  a.li(6, BigInt(AREA.log));
  a.op('sd', { a: 5, b: 6, i: 32 });
  a.li(5, start.stvec);
  a.csrw(CSR.stvec, 5);
  a.li(5, 3n << 13n);
  a.op('csrrs', { d: 0, k: CSR.mstatus, a: 5 });
  start.f.forEach((value, n) => {
    a.li(5, value);
    a.op('fmv.d.x', { d: n, a: 5 });
  });
  for (const [number, value] of start.csrs) {
    a.li(5, value);
    a.csrw(number, 5);
  }
  a.op('sfence.vma');
  a.li(5, start.entry);
  a.csrw(CSR.mepc, 5);
  a.li(5, 3n << 11n);
  a.op('csrrc', { d: 0, k: CSR.mstatus, a: 5 });
  a.li(5, BigInt(start.mode) << 11n);
  a.op('csrrs', { d: 0, k: CSR.mstatus, a: 5 });
  for (let n = 1; n < 32; n++) a.li(n, start.x[n]);
  a.op('mret');
  while (a.at % 64 !== 0) a.half(1);
  a.place(handler);
  trapHandler(a, start);
  if (a.at > 0x2000) throw new RangeError('the firmware has outgrown its place');
  return a.finish();
}

function trapHandler(a: Assembler, start: Start): void {
  const [T3, T4, T5, T6] = [28, 29, 30, 31];
  a.op('csrrw', { d: T6, k: CSR.mscratch, a: T6 });
  a.op('sd', { a: T6, b: T5, i: 0 });
  a.op('sd', { a: T6, b: T4, i: 8 });
  a.op('sd', { a: T6, b: T3, i: 16 });
  // The log, a ring.
  a.op('ld', { d: T5, a: T6, i: 32 });
  for (const [n, csr] of [CSR.mcause, CSR.mtval, CSR.mepc, CSR.mstatus].entries()) {
    a.csrr(T4, csr);
    a.op('sd', { a: T5, b: T4, i: n * 8 });
  }
  a.op('addi', { d: T5, a: T5, i: 32 });
  a.li(T4, BigInt(AREA.logEnd));
  const room = new Label();
  a.to('bltu', room, { a: T5, b: T4 });
  a.li(T5, BigInt(AREA.log));
  a.place(room);
  a.op('sd', { a: T6, b: T5, i: 32 });
  a.csrr(T4, CSR.mcause);
  const [skip, back, interrupt, done] = [new Label(), new Label(), new Label(), new Label()];
  a.to('blt', interrupt, { a: T4, b: 0 });
  // ecall: is the program done?
  a.op('addi', { d: T3, a: T4, i: -8 });
  a.op('sltiu', { d: T3, a: T3, i: 4 });
  const noCall = new Label();
  a.to('beq', noCall, { a: T3, b: 0 });
  a.op('ld', { d: T5, a: T6, i: 0 });
  a.li(T3, BigInt(DONE));
  a.to('beq', done, { a: T3, b: T5 });
  a.place(noCall);
  // Faults of fetches (0, 1, 12) and whatever happens outside the code go back to where the program wants to go on.
  const lost = new Label();
  for (const cause of [0, 1, 12]) {
    a.op('addi', { d: T3, a: 0, i: cause });
    a.to('beq', lost, { a: T3, b: T4 });
  }
  a.csrr(T4, CSR.mepc);
  a.li(T3, start.entry);
  a.op('sub', { d: T4, a: T4, b: T3 });
  a.li(T3, BigInt(CODE_BYTES));
  a.to('bltu', skip, { a: T4, b: T3 });
  a.place(lost);
  a.csrw(CSR.mepc, RESUME);
  a.li(T3, start.entry);
  a.op('sub', { d: T4, a: RESUME, b: T3 });
  a.li(T3, BigInt(CODE_BYTES));
  a.to('bgeu', done, { a: T4, b: T3 });
  a.to('jal', back, { d: 0 });
  a.place(skip);
  a.csrr(T4, CSR.mepc);
  a.li(T3, (1n << 17n) | (1n << 19n)); // MPRV and MXR
  a.op('csrrs', { d: T5, k: CSR.mstatus, a: T3 });
  a.op('lhu', { d: T3, a: T4, i: 0 });
  a.csrw(CSR.mstatus, T5);
  a.op('andi', { d: T3, a: T3, i: 3 });
  a.op('addi', { d: T3, a: T3, i: -3 });
  a.op('sltiu', { d: T3, a: T3, i: 1 }); // 1: four bytes
  a.op('slli', { d: T3, a: T3, i: 1 });
  a.op('add', { d: T4, a: T4, b: T3 });
  a.op('addi', { d: T4, a: T4, i: 2 });
  a.csrw(CSR.mepc, T4);
  a.place(back);
  a.op('ld', { d: T3, a: T6, i: 16 });
  a.op('ld', { d: T4, a: T6, i: 8 });
  a.op('ld', { d: T5, a: T6, i: 0 });
  a.op('csrrw', { d: T6, k: CSR.mscratch, a: T6 });
  a.op('mret');
  a.place(interrupt);
  a.csrw(CSR.mie, 0);
  a.csrw(CSR.mip, 0);
  a.to('jal', back, { d: 0 });
  a.place(done);
  leaveRegisters(a, T6, T4);
  a.li(T4, 1n);
  a.op('sd', { a: T6, b: T4, i: DONE_AT });
  a.csrw(CSR.mie, 0);
  a.li(T4, BigInt(FINISHER));
  a.li(T3, 0x5555n);
  a.op('sw', { a: T4, b: T3, i: 0 });
  const rest = a.label();
  a.op('wfi');
  a.to('jal', rest, { d: 0 });
}

/** Registers and CSRs into the save area, behind those that the handler itself uses. */
function leaveRegisters(a: Assembler, save: number, temp: number): void {
  for (let n = 1; n < 28; n++) a.op('sd', { a: save, b: n, i: 0x100 + n * 8 });
  const csrs = [CSR.mstatus, CSR.fcsr, CSR.sepc, CSR.scause, CSR.stval, CSR.sscratch, CSR.satp, CSR.medeleg, CSR.mie];
  a.csrr(temp, CSR.mstatus);
  a.op('sd', { a: save, b: temp, i: 0x300 });
  a.li(temp, 3n << 13n);
  a.op('csrrs', { d: 0, k: CSR.mstatus, a: temp });
  for (const [n, csr] of csrs.entries()) {
    if (n === 0) continue;
    a.csrr(temp, csr);
    a.op('sd', { a: save, b: temp, i: 0x300 + n * 8 });
  }
  for (let n = 0; n < 32; n++) a.op('fsd', { a: save, b: n, i: 0x200 + n * 8 });
}

/** The S-mode handler, position independent. */
export function supervisorHandler(a: Assembler): void {
  a.op('csrrw', { d: 31, k: CSR.sscratch, a: 31 });
  const [interrupt, back] = [new Label(), new Label()];
  a.csrr(31, CSR.scause);
  a.to('blt', interrupt, { a: 31, b: 0 });
  a.csrr(31, CSR.sepc);
  a.op('addi', { d: 31, a: 31, i: 4 });
  a.csrw(CSR.sepc, 31);
  a.place(back);
  a.op('csrrw', { d: 31, k: CSR.sscratch, a: 31 });
  a.op('sret');
  a.place(interrupt);
  a.csrw(CSR.sie, 0);
  a.to('jal', back, { d: 0 });
}

/** Whether the program said that it was done. */
export const isDone = (ram: Uint8Array): boolean => ram[AREA.save - RAM_BASE + DONE_AT] === 1;
