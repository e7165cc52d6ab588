/**
 * Runs functions of src/isa/x86/simd over many cases: compiled to WebAssembly,
 * and on this machine's own processor, by a C program of intrinsics that is
 * written and compiled here.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Code, define, type IrFunction } from '../../src/ir/code.ts';
import * as op from '../../src/ir/op.ts';
import { add32, extendU, i32, load, ltU32, type Value } from '../../src/ir/value.ts';
import type { Wide } from '../../src/isa/x86/simd/operation.ts';
import { compile } from './float-bench.ts';

/** Operands a, b, c; results r, s; MXCSR before and after; scalars m, n. All 16 bytes but the last. */
export const CASE = 112;
const AT = { a: 0, b: 16, c: 32, r: 48, s: 64, before: 80, after: 84, m: 88, n: 96 } as const;
/** The CPU state of these tests: MXCSR, whether host arithmetic may be used. */
export const STATE = { mxcsr: 16, fast: 20 } as const;
const CASES_AT = 64;

export interface Operands {
  readonly a: Value;
  readonly b: Value;
  readonly c: Value;
  /** i64. */
  readonly m: Value;
  readonly n: Value;
}
export type Result = Value | Wide;
export interface Subject {
  readonly name: string;
  /** A C expression over a, b, c (__m128i), m, n (long long). */
  readonly c: string;
  /** The C type it has: what of r and s is written. */
  readonly type: 'v128' | 'wide' | 'i32' | 'i64';
  readonly ir: (code: Code, operands: Operands) => Result;
}

/** What a function gives about the raised exceptions is left out of a driver. */
function driver(index: number, { ir }: Subject, prepare: (code: Code) => void): IrFunction {
  return define(`drive_${index}`, ['i32'], undefined, (code, count) => {
    const n = code.var(i32(0));
    const at = code.var(i32(CASES_AT));
    code.while(
      () => ltU32(n.value, count),
      () => {
        code.store(op.I32_STORE, i32(0), load(op.I32_LOAD, at.value, AT.before), STATE.mxcsr);
        prepare(code);
        const result = ir(code, {
          a: code.let(load(op.V128_LOAD, at.value, AT.a)),
          b: code.let(load(op.V128_LOAD, at.value, AT.b)),
          c: code.let(load(op.V128_LOAD, at.value, AT.c)),
          m: code.let(load(op.I64_LOAD, at.value, AT.m)),
          n: code.let(load(op.I64_LOAD, at.value, AT.n)),
        });
        if ('low' in result) {
          code.store(op.V128_STORE, at.value, result.low, AT.r);
          code.store(op.V128_STORE, at.value, result.high, AT.s);
        } else if (result.type === 'v128') code.store(op.V128_STORE, at.value, result, AT.r);
        else code.store(op.I64_STORE, at.value, result.type === 'i32' ? extendU(result) : result, AT.r);
        code.store(op.I32_STORE, at.value, load(op.I32_LOAD, i32(0), STATE.mxcsr), AT.after);
        at.set(add32(at.value, CASE));
        n.set(add32(n.value, 1));
      },
    );
  });
}

/** Runs every subject on the same cases; gives them with the results, one array a subject. */
export type Runner = (cases: Uint8Array) => Uint8Array[];

