/**
 * The local APIC of a vCPU: xAPIC window, x2APIC MSRs, local vector table.
 *
 * Spec: Intel SDM volume 3, "Advanced Programmable Interrupt Controller".
 * Departures: no arbitration id, no remote reads, no focus processor, no
 * thermal or performance events; interprocessor interrupts are edge-triggered,
 * as on every processor since the Pentium 4. After reset the bootstrap
 * processor's LINT0 takes the 8259's interrupts already, as in QEMU.
 */
import type { Device, DeviceLog, Mmio } from '../../hw/device.ts';
import { DELIVERY, type InterruptMessage } from '../../hw/interrupt-message.ts';
import { create } from '../../state/layout.ts';
import type { ApicNode } from './apic-bus.ts';
import { STATE } from './apic-state.ts';
import { ApicTimer, TIMER_MODE } from './apic-timer.ts';
import type { LocalApicWiring } from './apic-wiring.ts';
import { isAddressed, logicalId } from './destination.ts';
import { decodeIcr, ESR, FIRST_VECTOR, ICR_WRITABLE } from './icr.ts';
import { isLevelTriggered, LocalWires } from './local-wires.ts';
import { LVT, LVT_MASKED, LVT_WRITABLE } from './lvt.ts';
import { PvEoi } from './pv-eoi.ts';
import { PRESENT, REGISTERS } from './registers.ts';
import { readX2apic, writeX2apic } from './x2apic.ts';
import { hasVector, highestVector, setVector } from './vectors.ts';

/** IA32_APIC_BASE. */
const BASE = { BSP: 0x100, EXTD: 0x400, EN: 0x800, RESERVED: 0x2ff };
/** Physical addresses that IA32_APIC_BASE can hold, bits. */
const PHYSICAL_BITS = 40;
const SVR = { ENABLE: 0x100 };

export class LocalApic implements Device<typeof STATE>, ApicNode {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** The 4 KiB window, at `base`, of this vCPU alone. All ones where the xAPIC mode is off. */
  readonly mmio: Mmio;
  readonly timer: ApicTimer;
  readonly pvEoi: PvEoi;
  /** Called when IA32_APIC_BASE moved the window, switched it off or on. */
  onBase: (() => void) | undefined;
  private readonly on: LocalApicWiring;

  constructor(name: string, on: LocalApicWiring) {
    this.name = name;
    this.on = on;
    this.log = on.wiring.log;
    this.timer = new ApicTimer(
      on.wiring.clock,
      on.tsc,
      () => this.state,
      () => this.local(LVT.TIMER),
    );
    this.pvEoi = new PvEoi(this, on.wiring.dma);
    this.mmio = {
      widths: [4],
      read: (offset, size) => {
        if (!this.windowed) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
        this.pvEoi.poll();
        if (!PRESENT.has(offset >> 4)) this.error(ESR.ILLEGAL_REGISTER);
        return REGISTERS.read(this, offset, size);
      },
      write: (offset, size, value) => {
        if (!this.windowed) return;
        this.pvEoi.poll();
        if (!PRESENT.has(offset >> 4)) this.error(ESR.ILLEGAL_REGISTER);
        REGISTERS.write(this, offset, size, value);
      },
    };
    this.state.id = on.id;
    on.bus.add(this);
  }

  // Device

  reset(): void {
    const { lint } = this.state;
    Object.assign(this.state, create(STATE), { lint, id: this.on.id });
    if (this.on.bootstrap) this.state.lvt[LVT.LINT0] = DELIVERY.EXTINT << 8;
    else this.state.waitingForSipi = 1;
    this.resumed();
    this.onBase?.();
  }

  resumed(): void {
    this.timer.arm();
    this.output();
  }

  /** The kernel is the local APIC from here on, until `adopt`. */
  leave(): void {
    this.timer.leave();
    this.on.cpu.intr.set(false);
  }

  /** IA32_APIC_BASE of another local APIC that this one goes on for; its other registers are put into `state`. */
  adoptBase(value: number): void {
    const flags = value % 0x1000;
    const { base, enabled, x2apic } = this.state;
    this.state.base = value - flags;
    this.state.enabled = flags & BASE.EN ? 1 : 0;
    this.state.x2apic = flags & BASE.EXTD ? 1 : 0;
    if (base !== this.state.base || enabled !== this.state.enabled || x2apic !== this.state.x2apic) this.onBase?.();
  }

  /** Goes on where another one stopped; `left`, `missed`: see ApicTimer.adopt. `external`: the 8259 asks. */
  adopt(left: number, missed: boolean, external: boolean, waiting: boolean): void {
    this.state.lint[0] = external ? 1 : 0;
    this.state.waitingForSipi = waiting ? 1 : 0;
    this.timer.adopt(left, missed);
    this.resumed();
  }

  /** What an INIT leaves: everything as after reset but the id and IA32_APIC_BASE. */
  initReset(): void {
    const { base, enabled, x2apic, id, lint } = this.state;
    Object.assign(this.state, create(STATE), { base, enabled, x2apic, id, lint });
    if (!this.on.bootstrap) this.state.waitingForSipi = 1;
    this.resumed();
  }

