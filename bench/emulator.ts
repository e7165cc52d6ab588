/**
 * Runs an emulator as a child process and watches it from outside: lines of its
 * serial port with the host's time, CPU time and resident memory of all its processes.
 * Reads /proc, so Linux only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface Usage {
  /** User and system seconds of the processes that live, and of their children that ended. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly resident: number;
}

/** Linux counts CPU time in 1/100 s for programs (USER_HZ). */
const TICKS_PER_SECOND = 100;
const PAGE = 4096;

/** Fields of /proc/PID/stat after the command's name, which may hold anything. */
function stat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // it has ended
  }
}

/** Processes that a process started and that still live. */
function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
      const list = readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1');
      return list.split(' ').filter(Boolean).map(Number);
    });
  } catch {
    return []; // it has ended
  }
}

/** What a process and all its descendants use. Quick: it is asked in the middle of measurements. */
export function usageOf(root: number): Usage {
  let ticks = 0;
  let pages = 0;
  const tree = [root];
  for (const pid of tree) {
    const fields = stat(pid);
    if (!fields) continue;
    // utime, stime, cutime, cstime; resident pages
    for (let i = 11; i <= 14; i++) ticks += Number(fields[i]);
    pages += Number(fields[21]);
    tree.push(...children(pid));
  }
  return { cpuSeconds: ticks / TICKS_PER_SECOND, resident: pages * PAGE };
}

export interface Line {
  readonly text: string;
  /** Seconds since the start of the emulator. */
  readonly at: number;
  /** CPU seconds of the emulator so far; only for the suite's own lines, since asking takes a moment. */
  readonly cpu: number;
}

const MEASURED = /^(?:begin|result) /;

const living = new Set<Emulator>();
process.on('exit', () => {
  for (const emulator of living) emulator.kill();
});
process.on('SIGINT', () => process.exit(130));

export class Emulator {
  readonly lines: Line[] = [];
  /** Everything that came so far. */
  output = '';
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;
  private readonly start = performance.now();
  private partial = '';
  private readonly waiting = new Set<() => void>();
  private done = false;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    living.add(this);
    this.child.stdout?.on('data', (chunk: Buffer) => this.take(chunk.toString('latin1')));
    this.child.stderr?.on('data', (chunk: Buffer) => this.take(chunk.toString('latin1')));
    this.child.stdin?.on('error', () => {}); // it may end before it has read
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, why: string): void => {
        if (this.done) return;
        this.output += why;
        this.done = true;
        living.delete(this);
        this.wake();
        resolve(code);
      };
      this.child.on('error', (error) => end(null, `\n${error.message}\n`));
      this.child.on('close', (code) => end(code, ''));
    });
  }

  /** Seconds since the start. */
  get elapsed(): number {
    return (performance.now() - this.start) / 1000;
  }

  usage(): Usage {
    return this.child.pid === undefined ? { cpuSeconds: 0, resident: 0 } : usageOf(this.child.pid);
  }

  send(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Seconds from the start until `text` stood in the output; throws after `seconds` or when the emulator ends first. */
  async expect(text: string, seconds: number): Promise<number> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.kill();
    }, seconds * 1000);
    try {
      while (!this.output.includes(text)) {
        if (this.done) {
          const tail = this.output.slice(-2000);
          const why = late ? `did not appear within ${seconds} s` : 'did not appear before the emulator ended';
          throw new Error(`'${text}' ${why}. Last output:\n${tail}`);
        }
        await new Promise<void>((resolve) => this.waiting.add(resolve));
      }
      return this.elapsed;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it, and waits for that. */
  async stop(): Promise<void> {
    this.kill();
    await this.ended;
  }

  /** Kills its process group: a launcher may have started the emulator as a child. */
  kill(): void {
    if (this.done || this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // It ended by itself in between.
    }
  }

  private take(text: string): void {
    const at = this.elapsed;
    this.output += text;
    const parts = (this.partial + text).split('\n');
    this.partial = parts.pop() ?? '';
    const cpu = parts.some((part) => MEASURED.test(part)) ? this.usage().cpuSeconds : 0;
    for (const part of parts) this.lines.push({ text: part.replace(/\r+$/, ''), at, cpu });
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

/** Share of all processors in use since the previous call (the first counts from boot), 0 to 1. */
export function busyShare(since: readonly [busy: number, all: number] = [0, 0]): {
  readonly share: number;
  readonly now: readonly [busy: number, all: number];
} {
  const fields = readFileSync('/proc/stat', 'latin1').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, ticks) => sum + ticks, 0);
  const busy = all - fields[3] - fields[4]; // idle and waiting for disks
  return { share: all > since[1] ? (busy - since[0]) / (all - since[1]) : 0, now: [busy, all] };
}
