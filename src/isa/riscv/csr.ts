/**
 * The control and status registers.
 *
 * Spec: RISC-V Privileged ISA 20240411, "CSR Listing"; Sstc; Unprivileged ISA,
 * "Zicsr", "Zicntr". A register is a number, how it reads, how it writes, and
 * when it may not be touched. Hardware performance counters beyond cycle,
 * time and instret are hard-wired to zero; so are the debug triggers.
 */
import type { Code } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  and,
  and32,
  apply,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU,
  type I64,
  i32,
  i64,
  ltU32,
  ne,
  not,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
} from '../../ir/value.ts';
import { type FieldName, get, put } from './field.ts';
import { readTime, tlbFlush } from '../isa.ts';
import { updatePmp } from './pmp.ts';
import { Mstatus, PRIV_M, PRIV_S } from './state.ts';
import { pendingBits, updateFloat, updateRegime } from './trap.ts';

export interface Csr {
  readonly name: string;
  readonly number: number;
  read(m: Code): Value;
  /**
   * `value` is what the instruction computed; WARL happens here. Absent: writes are ignored. May return an i32
   * that says whether mode, translation or interrupts to be taken have changed; nothing returned means they have,
   * unless the register is `inert`.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: most registers have nothing to say
  write?(m: Code, value: Value): Value | void;
  /** Writing it changes neither mode nor translation nor what interrupts are taken. */
  readonly inert?: boolean;
  /** Reading it needs the count of instructions. */
  readonly counts?: boolean;
  /** `write` returns whether the world has changed. */
  readonly tells?: boolean;
  /** i32, not zero where the access is illegal beyond the rules of the number. */
  denied?(m: Code): Value;
}

const table = new Map<number, Csr>();
export const csrs: ReadonlyMap<number, Csr> = table;

function csr(number: number, name: string, rest: Omit<Csr, 'number' | 'name'>): void {
  table.set(number, { number, name, ...rest });
}

/** A field read and written as it is, under a mask. */
function plain(number: number, name: FieldName, mask: I64 = -1, inert = false): void {
  csr(number, name, { read: () => get(name), write: (m, v) => put(m, name, and(v, mask)), inert });
}
function zero(number: number, name: string): void {
  csr(number, name, { read: () => i64(0) });
}

const merge = (old: Value, value: Value, mask: I64) => or(and(old, not(i64(mask))), and(value, mask));
const bitOf = (value: Value, n: number) => wrap(and(shrU(value, n), 1));

// Floating-Point
const floatOff = () => eqz32(get('fpOn'));
/** A write to a floating-point CSR makes the state dirty. */
function floatWritten(m: Code): void {
  put(m, 'mstatus', or(get('mstatus'), 3 << Mstatus.FS));
  m.call(updateFloat);
}
csr(0x001, 'fflags', {
  read: () => extendU(get('fflags')),
  write: (m, v) => {
    put(m, 'fflags', wrap(and(v, 31)));
    floatWritten(m);
  },
  denied: floatOff,
  inert: true,
});
csr(0x002, 'frm', {
  read: () => extendU(get('frm')),
  write: (m, v) => {
    put(m, 'frm', wrap(and(v, 7)));
    floatWritten(m);
  },
  denied: floatOff,
  inert: true,
});
csr(0x003, 'fcsr', {
  read: () => or(extendU(get('fflags')), shl(extendU(get('frm')), 5)),
  write: (m, v) => {
    put(m, 'fflags', wrap(and(v, 31)));
    put(m, 'frm', wrap(and(shrU(v, 5), 7)));
    floatWritten(m);
  },
  denied: floatOff,
  inert: true,
});

// Counters and Timers
const cycle = () => add(get('instret'), get('mcycleOffset'));
const instret = () => add(get('instret'), get('minstretOffset'));
const time = (m: Code) => apply(op.I64_TRUNC_SAT_F64_U, m.call(readTime));
/** A lower mode reads a counter only where the modes above let it. */
const counterDenied = (n: number) => () => {
  const byM = eqz(and(shrU(get('mcounteren'), n), 1));
  const byS = eqz(and(shrU(get('scounteren'), n), 1));
  const below = (priv: number) => ltU32(get('priv'), priv);
  return or32(select(below(PRIV_M), byM, i32(0)), select(below(PRIV_S), byS, i32(0)));
};
csr(0xc00, 'cycle', { read: cycle, denied: counterDenied(0), counts: true });
csr(0xc01, 'time', { read: time, denied: counterDenied(1) });
csr(0xc02, 'instret', { read: instret, denied: counterDenied(2), counts: true });
csr(0xb00, 'mcycle', {
  counts: true,
  read: cycle,
  write: (m, v) => put(m, 'mcycleOffset', sub(v, add(get('instret'), 1))),
});
csr(0xb02, 'minstret', {
  counts: true,
  read: instret,
  write: (m, v) => put(m, 'minstretOffset', sub(v, add(get('instret'), 1))),
});
for (let n = 3; n < 32; n++) {
  csr(0xc00 + n, `hpmcounter${n}`, { read: () => i64(0), denied: counterDenied(n) });
  zero(0xb00 + n, `mhpmcounter${n}`);
  zero(0x320 + n, `mhpmevent${n}`);
}
zero(0x320, 'mcountinhibit');

