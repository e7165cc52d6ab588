/**
 * A PC's 8254 and port 0x61, in the kernel while KVM runs the machine.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_CREATE_PIT2,
 * KVM_SET_PIT2; the state itself: accel/kvm/x86/pit-state.ts.
 *
 * The kernel begins a period anew when it is given one (pit_load_count). The
 * rise that is due before is made here, and the kernel begins with it: so a
 * periodic interrupt keeps its phase. A rise that is made late shifts the
 * kernel's, so this is done again until one was in time.
 */
import { Pit, PitFlags } from '../accel/kvm/x86/abi-irqchip.ts';
import type { KernelChips } from '../accel/kvm/x86/kernel-chips.ts';
import type { PitReadBack } from '../accel/kvm/x86/pit-read-back.ts';
import {
  decodePit,
  encodePit,
  isQuiet,
  isReplaced,
  isUntouched,
  NEVER_NS,
  type PitLook,
} from '../accel/kvm/x86/pit-state.ts';
import type { Hpet } from '../devices/hpet/hpet.ts';
import type { I8254 } from '../devices/i8254/i8254.ts';
import type { PcSpeaker } from '../devices/pcspk/pcspk.ts';
import type { Clock, Timer } from '../hw/clock.ts';

const SPEAKER = 2;
const NS_PER_TICK = 1e9 / 1_193_182;
/** A rise is in time, ns; how many may be late. */
const IN_TIME = 50_000;
const TRIES = 8;

export interface KernelPitParts {
  readonly pit: I8254;
  readonly speaker: PcSpeaker | undefined;
  readonly hpet: Hpet | undefined;
  readonly clock: Clock;
  readonly readBack: () => PitReadBack | undefined;
  /** Makes the interrupt rise. */
  ring(): void;
}

export class KernelPit {
  private readonly parts: KernelPitParts;
  private chips: KernelChips | undefined;
  /** What the kernel showed when it had the state. */
  private sent: PitLook = { shown: new DataView(new ArrayBuffer(Pit.size)), at: 0, doubt: 0 };
  /** Rises of counter 0 until then. */
  private made = 0;
  /** It ends once, has, and was heard. */
  private ended = false;
  /** Its wire, when the kernel's was stopped. */
  private level = false;
  private tries = 0;
  private readonly timer: Timer;

  constructor(parts: KernelPitParts) {
    this.parts = parts;
    this.timer = parts.clock.timer(() => this.due());
  }

  /** What is due is made while all interrupt controllers are here. */
  prepare(): void {
    const { pit } = this.parts;
    this.ended = pit.ticksOf(0) >= pit.state.count[0];
    pit.resumed();
  }

  /** To the kernel. */
  leave(chips: KernelChips): void {
    this.chips = chips;
    this.parts.pit.leave();
    this.begin(chips);
  }

  /** The state from the kernel, which makes no rise any more. No vCPU runs. */
  stop(chips: KernelChips): void {
    this.chips = undefined;
    this.timer.cancel();
    const { pit, clock } = this.parts;
    const ours = this.fetch(chips, true);
    chips.setPit((view) => encodePit(pit.state, () => 0, true, PitFlags.hpetLegacy, view));
    pit.state.periods = ours ? this.madeBy(clock.now()) : pit.risesBy(clock.now());
    this.level = pit.out(0);
  }

  /** Nobody hears of it: who the wire leads to has come back with what it has done. What is due since follows by `resumed`. */
  home(): void {
    this.parts.pit.comeBack(this.level);
  }

  /** The HPET has taken the 8254's interrupt, or given it back. */
  legacyChanged(): void {
    const { chips } = this;
    const { pit, clock } = this.parts;
    if (!chips) return;
    this.fetch(chips, true);
    this.ended = pit.ticksOf(0) >= pit.state.count[0];
    pit.state.periods = pit.risesBy(clock.now());
    this.begin(chips);
  }

  private begin(chips: KernelChips): void {
    this.send(chips);
    this.tries = TRIES;
    this.wait();
  }

  /** For the next rise, and for the end of what is no count. */
  private wait(): void {
    const { pit, clock } = this.parts;
    const next = isQuiet(pit.state, this.ended) ? clock.now() + NEVER_NS : pit.riseTime(pit.state.periods + 1);
    if (next < Infinity) this.timer.set(next);
  }

  private send(chips: KernelChips): void {
    const { pit, speaker, hpet, clock } = this.parts;
    let flags = hpet?.replacesPit ? PitFlags.hpetLegacy : 0;
    if (speaker && speaker.state.control & SPEAKER) flags |= PitFlags.speakerDataOn;
    const before = clock.now();
    chips.setPit((view) => encodePit(pit.state, (counter) => pit.ticksOf(counter), this.ended, flags, view));
    this.sent = { ...between(before, clock.now()), shown: chips.pit() };
    this.made = pit.state.periods;
  }

  /** True: counter 0 goes on as ours. */
  private fetch(chips: KernelChips, exactly: boolean): boolean {
    const { pit, speaker, clock, readBack } = this.parts;
    const shown = chips.pit();
    const before = clock.now();
    const counter0 = exactly && !isReplaced(shown) ? readBack()?.look(shown) : undefined;
    const now: PitLook = { ...between(before, clock.now()), shown, counter0 };
    const ours = decodePit(now, this.sent, (at) => pit.tick(at), pit.state);
    if (speaker) {
      const heard = shown.getUint32(Pit.flags, true) & PitFlags.speakerDataOn;
      speaker.state.control = pit.state.gate[2] | (heard ? SPEAKER : 0);
    }
    return ours;
  }

  /** Rises until then: those here, and those of the kernel. */
  private madeBy(time: number): number {
    const { pit, hpet } = this.parts;
    if (hpet?.replacesPit || pit.riseTime(1) === Infinity) return this.made;
    return this.made + Math.floor((time - this.sent.at) / (pit.state.count[0] * NS_PER_TICK));
  }

  private due(): void {
    const { chips } = this;
    const { pit, clock, hpet, ring } = this.parts;
    if (!chips || hpet?.replacesPit || !isUntouched(chips.pit(), this.sent.shown, 0)) return;
    if (isQuiet(pit.state, this.ended)) {
      this.fetch(chips, false);
      this.begin(chips);
      return;
    }
    const now = clock.now();
    const rises = pit.risesBy(now);
    // Else this one is the kernel's already.
    if (this.madeBy(now) < rises) {
      ring();
      this.fetch(chips, false);
      pit.state.periods = rises;
      this.send(chips);
    } else pit.state.periods = rises;
    if (this.sent.at - pit.riseTime(this.made) > IN_TIME && --this.tries > 0) this.wait();
  }
}

const between = (from: number, to: number): { at: number; doubt: number } => ({
  at: (from + to) / 2,
  doubt: (to - from) / 2,
});
