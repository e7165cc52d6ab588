/** Protection keys of user pages (PKRU) and of supervisor pages (PKRS), on both accelerators. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Board } from '../../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { Cr0, Cr4 } from '../../../src/isa/x86/state.ts';
import { AT, begin, environment, RAM } from './environment.ts';

const KEY = 5;
const HANDLER = AT.code + 0x800;
const GP_HANDLER = AT.code + 0x810;
const HANDLERS = [
  [14, HANDLER],
  [13, GP_HANDLER],
];
const PKRS = 0x6e1;
const NOTHING = 1 << (2 * KEY);
const NO_WRITES = 2 << (2 * KEY);

const board: Board = {
  mmioRead: () => undefined,
  mmioWrite: () => false,
  now: () => 0,
  portRead: () => 0,
  portWrite: () => {},
  acknowledge: () => -1,
  hostCall: () => 1,
};

const word = (value: number): number[] => [value, value >>> 8, value >>> 16, value >>> 24].map((byte) => byte & 0xff);
/** mov eax, rights; mov ecx, PKRS; xor edx, edx; wrmsr */
const setPkrs = (rights: number) => [0xb8, ...word(rights), 0xb9, ...word(PKRS), 0x31, 0xd2, 0x0f, 0x30];
/** mov eax, rights; xor ecx, ecx; xor edx, edx; wrpkru */
const setPkru = (rights: number) => [0xb8, ...word(rights), 0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xef];
/** mov eax, the new value; mov cr4, rax */
const setCr4 = (cr4: number) => [0xb8, ...word(cr4 | Cr4.pae), 0x0f, 0x22, 0xe0];
const LOAD = [0x48, 0x8b, 0x3b]; // mov rdi, [rbx]
const STORE = [0x48, 0x89, 0x3b]; // mov [rbx], rdi
const HLT = 0xf4;
const GP = 'general protection';

interface Case {
  readonly name: string;
  /** Whether the page is the user's. */
  readonly user: boolean;
  readonly set: readonly number[];
  readonly access: readonly number[];
  readonly cr0?: number;
  readonly cr4?: number;
  /** IA32_PKRS at the beginning. */
  readonly pkrs?: number;
  readonly missing?: number;
  /** The page fault's error code, GP, or undefined: there is none. */
  readonly error: number | typeof GP | undefined;
}

/** mov rax, cr0; bts eax, 16; mov cr0, rax */
const SET_WP = [0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xe8, 16, 0x0f, 0x22, 0xc0];
/** mov ecx, PKRS; xor edx, edx; inc edx; wrmsr */
const RESERVED = [0xb9, ...word(PKRS), 0x31, 0xd2, 0xff, 0xc2, 0x0f, 0x30];
/** dec edx; rdmsr; test edx, edx; jnz on to ud2; cmp eax, NOTHING; je behind it; ud2; then PKRS of 0 */
const READ_BACK = [
  ...[0xff, 0xca, 0x0f, 0x32, 0x85, 0xd2, 0x75, 0x07, 0x3d, ...word(NOTHING), 0x74, 0x02, 0x0f, 0x0b],
  ...setPkrs(0),
];

