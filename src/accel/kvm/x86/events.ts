/**
 * What is under way between two instructions: traps, interrupts, what holds
 * them back; a CPU's state to and from kvm_vcpu_events.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_VCPU_EVENTS;
 * SDM volume 3, "Debug Exceptions", "Masking Interrupts and Exceptions When
 * Switching Stacks".
 *
 * KVM may leave while it delivers an exception. What is a fault is forgotten
 * here, and so is INT n: RIP stands at the instruction, which raises it again.
 * An external interrupt that the controller has given away goes on in
 * `accepted`, a debug trap in `pendingDebug`. NMIs that wait go back to the
 * input that they came from; whoever loads or stores sees to it that they are in
 * one place only.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { ACCEPTED, Dr6, Line, Shadow, Vector } from '../../../isa/x86/state.ts';
import { Events, EventsShadow, EventsValid } from './abi-x86.ts';

const SHADOW_TO_KVM: Readonly<Record<number, number>> = {
  [Shadow.none]: 0,
  [Shadow.sti]: EventsShadow.sti,
  [Shadow.stack]: EventsShadow.movSs,
};

const shadowOf = (state: StateAccess): number =>
  state.get32('shadow') || (state.get64('heldPc') === state.get64('pc') ? Shadow.sti : Shadow.none);

/** `payload`: KVM_CAP_EXCEPTION_PAYLOAD is on, so that a trap can carry what it does to DR6. */
export function encodeEvents(state: StateAccess, to: DataView, payload: boolean): void {
  for (let at = 0; at < Events.size; at += 8) to.setBigUint64(at, 0n, true);
  const { exception, interrupt, nmi } = Events;
  const trap = state.get32('pendingDebug');
  let valid: number = EventsValid.nmiPending | EventsValid.shadow;
  if (payload) valid |= EventsValid.payload;
  if (trap) {
    to.setUint8(exception.nr, Vector.db);
    to.setUint8(payload ? exception.pending : exception.injected, 1);
    if (payload) {
      to.setUint8(Events.exceptionHasPayload, 1);
      to.setBigUint64(Events.exceptionPayload, BigInt(trap & Dr6.known), true);
    }
  }
  const accepted = state.get32('accepted');
  if (accepted) {
    to.setUint8(interrupt.injected, 1);
    to.setUint8(interrupt.nr, accepted & 0xff);
  }
  to.setUint8(interrupt.shadow, SHADOW_TO_KVM[shadowOf(state)] ?? 0);
  to.setUint8(nmi.masked, state.get32('nmiBlocked') ? 1 : 0);
  to.setUint8(nmi.pending, state.get32('lines') & Line.nmi ? 1 : 0);
  to.setUint32(Events.flags, valid, true);
}

/** After `decodeDebugRegs`. */
export function decodeEvents(from: DataView, state: StateAccess, payload: boolean): void {
  const { exception, interrupt, nmi } = Events;
  const shadow = from.getUint8(interrupt.shadow);
  state.set64('heldPc', (1n << 64n) - 1n);
  const behindStack = (shadow & EventsShadow.movSs) !== 0;
  state.set32('shadow', behindStack ? Shadow.stack : shadow & EventsShadow.sti ? Shadow.sti : Shadow.none);
  const underWay = from.getUint8(exception.pending) !== 0 || from.getUint8(exception.injected) !== 0;
  state.set32(
    'pendingDebug',
    underWay && from.getUint8(exception.nr) === Vector.db ? trapBits(from, state, payload) : 0,
  );
  const taken = from.getUint8(interrupt.injected) !== 0 && from.getUint8(interrupt.soft) === 0;
  state.set32('accepted', taken ? ACCEPTED | from.getUint8(interrupt.nr) : 0);
  // One that is being delivered blocks others already.
  const delivering = from.getUint8(nmi.injected) !== 0;
  state.set32('nmiBlocked', from.getUint8(nmi.masked) && !delivering ? 1 : 0);
  if (delivering || from.getUint8(nmi.pending)) state.set32('lines', state.get32('lines') | Line.nmi);
  if (state.get32('pendingDebug') || taken || delivering || shadow) state.set32('attention', 1);
}

/** An NMI is under way in KVM: takes it out of what KVM holds. False where there is none. */
export function takeNmi(events: DataView): boolean {
  const { injected, pending, masked } = Events.nmi;
  const delivering = events.getUint8(injected) !== 0;
  if (!delivering && events.getUint8(pending) === 0) return false;
  events.setUint8(injected, 0);
  events.setUint8(pending, 0);
  if (delivering) events.setUint8(masked, 0);
  events.setUint32(Events.flags, EventsValid.nmiPending | EventsValid.shadow, true);
  return true;
}

/** Without a payload DR6 has the trap's bits already. */
function trapBits(from: DataView, state: StateAccess, payload: boolean): number {
  const carried = payload && from.getUint8(Events.exceptionHasPayload) !== 0;
  const bits = carried ? from.getBigUint64(Events.exceptionPayload, true) : state.get64('dr6');
  return Number(bits & BigInt(Dr6.known & ~Dr6.bd));
}
