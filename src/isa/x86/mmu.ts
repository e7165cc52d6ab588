/**
 * Address translation: 32-bit, PAE, 4- and 5-level paging, with protection
 * keys, SMEP, SMAP and execute-disable.
 *
 * Spec: SDM volume 3, "Paging". Departure: no paging-structure caches beside
 * the accelerators' TLBs.
 */
import { type Code, define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  load,
  mul32,
  ne,
  ne32,
  not,
  or,
  or32,
  remU32,
  select,
  shl,
  shl32,
  shrS,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
  zext32,
} from '../../ir/value.ts';
import { fault, FaultFlag, faultWith } from './fault.ts';
import type { PhysicalMemory } from '../isa.ts';
import { get, put } from './field.ts';
import { Cr0, Cr4, Efer, Vector } from './state.ts';

/**
 * Kinds of access: those of isa.ts, in the CPU's mode, and those to system structures, which are the supervisor's
 * whatever CPL is.
 */
export const Access = { load: 0, store: 1, fetch: 2, systemLoad: 4, systemStore: 5 } as const;
/** Who accesses: system structures and CPL 0 to 2; the same where EFLAGS.AC lifts SMAP; CPL 3. The order of Mode. */
const Who = { supervisor: 0, supervisorAc: 1, user: 2 } as const;

/** Bits of a paging-structure entry. */
const P = 1;
const RW = 2;
const US = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
const G = 0x100;
const NX = -(1n << 63n);
const ADDRESS = 0xf_ffff_ffff_f000n;

/** Bits of a page fault's error code. */
const Fault = { present: 1, write: 2, user: 4, reserved: 8, fetch: 0x10, key: 0x20 } as const;

export interface Mmu {
  /** translate(va, access): guest-physical address, or -1 - fault (fault.ts). Sets A and D. */
  readonly translate: IrFunction;
}

const made = new WeakMap<PhysicalMemory, Mmu>();

/** The functions for a memory; the same ones each time. */
export function mmu(memory: PhysicalMemory): Mmu {
  let functions = made.get(memory);
  if (!functions) {
    functions = make(memory);
    made.set(memory, functions);
  }
  return functions;
}

const has = (word: Value, bits: number) => ne(and(word, bits), 0);

