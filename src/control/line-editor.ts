/**
 * Line editing for the monitor: the keys of a terminal in, redrawn lines out.
 *
 * Keys: arrows, Home/End, Ctrl-A/E/B/F/P/N/K/U/W/D/L, Backspace, Delete, Tab.
 * Memory is bounded: one line of `MAX_LINE` characters, `MAX_HISTORY` lines.
 */
const MAX_LINE = 4096;
const MAX_HISTORY = 64;

export interface EditorHost {
  write(text: string): void;
  line(line: string): void;
  complete(line: string): readonly string[];
}

export class LineEditor {
  readonly prompt: string;
  private readonly host: EditorHost;
  private readonly past: string[] = [];
  private line = '';
  private cursor = 0;
  /** Position in the history; its length means the line being written. */
  private recall = 0;
  private draft = '';
  private sequence = '';
  private afterReturn = false;
  private readonly decoder = new TextDecoder();

  constructor(prompt: string, host: EditorHost) {
    this.prompt = prompt;
    this.host = host;
  }

  get history(): readonly string[] {
    return this.past;
  }

  /** Shows the prompt and what has been written so far. */
  show(): void {
    this.host.write(this.prompt + this.line + left(this.line.length - this.cursor));
  }

  /** Takes bytes up to the end of the first line among them; returns how many were taken. */
  input(bytes: Uint8Array): number {
    for (const [index, byte] of bytes.entries()) if (this.key(byte)) return index + 1;
    return bytes.length;
  }

  private key(byte: number): boolean {
    const text = this.decoder.decode(Uint8Array.of(byte), { stream: true });
    const afterReturn = this.afterReturn;
    this.afterReturn = byte === 13;
    if (this.sequence !== '') {
      this.escape(text);
      return false;
    }
    if (byte === 13 || (byte === 10 && !afterReturn)) return this.enter();
    const control = CONTROL[byte];
    if (control) control.call(this);
    else if (byte === 0x1b) this.sequence = '\x1b';
    else if (byte >= 32 && byte !== 127) this.insert(text);
    return false;
  }

  /** What the control keys do, by code. */
  home(): void {
    this.host.write(left(this.cursor));
    this.cursor = 0;
  }
  end(): void {
    this.host.write(this.line.slice(this.cursor));
    this.cursor = this.line.length;
  }
  back(): void {
    if (this.cursor === 0) return;
    this.cursor--;
    this.host.write(left(1));
  }
  forward(): void {
    if (this.cursor === this.line.length) return;
    this.host.write(this.line[this.cursor++]);
  }
  erase(): void {
    if (this.cursor === 0) return;
    this.back();
    this.remove(1);
  }
  remove(count = 1): void {
    this.line = this.line.slice(0, this.cursor) + this.line.slice(this.cursor + count);
    this.redrawTail();
  }
  cutTail(): void {
    this.remove(this.line.length);
  }
  cutHead(): void {
    const count = this.cursor;
    this.home();
    this.remove(count);
  }
  cutWord(): void {
    const head = this.line.slice(0, this.cursor);
    const count = head.length - head.replace(/\S*\s*$/, '').length;
    this.cursor -= count;
    this.host.write(left(count));
    this.remove(count);
  }
  clear(): void {
    this.host.write('\x1b[H\x1b[2J');
    this.show();
  }
  older(): void {
    if (this.recall === 0) return;
    if (this.recall === this.past.length) this.draft = this.line;
    this.replace(this.past[--this.recall]);
  }
  newer(): void {
    if (this.recall === this.past.length) return;
    this.recall++;
    this.replace(this.recall === this.past.length ? this.draft : this.past[this.recall]);
  }
  tab(): void {
    const head = this.line.slice(0, this.cursor);
    const found = this.host.complete(head);
    if (found.length === 0) return;
    const start = /\S*$/.exec(head)?.[0].length ?? 0;
    let common = found[0];
    for (const word of found) while (!word.startsWith(common)) common = common.slice(0, -1);
    const more = common.slice(start);
    if (more !== '' || found.length === 1) this.insert(more + (found.length === 1 ? ' ' : ''));
    else {
      this.host.write(
        '\r\n' +
          found
            .map((word) => word.padEnd(16))
            .join('')
            .trimEnd() +
          '\r\n',
      );
      this.show();
    }
  }

  private insert(text: string): void {
    if (text === '' || this.line.length + text.length > MAX_LINE) return;
    this.line = this.line.slice(0, this.cursor) + text + this.line.slice(this.cursor);
    this.cursor += text.length;
    this.host.write(text);
    if (this.cursor < this.line.length) this.redrawTail();
  }

  private redrawTail(): void {
    const tail = this.line.slice(this.cursor);
    this.host.write(`${tail}\x1b[K${left(tail.length)}`);
  }

  private replace(line: string): void {
    this.host.write(`${left(this.cursor)}\x1b[K${line}`);
    this.line = line;
    this.cursor = line.length;
  }

  private enter(): boolean {
    this.host.write('\r\n');
    const line = this.line;
    this.line = '';
    this.cursor = 0;
    this.draft = '';
    if (line.trim() !== '') {
      const again = this.past.indexOf(line);
      if (again >= 0) this.past.splice(again, 1);
      this.past.push(line);
      if (this.past.length > MAX_HISTORY) this.past.shift();
    }
    this.recall = this.past.length;
    this.host.line(line);
    return true;
  }

  /** Keys that terminals send as `ESC [ ...` or `ESC O x`. */
  private escape(text: string): void {
    this.sequence += text;
    const sequence = this.sequence;
    if (sequence === '\x1b[' || sequence === '\x1bO') return;
    if (/^\x1b\[[0-9;]*$/.test(sequence) && sequence.length < 16) return;
    this.sequence = '';
    SEQUENCES[sequence.slice(1).replace('O', '[')]?.call(this);
  }
}

const CONTROL: Readonly<Record<number, ((this: LineEditor) => void) | undefined>> = {
  1: LineEditor.prototype.home,
  2: LineEditor.prototype.back,
  4() {
    this.remove();
  },
  5: LineEditor.prototype.end,
  6: LineEditor.prototype.forward,
  8: LineEditor.prototype.erase,
  9: LineEditor.prototype.tab,
  11: LineEditor.prototype.cutTail,
  12: LineEditor.prototype.clear,
  14: LineEditor.prototype.newer,
  16: LineEditor.prototype.older,
  21: LineEditor.prototype.cutHead,
  23: LineEditor.prototype.cutWord,
  127: LineEditor.prototype.erase,
};

const SEQUENCES: Readonly<Record<string, ((this: LineEditor) => void) | undefined>> = {
  '[A': LineEditor.prototype.older,
  '[B': LineEditor.prototype.newer,
  '[C': LineEditor.prototype.forward,
  '[D': LineEditor.prototype.back,
  '[H': LineEditor.prototype.home,
  '[F': LineEditor.prototype.end,
  '[1~': LineEditor.prototype.home,
  '[4~': LineEditor.prototype.end,
  '[3~'() {
    this.remove();
  },
};

function left(count: number): string {
  return count > 0 ? `\x1b[${count}D` : '';
}
