/** This machine's own processor as the oracle: runner.c, built when a test asks for it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Case, decodeResults, encodeRecords, type Outcome } from './record.ts';

const SOURCE = join(import.meta.dirname, 'native', 'runner.c');
/** The program stands where no case's addresses are likely to lead. */
const FLAGS =
  '-Wl,-Ttext-segment=0x35a50000 -O1 -fno-stack-protector -fno-pic -no-pie -mgeneral-regs-only -fno-asynchronous-unwind-tables'.split(
    ' ',
  );

export interface Runner {
  /** Outcomes in the order of the cases; fewer when one of them came to no end. */
  run(cases: readonly Case[], pattern: Uint8Array): Outcome[];
  close(): void;
}

/**
 * 32-bit programs without a 32-bit C library: its headers are the 64-bit one's, but for a list of functions that is
 * missing. The packages that have all of it (gcc-multilib) cannot be installed beside cross compilers.
 */
function forBits32(folder: string): string[] {
  mkdirSync(join(folder, 'gnu'));
  writeFileSync(join(folder, 'gnu', 'stubs-32.h'), '');
  return ['-m32', `-I${folder}`, '-idirafter', '/usr/include/x86_64-linux-gnu'];
}

/** The runner for code of `bits`, or what is missing for one. `under`: a program that executes it, with its options. */
export function nativeRunner(bits: 32 | 64, under: readonly string[] = []): Runner | string {
  if (under.length === 0 && process.arch !== 'x64') return `the host is no x86-64 but ${process.arch}`;
  const folder = mkdtempSync(join(tmpdir(), 'trapframe-x86-'));
  const program = join(folder, 'runner');
  const close = () => rmSync(folder, { recursive: true, force: true });
  const mode = bits === 32 ? forBits32(folder) : [];
  const built = spawnSync('cc', [...mode, ...FLAGS, '-nostdlib', '-static', '-o', program, SOURCE], {
    encoding: 'utf8',
  });
  if (built.error || built.status !== 0) {
    close();
    if (built.error) return 'there is no cc (Debian package gcc)';
    return `cc cannot build programs of ${bits} bits: ${built.stderr}`;
  }
  return {
    run(cases, pattern) {
      const input = Buffer.concat([pattern, encodeRecords(cases)]);
      const [command, ...args] = [...under, program];
      const { stdout, status, signal, error } = spawnSync(command, args, {
        input,
        timeout: 30_000,
        maxBuffer: 1 << 30,
      });
      // Of a runner that ended early its status or signal says more than the broken pipe.
      if (error && !/^(ETIMEDOUT|EPIPE)$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error;
      if (status !== null && status !== 0) throw new Error(`the native runner ended with ${status}`);
      if (signal !== null && signal !== 'SIGTERM') throw new Error(`the native runner was ended by ${signal}`);
      return decodeResults(stdout);
    },
    close,
  };
}

/** What the processor has, by Linux's names. */
export function hostFeatures(): ReadonlySet<string> {
  const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
  return new Set(line?.[1].trim().split(/\s+/) ?? []);
}
