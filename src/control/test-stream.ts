/** Both ends of a byte stream in memory, for tests. */
import type { ByteStream } from './byte-stream.ts';
import { Control, type ControlHost } from './hub.ts';
import { TestMachine } from './test-machine.ts';

export class TestStream implements ByteStream {
  onInput?: (bytes: Uint8Array) => void;
  room?: () => number;
  onDrain?: () => void;
  onConnection?: (connected: boolean) => void;
  connected = true;
  congested = false;
  output = '';
  private pending: number[] = [];

  write(bytes: Uint8Array): void {
    this.output += new TextDecoder().decode(bytes);
  }
  ready(): void {
    this.pump();
  }
  /** Sends text or bytes, as far as the other side has room. */
  send(data: string | Uint8Array): void {
    for (const byte of typeof data === 'string' ? new TextEncoder().encode(data) : data) this.pending.push(byte);
    this.pump();
  }
  get unsent(): number {
    return this.pending.length;
  }
  /** Takes what has come out so far, after everything that can happen has happened. */
  async read(): Promise<string> {
    for (let i = 0; i < 60; i++) await Promise.resolve();
    const { output } = this;
    this.output = '';
    return output;
  }
  private pump(): void {
    while (this.pending.length > 0) {
      const room = Math.min(this.room?.() ?? Infinity, this.pending.length, 4096);
      if (room <= 0) return;
      this.onInput?.(Uint8Array.from(this.pending.splice(0, room)));
    }
  }
}

/** Files that `save` wrote, by path. */
export type Saved = Map<string, Uint8Array>;

export function testControl(cpus = 1): { machine: TestMachine; control: Control; saved: Saved } {
  const machine = new TestMachine(cpus);
  const saved: Saved = new Map();
  const host: ControlHost = {
    now: () => 1_700_000_000_123.456,
    async save(path, chunks) {
      if (path.startsWith('/no/')) throw new Error(`Could not open '${path}': No such file or directory`);
      const parts: Uint8Array[] = [];
      for await (const chunk of chunks) parts.push(chunk);
      saved.set(path, Uint8Array.from(parts.flatMap((part) => [...part])));
    },
  };
  const control = new Control(machine, host, {
    target: 'riscv64',
    board: 'virt',
    memory: 1 << 17,
    name: 'probe',
    process: 4711,
    version: '0.1.0',
    chardevs: () => [{ label: 'serial0', filename: 'null', frontendOpen: true }],
    blocks: () => [{ device: 'd0', file: 'd.img', readOnly: false, size: 4096 }],
  });
  return { machine, control, saved };
}