export function webAssemblyRunner(
  subjects: readonly Subject[],
  maximumCases: number,
  prepare: (code: Code) => void = () => {},
): Runner {
  const pages = 1 + Math.ceil((CASES_AT + maximumCases * CASE) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const drivers = subjects.map((subject, n) => driver(n, subject, prepare));
  const exports = compile(drivers, memory, pages, { cpuAddress: 0 });
  return (cases) =>
    subjects.map((_, n) => {
      const bytes = new Uint8Array(memory.buffer, CASES_AT, cases.length);
      bytes.set(cases);
      exports[`drive_${n}`](cases.length / CASE);
      return bytes.slice();
    });
}

const HEAD = `
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef struct { __m128i a, b, c, r, s; uint32_t before, after; long long m, n, pad; } __attribute__((packed)) Case;
#define PS(x) _mm_castsi128_ps(x)
#define PD(x) _mm_castsi128_pd(x)
#define SI(x) _mm_castps_si128(x)
#define DI(x) _mm_castpd_si128(x)
#define M64(x) ((__m64)(x))
#define WIDE(low, high) _mm256_set_m128i(high, low)
`;

function program(subjects: readonly Subject[]): string {
  const functions = subjects.map(({ c, type }, n) => {
    const store = {
      v128: `__m128i r = (${c}); memcpy(&k->r, &r, 16);`,
      wide: `__m256i r = (${c}); memcpy(&k->r, &r, 32);`,
      i32: `uint64_t r = (uint32_t)(${c}); memcpy(&k->r, &r, 8);`,
      i64: `uint64_t r = (uint64_t)(${c}); memcpy(&k->r, &r, 8);`,
    }[type];
    return `static __attribute__((noinline)) void f${n}(Case *k) {
  __m128i a, b, c; memcpy(&a, &k->a, 16); memcpy(&b, &k->b, 16); memcpy(&c, &k->c, 16);
  long long m = k->m, n = k->n; (void)a; (void)b; (void)c; (void)m; (void)n;
  ${store}
}`;
  });
  return `${HEAD}
${functions.join('\n')}
static void (*const table[])(Case *) = { ${subjects.map((_, n) => `f${n}`).join(', ')} };
/* Runs every function on every case of standard input. */
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  size_t count = strtoul(argv[1], 0, 10);
  Case *cases = malloc(count * sizeof *cases);
  if (!cases || fread(cases, sizeof *cases, count, stdin) != count) return 1;
  for (size_t n = 0; n < sizeof table / sizeof *table; n++) {
    void (*volatile f)(Case *) = table[n];
    for (size_t i = 0; i < count; i++) {
      Case k = cases[i];
      unsigned old = _mm_getcsr();
      _mm_setcsr(k.before);
      f(&k);
      k.after = _mm_getcsr();
      _mm_setcsr(old);
      _mm_empty();
      if (fwrite(&k, sizeof k, 1, stdout) != 1) return 1;
    }
  }
  return 0;
}
`;
}

const FLAGS = '-O1 -w -mavx2 -maes -mpclmul -msha -mf16c -mfma -msse4.2 -frounding-math'.split(' ');
/** What the C program needs of the processor, by the names in /proc/cpuinfo. */
const FEATURES = ['avx2', 'aes', 'pclmulqdq', 'sha_ni', 'f16c', 'fma', 'sse4_2'];

/** The processor's answers; a reason where there are none to be had. */
export function nativeRunner(subjects: readonly Subject[]): Runner | string {
  if (process.arch !== 'x64') return 'the processor is no x86-64';
  const found = spawnSync('cc', ['--version']);
  if (found.status !== 0) return 'there is no C compiler';
  const cpuinfo = spawnSync('cat', ['/proc/cpuinfo'], { encoding: 'utf8' }).stdout ?? '';
  const missing = FEATURES.filter((feature) => !new RegExp(`\\b${feature}\\b`).test(cpuinfo));
  if (missing.length > 0) return `the processor has no ${missing.join(', ')}`;
  const folder = mkdtempSync(join(tmpdir(), 'x86-simd-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const source = join(folder, 'oracle.c');
  const binary = join(folder, 'oracle');
  writeFileSync(source, program(subjects));
  const built = spawnSync('cc', [...FLAGS, '-o', binary, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the C compiler cannot build the oracle: ${built.stderr}`);
  return (cases) => {
    const run = spawnSync(binary, [String(cases.length / CASE)], {
      input: cases,
      maxBuffer: cases.length * subjects.length + 65536,
    });
    if (run.status !== 0) throw new Error(`the oracle ended by ${run.signal ?? run.status}: ${run.stderr}`);
    return subjects.map((_, n) => run.stdout.subarray(n * cases.length, (n + 1) * cases.length));
  };
}

/** What differs between two runs of the same cases, at most a few of them, for people. */
export function differences(
  cases: Uint8Array,
  ours: Uint8Array,
  theirs: Uint8Array,
  type: Subject['type'],
  same: (ours: bigint, theirs: bigint) => boolean = (a, b) => a === b,
  withFlags = false,
): string[] {
  const [given, x, y] = [cases, ours, theirs].map(
    (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  );
  const found: string[] = [];
  const read = (view: DataView, at: number, size: number): bigint => {
    let value = 0n;
    for (let n = size - 8; n >= 0; n -= 8) value = (value << 64n) | view.getBigUint64(at + n, true);
    return value;
  };
  const size = { v128: 16, wide: 32, i32: 8, i64: 8 }[type];
  const hex = (value: bigint | number) => value.toString(16);
  for (let at = 0; at < cases.length && found.length < 4; at += CASE) {
    const [mine, right] = [read(x, at + AT.r, size), read(y, at + AT.r, size)];
    const [flags, rightFlags] = [x.getUint32(at + AT.after, true), y.getUint32(at + AT.after, true)];
    if (same(mine, right) && (!withFlags || flags === rightFlags)) continue;
    const operands = [0, 16, 32].map((offset) => hex(read(given, at + offset, 16))).join(' ');
    const scalars = [AT.m, AT.n].map((offset) => hex(read(given, at + offset, 8))).join(' ');
    const before = hex(given.getUint32(at + AT.before, true));
    found.push(
      `${operands}, ${scalars}, mxcsr ${before}: ${hex(mine)} (${hex(flags)}), processor ${hex(right)} (${hex(rightFlags)})`,
    );
  }
  return found;
}
