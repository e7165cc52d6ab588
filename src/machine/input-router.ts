/**
 * From a person's keys and movements to the machine's input devices: the last device that came takes the events that it
 * understands. Held keys wait on the machine's clock, so that a slow guest sees them as long as a fast one.
 */
import type { Clock, Timer } from '../hw/clock.ts';
import type { InputEvent, InputSink } from '../hw/input.ts';
import { keyOfNumber } from '../hw/qkeycode.ts';
import type { KeyValue, MachineInput } from './api.ts';

export { isQKeyCode, keyOfNumber } from '../hw/qkeycode.ts';

/** Key changes that wait; more is not a person. */
const QUEUE_LIMIT = 1024;

interface Waiting {
  readonly event: InputEvent;
  /** Nanoseconds after the one before. */
  readonly after: number;
}

export class InputRouter implements MachineInput {
  private readonly clock: Clock;
  private readonly timer: Timer;
  /** Somebody presses a key or a button. */
  onPressed: (() => void) | undefined;
  private sinks: InputSink[] = [];
  private waiting: Waiting[] = [];
  /** When the last key changed and how long it must stay so, nanoseconds. */
  private free = 0;

  constructor(clock: Clock) {
    this.clock = clock;
    this.timer = clock.timer(() => this.next());
  }

  /** A device has come; it gets the events that it takes from now on. */
  add(sink: InputSink): void {
    this.sinks = [sink, ...this.sinks];
  }

  remove(sink: InputSink): void {
    this.sinks = this.sinks.filter((other) => other !== sink);
  }

  send(events: readonly InputEvent[]): InputEvent['type'] | undefined {
    const takers = events.map(({ type }) => this.sinks.find((sink) => sink.takes.has(type)));
    const missing = takers.indexOf(undefined);
    if (missing >= 0) return events[missing].type;
    events.forEach((event, i) => {
      takers[i]?.input(event);
    });
    for (const sink of new Set(takers)) sink?.sync();
    if (events.some((event) => (event.type === 'key' || event.type === 'btn') && event.down)) this.onPressed?.();
    return undefined;
  }

  sendKeys(keys: readonly KeyValue[], holdMs: number): void {
    const hold = Math.max(1, holdMs) * 1e6;
    const names = keys
      .map((key) => (key.type === 'qcode' ? key.data : keyOfNumber(key.data)))
      .filter((key) => key !== undefined);
    if (this.waiting.length + 2 * names.length > QUEUE_LIMIT) return;
    const now = this.clock.now();
    const idle = this.waiting.length === 0;
    let after = idle ? Math.max(0, this.free - now) : this.lastHold;
    for (const down of [true, false]) {
      for (const key of down ? names : names.toReversed()) {
        this.waiting.push({ event: { type: 'key', key, down }, after });
        after = hold;
      }
    }
    this.lastHold = hold;
    if (!idle) return;
    if (this.waiting[0]?.after === 0) this.next();
    else if (this.waiting.length) this.timer.set(now + this.waiting[0].after);
  }

  pointers(): readonly { name: string; absolute: boolean }[] {
    return this.sinks
      .filter(({ takes }) => takes.has('rel') || takes.has('abs'))
      .map(({ inputName, takes }) => ({ name: inputName, absolute: takes.has('abs') }));
  }

  private lastHold = 0;

  private next(): void {
    const first = this.waiting.shift();
    if (!first) return;
    this.send([first.event]);
    const now = this.clock.now();
    if (this.waiting.length) this.timer.set(now + this.waiting[0].after);
    else this.free = now + this.lastHold;
  }
}