// Machine Information
zero(0xf11, 'mvendorid');
zero(0xf12, 'marchid');
zero(0xf13, 'mimpid');
csr(0xf14, 'mhartid', { read: () => get('hartid') });
zero(0xf15, 'mconfigptr');
/** MXL = 64; I, M, A, F, D, C, S, U. */
export const MISA = (2n << 62n) | BigInt([...'IMAFDCSU'].reduce((bits, c) => bits | (1 << (c.charCodeAt(0) - 65)), 0));
csr(0x301, 'misa', { read: () => i64(MISA) });

// Machine Trap Setup
const SIGN = 1n << 63n;
const statusBits = (...bits: number[]) => bits.reduce((mask, n) => mask | (1n << BigInt(n)), 0n);
const S_STATUS = statusBits(Mstatus.SIE, Mstatus.SPIE, Mstatus.SPP, Mstatus.SUM, Mstatus.MXR) | (3n << 13n);
const M_STATUS =
  S_STATUS |
  statusBits(Mstatus.MIE, Mstatus.MPIE, Mstatus.MPRV, Mstatus.TVM, Mstatus.TW, Mstatus.TSR) |
  (3n << BigInt(Mstatus.MPP));
/** mstatus with SD, which sums up FS. */
const status = () => {
  const value = get('mstatus');
  return or(value, select(eq(and(value, 3 << Mstatus.FS), 3 << Mstatus.FS), i64(SIGN), i64(0)));
};
/** Bits of mstatus that matter at once, beside the interrupt enables. */
const AT_ONCE =
  statusBits(Mstatus.MPRV, Mstatus.SUM, Mstatus.MXR, Mstatus.TVM, Mstatus.TW, Mstatus.TSR) |
  (3n << BigInt(Mstatus.FS)) |
  (3n << BigInt(Mstatus.MPP));

function writeStatus(m: Code, value: Value, mask: bigint): Value {
  const old = m.let(get('mstatus'));
  const merged = m.let(merge(old, value, mask));
  // There is no mode 2: MPP stays as it was.
  const mpp = 3n << BigInt(Mstatus.MPP);
  const kept =
    (mask & mpp) === 0n
      ? merged
      : m.let(select(eq(and(merged, mpp), 2n << BigInt(Mstatus.MPP)), merge(merged, old, mpp), merged));
  put(m, 'mstatus', kept);
  const changed = m.let(xor(old, kept));
  const atOnce = m.let(ne(and(changed, AT_ONCE), 0));
  m.if(atOnce, () => {
    m.if(bitOf(changed, Mstatus.MXR), () => m.call(tlbFlush, i32(0)));
    // What M-mode borrows under MPRV follows MPP and SUM.
    m.if(get('mprvOn'), () => m.call(tlbFlush, i32(0)));
    m.call(updateRegime);
    m.call(updateFloat);
  });
  const enabled = and(and(changed, kept), statusBits(Mstatus.SIE, Mstatus.MIE));
  const pending = and(pendingBits(), get('mie'));
  return or32(atOnce, and32(ne(enabled, 0), ne(pending, 0)));
}
csr(0x300, 'mstatus', { read: status, write: (m, v) => writeStatus(m, v, M_STATUS), tells: true });
plain(0x302, 'medeleg', 0xb3ff);
plain(0x303, 'mideleg', 0x222);
plain(0x304, 'mie', 0xaaa);
csr(0x305, 'mtvec', { read: () => get('mtvec'), write: (m, v) => put(m, 'mtvec', and(v, -3)) });
plain(0x306, 'mcounteren', 0xffffffff);
const ENV_S = 0xf1n; // FIOM, CBIE, CBCFE, CBZE
/** CBIE has no encoding 2. */
const cbie = (value: Value) => select(eq(and(value, 0x30), 0x20), and(value, ~0x30), value);
const ENV_M = ENV_S | (7n << 61n); // ADUE, PBMTE, STCE
csr(0x30a, 'menvcfg', {
  read: () => get('menvcfg'),
  write: (m, v) => {
    put(m, 'menvcfg', cbie(m.let(and(v, ENV_M))));
    m.call(tlbFlush, i32(0));
  },
});

