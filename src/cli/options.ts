/**
 * The command line as a list of options, before any of them has a meaning.
 *
 * Like QEMU: one or two dashes, names in full, the argument is the next word
 * whatever it looks like, and a word without a dash is a disk image.
 */
import { nearest, OPTIONS, type OptionRow } from './options-table.ts';
import { OptionError, refuse } from './options-values.ts';

export interface Option {
  readonly name: string;
  /** The argument; empty for options without one. */
  readonly value: string;
  /** The option as it was written, for messages: `-m 512Q`. */
  readonly where: string;
}

/** Options that are answered at once; nothing after them is looked at. */
const ANSWERED = new Set(['h', 'help', 'version']);

/** Splits a command line (without the program's name) by a target's table. Throws OptionError. */
export function splitOptions(argv: readonly string[], table: Readonly<Record<string, OptionRow>> = OPTIONS): Option[] {
  const options: Option[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (!word.startsWith('-') || word === '-') {
      if (!table['hda'].refused) {
        options.push({ name: 'hda', value: word, where: word });
        continue;
      }
      refuse(
        word,
        'a disk image by itself goes to a drive that this board does not have',
        `use -drive file=${word},format=raw,if=none,id=d0 -device virtio-blk-device,drive=d0`,
      );
    }
    const name = word.slice(word.startsWith('--') ? 2 : 1);
    const row = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!row) {
      const guess = nearest(name);
      throw new OptionError(word, 'invalid option', guess ? `did you mean -${guess}?` : '-help lists the options');
    }
    if (row.argument && i + 1 >= argv.length) throw new OptionError(word, 'requires an argument');
    const value = row.argument ? argv[++i] : '';
    const where = row.argument ? `${word} ${value}` : word;
    if (row.refused) refuse(where, ...row.refused);
    options.push({ name, value, where });
    if (ANSWERED.has(name)) break;
  }
  return options;
}
