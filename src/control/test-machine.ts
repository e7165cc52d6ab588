/** A MachineApi for tests of protocols: memory and registers that are there, and a life without a guest. */
import { ConfigError } from '../bits/errors.ts';
import { type Actions, DEFAULT_ACTIONS } from '../machine/actions.ts';
import type { MachineApi, MachineEvents, MachineInput, RunState, ShutdownCause, VcpuView } from '../machine/api.ts';

const RAM_BASE = 0x8000_0000;

export class TestMachine implements MachineApi {
  readonly name = 'virt';
  accelerator: MachineApi['accelerator'] = 'reference';
  state: RunState = 'prelaunch';
  readonly ram = new Uint8Array(1 << 17);
  readonly registers = new Map<string, bigint>([
    ['pc', 0x8000_0000n],
    ...Array.from({ length: 32 }, (_, i): [string, bigint] => [`x${i}`, BigInt(i) * 0x1111n]),
    ['mstatus', 0xa_0000_0000n],
  ]);
  readonly vcpus: readonly VcpuView[];
  readonly log: string[] = [];
  display?: MachineApi['display'];
  input?: MachineInput;
  ports?: MachineApi['ports'];
  nmi?: MachineApi['nmi'];
  private readonly listeners = new Map<string, Set<(value: never) => void>>();

  constructor(cpus = 1) {
    this.vcpus = Array.from({ length: cpus }, (_, index) => ({
      index,
      instructions: 0,
      halted: false,
      registerNames: () => [...this.registers.keys()],
      readRegister: (name: string) => this.registers.get(name) ?? 0n,
      writeRegister: (name: string, value: bigint) => void this.registers.set(name, value),
      // Bare translation in the low 2^56 bytes.
      translate: (virtual: bigint) => (virtual < 1n << 56n ? Number(virtual) : undefined),
    }));
  }

  start(): void {
    this.enter('running');
  }
  async pause(): Promise<void> {
    await Promise.resolve();
    this.enter('paused');
  }
  resume(): void {
    this.enter('running');
  }
  reset(): void {
    this.log.push('reset');
    this.emit('reset', { cause: 'guest-reset' });
  }
  powerdown(): void {
    this.log.push('powerdown');
  }
  canSuspend = false;
  wakeup(): boolean {
    if (this.state !== 'suspended') return false;
    this.enter('running');
    return true;
  }
  suspend(): void {
    this.enter('suspended');
  }
  actions = DEFAULT_ACTIONS;
  setActions(changes: Partial<Actions>): void {
    this.actions = { ...this.actions, ...changes };
  }
  async stop(cause: ShutdownCause = 'host-qmp-quit'): Promise<void> {
    if (this.state === 'shutdown') return;
    this.emit('off', { cause, stays: false });
    this.enter('shutdown');
    this.emit('shutdown', { cause, code: 0 });
  }
  async switchAccelerator(name: MachineApi['accelerator']): Promise<void> {
    await Promise.resolve();
    if (name === 'kvm') throw new ConfigError('kvm-missing', 'there is no KVM here', 'use -accel jit');
    this.accelerator = name;
  }
  readMemory(address: number, length: number): Uint8Array | undefined {
    const at = address - RAM_BASE;
    return at >= 0 && at + length <= this.ram.length ? this.ram.subarray(at, at + length) : undefined;
  }
  writeMemory(address: number, data: Uint8Array): boolean {
    const at = address - RAM_BASE;
    if (at < 0 || at + data.length > this.ram.length) return false;
    this.ram.set(data, at);
    return true;
  }
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void {
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set);
    set.add(listener);
    return () => set.delete(listener);
  }
  kernelCounters(vcpu?: number): ReturnType<NonNullable<MachineApi['kernelCounters']>> {
    if (vcpu === undefined) return undefined;
    const common = { type: 'cumulative', unit: undefined, base: 10, exponent: 0, bucketSize: undefined } as const;
    return [
      { ...common, name: 'exits', values: [BigInt(7 + vcpu)] },
      { ...common, name: 'blocking', type: 'instant', unit: 'boolean', values: [1n] },
      { ...common, name: 'halt_hist', type: 'log2-histogram', unit: 'seconds', exponent: -9, values: [1n, 2n] },
    ];
  }
  describe(topic: string): string {
    return `${topic} of the test machine`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private enter(state: RunState): void {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }
  private emit<K extends keyof MachineEvents>(event: K, value: MachineEvents[K]): void {
    for (const listener of this.listeners.get(event) ?? []) (listener as (value: MachineEvents[K]) => void)(value);
  }
}