const CASES: readonly Case[] = [
  { name: 'a load', user: false, set: setPkrs(NOTHING), access: LOAD, error: 0x21 },
  { name: 'a store', user: false, set: setPkrs(NOTHING), access: STORE, error: 0x23 },
  { name: 'a store that only writes are refused', user: false, set: setPkrs(NO_WRITES), access: STORE, error: 0x23 },
  { name: 'the same without CR0.WP', user: false, set: setPkrs(NO_WRITES), access: STORE, cr0: 0, error: undefined },
  { name: 'a load of it', user: false, set: setPkrs(NO_WRITES), access: LOAD, error: undefined },
  { name: 'another key', user: false, set: setPkrs(NOTHING << 2), access: LOAD, error: undefined },
  { name: 'without CR4.PKS', user: false, set: setPkrs(NOTHING), access: LOAD, cr4: Cr4.pke, error: undefined },
  { name: 'PKRS and a user page', user: true, set: setPkrs(NOTHING), access: LOAD, error: undefined },
  { name: 'PKRU and a supervisor page', user: false, set: setPkru(NOTHING), access: LOAD, error: undefined },
  { name: 'PKRU and a user page', user: true, set: setPkru(NOTHING), access: LOAD, error: 0x21 },
  {
    name: 'refused and given back',
    ...{ user: false, set: [...setPkrs(NOTHING), ...setPkrs(0)], access: STORE, error: undefined },
  },
  {
    name: 'CR4.PKS is set later',
    ...{ user: false, set: setCr4(Cr4.pks), access: LOAD, cr4: 0, pkrs: NOTHING, error: 0x21 },
  },
  {
    name: 'CR4.PKS is set and cleared',
    ...{ user: false, set: [...setCr4(Cr4.pks), ...setCr4(0)], access: LOAD, cr4: 0, pkrs: NOTHING, error: undefined },
  },
  {
    name: 'CR0.WP is set later',
    ...{ user: false, set: SET_WP, access: STORE, cr0: 0, pkrs: NO_WRITES, error: 0x23 },
  },
  { name: 'what RDMSR gives', user: false, set: [...setPkrs(NOTHING), ...READ_BACK], access: LOAD, error: undefined },
  { name: 'reserved bits of IA32_PKRS', user: false, set: RESERVED, access: LOAD, error: GP },
  {
    name: 'IA32_PKRS of a processor without PKS',
    ...{ user: false, set: setPkrs(0), access: LOAD, cr4: 0, missing: Cr4.pks, error: GP },
  },
  {
    name: 'CR4.PKS of a processor without PKS',
    ...{ user: false, set: setCr4(Cr4.pks), access: LOAD, cr4: 0, missing: Cr4.pks, error: GP },
  },
];

/** How the access ends once it has been allowed often: see `Case.error`. */
function outcome(kind: 'jit' | 'reference', one: Case): Case['error'] {
  const { user, set, access, cr0 = Cr0.wp, cr4 = Cr4.pke | Cr4.pks, pkrs = 0, missing = 0 } = one;
  const ram = environment('long', false);
  const view = new DataView(ram.buffer);
  const page = AT.tables + (AT.data >> 12) * 8;
  view.setBigUint64(page, BigInt(AT.data | (user ? 7 : 3)) | (BigInt(KEY) << 59n), true);
  for (const [vector, handler] of HANDLERS) {
    view.setUint32(AT.idt + vector * 16, handler | (0x28 << 16), true);
    view.setUint32(AT.idt + vector * 16 + 4, 0x8e00, true);
    ram[handler] = HLT;
  }
  const loop = [...access, 0xff, 0xcd, 0x75, 0xf9]; // dec ebp; jnz to the access
  const program = [0xbd, ...word(200), ...loop, ...set, ...access, HLT];
  ram.set(program, AT.code);
  const options = { isa, cpus: 1, ramBase: 0, ramSize: RAM, board, compileAfter: 20 };
  const accelerator = kind === 'jit' ? new JitAccelerator(options) : ReferenceAccelerator.create(options);
  accelerator.ram.set(ram);
  const [vcpu] = accelerator.vcpus;
  vcpu.reset();
  const { state } = vcpu;
  begin(state, 'long');
  state.set64('cr0', (state.get64('cr0') & ~BigInt(Cr0.wp)) | BigInt(cr0));
  state.set64('cr4', (state.get64('cr4') & ~BigInt(Cr4.pke | Cr4.pks | Cr4.smap)) | BigInt(cr4));
  state.set64('pkrs', BigInt(pkrs));
  state.set64('cr4Missing', BigInt(missing));
  state.pc = BigInt(AT.code);
  vcpu.writeRegister('rsp', BigInt(AT.stack));
  vcpu.writeRegister('rbx', BigInt(AT.data));
  vcpu.refresh();
  let end = vcpu.run(1000);
  for (let n = 0; n < 10 && end.kind === 'budget'; n++) end = vcpu.run(1000);
  assert.equal(end.kind, 'halt');
  const at = Number(state.pc) - 1;
  if (at === GP_HANDLER) return GP;
  if (at !== HANDLER) {
    assert.equal(at, AT.code + program.length - 1);
    return undefined;
  }
  const stack = Number(vcpu.readRegister('rsp'));
  return new DataView(accelerator.ram.buffer, accelerator.ram.byteOffset).getUint32(stack, true);
}

for (const one of CASES)
  test(`protection keys: ${one.name}`, () => {
    assert.equal(outcome('reference', one), one.error, 'reference');
    assert.equal(outcome('jit', one), one.error, 'JIT');
  });