  // The vCPU's side

  /** True while the vCPU must not run: it waits for a SIPI. */
  get waiting(): boolean {
    return this.state.waitingForSipi === 1;
  }

  /** True while the xAPIC window answers. */
  get windowed(): boolean {
    return this.state.enabled === 1 && !this.state.x2apic;
  }

  /** The window's place in physical memory. */
  get base(): number {
    return this.state.base;
  }

  /** IA32_APIC_BASE. */
  get apicBase(): number {
    const { base, enabled, x2apic } = this.state;
    return base + (this.on.bootstrap ? BASE.BSP : 0) + (enabled ? BASE.EN : 0) + (x2apic ? BASE.EXTD : 0);
  }

  /** Writes IA32_APIC_BASE. False: reserved bits or a forbidden change of mode (#GP). */
  setApicBase(value: number): boolean {
    const { state } = this;
    if (!(value >= 0 && value < 2 ** PHYSICAL_BITS)) return false;
    const flags = value % 0x1000;
    const enabled = flags & BASE.EN ? 1 : 0;
    const x2apic = flags & BASE.EXTD ? 1 : 0;
    if (flags & BASE.RESERVED || (x2apic && !enabled)) return false;
    if (x2apic && !state.enabled) return false; // from disabled only to xAPIC
    if (!x2apic && enabled && state.x2apic) return false; // from x2APIC only to disabled
    if (!enabled && state.enabled) {
      this.pvEoi.revoke();
      const { tpr, waitingForSipi, pvEoi } = state;
      this.initReset();
      Object.assign(state, { tpr, waitingForSipi, pvEoi });
    }
    if (x2apic || !enabled) state.id = this.on.id;
    Object.assign(state, { base: value - flags, enabled, x2apic });
    this.output();
    this.onBase?.();
    return true;
  }

  /** Task priority, 0..255. */
  get tpr(): number {
    return this.state.tpr;
  }
  set tpr(value: number) {
    this.pvEoi.poll();
    this.state.tpr = value & 0xff;
    this.output();
  }

  /** CR8: the task priority's class, 0..15. */
  get cr8(): number {
    return this.state.tpr >> 4;
  }
  set cr8(value: number) {
    this.tpr = (value & 15) << 4;
  }

  /** IA32_TSC_DEADLINE, low and high half. */
  get tscDeadline(): readonly [number, number] {
    return [this.state.tscDeadline[0], this.state.tscDeadline[1]];
  }

  /** Writes IA32_TSC_DEADLINE; without effect when the timer is in another mode. */
  setTscDeadline(low: number, high: number): void {
    if (this.timer.mode !== TIMER_MODE.TSC_DEADLINE) return;
    this.state.tscDeadline[0] = low >>> 0;
    this.state.tscDeadline[1] = high >>> 0;
    this.timer.arm();
  }

  /** The vCPU's TSC was written. */
  tscChanged(): void {
    if (this.timer.mode === TIMER_MODE.TSC_DEADLINE) this.timer.arm();
  }

  /** Reads x2APIC MSR 0x800..0x8ff, low and high half; undefined is #GP. */
  readMsr(msr: number): readonly [number, number] | undefined {
    this.pvEoi.poll();
    return this.state.x2apic ? readX2apic(this, msr - 0x800) : undefined;
  }

  /** Writes x2APIC MSR 0x800..0x8ff; false is #GP. */
  writeMsr(msr: number, low: number, high: number): boolean {
    this.pvEoi.poll();
    return this.state.x2apic === 1 && writeX2apic(this, msr - 0x800, low, high);
  }

  /** The vCPU takes an interrupt: its vector, or -1 when there is none any more. */
  acknowledge(): number {
    const { state } = this;
    this.pvEoi.poll();
    const vector = this.deliverable();
    if (vector >= 0) {
      this.pvEoi.revoke(); // of the one that is interrupted
      setVector(state.irr, vector, false);
      setVector(state.isr, vector, true);
      this.pvEoi.offer(vector);
      this.output();
      return vector;
    }
    if (!this.on.pic || !this.external()) return -1;
    state.extInt = 0;
    const taken = this.on.pic.acknowledge();
    this.output();
    return taken;
  }

  // The wires

  private readonly wires = new LocalWires({
    state: this.state,
    event: (index) => this.local(index),
    changed: () => this.output(),
  });
  /** LINT0, the 8259's INT. */
  readonly lint0 = this.wires.line(0);
  /** LINT1, NMI. */
  readonly lint1 = this.wires.line(1);

  /** An event of the local vector table. */
  private local(index: number): void {
    const entry = this.state.lvt[index];
    if (entry & LVT_MASKED) return;
    const mode = index === LVT.TIMER || index === LVT.ERROR ? DELIVERY.FIXED : (entry >>> 8) & 7;
    if (mode === DELIVERY.EXTINT)
      this.output(); // the wire's level counts
    else if (mode !== DELIVERY.STARTUP && mode !== DELIVERY.LOWEST)
      this.accept({
        destination: this.state.id,
        logical: false,
        mode,
        vector: entry & 0xff,
        levelTriggered: isLevelTriggered(entry) && index >= LVT.LINT0 && index !== LVT.ERROR,
      });
  }

