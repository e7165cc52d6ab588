/**
 * SYSCALL on kvm_pvm: native user code gets to LSTAR, but stays at CPL 3, and
 * the guest's kernel sees a page fault of user code at its own entry. Here that
 * fault is caught and the system call made what it should have been.
 *
 * A breakpoint of the host's (KVM_GUESTDBG_USE_HW_BP) stands at the entry of
 * the guest's page-fault handler. Where the fault is none of a system call,
 * KVM takes one step behind the breakpoint and goes on. The guest's own
 * breakpoints are without effect meanwhile.
 *
 * Spec: SDM volume 2, "SYSCALL"; volume 3, "64-Bit Mode Stack Frame";
 * "The Definitive KVM API Documentation", KVM_SET_GUEST_DEBUG, KVM_CAP_SYNC_REGS.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { writeEflags } from '../../../isa/x86/cpu.ts';
import { Attr, Cr0, Cr4, Efer, Eflags, Seg, Vector } from '../../../isa/x86/state.ts';
import type { Space } from '../../space.ts';
import { Kvm, Run } from '../abi.ts';
import type { KvmVcpuPort } from '../port.ts';
import { GuestDebug, GuestDebugControl, Msr, Regs, Segment, Sregs, SyncRegs, SyncRegsBit } from './abi-x86.ts';
import { readMsr } from './vcpu-registers.ts';

const REGS = Run.syncRegs + SyncRegs.regs;
const SREGS = Run.syncRegs + SyncRegs.sregs;
/** In kvm_regs: the stack pointer and R11. */
const RSP = Regs.gpr + 6 * 8;
const R11 = Regs.gpr + 11 * 8;
const GATE = Vector.pf * 16;
/** DR7: breakpoint 0, on execution. */
const ON_0 = 0x402n;
const PRESENT = 1n;
const LARGE = 0x80n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Outside long mode every so many exits are enough. */
const SELDOM = 16;

/**
 * A state that KVM left between a SYSCALL and the fault that it becomes: at LSTAR, in user mode. Makes it that of the
 * system call; false where it is none.
 */
export function finishSystemCall(state: StateAccess): boolean {
  const long = (state.get64('efer') & BigInt(Efer.lma)) !== 0n && (state.get32('segAttr', Seg.cs) & Attr.long) !== 0;
  if (!long || state.get32('cpl') !== 3 || state.get64('pc') !== state.get64('lstar')) return false;
  const selector = Number((state.get64('star') >> 32n) & 0xfffcn);
  const common = Attr.s | Attr.present | Attr.granular | Attr.writable | Attr.accessed;
  const flat = (seg: number, value: number, attr: number) => {
    state.set32('segSelector', value, seg);
    state.set64('segBase', 0n, seg);
    state.set32('segLimit', 0xffff_ffff, seg);
    state.set32('segAttr', common | attr, seg);
  };
  flat(Seg.cs, selector, Attr.code | Attr.long);
  flat(Seg.ss, selector + 8, Attr.big);
  state.set32('cpl', 0);
  const flags = state.get64('gpr', 11) & ~state.get64('fmask') & ~BigInt(Eflags.rf | Eflags.vm);
  writeEflags(state, flags);
  return true;
}

export class SystemCalls {
  private readonly vcpu: KvmVcpuPort;
  private readonly run: DataView;
  private readonly space: Space;
  /** Where the table of gates is, and the page fault's in linear memory; as last looked at. */
  private tableLow = 0;
  private tableHigh = 0;
  private gate: number | undefined;
  private gateLow = 0;
  private gateHigh = 0;
  /** Where the breakpoint stands. */
  private entry: bigint | undefined;
  private stepping = false;
  /** Exits until the registers are looked at: 0 with each one. */
  private skip = 0;
  /** How many system calls were put right. */
  count = 0;

  constructor(vcpu: KvmVcpuPort, space: Space) {
    this.vcpu = vcpu;
    this.run = vcpu.run;
    this.space = space;
  }

  /** Other registers were loaded: the next exits are looked at. */
  loaded(): void {
    this.skip = 0;
    this.ask(true);
    this.look();
  }

  /** Whether an exit stores the registers, which takes a while. */
  private ask(wanted: boolean): void {
    this.run.setUint32(Run.validRegs, wanted ? SyncRegsBit.regs | SyncRegsBit.sregs : 0, true);
  }

  /** Lets the breakpoint follow the guest's table of gates: after an exit. */
  left(): void {
    if (this.skip === 0) this.look();
    else if (--this.skip === 0) this.ask(true);
  }

  private look(): void {
    if (this.stepping) return;
    const { run, space } = this;
    const low = run.getUint32(SREGS + Sregs.idt, true);
    const high = run.getUint32(SREGS + Sregs.idt + 4, true);
    if (low === this.tableLow && high === this.tableHigh && this.gate !== undefined) {
      const { view } = space;
      if (view.getUint32(this.gate, true) === this.gateLow && view.getUint32(this.gate + 4, true) === this.gateHigh)
        return;
    }
    this.tableLow = low;
    this.tableHigh = high;
    const long = this.isLong();
    this.gate = long ? this.place(this.table + BigInt(GATE)) : undefined;
    this.moveTo(this.handler());
    // Nothing runs natively before long mode.
    if (long) return;
    this.skip = SELDOM;
    this.ask(false);
  }

  private get table(): bigint {
    return (BigInt(this.tableHigh) << 32n) | BigInt(this.tableLow);
  }

