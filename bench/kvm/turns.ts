/**
 * Programs that run for ever, measured in turns: each goes on for some tenths
 * of a second while the others are stopped by a signal, again and again. On a
 * machine whose speed wanders this is the only way to compare them.
 *
 * A program writes a byte to its standard output after each batch of its work.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { openFfi } from '../../src/host/node/ffi.ts';

/** What the work of a turn has cost, ns for a batch. */
export interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

const PATIENCE_MS = 20_000;

/** The CPU time of any process, ns: clock_getcpuclockid(3) by its numbers on Linux. */
function cpuClock(pid: number): () => number {
  const get = openFfi()?.func('clock_gettime', 'int', ['int', 'buffer']);
  if (!get) throw new Error('no foreign functions here');
  const time = new BigInt64Array(2);
  const bytes = new Uint8Array(time.buffer);
  return () => {
    if (get((~pid << 3) | 2, bytes) !== 0) throw new Error(`process ${pid} is gone`);
    return Number(time[0]) * 1e9 + Number(time[1]);
  };
}

export class Turns {
  private readonly child: ChildProcess;
  private readonly cpu: () => number;
  private batches = 0;
  private waiting: { readonly until: number; done(): void } | undefined;
  private ended: string | undefined;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child.stdout?.on('data', (data: Buffer) => {
      this.batches += data.length;
      if (this.waiting && this.batches >= this.waiting.until) this.waiting.done();
    });
    this.child.on('exit', (code, signal) => {
      this.ended = `${command} ended: ${code ?? signal}`;
    });
    this.cpu = cpuClock(this.child.pid as number);
  }

  private async reach(until: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(this.ended ?? 'nothing comes')), PATIENCE_MS);
      const done = () => {
        clearTimeout(late);
        this.waiting = undefined;
        resolve();
      };
      this.waiting = { until, done };
      if (this.batches >= until) done();
    });
  }

  /** Goes on for at least so many batches, after one that is not counted. */
  async turn(batches: number): Promise<Cost> {
    this.child.kill('SIGCONT');
    await this.reach(this.batches + 1);
    const [from, begin, used] = [this.batches, performance.now(), this.cpu()];
    await this.reach(from + batches);
    const [wall, cpu, done] = [(performance.now() - begin) * 1e6, this.cpu() - used, this.batches - from];
    this.child.kill('SIGSTOP');
    return { wall: wall / done, cpu: cpu / done };
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}
