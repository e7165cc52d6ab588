/**
 * Runs kvm-unit-tests' x86 programs (built by whoever has them) on an
 * emulator with QEMU's command line and prints a table.
 *
 *   node test/conformance/kvm-unit-tests.ts DIRECTORY UNITTESTS.CFG [--command PROGRAM] [--arch x86_64|i386]
 *       [--accel NAME] [--stay] [--timeout SECONDS] [--output DIRECTORY] [NAME-FILTER ...]
 *
 * DIRECTORY holds the .flat files, UNITTESTS.CFG says how each is run. A test passes when it prints something and
 * leaves by the debug exit with 0; QEMU's own failure has the same exit code, but prints nothing on the serial port.
 * `--stay`: under KVM, ours, even where it is slow.
 * Tests that ask for KVM, nested virtualization or a host CPU are left out.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    command: { type: 'string', default: new URL('../../bin/trapframe-system-x86_64', import.meta.url).pathname },
    arch: { type: 'string', default: 'x86_64' },
    timeout: { type: 'string', default: '90' },
    output: { type: 'string' },
    accel: { type: 'string', default: 'tcg' },
    stay: { type: 'boolean', default: false },
  },
});
const [directory, config, ...filters] = positionals;
if (!directory || !config) {
  console.error('usage: kvm-unit-tests.ts DIRECTORY UNITTESTS.CFG [options] [NAME-FILTER ...]');
  process.exit(2);
}

interface Test {
  readonly name: string;
  readonly settings: ReadonlyMap<string, string>;
}

/** Sections of `name = value` lines. */
function parse(text: string): Test[] {
  const tests: { name: string; settings: Map<string, string> }[] = [];
  for (const line of text.split('\n')) {
    const section = /^\[(.*)\]/.exec(line);
    if (section) tests.push({ name: section[1], settings: new Map() });
    const setting = /^(\w+)\s*=\s*(.*)$/.exec(line);
    if (setting) tests.at(-1)?.settings.set(setting[1], setting[2].trim());
  }
  return tests;
}

/** Words of a shell command, quotes removed; the one command that the file runs is for the time of day. */
const words = (text: string): string[] =>
  [...text.replaceAll('`date +%s`', `${Math.floor(Date.now() / 1000)}`).matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3],
  );

const WANTS_OTHERS = /\b(vmx|svm|hyperv|sev|nested_exception)\b/;
const runs = ({ name, settings }: Test): boolean =>
  (settings.get('arch') ?? values.arch) === values.arch &&
  (settings.get('accel') ?? values.accel) === values.accel &&
  !WANTS_OTHERS.test(`${settings.get('groups') ?? ''} ${settings.get('qemu_params') ?? ''}`) &&
  !/-cpu host/.test(settings.get('qemu_params') ?? '') &&
  !/\bnodefault\b/.test(settings.get('groups') ?? '') &&
  (filters.length === 0 || filters.includes(name)) &&
  existsSync(join(directory, settings.get('file') ?? ''));

interface Outcome {
  readonly result: string;
  readonly seconds: number;
  readonly text: string;
}

function run({ settings }: Test): Promise<Outcome> {
  const append = words(settings.get('test_args') ?? '').join(' ');
  const parameters = words(settings.get('qemu_params') ?? settings.get('extra_params') ?? '');
  const args = ['-nodefaults', '-device', 'pc-testdev', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
  args.push('-display', 'none', '-serial', 'stdio', '-no-reboot');
  args.push('-accel', values.stay ? `${values.accel},x-trapframe-move=off` : values.accel);
  args.push('-kernel', join(directory, settings.get('file') ?? ''), '-smp', settings.get('smp') ?? '1');
  if (append) args.push('-append', append);
  args.push(...parameters);
  return new Promise((resolve) => {
    const start = performance.now();
    const child = spawn(values.command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let text = '';
    let said = false;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      // The whole group: a launcher's child is what runs.
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    }, Number(values.timeout) * 1000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => {
        if (text.length < 4e6) text += chunk;
        if (stream === child.stdout) said = true;
      });
    }
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const seconds = (performance.now() - start) / 1000;
      // The debug exit gives 2 * value + 1; kvm-unit-tests write 0, 1 for failures, or 38 where nothing was tested.
      const result = late
        ? 'TIMEOUT'
        : signal
          ? `signal ${signal}`
          : code === 1 && said
            ? 'PASS'
            : code === 77
              ? 'SKIP'
              : `FAIL ${code}`;
      resolve({ result, seconds, text });
    });
  });
}

const failures = (text: string): string => {
  const lines = text.split('\n').filter((line) => /^(FAIL|.*\bFAIL:|.*Unhandled|.*assert|.*ABORT)/.test(line));
  return lines.length === 0 ? '' : `${lines.length}: ${lines[0].slice(0, 70)}`;
};

let failed = 0;
for (const test of parse(readFileSync(config, 'utf8')).filter(runs)) {
  const { result, seconds, text } = await run(test);
  if (result !== 'PASS' && result !== 'SKIP') failed++;
  const tail = result === 'PASS' ? '' : failures(text);
  console.log(`${test.name.padEnd(26)} ${result.padEnd(9)} ${seconds.toFixed(1).padStart(6)} s  ${tail}`);
  if (values.output) {
    mkdirSync(values.output, { recursive: true });
    writeFileSync(join(values.output, `${test.name}.log`), text);
  }
}
process.exit(failed > 0 ? 1 : 0);
