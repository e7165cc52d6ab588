/** A machine with somebody at its console: boots in this process, waits for words, types, looks at a PC's screen. */
import { imageHost } from '../../src/cli/start-images.ts';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import type { CharBackend } from '../../src/hw/chardev.ts';
import { type CatalogueGuest, catalogue } from '../../src/image/catalogue.ts';
import { ensureGuest, type GuestFiles } from '../../src/image/guest-files.ts';
import type { MachineConfig } from '../../src/machine/config.ts';
import { Machine } from '../../src/machine/machine.ts';

const MIB = 2 ** 20;
const TEXT_PAGE = 0xb8000;
const COLUMNS = 80;
const LINES = 25;
/** ms between two looks at the screen, or two keys */
const GLANCE = 150;
const ACCEL = process.env['TRAPFRAME_TEST_ACCEL'] === 'reference' ? 'reference' : 'jit';

/** A guest's files, or why they cannot be had: then a test skips itself and says so. */
export async function guestFiles(
  arch: string,
  guests: readonly CatalogueGuest[] = catalogue,
): Promise<{ files?: GuestFiles; skip?: string }> {
  try {
    return { files: await ensureGuest(imageHost(false), arch, Date.now(), { catalogue: guests }) };
  } catch (error) {
    return { skip: `no guest files: ${(error as Error).message}` };
  }
}

export class GuestConsole {
  readonly machine: Machine;
  /** Everything that the guest has printed. */
  output = '';
  private seen = 0;
  private readonly serial: Keyboard;
  private readonly onOutput = new Set<() => void>();
  private readonly ended: Promise<{ cause: string; code: number }>;
  private end: { cause: string; code: number } | undefined;

  static async boot(config: Partial<MachineConfig>): Promise<GuestConsole> {
    const serial = new Keyboard();
    const machine = await Machine.create(
      {
        machine: 'virt',
        accel: ACCEL,
        cpu: { model: 'rv64', features: {} },
        cpus: 1,
        memory: 256 * MIB,
        bios: 'default',
        serials: [serial],
        chardevs: [],
        drives: [],
        devices: [],
        noReboot: true,
        noShutdown: false,
        log: { items: new Set(), write: (line) => console.error(line) },
        ...config,
      },
      new NodeMachineHost(),
    );
    const guest = new GuestConsole(machine, serial);
    machine.start();
    return guest;
  }

  private constructor(machine: Machine, serial: Keyboard) {
    this.machine = machine;
    this.serial = serial;
    const decoder = new TextDecoder('latin1');
    serial.onPrint = (bytes) => {
      this.output += decoder.decode(bytes);
      for (const listener of [...this.onOutput]) listener();
    };
    this.ended = new Promise((resolve) => {
      machine.on('shutdown', (end) => {
        this.end = end;
        resolve(end);
        for (const listener of [...this.onOutput]) listener();
      });
    });
  }

  /** Resolves to the match once the guest has printed it after what was matched before. */
  expect(pattern: RegExp, seconds = 60): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        this.onOutput.delete(look);
      };
      const fail = (why: string) => {
        stop();
        reject(new Error(`${why} before ${pattern}; the guest's last words:\n${this.output.slice(-1500)}`));
      };
      const look = () => {
        const match = pattern.exec(this.output.slice(this.seen));
        if (match) {
          stop();
          this.seen += match.index + match[0].length;
          resolve(match);
        } else if (this.end) fail(`the machine ended (${this.end.cause})`);
      };
      const timer = setTimeout(() => fail(`${seconds} s passed`), seconds * 1000);
      this.onOutput.add(look);
      look();
    });
  }

  type(text: string): void {
    this.serial.type(text);
  }

  /** Resolves once the text screen of a PC shows it. */
  async screen(pattern: RegExp, seconds = 120): Promise<void> {
    for (let waited = 0; !pattern.test(this.text()); waited += GLANCE) {
      if (this.end) throw new Error(`the machine ended (${this.end.cause}) before ${pattern}`);
      if (waited > seconds * 1000)
        throw new Error(`${seconds} s passed before ${pattern}; the screen:\n${this.text()}`);
      await new Promise((resolve) => setTimeout(resolve, GLANCE));
    }
  }

  /** Presses the keys of lower-case letters, digits and Enter. */
  async press(text: string): Promise<void> {
    for (const character of text) {
      this.machine.input?.sendKeys([{ type: 'qcode', data: character === '\n' ? 'ret' : character }], 60);
      await new Promise((resolve) => setTimeout(resolve, GLANCE));
    }
  }

  /** 25 lines of the text mode's page. */
  private text(): string {
    const cells = this.machine.readMemory(TEXT_PAGE, COLUMNS * LINES * 2);
    if (!cells) return '';
    const letters = new TextDecoder('latin1').decode(cells.filter((_, i) => i % 2 === 0));
    return Array.from({ length: LINES }, (_, i) => letters.slice(i * COLUMNS, (i + 1) * COLUMNS).trimEnd()).join('\n');
  }

  /** How the machine ended. */
  async finished(seconds = 30): Promise<{ cause: string; code: number }> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`still running; last words:\n${this.output.slice(-1500)}`)),
        seconds * 1000,
      );
    });
    try {
      return await Promise.race([this.ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
  }
}

/** A serial line whose input waits until the device has room. */
class Keyboard implements CharBackend {
  onPrint: (bytes: Uint8Array) => void = () => {};
  onInput?: (bytes: Uint8Array) => void;
  room?: () => number;
  private held: number[] = [];

  write(bytes: Uint8Array): void {
    this.onPrint(bytes);
  }
  ready(): void {
    while (this.held.length > 0) {
      const room = Math.min(this.held.length, this.room?.() ?? 1);
      if (room <= 0) break;
      this.onInput?.(Uint8Array.from(this.held.splice(0, room)));
    }
  }
  type(text: string): void {
    this.held.push(...new TextEncoder().encode(text));
    this.ready();
  }
}
