/** The emulator as a process of its own, for tests: its streams, its sockets, files that go away afterwards. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export const FIXTURE = fileURLToPath(new URL('main-system.fixture.ts', import.meta.url));
export const directory = mkdtempSync(join(tmpdir(), 'trapframe-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
export const fresh = (name: string) => join(directory, `${++count}-${name}`);
/** For a machine under load; alone each test takes a second or two. */
export const options = { timeout: 200_000 };

/** The emulator as a process; it does not outlive the test. */
export class Run {
  readonly child: ChildProcessWithoutNullStreams;
  stdout = '';
  stderr = '';
  readonly exit: Promise<number | string | null>;

  constructor(
    t: TestContext,
    argv: readonly string[],
    program = process.execPath,
    first: readonly string[] = [FIXTURE],
  ) {
    this.child = spawn(program, [...first, ...argv]);
    this.child.stdout.on('data', (data) => (this.stdout += data));
    this.child.stderr.on('data', (data) => (this.stderr += data));
    this.child.stdin.on('error', () => {});
    this.exit = new Promise((resolve) => this.child.on('close', (code, signal) => resolve(code ?? signal)));
    t.after(() => void this.child.kill('SIGKILL'));
  }

  async until(pattern: RegExp, from: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    while (!pattern.test(this[from])) {
      if (this.child.exitCode !== null)
        throw new Error(`ended with ${this.child.exitCode}: ${this.stdout}${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** A client of a Unix socket of it. */
export class Client {
  readonly socket: Socket;
  text = '';
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => (this.text += data));
    socket.on('error', () => {});
  }
  static async open(path: string): Promise<Client> {
    for (;;) {
      const socket = connect(path);
      const open = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (open) return new Client(socket);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) await new Promise((resolve) => setTimeout(resolve, 5));
    const { text } = this;
    this.text = '';
    return text;
  }
}
