/**
 * What QMP and the monitor have in common: the machine, its events with QMP's
 * names, and the operations that need more than one call of the machine.
 */
import type { MachineApi, RunState, ShutdownCause } from '../machine/api.ts';
import type { Json } from './json-values.ts';

/** What the control plane asks of the process around it. */
export interface ControlHost {
  /** Milliseconds since the epoch, with fractions. */
  now(): number;
  /** Writes a new file; rejects with an Error whose message names the file and the reason. */
  save(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Changes what is logged (`-d`); returns why not, when it cannot. */
  log?(items: readonly string[]): string | undefined;
}

export interface ChardevInfo {
  readonly label: string;
  /** As QEMU prints it: `stdio`, `unix:/path,server=on`. */
  readonly filename: string;
  readonly frontendOpen: boolean;
}

export interface BlockInfo {
  readonly device: string;
  readonly file: string;
  readonly readOnly: boolean;
  readonly size: number;
}

/** What the command line knows and the machine does not. */
export interface ControlInfo {
  readonly target: string;
  readonly board: string;
  readonly memory: number;
  readonly name?: string;
  readonly uuid?: string;
  readonly process: number;
  readonly version: string;
  chardevs(): readonly ChardevInfo[];
  blocks(): readonly BlockInfo[];
}

export interface ControlEvent {
  readonly event: string;
  readonly data?: { readonly [key: string]: Json };
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** An operation that cannot be done; the message is for whoever asked. */
export class ControlError extends Error {
  readonly class: 'GenericError' | 'CommandNotFound' | 'DeviceNotFound' | 'DeviceNotActive';
  constructor(message: string, kind: ControlError['class'] = 'GenericError') {
    super(message);
    this.class = kind;
  }
}

const CHUNK = 1 << 16;
const PAGE = 4096;
/** Nobody has more memory than this to save; a slip of the finger should not fill the disk. */
const MAX_SAVE = 2 ** 36;

export class Control {
  readonly machine: MachineApi;
  readonly host: ControlHost;
  readonly info: ControlInfo;
  private readonly listeners = new Set<(event: ControlEvent) => void>();
  private resetByUs = false;
  /** What stops now ends. */
  private ends = false;
  private last: RunState;

  constructor(machine: MachineApi, host: ControlHost, info: ControlInfo) {
    this.machine = machine;
    this.host = host;
    this.info = info;
    this.last = machine.state;
    machine.on('state', (state) => this.stateChanged(state));
    machine.on('reset', ({ cause }) => {
      const reason = this.resetByUs ? 'host-qmp-system-reset' : cause;
      this.resetByUs = false;
      this.emit('RESET', { guest: isGuest(reason), reason });
    });
    machine.on('off', ({ cause, stays }) => {
      const reason = cause === 'guest-reset' && this.resetByUs ? 'host-qmp-system-reset' : cause;
      this.resetByUs = false;
      this.ends = !stays;
      this.emit('SHUTDOWN', { guest: isGuest(reason), reason });
    });
    machine.on('panic', ({ event, action }) =>
      this.emit(event === 'panicked' ? 'GUEST_PANICKED' : 'GUEST_CRASHLOADED', { action }),
    );
    machine.on('watchdog', ({ action }) => this.emit('WATCHDOG', { action }));
  }

  subscribe(listener: (event: ControlEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private emit(event: string, data?: ControlEvent['data']): void {
    const at = this.host.now();
    for (const listener of [...this.listeners]) listener({ event, data, at });
  }

  private stateChanged(state: RunState): void {
    const before = this.last;
    this.last = state;
    if (state === 'suspended') this.emit('SUSPEND');
    else if (before === 'suspended' && state === 'running') this.emit('WAKEUP');
    else if (state === 'running' && before !== 'running') this.emit('RESUME');
    else if (state !== 'running' && before === 'running' && state !== 'prelaunch' && !this.ends) this.emit('STOP');
  }

  /** Resolves when the machine stands still. Stopping a stopped machine does nothing. */
  async stop(): Promise<void> {
    if (this.machine.state === 'running') await this.machine.pause();
  }

  cont(): void {
    switch (this.machine.state) {
      case 'running':
      case 'suspended':
        return;
      case 'prelaunch':
        this.machine.start();
        return;
      case 'shutdown':
      case 'internal-error':
        throw new ControlError('Resetting the Virtual Machine is required');
      default:
        this.machine.resume();
    }
  }

  reset(): void {
    this.resetByUs = true;
    this.machine.reset();
  }

  wakeup(): void {
    if (!this.machine.canSuspend) throw new ControlError('wake-up from suspend is not supported by this guest');
    if (!this.machine.wakeup()) throw new ControlError('Unable to wake up: guest is not in suspended state');
  }

  powerdown(): void {
    this.emit('POWERDOWN');
    this.machine.powerdown();
  }

  quit(): void {
    const cause: ShutdownCause = 'host-qmp-quit';
    void this.machine.stop(cause);
  }

  /** Writes guest-physical memory to a file; what is no RAM reads as zeros. */
  savePhysical(address: bigint, size: bigint, path: string): Promise<void> {
    return this.host.save(path, this.physical(checked(address, size), Number(size)));
  }

  /** Writes memory as a processor sees it now. */
  async saveVirtual(address: bigint, size: bigint, path: string, cpu: number): Promise<void> {
    checked(0n, size);
    const vcpu = this.machine.vcpus[cpu];
    if (!vcpu) throw new ControlError("Parameter 'cpu-index' expects a CPU number");
    const invalid = () => {
      const where = BigInt.asUintN(64, address).toString(16).padStart(16, '0');
      return new ControlError(`Invalid addr 0x${where}/size ${size} specified`);
    };
    if (!this.readVirtual(cpu, address, Math.min(Number(size), 1))) throw invalid();
    const read = (at: bigint, length: number) => this.readVirtual(cpu, at, length);
    await this.host.save(
      path,
      (async function* () {
        for (let at = 0n; at < size; at += BigInt(CHUNK)) {
          const part = read(address + at, Number(size - at < CHUNK ? size - at : BigInt(CHUNK)));
          if (!part) throw invalid();
          yield part;
        }
      })(),
    );
  }

  private async *physical(address: number, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; ) {
      let length = Math.min(CHUNK, size - at);
      let part = this.machine.readMemory(address + at, length);
      if (!part && length > PAGE) {
        length = Math.min(PAGE, size - at);
        part = this.machine.readMemory(address + at, length);
      }
      // The memory goes on changing while the file is written.
      yield part ? part.slice() : new Uint8Array(length);
      at += length;
    }
  }

  /** Memory at virtual addresses; undefined where anything is unmapped or no RAM. `length` is bounded by the caller. */
  readVirtual(cpu: number, address: bigint, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const virtual = BigInt.asUintN(64, address + BigInt(at));
      const count = Math.min(length - at, PAGE - Number(virtual & BigInt(PAGE - 1)));
      const physical = this.machine.vcpus[cpu]?.translate(virtual);
      const part = physical === undefined ? undefined : this.machine.readMemory(physical, count);
      if (!part) return undefined;
      bytes.set(part, at);
      at += count;
    }
    return bytes;
  }
}

function checked(address: bigint, size: bigint): number {
  if (size < 0n || size > MAX_SAVE) throw new ControlError(`the size ${size} is out of range`);
  if (address < 0n || address > Number.MAX_SAFE_INTEGER - MAX_SAVE)
    throw new ControlError(`the address 0x${BigInt.asUintN(64, address).toString(16)} is out of range`);
  return Number(address);
}

function isGuest(reason: string): boolean {
  return reason.startsWith('guest-');
}
