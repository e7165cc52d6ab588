/**
 * A PC's 8254 and port 0x61, in the kernel while KVM runs the machine.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_CREATE_PIT2,
 * KVM_SET_PIT2; what does not survive a move: accel/kvm/x86/pit-state.ts.
 *
 * The kernel begins a period anew when it is given one. The rise that is due
 * before is made here, and the kernel begins with it: so a periodic interrupt
 * keeps its phase.
 */
import { PitFlags, Pit } from '../accel/kvm/x86/abi-irqchip.ts';
import type { KernelChips } from '../accel/kvm/x86/kernel-chips.ts';
import { decodePit, encodePit, isUntouched } from '../accel/kvm/x86/pit-state.ts';
import type { Hpet } from '../devices/hpet/hpet.ts';
import type { I8254 } from '../devices/i8254/i8254.ts';
import type { PcSpeaker } from '../devices/pcspk/pcspk.ts';
import type { Clock, Timer } from '../hw/clock.ts';

const SPEAKER = 2;
const NS_PER_TICK = 1e9 / 1_193_182;

export interface KernelPitParts {
  readonly pit: I8254;
  readonly speaker: PcSpeaker | undefined;
  readonly hpet: Hpet | undefined;
  readonly clock: Clock;
  /** Makes the interrupt rise. */
  ring(): void;
}

export class KernelPit {
  private readonly parts: KernelPitParts;
  private chips: KernelChips | undefined;
  /** What the kernel showed when it had the state, and when that was. */
  private sent: DataView = new DataView(new ArrayBuffer(Pit.size));
  private sentAt = 0;
  private readonly firstRise: Timer;

  constructor(parts: KernelPitParts) {
    this.parts = parts;
    this.firstRise = parts.clock.timer(() => this.rise());
  }

  /** To the kernel. */
  leave(chips: KernelChips): void {
    this.chips = chips;
    const { pit, clock } = this.parts;
    const next = pit.nextRise;
    pit.leave();
    this.send(chips);
    if (next < Infinity) this.firstRise.set(clock.now() + next * NS_PER_TICK);
  }

  /** From the kernel; the wire follows. */
  home(chips: KernelChips): void {
    this.chips = undefined;
    this.firstRise.cancel();
    this.fetch(chips);
    this.parts.pit.resumed();
  }

  /** The HPET has taken the 8254's interrupt, or given it back. */
  legacyChanged(): void {
    const { chips } = this;
    if (!chips) return;
    this.fetch(chips);
    this.send(chips);
  }

  private send(chips: KernelChips): void {
    const { pit, speaker, hpet, clock } = this.parts;
    let flags = hpet?.replacesPit ? PitFlags.hpetLegacy : 0;
    if (speaker && speaker.state.control & SPEAKER) flags |= PitFlags.speakerDataOn;
    chips.setPit((view) => encodePit(pit.state, (counter) => pit.ticksOf(counter), flags, view));
    this.sentAt = clock.now();
    this.sent = chips.pit();
  }

  private fetch(chips: KernelChips): void {
    const { pit, speaker, clock } = this.parts;
    const now = chips.pit();
    decodePit(now, this.sent, clock.now() - this.sentAt, pit.tick(), pit.state);
    if (!speaker) return;
    const heard = now.getUint32(Pit.flags, true) & PitFlags.speakerDataOn;
    speaker.state.control = pit.state.gate[2] | (heard ? SPEAKER : 0);
  }

  /** The first rise since the kernel has the state is due. */
  private rise(): void {
    const { chips } = this;
    const { pit, clock, hpet, ring } = this.parts;
    if (!chips || hpet?.replacesPit || !isUntouched(chips.pit(), this.sent, 0)) return;
    // Too late: the kernel has begun its next period already.
    if (clock.now() - this.sentAt >= pit.state.count[0] * NS_PER_TICK) return;
    ring();
    this.fetch(chips);
    this.send(chips);
  }
}