  /** The page-fault handler's first instruction; undefined where there is none. */
  private handler(): bigint | undefined {
    const { gate, table } = this;
    const { view } = this.space;
    const upper = gate === undefined ? undefined : this.place(table + BigInt(GATE) + 8n);
    if (gate === undefined || upper === undefined) return undefined;
    this.gateLow = view.getUint32(gate, true);
    this.gateHigh = view.getUint32(gate + 4, true);
    // Not present.
    if (!(this.gateHigh & 0x8000)) return undefined;
    const low = (this.gateLow & 0xffff) | (this.gateHigh & 0xffff_0000);
    return (BigInt(view.getUint32(upper, true)) << 32n) | BigInt(low >>> 0);
  }

  private moveTo(entry: bigint | undefined): void {
    if (entry === this.entry) return;
    this.entry = entry;
    this.debug(entry === undefined ? 0 : GuestDebugControl.enable | GuestDebugControl.useHwBp);
  }

  private debug(control: number): void {
    const request = new DataView(new ArrayBuffer(GuestDebug.size));
    request.setUint32(GuestDebug.control, control, true);
    if (control & GuestDebugControl.useHwBp) {
      request.setBigUint64(GuestDebug.debugreg, this.entry ?? 0n, true);
      request.setBigUint64(GuestDebug.debugreg + 7 * 8, ON_0, true);
    }
    this.vcpu.ioctl(Kvm.setGuestDebug, new Uint8Array(request.buffer));
  }

  /** A debug exit; false where it is not ours. */
  serve(): boolean {
    const { entry, run } = this;
    if (this.stepping) {
      this.stepping = false;
      this.debug(GuestDebugControl.enable | GuestDebugControl.useHwBp);
      return true;
    }
    if (entry === undefined || run.getBigUint64(REGS + Regs.rip, true) !== entry) return false;
    if (!this.repair()) {
      this.stepping = true;
      this.debug(GuestDebugControl.enable | GuestDebugControl.singleStep);
    }
    return true;
  }

  /** The stack holds: error code, RIP, CS, RFLAGS, RSP, SS. */
  private repair(): boolean {
    const { run, vcpu } = this;
    const sp = run.getBigUint64(REGS + RSP, true);
    const word = (n: number): bigint | undefined => {
      const at = this.place(sp + BigInt(8 * n));
      return at === undefined ? undefined : this.space.view.getBigUint64(at, true);
    };
    const [rip, cs, userSp] = [word(1), word(2), word(4)];
    if (rip === undefined || cs === undefined || userSp === undefined || (cs & 3n) !== 3n) return false;
    // User code that could not be fetched; and then only at LSTAR.
    if (rip !== run.getBigUint64(SREGS + Sregs.cr2, true)) return false;
    const [lstar, star, mask] = [Msr.lstar, Msr.star, Msr.fmask].map((index) => readMsr(vcpu, index) ?? 0n);
    if (rip !== lstar) return false;
    // The processor has put the flags into R11, and what follows SYSCALL into RCX.
    const flags = run.getBigUint64(REGS + R11, true) & ~mask & ~BigInt(Eflags.rf);
    run.setBigUint64(REGS + Regs.rip, lstar, true);
    run.setBigUint64(REGS + Regs.rflags, flags | BigInt(Eflags.fixed), true);
    run.setBigUint64(REGS + RSP, userSp, true);
    const selector = Number((star >> 32n) & 0xfffcn);
    this.flat(Seg.cs, selector, 11, 1);
    this.flat(Seg.ss, selector + 8, 3, 0);
    const dirty = run.getBigUint64(Run.dirtyRegs, true) | BigInt(SyncRegsBit.regs | SyncRegsBit.sregs);
    run.setBigUint64(Run.dirtyRegs, dirty, true);
    this.count++;
    return true;
  }

  /** A segment as SYSCALL loads it: flat, for the kernel. */
  private flat(seg: number, selector: number, type: number, long: 0 | 1): void {
    const { run } = this;
    const at = SREGS + Sregs.segments[seg];
    run.setBigUint64(at + Segment.base, 0n, true);
    run.setUint32(at + Segment.limit, 0xffff_ffff, true);
    run.setUint16(at + Segment.selector, selector, true);
    const bytes: readonly (readonly [number, number])[] = [
      [Segment.type, type],
      [Segment.present, 1],
      [Segment.dpl, 0],
      [Segment.db, 1 - long],
      [Segment.s, 1],
      [Segment.l, long],
      [Segment.g, 1],
      [Segment.avl, 0],
      [Segment.unusable, 0],
    ];
    for (const [place, value] of bytes) run.setUint8(at + place, value);
  }

  private isLong(): boolean {
    const { run } = this;
    const paging = (run.getUint32(SREGS + Sregs.cr0, true) & Cr0.pg) !== 0;
    return paging && (run.getUint32(SREGS + Sregs.efer, true) & Efer.lma) !== 0;
  }

  /** Where 8 bytes at a linear address of the kernel's stand in linear memory; by the tables of long mode. */
  private place(address: bigint): number | undefined {
    const { run, space } = this;
    const levels = run.getUint32(SREGS + Sregs.cr4, true) & Cr4.la57 ? 5 : 4;
    let table = run.getBigUint64(SREGS + Sregs.cr3, true) & ADDRESS;
    for (let level = levels - 1; level >= 0; level--) {
      const shift = BigInt(12 + 9 * level);
      const at = space.hostAt(Number(table | (((address >> shift) & 511n) << 3n)));
      if (at === undefined) return undefined;
      const entry = space.view.getBigUint64(at, true);
      if (!(entry & PRESENT)) return undefined;
      if (level === 0 || (level < 3 && entry & LARGE)) {
        const inside = (1n << shift) - 1n;
        const host = space.hostAt(Number((entry & ADDRESS & ~inside) | (address & inside & ~7n)));
        return host === undefined ? undefined : host + Number(address & 7n);
      }
      table = entry & ADDRESS;
    }
    return undefined;
  }
}
