/**
 * The character devices of one machine: opened, shared where they are muxed,
 * waited for, and closed with nothing lost.
 */
import type { Mux, MuxPort } from '../control/mux.ts';
import type { ByteStream } from '../control/byte-stream.ts';
import type { ChardevInfo } from '../control/hub.ts';
import type { CharBackend } from '../hw/chardev.ts';
import { openChardev } from '../host/node/chardev.ts';
import type { Channel } from '../host/node/chardev-channel.ts';
import type { ChardevConfig } from '../machine/config.ts';
import type { ChardevPlan, SystemPlan } from './options-plan.ts';
import { OptionError } from './options-values.ts';

/** How long a client on a socket may take to read the last words. */
const CLIENT_MS = 1000;

interface Opened {
  readonly plan: ChardevPlan;
  readonly channel: Channel;
  readonly connected?: Promise<void>;
  readonly mux?: Mux;
  /** The end of the mux that devices use. */
  devicePort?: MuxPort;
}

export class MachineStreams {
  private readonly opened = new Map<string, Opened>();
  private readonly escape: number;
  private readonly quit: () => void;

  /** `quit`: what the escape key and `x` do. */
  constructor(escapeKey: number, quit: () => void) {
    this.escape = escapeKey;
    this.quit = quit;
  }

  /** Throws OptionError for a chardev that the host does not give. */
  async open(plans: readonly ChardevPlan[]): Promise<void> {
    // The terminal comes last, so that it is in raw mode only when all else is well.
    const inOrder = [...plans].sort((a, b) => Number(a.kind === 'stdio') - Number(b.kind === 'stdio'));
    for (const plan of inOrder) {
      try {
        const { channel, connected } = await openChardev(plan);
        const mux = plan.mux ? await this.muxed(channel) : undefined;
        this.opened.set(plan.id, { plan, channel, connected, mux });
      } catch (error) {
        throw error instanceof OptionError ? error : new OptionError(plan.where, (error as Error).message);
      }
    }
  }

  private async muxed(channel: Channel): Promise<Mux> {
    const { Mux } = await import('../control/mux.ts');
    return new Mux(channel, { quit: this.quit, now: () => Date.now() }, this.escape);
  }

  /** The back end that a device uses; all devices on one chardev share it. */
  device(id: string): CharBackend {
    const opened = this.get(id);
    if (!opened.mux) return opened.channel;
    opened.devicePort ??= opened.mux.port(id);
    return opened.devicePort;
  }

  /** The stream that a monitor uses: the chardev, or a port of its mux. */
  monitor(id: string): { readonly stream: ByteStream; readonly port?: MuxPort; readonly first: boolean } {
    const opened = this.get(id);
    if (!opened.mux) return { stream: opened.channel, first: true };
    const port = opened.mux.port('monitor');
    return { stream: port, port, first: opened.mux.focused === port };
  }

  private get(id: string): Opened {
    const opened = this.opened.get(id);
    if (!opened) throw new OptionError('', `chardev "${id}" not found`);
    return opened;
  }

  /** Chardevs that devices name with `chardev=`. */
  configs(plan: SystemPlan): ChardevConfig[] {
    const ids = new Set(plan.devices.flatMap(({ properties }) => properties.chardev ?? []));
    return [...ids].map((id) => ({ id, backend: this.device(id) }));
  }

  /** Servers whose first client the machine waits for, with QEMU's words. */
  awaited(): { readonly where: string; readonly filename: string; readonly connected: Promise<void> }[] {
    return [...this.opened.values()].flatMap(({ plan, channel, connected }) =>
      plan.socket?.server && plan.socket.wait && connected
        ? [{ where: plan.where, filename: channel.filename, connected }]
        : [],
    );
  }

  info(): ChardevInfo[] {
    return [...this.opened.values()].flatMap(({ plan, channel, mux }) => {
      const { filename, inUse } = channel;
      if (!mux) return [{ label: plan.id, filename, frontendOpen: inUse }];
      return [
        { label: plan.id, filename: 'mux', frontendOpen: inUse },
        { label: `${plan.id}-base`, filename, frontendOpen: inUse },
      ];
    });
  }

  /**
   * Writes out everything, unless `hurry` comes first; then closes. The reader
   * of standard output may take its time; a client on a socket may not.
   */
  async close(hurry: Promise<unknown>): Promise<void> {
    const all = [...this.opened.values()];
    this.opened.clear();
    const patience = new Promise((resolve) => setTimeout(resolve, CLIENT_MS).unref());
    const flushed = all.map(({ plan, channel }) =>
      Promise.race([channel.flushed(), hurry, plan.kind === 'stdio' || plan.kind === 'file' ? hurry : patience]),
    );
    await Promise.all(flushed);
    await Promise.race([Promise.allSettled(all.map(({ channel }) => channel.close())), hurry, patience]);
  }
}
