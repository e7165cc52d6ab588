/**
 * The human monitor on a byte stream: greeting, prompt, line editing, one
 * command at a time.
 */
import type { ByteStream } from './byte-stream.ts';
import { Hmp } from './hmp.ts';
import type { Control } from './hub.ts';
import { LineEditor } from './line-editor.ts';

const INPUT_LIMIT = 1 << 16;

export class MonitorServer {
  private readonly stream: ByteStream;
  private readonly hmp: Hmp;
  private readonly version: string;
  private readonly encoder = new TextEncoder();
  private editor: LineEditor;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private busy = false;
  private client = 0;
  /** The line that the editor has just finished. */
  private line: string | undefined;

  constructor(stream: ByteStream, control: Control) {
    this.stream = stream;
    this.version = control.info.version;
    this.hmp = new Hmp(control);
    this.hmp.history = () => this.editor.history;
    this.editor = this.newEditor();
    stream.room = () => Math.max(0, INPUT_LIMIT - this.waitingBytes);
    stream.onInput = (bytes) => {
      this.waiting.push(bytes.slice());
      this.waitingBytes += bytes.length;
      if (!this.busy) void this.work();
    };
    stream.onConnection = (connected) => this.connection(connected);
    if (stream.connected !== false) this.connection(true);
  }

  /** The terminal shows this monitor again. */
  focus(): void {
    this.editor.show();
  }

  close(): void {
    this.stream.onInput = undefined;
    this.stream.onConnection = undefined;
  }

  private connection(connected: boolean): void {
    this.client++;
    this.waiting = [];
    this.waitingBytes = 0;
    this.editor = this.newEditor();
    if (!connected) return;
    // The first words are QEMU's, since scripts look for them.
    this.write(`QEMU ${this.version} monitor (Trapframe) - type 'help' for more information\n`);
    this.editor.show();
  }

  private newEditor(): LineEditor {
    return new LineEditor('(qemu) ', {
      write: (text) => this.stream.write(this.encoder.encode(text)),
      line: (line) => {
        this.line = line;
      },
      complete: (line) => this.hmp.complete(line),
    });
  }

  private async work(): Promise<void> {
    this.busy = true;
    try {
      for (let bytes = this.waiting.shift(); bytes; bytes = this.waiting.shift()) {
        const { client } = this;
        for (let at = 0; at < bytes.length && client === this.client; ) {
          at += this.editor.input(bytes.subarray(at));
          const { line } = this;
          this.line = undefined;
          if (line === undefined) continue;
          const text = await this.hmp.execute(line);
          if (client !== this.client) break;
          this.write(text);
          this.editor.show();
        }
        if (client === this.client) this.waitingBytes -= bytes.length;
        this.stream.ready?.();
      }
    } finally {
      this.busy = false;
    }
  }

  private write(text: string): void {
    this.stream.write(this.encoder.encode(text.replaceAll('\n', '\r\n')));
  }
}
