/**
 * All registers of one vCPU: between a CPU's state and KVM.
 *
 * Spec: "The Definitive KVM API Documentation"; the order of requests is that
 * of their dependencies: segments and control registers first.
 *
 * With KVM_CAP_SYNC_REGS the general and segment registers and the events go
 * to KVM through kvm_run, with no request of their own. They do not come back
 * that way: KVM would write them at every exit, which costs a device's access
 * more than the rare `store` saves.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { Line } from '../../../isa/x86/state.ts';
import { Run } from '../abi.ts';
import { KvmError, type KvmVcpuPort } from '../port.ts';
import {
  DebugRegs,
  Events,
  KvmX86,
  Msr,
  Msrs,
  Regs,
  Sregs,
  Sregs2,
  SyncRegs,
  SyncRegsBit,
  Xcrs,
  XSAVE_BYTES,
} from './abi-x86.ts';
import { decodeDebugRegs, decodeXcrs, encodeDebugRegs, encodeXcrs } from './debug.ts';
import { decodeEvents, encodeEvents, takeNmi } from './events.ts';
import { decodeXsave, encodeXsave, type XsaveShape } from './fpu.ts';
import { decodeMsrs, encodeMsrs, listMsrs, MSR_FIELDS, type MsrField, msrBytes, msrValue } from './msrs.ts';
import { decodeRegs, decodeSregs, encodeRegs, encodeSregs, usesPdptes } from './registers.ts';
import { KvmIrq, Lapic } from './abi-irqchip.ts';

/** What this host's KVM has. */
export interface RegisterCapabilities {
  readonly sregs2: boolean;
  readonly payload: boolean;
  /** Bits of SyncRegsBit. */
  readonly sync: number;
  readonly xcrs: boolean;
}

/** The part of the task priority that CR8 lacks. */
const LOW = 15;

function taskPriority(vcpu: KvmVcpuPort, page: Uint8Array): number {
  vcpu.ioctl(KvmIrq.getLapic, page);
  return page[Lapic.tpr];
}

/** A structure: its bytes, a view of them, and what KVM was known to hold. */
class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private readonly known: Uint8Array;
  /** KVM holds what `known` says. */
  private fresh = false;
  private readonly get: number;
  private readonly set: number;

  constructor(size: number, get: number, set: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.known = new Uint8Array(size);
    this.get = get;
    this.set = set;
  }

  /** From KVM. */
  fetch(vcpu: KvmVcpuPort): DataView {
    vcpu.ioctl(this.get, this.bytes);
    this.note();
    return this.view;
  }
  /** KVM is known to hold these bytes. */
  note(): void {
    this.known.set(this.bytes);
    this.fresh = true;
  }
  /** To KVM, if it does not hold the same already. Afterwards the guest runs, and nothing is known. */
  put(vcpu: KvmVcpuPort): void {
    if (!this.same()) vcpu.ioctl(this.set, this.bytes);
    this.fresh = false;
  }
  same(): boolean {
    if (!this.fresh) return false;
    const { bytes, known } = this;
    for (let n = 0; n < bytes.length; n++) if (bytes[n] !== known[n]) return false;
    return true;
  }
  forget(): void {
    this.fresh = false;
  }
}

export class VcpuRegisters {
  private readonly vcpu: KvmVcpuPort;
  private readonly has: RegisterCapabilities;
  private readonly xsaveShape: XsaveShape;
  /** Those that this KVM has. */
  private readonly fields: readonly MsrField[];
  private readonly regs = new Block(Regs.size, KvmX86.getRegs, KvmX86.setRegs);
  private readonly sregs = new Block(Sregs.size, KvmX86.getSregs, KvmX86.setSregs);
  private readonly sregs2 = new Block(Sregs2.size, KvmX86.getSregs2, KvmX86.setSregs2);
  private readonly xsave = new Block(XSAVE_BYTES, KvmX86.getXsave, KvmX86.setXsave);
  private readonly xcrs = new Block(Xcrs.size, KvmX86.getXcrs, KvmX86.setXcrs);
  private readonly debug = new Block(DebugRegs.size, KvmX86.getDebugregs, KvmX86.setDebugregs);
  private readonly events = new Block(Events.size, KvmX86.getVcpuEvents, KvmX86.setVcpuEvents);
  private readonly msrs: Block;
  /** The local APIC in the kernel, where it shows there; all eight bits of the task priority. */
  private local: { base: bigint; priority: number } | undefined;
  private readonly page = new Uint8Array(Lapic.size);
  /** Registers that KVM would not take the state's values of, by number: they keep what KVM has. */
  readonly refused = new Set<number>();