  // The bus

  get acceptsVectors(): boolean {
    return this.state.enabled === 1 && (this.state.svr & SVR.ENABLE) !== 0;
  }

  get priority(): number {
    this.pvEoi.poll();
    return this.ppr;
  }

  isDestination(destination: number, logical: boolean): boolean {
    return isAddressed(this.state, destination, logical);
  }

  accept({ mode, vector, levelTriggered }: InterruptMessage): void {
    const { state } = this;
    switch (mode) {
      case DELIVERY.FIXED:
      case DELIVERY.LOWEST:
        if (!this.acceptsVectors) return;
        if (vector < FIRST_VECTOR) {
          this.error(ESR.RECEIVED_VECTOR);
          return;
        }
        // It may have to wait for the one that is served.
        this.pvEoi.revoke();
        setVector(state.irr, vector, true);
        setVector(state.tmr, vector, levelTriggered);
        this.output();
        break;
      case DELIVERY.SMI:
        this.on.cpu.smi();
        break;
      case DELIVERY.NMI:
        this.on.cpu.nmi();
        break;
      case DELIVERY.INIT:
        this.initReset();
        this.on.cpu.init();
        break;
      case DELIVERY.STARTUP:
        if (!state.waitingForSipi) return;
        state.waitingForSipi = 0;
        this.on.cpu.startup(vector);
        break;
      case DELIVERY.EXTINT:
        state.extInt = 1;
        this.output();
        break;
      default:
        this.log.guestError(this.name, `message of reserved delivery mode ${mode}`);
    }
  }

  // Registers

  get ldr(): number {
    return logicalId(this.state);
  }

  /** Processor priority: the higher of the task's and the served interrupt's. */
  get ppr(): number {
    const { tpr, isr } = this.state;
    const served = Math.max(highestVector(isr), 0);
    return tpr >> 4 >= served >> 4 ? tpr : served & 0xf0;
  }

  endOfInterrupt(): void {
    this.pvEoi.revoke(); // the guest writes although it need not
    this.served();
  }

  /** The interrupt of the highest priority that is served has ended. */
  served(): void {
    const { isr, tmr } = this.state;
    const vector = highestVector(isr);
    if (vector < 0) return;
    setVector(isr, vector, false);
    if (hasVector(tmr, vector)) this.on.bus.endOfInterrupt(vector);
    this.wires.sample();
    this.output();
  }

  writeSvr(value: number): void {
    const { state } = this;
    state.svr = value & 0x1ff;
    if (!(value & SVR.ENABLE)) for (const index of state.lvt.keys()) state.lvt[index] |= LVT_MASKED;
    this.output();
  }

  writeLvt(index: number, value: number): void {
    const { state } = this;
    const mode = this.timer.mode;
    const masked = state.svr & SVR.ENABLE ? 0 : LVT_MASKED;
    state.lvt[index] = (value & LVT_WRITABLE[index]) | masked;
    if (index === LVT.TIMER) this.timer.changeMode(mode);
    this.wires.sample();
    this.output();
  }

  /** A write to ESR shows what was found since the last one. */
  latchErrors(): void {
    this.state.esr = this.state.errors;
    this.state.errors = 0;
  }

  /** A write to the low half of the ICR sends. */
  send(low: number): void {
    const { state } = this;
    const icr = low & ICR_WRITABLE;
    state.icr[0] = icr;
    const { what, message } = decodeIcr(icr, state.icr[1], state.x2apic === 1);
    if (what === 'reserved') this.log.guestError(this.name, `ICR with delivery mode ${message.mode}`);
    else if (what === 'bad-vector') this.error(ESR.SENT_VECTOR);
    else if (what === 'self') this.accept(message);
    else if (what === 'destination') this.on.bus.deliver(message);
    else if (what !== 'nothing') this.on.bus.deliverToAll(message, what === 'others' ? this : undefined);
  }

  private error(bit: number): void {
    const { state } = this;
    const fresh = (state.errors & bit) === 0;
    state.errors |= bit;
    if (fresh) this.local(LVT.ERROR);
  }

  // Outputs

  /** The vector that may interrupt now, or -1. */
  private deliverable(): number {
    if (!this.acceptsVectors) return -1;
    const vector = highestVector(this.state.irr);
    return vector >> 4 > this.ppr >> 4 ? vector : -1;
  }

  /** The 8259 interrupts: through LINT0, by an ExtINT message, or directly where the APIC is off. */
  private external(): boolean {
    const { lint, enabled, extInt, lvt } = this.state;
    if (!lint[0]) return false;
    const entry = lvt[LVT.LINT0];
    return !enabled || extInt === 1 || (!(entry & LVT_MASKED) && ((entry >>> 8) & 7) === DELIVERY.EXTINT);
  }

  private output(): void {
    this.on.cpu.intr.set(this.deliverable() >= 0 || this.external());
  }
}
