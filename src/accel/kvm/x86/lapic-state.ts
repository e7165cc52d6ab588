/**
 * A local APIC's state to and from the kernel's.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_LAPIC; Intel SDM
 * volume 3, "The Local APIC Block Diagram" (address map).
 *
 * The kernel starts the timer anew whenever it is given a state, from its
 * current count. A one-shot count that has ended would end once more: it gets
 * an initial count of 0, and its own when it comes back.
 */
import { Lapic } from './abi-irqchip.ts';

/** As our model of the device has it. */
export interface LapicFields {
  id: number;
  x2apic: number;
  tpr: number;
  /** The top byte of the register. */
  ldr: number;
  /** Its top four bits. */
  dfr: number;
  svr: number;
  irr: number[];
  isr: number[];
  tmr: number[];
  esr: number;
  icr: number[];
  lvt: number[];
  initialCount: number;
  divide: number;
  countDone: number;
}

const MASKED = 0x1_0000;
const ONE_SHOT = 0;
const PERIODIC = 1;
const mode = (lvt: readonly number[]): number => (lvt[0] >>> 17) & 3;

function words(view: DataView, at: number, values: readonly number[]): void {
  values.forEach((value, n) => {
    view.setUint32(at + 16 * n, value, true);
  });
}
function readWords(view: DataView, at: number, into: number[]): void {
  for (const n of into.keys()) into[n] = view.getUint32(at + 16 * n, true);
}

/** `current`: what the current count register shows. */
export function encodeLapic(from: LapicFields, current: number, to: DataView): void {
  const put = (at: number, value: number) => to.setUint32(at, value >>> 0, true);
  put(Lapic.id, from.id << 24); // in x2APIC mode, too, without KVM_X2APIC_API_USE_32BIT_IDS
  put(Lapic.tpr, from.tpr);
  put(Lapic.ldr, from.ldr << 24);
  put(Lapic.dfr, (from.dfr << 28) | 0xfff_ffff);
  put(Lapic.svr, from.svr);
  words(to, Lapic.isr, from.isr);
  words(to, Lapic.tmr, from.tmr);
  words(to, Lapic.irr, from.irr);
  put(Lapic.esr, from.esr);
  put(Lapic.lvtCmci, MASKED);
  put(Lapic.icr, from.icr[0]);
  put(Lapic.icr2, from.icr[1]);
  words(to, Lapic.lvt, from.lvt);
  const counts = (mode(from.lvt) === ONE_SHOT || mode(from.lvt) === PERIODIC) && !from.countDone;
  put(Lapic.initialCount, counts ? from.initialCount : 0);
  put(Lapic.currentCount, counts ? Math.max(1, current) : 0);
  put(Lapic.divide, from.divide);
}

/** Gives the current count. `initialCount` and `countDone` stay where the kernel has no count. */
export function decodeLapic(from: DataView, to: LapicFields): number {
  const get = (at: number) => from.getUint32(at, true);
  to.id = get(Lapic.id) >>> 24;
  to.tpr = get(Lapic.tpr) & 0xff;
  if (!to.x2apic) {
    to.ldr = get(Lapic.ldr) >>> 24;
    to.dfr = get(Lapic.dfr) >>> 28;
  }
  to.svr = get(Lapic.svr) & 0x1ff;
  readWords(from, Lapic.isr, to.isr);
  readWords(from, Lapic.tmr, to.tmr);
  readWords(from, Lapic.irr, to.irr);
  to.esr = get(Lapic.esr) & 0xff;
  to.icr[0] = get(Lapic.icr);
  to.icr[1] = get(Lapic.icr2);
  readWords(from, Lapic.lvt, to.lvt);
  to.divide = get(Lapic.divide) & 0xb;
  const initial = get(Lapic.initialCount);
  if (initial === 0) {
    to.countDone = 1;
    return 0;
  }
  to.initialCount = initial;
  to.countDone = 0;
  return get(Lapic.currentCount);
}

/** What tells whether the timer's interrupt is still to be seen: see irqchip.ts. */
export interface LapicTimerLook {
  /** It counts: one-shot or periodic, from an initial count. */
  readonly counts: boolean;
  readonly periodic: boolean;
  readonly current: number;
  /** Its interrupt waits. */
  readonly waits: boolean;
}
export function lookAtTimer(from: DataView): LapicTimerLook {
  const entry = from.getUint32(Lapic.lvt, true);
  const kind = (entry >>> 17) & 3;
  const word = from.getUint32(Lapic.irr + 16 * ((entry & 0xff) >> 5), true);
  return {
    counts: kind <= PERIODIC && from.getUint32(Lapic.initialCount, true) !== 0,
    periodic: kind === PERIODIC,
    current: from.getUint32(Lapic.currentCount, true),
    waits: ((word >>> (entry & 31)) & 1) === 1,
  };
}
