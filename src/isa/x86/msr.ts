/**
 * Model-specific registers: those that are the CPU's own as fields; the rest,
 * and the local APIC's, by the board.
 *
 * Spec: SDM volume 4, "Architectural MSRs".
 */
import { define } from '../../ir/code.ts';
import {
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  i32,
  i64,
  ltU32,
  ne,
  or,
  shl32,
  sub,
  select,
  shrU,
  sub32,
  type Value,
  add,
  xor,
} from '../../ir/value.ts';
import { hostCall, tlbFlush } from '../isa.ts';
import { isBase } from './canonical.ts';
import { fault } from './fault.ts';
import { get, put } from './field.ts';
import { updateMode } from './mode.ts';
import { Cr0, Cr4, Efer, type FieldName, Seg, Vector } from './state.ts';
import { timeStampNow } from './time-stamp.ts';

/** What the board is asked, as the number of a `hostCall`. Two words go by `result`. */
export const HostCall = {
  /** (index, -): reads a register into `result`; 1 when there is none. */
  readMsr: 1,
  /** (index, -): writes one from `result`; 1 when there is none or the value is bad. */
  writeMsr: 2,
  /** (leaf, subleaf): `result` gets EAX and EBX, `result2` ECX and EDX. */
  cpuid: 3,
  /** CR8: (-, -) the priority class, (priority class, -). */
  readCr8: 4,
  writeCr8: 5,
  /** A random number into `result`. */
  random: 6,
  /** (-, -): FERR#, an x87 exception waits and CR0.NE is clear. Cleared by the board (port F0h). */
  ferr: 7,
  /** With `logEvents`: (vector, `deliver`'s source) is about to be delivered in protected mode; `result`: its pc. */
  logInterrupt: 8,
  /** (what was being delivered or -1, vector): an exception is raised. */
  logException: 9,
  /** (-, -): whether the access to `faultAddress` of the instruction in `result` and `result2` is one to the stack. */
  isStackAccess: 10,
  /** (-, -): an SMI is taken: the state is saved and becomes that of system management mode (smm.ts). */
  enterSmm: 11,
  /** (-, -): RSM; 1 where what was saved is no state. */
  leaveSmm: 12,
  /** KVM's hypercalls: (third argument, fourth argument) of the next one. */
  hypercallTarget: 13,
  /** (number, whether words have 64 bits), with the first two arguments in `result` and `result2`; `result`: its answer. */
  hypercall: 14,
} as const;

type Check = 'any' | 'canonical';
/** The registers that are fields, by index. */
const FIELDS: readonly (readonly [number, FieldName, Check, number?])[] = [
  [0xc000_0100, 'segBase', 'canonical', Seg.fs * 8],
  [0xc000_0101, 'segBase', 'canonical', Seg.gs * 8],
  [0xc000_0102, 'kernelGsBase', 'canonical'],
  [0xc000_0081, 'star', 'any'],
  [0xc000_0082, 'lstar', 'canonical'],
  [0xc000_0083, 'cstar', 'canonical'],
  [0xc000_0084, 'fmask', 'any'],
  [0xc000_0103, 'tscAux', 'any'],
  [0x174, 'sysenterCs', 'any'],
  [0x175, 'sysenterEsp', 'canonical'],
  [0x176, 'sysenterEip', 'canonical'],
  [0x1a0, 'miscEnable', 'any'],
  [0x2ff, 'mtrrDefType', 'any'],
];
const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const PAT = 0x277;
const TSC = 0x10;
const TSC_ADJUST = 0x3b;
const EFER = 0xc000_0080;
const XSS = 0xda0;
const PKRS = 0x6e1;
const VARIABLE_MTRRS = 0x200;

const gp = fault(Vector.gp, 0);