function make({ isMemory, isWritable, hostOf }: PhysicalMemory): Mmu {
  /** Ends `translate` with a page fault; `error` lacks W, U and I. */
  const pageFault = define('page_fault', ['i64', 'i32', 'i32', 'i32'], 'i64', (f, va, access, who, error) => {
    put(f, 'faultAddress', va);
    const execute = or32(has(get('cr4'), Cr4.smep), and32(has(get('efer'), Efer.nxe), has(get('cr4'), Cr4.pae)));
    const code = or32(
      or32(error, select(eq32(access, Access.store), i32(Fault.write), i32(0))),
      or32(
        select(eq32(who, Who.user), i32(Fault.user), i32(0)),
        select(and32(eq32(access, Access.fetch), execute), i32(Fault.fetch), i32(0)),
      ),
    );
    f.return(sub(-1, extendU(faultWith(Vector.pf, code))));
  });

  /**
   * denied(entry, permissions, access, who): the error bits that a page's rights give, or 0. `permissions` are RW and US
   * of all levels, and NX as bit 0.
   */
  const denied = define('denied', ['i64', 'i32', 'i32', 'i32'], 'i32', (f, entry, permissions, access, who) => {
    const user = f.let(and32(permissions, US));
    const cr4 = f.let(get('cr4'));
    const isUser = f.let(eq32(who, Who.user));
    const isStore = f.let(eq32(access, Access.store));
    const isFetch = f.let(eq32(access, Access.fetch));
    f.if(and32(isUser, eqz32(user)), () => f.return(i32(Fault.present)));
    const strict = f.let(or32(isUser, has(get('cr0'), Cr0.wp)));
    // A key's refusal is told of whatever else refuses.
    const key = f.var(i32(0));
    const keyed = and32(has(get('efer'), Efer.lma), eqz32(isFetch));
    const keys = f.var(i32(0));
    f.if(
      user,
      () => f.if(has(cr4, Cr4.pke), () => keys.set(get('pkru'))),
      () => f.if(has(cr4, Cr4.pks), () => keys.set(wrap(get('pkrs')))),
    );
    f.if(and32(keyed, ne32(keys.value, 0)), () => {
      const rights = f.let(shrU32(keys.value, wrap(and(shrU(entry, 58), 30))));
      const refused = or32(and32(rights, 1), and32(and32(shrU32(rights, 1), 1), and32(isStore, strict)));
      f.if(refused, () => key.set(i32(Fault.key)));
    });
    const refuse = () => f.return(or32(key.value, Fault.present));
    f.if(and32(isFetch, and32(permissions, 1)), refuse);
    f.if(and32(isStore, and32(strict, eqz32(and32(permissions, RW)))), refuse);
    f.if(eqz32(user), () => {
      f.if(key.value, refuse);
      f.return(i32(0));
    });
    f.if(and32(eqz32(isUser), isFetch), () => {
      f.if(has(cr4, Cr4.smep), refuse);
      f.return(i32(0));
    });
    f.if(and32(eq32(who, Who.supervisor), has(cr4, Cr4.smap)), refuse);
    f.if(key.value, refuse);
    f.return(i32(0));
  });

  const found = (f: Code, entry: Value, shift: Value) => {
    put(f, 'lastGlobal', and32(has(entry, G), has(get('cr4'), Cr4.pge)));
    put(f, 'lastShift', shift);
  };

  /** Entries of 4 bytes: pages of 4 KiB and 4 MiB. */
  const walk32 = define('walk_32', ['i64', 'i32', 'i32'], 'i64', (f, va, access, who) => {
    const refuse = (error: Value) => f.return(f.call(pageFault, va, access, who, error));
    const directory = f.let(add(and(get('cr3'), 0xffff_f000), shl(and(shrU(va, 22), 1023), 2)));
    f.if(eqz32(isMemory(directory)), () => refuse(i32(0)));
    const pdeHost = f.let(hostOf(directory));
    const pde = f.let(load(op.I64_LOAD32_U, pdeHost));
    f.if(eqz(and(pde, P)), () => refuse(i32(0)));
    f.if(and32(has(pde, PS), has(get('cr4'), Cr4.pse)), () => {
      f.if(has(pde, 1 << 21), () => refuse(i32(Fault.present | Fault.reserved)));
      const no = f.let(f.call(denied, i64(0), wrap(and(pde, RW | US)), access, who));
      f.if(no, () => refuse(no));
      const set = f.let(or(pde, select(eq32(access, Access.store), i64(A | D), i64(A))));
      f.if(and32(ne(set, pde), isWritable(directory)), () => f.store(op.I64_STORE32, pdeHost, set));
      found(f, pde, i32(22));
      // PSE-36: bits 20 to 13 are bits 39 to 32 of the address.
      f.return(or(or(and(pde, 0xffc0_0000), shl(and(shrU(pde, 13), 0xff), 32)), and(va, 0x3f_ffff)));
    });
    const table = f.let(add(and(pde, 0xffff_f000), shl(and(shrU(va, 12), 1023), 2)));
    f.if(eqz32(isMemory(table)), () => refuse(i32(0)));
    const pteHost = f.let(hostOf(table));
    const pte = f.let(load(op.I64_LOAD32_U, pteHost));
    f.if(eqz(and(pte, P)), () => refuse(i32(0)));
    const no = f.let(f.call(denied, i64(0), wrap(and(and(pde, pte), RW | US)), access, who));
    f.if(no, () => refuse(no));
    f.if(and32(eqz(and(pde, A)), isWritable(directory)), () => f.store(op.I64_STORE32, pdeHost, or(pde, A)));
    const set = f.let(or(pte, select(eq32(access, Access.store), i64(A | D), i64(A))));
    f.if(and32(ne(set, pte), isWritable(table)), () => f.store(op.I64_STORE32, pteHost, set));
    found(f, pte, i32(12));
    f.return(or(and(pte, 0xffff_f000), and(va, 0xfff)));
  });

  /** walk_64(va, access, who, table, level): entries of 8 bytes, from a table of `level` (5 to 2) down. */
  const walk64 = define('walk_64', ['i64', 'i32', 'i32', 'i64', 'i32'], 'i64', (f, va, access, who, root, first) => {
    const refuse = (error: Value) => f.return(f.call(pageFault, va, access, who, error));
    const table = f.var(root);
    const level = f.var(first);
    // RW and US of all levels, and whether any has XD.
    const rights = f.var(i32(RW | US));
    const beyond = f.let(
      and(not(sub(shl(1, extendU(get('physicalBits'))), 1)), 0xf_ffff_ffff_ffffn), // of the address
    );
    const nxReserved = select(has(get('efer'), Efer.nxe), i64(0), i64(NX));
    const reserved = f.let(or(beyond, nxReserved));
    f.loop((next) => {
      const shift = f.let(extendU(shiftOf(level.value)));
      const at = f.let(add(table.value, shl(and(shrU(va, shift), 511), 3)));
      f.if(eqz32(isMemory(at)), () => refuse(i32(0)));
      const host = f.let(hostOf(at));
      const entry = f.let(load(op.I64_LOAD, host));
      f.if(eqz(and(entry, P)), () => refuse(i32(0)));
      f.if(ne(and(entry, reserved), 0), () => refuse(i32(Fault.present | Fault.reserved)));
      rights.set(or32(and32(rights.value, or32(wrap(and(entry, RW | US)), 1)), wrap(shrU(entry, 63))));
      const isLeaf = or32(eq32(level.value, 1), has(entry, PS));
      f.if(eqz32(isLeaf), () => {
        // Accessed bits are set on the way: a page fault further down may leave them, as on the processor.
        f.if(and32(eqz(and(entry, A)), isWritable(at)), () => f.store(op.I64_STORE, host, or(entry, A)));
        table.set(and(entry, ADDRESS));
        level.set(sub32(level.value, 1));
        f.br(next);
      });
      const low = f.let(sub(shl(1, shift), 1));
      f.if(ne32(level.value, 1), () => {
        // Large pages: 2 MiB and 1 GiB; bit 12 is PAT.
        const bad = or32(hasNoPages(level.value), ne(and(entry, and(low, 0xf_ffff_ffff_e000n)), 0));
        f.if(bad, () => refuse(i32(Fault.present | Fault.reserved)));
      });
      const no = f.let(f.call(denied, entry, rights.value, access, who));
      f.if(no, () => refuse(no));
      const set = f.let(or(entry, select(eq32(access, Access.store), i64(A | D), i64(A))));
      f.if(and32(ne(set, entry), isWritable(at)), () => f.store(op.I64_STORE, host, set));
      found(f, entry, wrap(shift));
      f.return(or(and(and(entry, ADDRESS), not(low)), and(va, low)));
    });
    refuse(i32(0));
  });

  const translate = define('translate', ['i64', 'i32'], 'i64', (f, va, kind) => {
    const access = f.let(and32(kind, 3));
    const own = remU32(get('mode'), 3);
    // Fetches never touch user data, so AC is nothing to them.
    const fetcher = select(eq32(own, Who.user), i32(Who.user), i32(Who.supervisor));
    const who = f.let(select(gtU32(kind, 3), i32(Who.supervisor), select(eq32(access, Access.fetch), fetcher, own)));
    const a20 = f.let(get('a20'));
    f.if(eqz32(has(get('cr0'), Number(Cr0.pg))), () => {
      put(f, 'lastGlobal', 0);
      put(f, 'lastShift', 12);
      f.return(and(zext32(va), a20));
    });
    const cr4 = f.let(get('cr4'));
    const pa = f.var(i64(0));
    f.if(
      has(get('efer'), Efer.lma),
      () => {
        const la57 = f.let(has(cr4, Cr4.la57));
        const spare = f.let(select(la57, i64(7), i64(16)));
        f.if(ne(shrS(shl(va, spare), spare), va), () => {
          put(f, 'faultAddress', va);
          f.return(sub(-1, extendU(or32(fault(Vector.gp, 0), FaultFlag.nonCanonical))));
        });
        pa.set(f.call(walk64, va, access, who, and(get('cr3'), ADDRESS), select(la57, i32(5), i32(4))));
      },
      () => {
        const linear = f.let(zext32(va));
        f.if(
          has(cr4, Cr4.pae),
          () => {
            const pdpte = f.let(get('pdpte', shl32(wrap(shrU(linear, 30)), 3)));
            f.if(eqz(and(pdpte, P)), () => f.return(f.call(pageFault, linear, access, who, i32(0))));
            pa.set(f.call(walk64, linear, access, who, and(pdpte, ADDRESS), i32(2)));
          },
          () => pa.set(f.call(walk32, linear, access, who)),
        );
      },
    );
    f.return(and(pa.value, or(a20, shrS(pa.value, 63))));
  });

  return { translate };
}

/** Bits below the index into a table of `level`: 12, 21, 30, ... */
const shiftOf = (level: Value): Value => add32(mul32(level, 9), 3);
/** Levels above 3 have no pages. */
const hasNoPages = (level: Value): Value => gtU32(level, 3);