  /** After KVM_SET_CPUID2. */
  constructor(vcpu: KvmVcpuPort, has: RegisterCapabilities, xsave: XsaveShape) {
    this.vcpu = vcpu;
    this.has = has;
    this.xsaveShape = xsave;
    this.fields = exchanged(vcpu, MSR_FIELDS);
    this.msrs = new Block(msrBytes(this.fields.length), KvmX86.getMsrs, KvmX86.setMsrs);
    // What is not the state's there, CR8 and the local APIC's base, stays.
    this.sregs.fetch(vcpu);
    if (has.sregs2) this.sregs2.fetch(vcpu);
    this.forget();
  }

  /** The model-specific registers that are exchanged. */
  get msrIndices(): readonly number[] {
    return this.fields.map(({ index }) => index);
  }

  /** KVM has run since it was asked, or may have. */
  forget(): void {
    for (const block of [this.regs, this.sregs, this.sregs2, this.xsave, this.xcrs, this.debug, this.events, this.msrs])
      block.forget();
  }

  /** What KVM holds is as of the next entry, where registers go through kvm_run. */
  load(state: StateAccess): void {
    const { vcpu, has } = this;
    const { run } = vcpu;
    let dirty = 0;
    const viaRun = (bit: number) => (has.sync & bit) !== 0;
    const sync = (bit: number, at: number, bytes: Uint8Array) => {
      new Uint8Array(run.buffer, run.byteOffset + Run.syncRegs + at, bytes.length).set(bytes);
      dirty |= bit;
    };
    const { local } = this;
    if (local) this.showLocal(local);
    if (local && local.priority & LOW) this.keepPriority(state, local.priority);
    else if (viaRun(SyncRegsBit.sregs) && !(has.sregs2 && usesPdptes(state))) {
      encodeSregs(state, this.sregs.view, false);
      sync(SyncRegsBit.sregs, SyncRegs.sregs, this.sregs.bytes);
      this.sregs2.forget();
    } else if (has.sregs2) {
      encodeSregs(state, this.sregs2.view, true);
      this.sregs2.put(vcpu);
    } else {
      encodeSregs(state, this.sregs.view, false);
      this.sregs.put(vcpu);
    }
    encodeRegs(state, this.regs.view);
    if (viaRun(SyncRegsBit.regs)) sync(SyncRegsBit.regs, SyncRegs.regs, this.regs.bytes);
    else this.regs.put(vcpu);
    if (has.xcrs) {
      encodeXcrs(state, this.xcrs.view);
      this.xcrs.put(vcpu);
    }
    encodeXsave(state, this.xsave.view, this.xsaveShape);
    this.xsave.put(vcpu);
    this.loadMsrs(state);
    encodeDebugRegs(state, this.debug.view);
    this.debug.put(vcpu);
    encodeEvents(state, this.events.view, has.payload);
    if (viaRun(SyncRegsBit.events)) sync(SyncRegsBit.events, SyncRegs.events, this.events.bytes);
    else this.events.put(vcpu);
    state.set32('lines', state.get32('lines') & ~Line.nmi);
    run.setBigUint64(Run.dirtyRegs, run.getBigUint64(Run.dirtyRegs, true) | BigInt(dirty), true);
  }

  store(state: StateAccess): void {
    const { vcpu, has } = this;
    const sregs = (has.sregs2 ? this.sregs2 : this.sregs).fetch(vcpu);
    decodeSregs(sregs, state, has.sregs2);
    if (this.local)
      this.local = { base: sregs.getBigUint64(Sregs.apicBase, true), priority: taskPriority(vcpu, this.page) };
    decodeRegs(this.regs.fetch(vcpu), state);
    if (has.xcrs) decodeXcrs(this.xcrs.fetch(vcpu), state);
    decodeXsave(this.xsave.fetch(vcpu), state, this.xsaveShape);
    const { fields } = this;
    if (fields.length > 0) {
      listMsrs(this.msrIndices, this.msrs.view);
      decodeMsrs(this.msrs.fetch(vcpu), fields, state);
    }
    decodeDebugRegs(this.debug.fetch(vcpu), state);
    const events = this.events.fetch(vcpu);
    decodeEvents(events, state, has.payload);
    if (takeNmi(events)) vcpu.ioctl(KvmX86.setVcpuEvents, this.events.bytes);
  }

  /** What the local APIC in the kernel is given beside this; before it is. */
  setLocal(state: StateAccess, base: bigint, priority: number): void {
    this.local = { base, priority };
    if (!(priority & LOW)) return;
    this.showLocal(this.local);
    const block = this.control(state);
    this.vcpu.ioctl(this.has.sregs2 ? KvmX86.setSregs2 : KvmX86.setSregs, block.bytes);
    block.note();
  }