/** read_msr(index): the value to `result`; a fault or 0. */
export const readMsr = define('read_msr', ['i32'], 'i32', (f, index) => {
  const give = (value: Value) => {
    put(f, 'result', value);
    f.return(i32(0));
  };
  for (const [number, field, , at] of FIELDS) f.if(eq32(index, number), () => give(get(field, at)));
  f.if(eq32(index, EFER), () => give(get('efer')));
  f.if(eq32(index, TSC), () => give(f.call(timeStampNow)));
  f.if(eq32(index, TSC_ADJUST), () => give(get('tscOffset')));
  f.if(eq32(index, PAT), () => give(get('pat')));
  f.if(eq32(index, XSS), () => give(get('xss')));
  f.if(and32(eq32(index, PKRS), hasSupervisorKeys()), () => give(get('pkrs')));
  const variable = f.let(sub32(index, VARIABLE_MTRRS));
  f.if(ltU32(variable, 16), () => {
    const place = f.let(shl32(and32(variable, 14), 2));
    give(select(and32(variable, 1), get('mtrrMask', place), get('mtrrBase', place)));
  });
  FIXED_MTRRS.forEach((number, n) => {
    f.if(eq32(index, number), () => give(get('mtrrFixed', n * 8)));
  });
  f.if(f.call(hostCall, i32(HostCall.readMsr), index, i32(0)), () => f.return(gp));
  f.return(i32(0));
});

/** The processor has protection keys for supervisor pages. */
const hasSupervisorKeys = () => eqz(and(get('cr4Missing'), Cr4.pks));

const EFER_KNOWN = Efer.sce | Efer.lme | Efer.lma | Efer.nxe;

/** write_msr(index, value): a fault or 0. */
export const writeMsr = define('write_msr', ['i32', 'i64'], 'i32', (f, index, value) => {
  const done = () => f.return(i32(0));
  for (const [number, field, check, at] of FIELDS)
    f.if(eq32(index, number), () => {
      if (check === 'canonical') f.if(eqz32(isBase(value)), () => f.return(gp));
      put(f, field, value, at);
      done();
    });
  f.if(eq32(index, EFER), () => {
    const old = f.let(get('efer'));
    f.if(ne(and(value, ~EFER_KNOWN), 0), () => f.return(gp));
    // Long mode is switched with paging off; LMA is the processor's.
    const paging = ne(and(get('cr0'), Cr0.pg), 0);
    f.if(and32(paging, ne(and(xor(old, value), Efer.lme), 0)), () => f.return(gp));
    put(f, 'efer', or(and(value, ~Efer.lma), and(old, Efer.lma)));
    f.if(ne(and(xor(old, value), Efer.nxe), 0), () => f.call(tlbFlush, i32(0)));
    f.call(updateMode);
    done();
  });
  f.if(and32(eq32(index, PKRS), hasSupervisorKeys()), () => {
    f.if(ne(shrU(value, 32), 0), () => f.return(gp));
    put(f, 'pkrs', value);
    f.call(tlbFlush, i32(0));
    done();
  });
  f.if(eq32(index, TSC), () => {
    put(f, 'tscOffset', add(get('tscOffset'), sub(value, f.call(timeStampNow))));
    done();
  });
  f.if(eq32(index, TSC_ADJUST), () => {
    put(f, 'tscOffset', value);
    done();
  });
  f.if(eq32(index, PAT), () => {
    // Each byte is a memory type: 0, 1, 4, 5, 6 or 7; so bit 1 needs bit 2.
    f.if(ne(and(value, i64(0xf8f8_f8f8_f8f8_f8f8n)), 0), () => f.return(gp));
    f.if(ne(and(and(value, xor(shrU(value, 1), -1)), i64(0x0202_0202_0202_0202n)), 0), () => f.return(gp));
    put(f, 'pat', value);
    done();
  });
  f.if(eq32(index, XSS), () => {
    f.if(ne(value, 0), () => f.return(gp));
    done();
  });
  const variable = f.let(sub32(index, VARIABLE_MTRRS));
  f.if(ltU32(variable, 16), () => {
    const place = f.let(shl32(and32(variable, 14), 2));
    f.if(
      and32(variable, 1),
      () => put(f, 'mtrrMask', value, place),
      () => put(f, 'mtrrBase', value, place),
    );
    done();
  });
  FIXED_MTRRS.forEach((number, n) => {
    f.if(eq32(index, number), () => {
      put(f, 'mtrrFixed', value, n * 8);
      done();
    });
  });
  put(f, 'result', value);
  f.if(f.call(hostCall, i32(HostCall.writeMsr), index, i32(0)), () => f.return(gp));
  done();
});
