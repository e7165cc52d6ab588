/** What a command of the monitor is, and the words that commands read. */
import type { Format } from './hmp-dump.ts';
import type { Scanner } from './hmp-expression.ts';
import type { Control } from './hub.ts';

/** A monitor as its commands see it. */
export interface Session {
  readonly control: Control;
  /** The processor that `x`, `info registers` and `$name` look at. */
  readonly cpu: number;
  /** The last format of memory. */
  format: Format;
  readonly history: () => readonly string[];
  selectCpu(index: number): boolean;
}

export interface Command {
  readonly also?: string;
  readonly parameters?: string;
  readonly help: string;
  run(hmp: Session, arguments_: Scanner): string | Promise<string>;
}

/** A mistake in the arguments; answered with a pointer to the help. */
export class Usage extends Error {}

export function text(name: string, scanner: Scanner): string {
  const word = scanner.word();
  if (word === undefined) throw new Usage(`${name}: string expected`);
  return word;
}

/** A whole number as a word of its own: `-5` is not the end of an expression. */
export function count(name: string, scanner: Scanner): number {
  const word = text(name, scanner);
  if (!/^-?[0-9]{1,9}$/.test(word)) throw new Usage(`${name}: '${word}' is not a number`);
  return Number(word);
}
