/** What the emulator says on stderr: `PROGRAM: -option: message`, in colour on a terminal. */
import { OptionError } from './options-values.ts';

export class Messages {
  private readonly program: string;
  private timestamps = false;
  private guest: string | undefined;

  constructor(program: string) {
    this.program = program;
  }

  /** `-msg timestamp=on,guest-name=on`. */
  configure(options: { readonly timestamps: boolean; readonly guest?: string }): void {
    this.timestamps = options.timestamps;
    this.guest = options.guest;
  }

  error(where: string, message: string): void {
    this.say(this.paint(31, `${this.program}: `) + (where ? `${this.paint(1, where)}: ` : '') + message);
  }

  /** An OptionError or another failure with a message for the user. */
  failure(error: Error, where = ''): void {
    this.error(error instanceof OptionError ? error.where : where, error.message);
  }

  note(message: string): void {
    this.say(this.paint(33, `${this.program}: `) + message);
  }

  private say(line: string): void {
    const time = this.timestamps ? `${new Date().toISOString()} ` : '';
    const guest = this.guest === undefined ? '' : `${this.guest} `;
    // A carriage return as well: the terminal may be in raw mode.
    process.stderr.write(`${time}${guest}${line}${process.stderr.isTTY ? '\r\n' : '\n'}`);
  }

  /** Asked when there is something to say: most runs never open the stream. */
  private get colour(): boolean {
    return process.stderr.isTTY === true && !process.env['NO_COLOR'];
  }

  private paint(code: number, text: string): string {
    return this.colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
