/** Who is told what happens to a machine. */
import type { MachineEvents } from './api.ts';

type Listener<K extends keyof MachineEvents> = (value: MachineEvents[K]) => void;

export class MachineListeners {
  private readonly sets = new Map<keyof MachineEvents, Set<(value: never) => void>>();

  /** Returns what takes the listener away again. */
  add<K extends keyof MachineEvents>(event: K, listener: Listener<K>): () => void {
    const set = this.sets.get(event) ?? new Set();
    this.sets.set(event, set);
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Listeners that come or go meanwhile count from the next time on. */
  tell<K extends keyof MachineEvents>(event: K, value: MachineEvents[K]): void {
    for (const listener of [...(this.sets.get(event) ?? [])]) (listener as Listener<K>)(value);
  }
}
