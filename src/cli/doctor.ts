/** `trapframe doctor`: what this host offers, what will be used and why, what is lost, and what mends it. */
import { parseArgs } from 'node:util';
import { ConfigError } from '../bits/errors.ts';
import { type HostFacts, hostFacts } from '../host/node/host-facts.ts';
import { type Check, type Diagnosis, diagnose, type Status } from './doctor-checks.ts';

const HELP = `Usage: trapframe doctor [OPTION...]

Says what this host offers to machines, which accelerator they will use and why,
what is lost without the rest, and what mends it. Changes nothing.

  --json       all facts and findings as JSON
  --verbose    more about each finding
  -h, --help   this text

Exit status: 0 where machines can run at a useful speed, 1 where they cannot.
`;

export interface DoctorContext {
  readonly facts?: () => HostFacts;
  print(text: string): void;
  /** Where the output is a terminal that shows colours. */
  readonly colour: boolean;
}

const MARK: Readonly<Record<Status, { readonly sign: string; readonly colour: number }>> = {
  good: { sign: '✓', colour: 32 },
  limited: { sign: '!', colour: 33 },
  missing: { sign: '✗', colour: 31 },
};

export function doctorMain(argv: readonly string[], context: DoctorContext): number {
  const { json, verbose, help } = options(argv);
  if (help) {
    context.print(HELP);
    return 0;
  }
  const facts = (context.facts ?? hostFacts)();
  const diagnosis = diagnose(facts);
  context.print(
    json ? `${JSON.stringify({ ...diagnosis, facts }, undefined, 2)}\n` : report(diagnosis, verbose, context.colour),
  );
  return diagnosis.accelerator.name === 'reference' ? 1 : 0;
}

function options(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        json: { type: 'boolean', default: false },
        verbose: { type: 'boolean', short: 'v', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new ConfigError('usage', (error as Error).message, 'see trapframe doctor --help');
  }
}

function report({ checks, accelerator }: Diagnosis, verbose: boolean, colour: boolean): string {
  const paint = (text: string, code: number) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const width = Math.max(...checks.map(({ name }) => name.length));
  const indent = ' '.repeat(width + 4);
  const lines = checks.flatMap(({ name, status, what, lost, mend, details }: Check) => {
    const { sign, colour: code } = MARK[status];
    return [
      `${paint(sign, code)} ${paint(name.padEnd(width), 1)}  ${what}`,
      ...(lost ? [`${indent}lost: ${lost}`] : []),
      ...(mend ? [`${indent}mend: ${mend}`] : []),
      ...(verbose ? (details ?? []).map((line) => `${indent}${line}`) : []),
    ];
  });
  return `${lines.join('\n')}\n\nmachines use ${paint(accelerator.name, 1)}: ${accelerator.why}\n`;
}
