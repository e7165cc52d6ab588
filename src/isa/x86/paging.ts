/**
 * Writes of the control registers that translation follows from.
 *
 * Spec: SDM volume 3, "Control Registers", "Paging-Mode Modifiers", "PAE
 * Paging", "Caching Translation Information". Departure: a write of CR3 with
 * PCIDs drops all translations that are not global, whatever the PCID.
 */
import { define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eqz,
  i32,
  i64,
  ne,
  ne32,
  not,
  or,
  or32,
  shrU,
  shl,
  sub,
  type Value,
  extendU,
  xor,
} from '../../ir/value.ts';
import { tlbFlush } from '../isa.ts';
import { fault } from './fault.ts';
import { get, put } from './field.ts';
import { updateMode } from './mode.ts';
import { Attr, Cr0, Cr4, Efer, Seg, Vector } from './state.ts';
import { SystemCode } from './system-memory.ts';

const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);
const gp = fault(Vector.gp, 0);

/** load_pdptes(cr3): the four entries that PAE paging keeps; a fault when a reserved bit is set. */
const loadPdptes = define('load_pdptes', ['i64'], 'i32', (f, cr3) => {
  const s = new SystemCode(f);
  const beyond = f.let(and(not(sub(shl(1, extendU(get('physicalBits'))), 1)), -1));
  const entries = [0, 1, 2, 3].map((n) => {
    const entry = readPhysical(s, add(and(cr3, 0xffff_ffe0), n * 8));
    f.if(and32(has(entry, 1), ne(and(entry, or(beyond, 0x1e6)), 0)), () => f.return(gp));
    return entry;
  });
  entries.forEach((entry, n) => {
    put(f, 'pdpte', entry, n * 8);
  });
  f.return(i32(0));
});

/** Reads 8 bytes of physical memory: with paging off an address is its own translation. */
function readPhysical(s: SystemCode, address: Value): Value {
  const { f } = s;
  const cr0 = f.let(get('cr0'));
  put(f, 'cr0', and(cr0, ~Cr0.pg));
  const value = f.var(s.read(address, 8));
  put(f, 'cr0', cr0);
  return f.let(value.value);
}

/** PAE paging, where the page-directory-pointer table is kept. */
const usesPdptes = (cr0: Value, cr4: Value, efer: Value): Value =>
  and32(and32(has(cr0, Cr0.pg), has(cr4, Cr4.pae)), eqz(and(efer, Efer.lma)));

/** reload_pdptes(): after control registers were written from outside; a fault or 0. */
export const reloadPdptes = define('reload_pdptes', [], 'i32', (f) => {
  f.if(usesPdptes(get('cr0'), get('cr4'), get('efer')), () => f.return(f.call(loadPdptes, get('cr3'))));
  f.return(i32(0));
});

/** write_cr3(value): a fault or 0. */
export const writeCr3 = define('write_cr3', ['i64'], 'i32', (f, value) => {
  f.if(usesPdptes(get('cr0'), get('cr4'), get('efer')), () => {
    const bad = f.let(f.call(loadPdptes, value));
    f.if(bad, () => f.return(bad));
  });
  // Bit 63 asks for translations to be kept, and is not stored.
  const stored = f.let(and(value, i64(~(1n << 63n))));
  f.if(ne(and(stored, i64(-(1n << 52n))), 0), () => f.return(gp));
  put(f, 'cr3', stored);
  f.call(tlbFlush, i32(1));
  f.return(i32(0));
});

