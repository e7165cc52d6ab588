/**
 * The same accesses to QEMU (by its qtest protocol) and to models of ours on a
 * test bench; what is read must be the same.
 *
 * QEMU's CPU is stopped, and its clock with it; with `wait` it is halted, and
 * the clock runs: each waits a second, and so do our models.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Bus } from '../../src/hw/bus.ts';
import type { PciFunction } from '../../src/hw/pci.ts';
import { PciBus } from '../../src/hw/pci-bus.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';

export const QEMU = 'qemu-system-x86_64';
export const skip = spawnSync(QEMU, ['--version']).status === 0 ? false : `${QEMU} is not installed`;
const LETTER = { 1: 'b', 2: 'w', 4: 'l' } as const;
/** A command that changes nothing, and after which QEMU gets time. */
const WAIT = 'readb 0x400';
const WAIT_MS = 1100;
const HALT = 0xf4;
export type Size = keyof typeof LETTER;
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;

/** One line to QEMU, the same for ours, and how it reads in a report. */
interface Step {
  readonly line: string;
  /** Returns what was read, as QEMU answers it; undefined where nothing is compared. */
  ours(): string | undefined;
}

/** A test bench as a PC with a PCI bus of which we hold some slots, and what is done to it. */
export class Qtest {
  readonly bench = new TestBench(0, 0x80_0000);
  readonly memory = new Bus();
  readonly ports = new PortBus();
  readonly pins = Array.from({ length: 4 }, () => new TestLine());
  readonly bus: PciBus;
  private readonly steps: Step[] = [];
  private address = 0;
  private timed = false;

  constructor() {
    const { memory, ports, pins: lines } = this;
    this.bus = new PciBus({ memory, ports, route: (slot, pin) => (slot + pin) & 3, lines, message: () => {} });
  }

  plug(pci: PciFunction, slot: number): void {
    this.bus.add(pci, slot);
    pci.reset();
  }

  out(at: number, size: Size, value: number): this {
    return this.step(`out${LETTER[size]} 0x${at.toString(16)} 0x${value.toString(16)}`, () => {
      if (at === CONFIG_ADDRESS) this.address = value;
      else if (at < CONFIG_DATA || at > CONFIG_DATA + 3) this.ports.write(at, size, value);
      else this.bus.writeConfig(0, (this.address >> 8) & 0xff, (this.address & 0xfc) + (at & 3), size, value);
      return undefined;
    });
  }

  in(at: number, size: Size): this {
    return this.step(`in${LETTER[size]} 0x${at.toString(16)}`, () => {
      const config = at >= CONFIG_DATA && at <= CONFIG_DATA + 3;
      const devfn = (this.address >> 8) & 0xff;
      const value = config
        ? this.bus.readConfig(0, devfn, (this.address & 0xfc) + (at & 3), size)
        : this.ports.read(at, size);
      return `0x${value.toString(16).padStart(4, '0')}`;
    });
  }

  write(at: number, size: Size, value: number): this {
    return this.step(`write${LETTER[size]} 0x${at.toString(16)} 0x${value.toString(16)}`, () => {
      this.memory.write(at, size, value);
      return undefined;
    });
  }

  read(at: number, size: Size): this {
    return this.step(`read${LETTER[size]} 0x${at.toString(16)}`, () => {
      return `0x${(this.memory.read(at, size) ?? 0).toString(16).padStart(16, '0')}`;
    });
  }

  poke(at: number, bytes: ArrayLike<number>): this {
    const data = Uint8Array.from(bytes);
    return this.step(`write 0x${at.toString(16)} 0x${data.length.toString(16)} 0x${hex(data)}`, () => {
      this.bench.ram.set(data, at);
      return undefined;
    });
  }

  peek(at: number, length: number): this {
    return this.step(`read 0x${at.toString(16)} 0x${length.toString(16)}`, () => {
      return `0x${hex(this.bench.ram.subarray(at, at + length))}`;
    });
  }

  /** Lets a second pass. */
  wait(): this {
    this.timed = true;
    return this.step(WAIT, () => {
      this.bench.advance(1.1e9);
      return undefined;
    });
  }

  config(slot: number, at: number, size: Size, value?: number): this {
    this.out(CONFIG_ADDRESS, 4, (0x8000_0000 | (slot << 11) | (at & 0xfc)) >>> 0);
    const port = CONFIG_DATA + (at & 3);
    return value === undefined ? this.in(port, size) : this.out(port, size, value);
  }

  /** The header, and the sizes of its BARs and ROM (unless it has one only there). */
  header(slot: number, bars: readonly number[]): this {
    for (let at = 0; at < 0x40; at += 4) this.config(slot, at, 4);
    for (const bar of bars) this.config(slot, 0x10 + 4 * bar, 4, 0xffff_ffff).config(slot, 0x10 + 4 * bar, 4);
    return this;
  }

  /** Puts a BAR somewhere and turns everything on. */
  place(slot: number, bar: number, base: number): this {
    return this.config(slot, 0x10 + 4 * bar, 4, base).config(slot, 4, 2, 7);
  }

  /** Does all that was asked for on both. */
  async compare(args: readonly string[]): Promise<void> {
    const theirs = await this.qemu(['-M', 'pc', '-m', '128M', '-nodefaults', '-vga', 'none', ...args]);
    this.steps.forEach(({ line, ours }, i) => {
      const value = ours();
      const before = this.steps.slice(Math.max(0, i - 8), i).map((step) => step.line.slice(0, 120));
      if (value !== undefined) assert.equal(value, theirs[i], `step ${i}: ${line}, after ${before.join('; ')}`);
    });
  }

  private step(line: string, ours: Step['ours']): this {
    this.steps.push({ line, ours });
    return this;
  }

  private async qemu(args: readonly string[]): Promise<string[]> {
    const folder = mkdtempSync(join(tmpdir(), 'qtest-'));
    const bios = join(folder, 'halt.bin');
    writeFileSync(bios, new Uint8Array(0x1_0000).fill(HALT));
    const clock = this.timed ? ['-bios', bios] : ['-S'];
    const child = spawn(QEMU, ['-display', 'none', ...clock, '-qtest', 'stdio', '-qtest-log', '/dev/null', ...args], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const answers: string[] = [];
    try {
      child.stdin.on('error', () => {});
      const asked = this.ask((lines) => child.stdin.write(lines), answers);
      let rest = '';
      for await (const part of child.stdout.setEncoding('utf8')) {
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          assert.ok(!/^(FAIL|ERR)/.test(line), `QEMU says ${line} to ${this.steps[answers.length].line.slice(0, 200)}`);
          if (line.startsWith('OK')) answers.push(line.split(' ')[1] ?? '');
        }
        if (answers.length >= this.steps.length) break;
      }
      await asked;
    } finally {
      child.kill();
      rmSync(folder, { recursive: true });
    }
    assert.equal(answers.length, this.steps.length, 'QEMU answered less than it was asked');
    return answers;
  }

  /** Waits begin when QEMU has got there. */
  private async ask(write: (lines: string) => void, answers: readonly string[]): Promise<void> {
    let lines = '';
    for (const [i, { line }] of this.steps.entries()) {
      lines += `${line}\n`;
      if (line !== WAIT) continue;
      write(lines);
      lines = '';
      for (let left = 1000; answers.length <= i && left > 0; left--) await setTimeout(5);
      await setTimeout(WAIT_MS);
    }
    write(lines);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