// Machine Trap Handling
plain(0x340, 'mscratch', -1, true);
plain(0x341, 'mepc', -2, true);
plain(0x342, 'mcause', -1, true);
plain(0x343, 'mtval', -1, true);
/** With Sstc on, STIP is the comparator's. */
const stce = () => and(shrU(get('menvcfg'), 63), 1);
csr(0x344, 'mip', {
  read: pendingBits,
  write: (m, v) => {
    const mask = m.let(sub(i64(0x222), shl(stce(), 5)));
    put(m, 'mip', or(and(get('mip'), not(mask)), and(v, mask)));
  },
});

// Machine Memory Protection
for (const n of [0, 2] as const) {
  const field = `pmpcfg${n}` as const;
  csr(0x3a0 + n, field, {
    read: () => get(field),
    write: (m, v) => m.call(updatePmp, i64(n * 4), v, i64(1)),
  });
}
for (let n = 0; n < 16; n++) {
  csr(0x3b0 + n, `pmpaddr${n}`, {
    read: () => {
      // Grain of 4 KiB: NAPOT entries read ones below it, others zeros. ("Physical Memory Protection CSRs")
      const cfg = and(shrU(get(n < 8 ? 'pmpcfg0' : 'pmpcfg2'), (n & 7) * 8), 0x18);
      const value = get('pmpaddr', i32(n * 8));
      return select(eq(cfg, 0x18), or(value, 0x1ff), and(value, ~0x3ff));
    },
    write: (m, v) => m.call(updatePmp, i64(n), v, i64(0)),
  });
}
// pmpcfg1, 3, ... exist on RV32 only.
for (let n = 16; n < 64; n++) zero(0x3b0 + n, `pmpaddr${n}`);
for (let n = 4; n < 16; n += 2) zero(0x3a0 + n, `pmpcfg${n}`);

// Debug/Trace: no trigger is there.
for (const [number, name] of [
  [0x7a0, 'tselect'],
  [0x7a1, 'tdata1'],
  [0x7a2, 'tdata2'],
  [0x7a3, 'tdata3'],
] as const)
  zero(number, name);

// Supervisor Trap Setup and Handling
csr(0x100, 'sstatus', {
  read: () => and(status(), S_STATUS | SIGN | (3n << 32n)),
  write: (m, v) => writeStatus(m, v, S_STATUS),
  tells: true,
});
csr(0x104, 'sie', {
  read: () => and(get('mie'), get('mideleg')),
  write: (m, v) => {
    const mask = m.let(get('mideleg'));
    put(m, 'mie', or(and(get('mie'), not(mask)), and(v, mask)));
  },
});
csr(0x105, 'stvec', { read: () => get('stvec'), write: (m, v) => put(m, 'stvec', and(v, -3)) });
plain(0x106, 'scounteren', 0xffffffff);
csr(0x10a, 'senvcfg', {
  read: () => get('senvcfg'),
  write: (m, v) => put(m, 'senvcfg', cbie(m.let(and(v, ENV_S)))),
});
plain(0x140, 'sscratch', -1, true);
plain(0x141, 'sepc', -2, true);
plain(0x142, 'scause', -1, true);
plain(0x143, 'stval', -1, true);
csr(0x144, 'sip', {
  read: () => and(pendingBits(), get('mideleg')),
  write: (m, v) => {
    const mask = m.let(and(get('mideleg'), 2));
    put(m, 'mip', or(and(get('mip'), not(mask)), and(v, mask)));
  },
});
csr(0x14d, 'stimecmp', {
  read: () => get('stimecmp'),
  write: (m, v) => {
    put(m, 'stimecmp', v);
    // The line follows at once: a handler moves the comparator and must not be entered again.
    const due = m.let(eqz32(gtU(v, time(m))));
    const lines = get('lines');
    put(m, 'lines', or32(and32(lines, ~(1 << 5)), shl32(due, 5)));
    put(m, 'attention', 1);
  },
  denied: () => {
    const allowed = and(and(stce(), shrU(get('mcounteren'), 1)), 1);
    return select(ltU32(get('priv'), PRIV_M), eqz(allowed), i32(0));
  },
});

// Supervisor Protection and Translation
csr(0x180, 'satp', {
  read: () => get('satp'),
  write: (m, v) => {
    const mode = m.let(shrU(v, 60));
    // Bare, Sv39, Sv48, Sv57; a write of another mode has no effect at all.
    m.if(or32(eqz(mode), eqz32(gtU(sub(mode, 8), 2))), () => {
      m.if(ne(get('satp'), v), () => {
        const modeChanged = ne(shrU(get('satp'), 60), mode);
        m.call(tlbFlush, select(modeChanged, i32(0), i32(1)));
        put(m, 'satp', v);
      });
    });
  },
  denied: () => select(eq32(get('priv'), PRIV_S), ne(and(get('mstatus'), 1 << Mstatus.TVM), 0), i32(0)),
});