/** write_cr0(value): a fault or 0. */
export const writeCr0 = define('write_cr0', ['i64'], 'i32', (f, wanted) => {
  const old = f.let(get('cr0'));
  f.if(ne(shrU(wanted, 32), 0), () => f.return(gp));
  const known = Cr0.pe | Cr0.mp | Cr0.em | Cr0.ts | Cr0.ne | Cr0.wp | Cr0.am | Cr0.nw | Cr0.cd;
  const value = f.let(or(and(wanted, i64(BigInt(known >>> 0) | BigInt(Cr0.pg))), Cr0.et));
  f.if(and32(has(value, Cr0.pg), eqz(and(value, Cr0.pe))), () => f.return(gp));
  f.if(and32(has(value, Cr0.nw), eqz(and(value, Cr0.cd))), () => f.return(gp));
  const efer = f.let(get('efer'));
  const cr4 = f.let(get('cr4'));
  const csLong = ne32(and32(get('segAttr', Seg.cs * 4), Attr.long), 0);
  const turnedOn = f.let(and32(has(value, Cr0.pg), eqz(and(old, Cr0.pg))));
  const turnedOff = f.let(and32(has(old, Cr0.pg), eqz(and(value, Cr0.pg))));
  f.if(turnedOn, () => {
    f.if(
      has(efer, Efer.lme),
      () => {
        f.if(or32(eqz(and(cr4, Cr4.pae)), csLong), () => f.return(gp));
        put(f, 'efer', or(efer, Efer.lma));
      },
      () => f.if(has(cr4, Cr4.pcide), () => f.return(gp)),
    );
  });
  f.if(turnedOff, () => {
    f.if(or32(has(cr4, Cr4.pcide), and32(has(efer, Efer.lma), csLong)), () => f.return(gp));
    put(f, 'efer', and(efer, ~Efer.lma));
  });
  const changed = f.let(xor(old, value));
  const pdptes = and32(usesPdptes(value, cr4, get('efer')), has(changed, Cr0.pg | Cr0.cd | Cr0.nw));
  f.if(pdptes, () => {
    const bad = f.let(f.call(loadPdptes, get('cr3')));
    f.if(bad, () => {
      put(f, 'efer', efer);
      f.return(bad);
    });
  });
  put(f, 'cr0', value);
  f.if(has(changed, Cr0.pg | Cr0.pe | Cr0.wp), () => f.call(tlbFlush, i32(0)));
  f.call(updateMode);
  f.return(i32(0));
});

/** Bits of CR4 that there are. */
const CR4_KNOWN =
  Cr4.vme |
  Cr4.pvi |
  Cr4.tsd |
  Cr4.de |
  Cr4.pse |
  Cr4.pae |
  Cr4.mce |
  Cr4.pge |
  Cr4.pce |
  Cr4.osfxsr |
  Cr4.osxmmexcpt |
  Cr4.umip |
  Cr4.la57 |
  Cr4.fsgsbase |
  Cr4.pcide |
  Cr4.osxsave |
  Cr4.smep |
  Cr4.smap |
  Cr4.pke |
  Cr4.pks;
const CR4_PAGING = Cr4.pse | Cr4.pae | Cr4.pge | Cr4.smep | Cr4.smap | Cr4.pke | Cr4.pks | Cr4.pcide | Cr4.la57;

/** write_cr4(value): a fault or 0. */
export const writeCr4 = define('write_cr4', ['i64'], 'i32', (f, value) => {
  const old = f.let(get('cr4'));
  f.if(ne(and(value, ~CR4_KNOWN), 0), () => f.return(gp));
  f.if(ne(and(value, get('cr4Missing')), 0), () => f.return(gp));
  const changed = f.let(xor(old, value));
  f.if(has(get('efer'), Efer.lma), () => f.if(has(changed, Cr4.pae | Cr4.la57), () => f.return(gp)));
  f.if(and32(has(value, Cr4.pcide), eqz(and(old, Cr4.pcide))), () => {
    f.if(or32(eqz(and(get('efer'), Efer.lma)), ne(and(get('cr3'), 0xfff), 0)), () => f.return(gp));
  });
  f.if(and32(usesPdptes(get('cr0'), value, get('efer')), has(changed, Cr4.pae | Cr4.pge | Cr4.pse | Cr4.smep)), () => {
    const bad = f.let(f.call(loadPdptes, get('cr3')));
    f.if(bad, () => f.return(bad));
  });
  put(f, 'cr4', value);
  f.if(has(changed, CR4_PAGING), () => f.call(tlbFlush, i32(0)));
  f.call(updateMode);
  f.return(i32(0));
});