  private showLocal({ base, priority }: { base: bigint; priority: number }): void {
    for (const { view } of [this.sregs, this.sregs2]) {
      view.setBigUint64(Sregs.apicBase, base, true);
      view.setBigUint64(Sregs.cr8, BigInt(priority >> 4), true);
    }
  }

  /** The state's segments and control registers, as they go to KVM by a request. */
  private control(state: StateAccess): Block {
    const { sregs2 } = this.has;
    const block = sregs2 ? this.sregs2 : this.sregs;
    encodeSregs(state, block.view, sregs2);
    return block;
  }

  /** CR8 clears the lower half of the task priority: it is not set without need, and the whole priority after it. */
  private keepPriority(state: StateAccess, priority: number): void {
    const block = this.control(state);
    const { vcpu } = this;
    if (!block.same()) {
      block.put(vcpu);
      // The register of an x2APIC, else that of Hyper-V's enlightenments, which hosts may write for any guest.
      if (!writeMsr(vcpu, Msr.x2apicTpr, BigInt(priority))) writeMsr(vcpu, Msr.hyperVTpr, BigInt(priority));
    }
    block.forget();
  }

  private loadMsrs(state: StateAccess): void {
    const { msrs, vcpu, fields } = this;
    encodeMsrs(state, fields, msrs.view);
    if (msrs.same()) return;
    msrs.forget();
    const refused = inParts(vcpu, KvmX86.setMsrs, msrs.view);
    for (const n of refused) this.refused.add(fields[n].index);
  }
}

/**
 * KVM goes through a list of registers in order, and stops at one that it has not or whose value it does not like: what
 * follows is asked for anew. Returns which ones of the list it stopped at.
 */
function inParts(vcpu: KvmVcpuPort, request: number, list: DataView): ReadonlySet<number> {
  const stopped = new Set<number>();
  const count = list.getUint32(0, true);
  const all = new Uint8Array(list.buffer, list.byteOffset, msrBytes(count));
  for (let first = 0; first < count; first++) {
    const part = new Uint8Array(msrBytes(count - first));
    new DataView(part.buffer).setUint32(0, count - first, true);
    part.set(all.subarray(msrBytes(first)), msrBytes(0));
    const done = someMsrs(vcpu, request, part);
    all.set(part.subarray(msrBytes(0), msrBytes(done)), msrBytes(first));
    first += done;
    if (first < count) stopped.add(first);
  }
  return stopped;
}

/** How many of the list KVM did, from its beginning. */
function someMsrs(vcpu: KvmVcpuPort, request: number, list: Uint8Array): number {
  try {
    return vcpu.ioctl(request, list);
  } catch (error) {
    // One alone that is not taken is an error on some kernels.
    if (error instanceof KvmError && error.errno === 'EINVAL') return 0;
    throw error;
  }
}

/** A model-specific register; undefined where KVM has none. */
export function readMsr(vcpu: KvmVcpuPort, index: number): bigint | undefined {
  const bytes = new Uint8Array(msrBytes(1));
  const view = new DataView(bytes.buffer);
  listMsrs([index], view);
  try {
    return vcpu.ioctl(KvmX86.getMsrs, bytes) === 1 ? msrValue(view, 0) : undefined;
  } catch {
    return undefined;
  }
}

/** Those registers that KVM has, and for which it takes back what it gave. */
function exchanged(vcpu: KvmVcpuPort, fields: readonly MsrField[]): readonly MsrField[] {
  const without = (list: readonly MsrField[], stopped: ReadonlySet<number>) => list.filter((_, n) => !stopped.has(n));
  const listOf = (list: readonly MsrField[]) => {
    const view = new DataView(new ArrayBuffer(msrBytes(list.length)));
    const indices = list.map(({ index }) => index);
    listMsrs(indices, view);
    return view;
  };
  const known = without(fields, inParts(vcpu, KvmX86.getMsrs, listOf(fields)));
  const values = listOf(known);
  inParts(vcpu, KvmX86.getMsrs, values);
  return without(known, inParts(vcpu, KvmX86.setMsrs, values));
}

/** False where KVM does not take it. */
export function writeMsr(vcpu: KvmVcpuPort, index: number, value: bigint): boolean {
  const bytes = new Uint8Array(msrBytes(1));
  const view = new DataView(bytes.buffer);
  listMsrs([index], view);
  view.setBigUint64(Msrs.header + Msrs.data, value, true);
  return someMsrs(vcpu, KvmX86.setMsrs, bytes) === 1;
}

export const readTsc = (vcpu: KvmVcpuPort): bigint => readMsr(vcpu, Msr.tsc) ?? 0n;
