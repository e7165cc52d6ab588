/** Addresses that are not canonical: which exception, where it points, and that nothing has changed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Board } from '../../../src/accel/accelerator.ts';
import type { CpuState } from '../../../src/accel/cpu-state.ts';
import { JitAccelerator } from '../../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { HostCall } from '../../../src/isa/x86/msr.ts';
import { isStackAccess } from '../../../src/isa/x86/stack-access.ts';
import { Vector } from '../../../src/isa/x86/state.ts';
import { AT, begin, environment, RAM } from './environment.ts';

const NONE = 0xaaaa_aaaa_aaaa_aaaan;
const HANDLERS = AT.code + 0x800;
const FRAME = AT.innerStack - 48;

interface Fault {
  readonly vector: number;
  readonly rip: number;
  readonly rsp: bigint;
}
type Registers = Readonly<Record<string, bigint>>;

/** What code at AT.code raises. `stack`: what RSP points at. */
function faultOf(kind: 'jit' | 'reference', code: readonly number[], registers: Registers, stack: bigint[]): Fault {
  const ram = environment('long', false);
  const view = new DataView(ram.buffer);
  view.setUint32(AT.tss + 36, AT.innerStack, true);
  for (let vector = 0; vector < 32; vector++) {
    const gate = AT.idt + vector * 16;
    view.setUint32(gate, (HANDLERS + vector * 16) | (0x28 << 16), true);
    view.setUint32(gate + 4, 0x8e01, true); // the first interrupt stack
    ram[HANDLERS + vector * 16] = 0xf4;
  }
  ram.set(code, AT.code);
  stack.forEach((value, n) => {
    view.setBigUint64(AT.stack + n * 8, value, true);
  });
  const late: { state?: CpuState } = {};
  const board: Board = {
    mmioRead: () => undefined,
    mmioWrite: () => false,
    now: () => 0,
    portRead: () => 0,
    portWrite: () => {},
    acknowledge: () => -1,
    hostCall: (_, number) =>
      number === HostCall.isStackAccess && late.state && isStackAccess(isa, late.state) ? 1 : 0,
  };
  const options = { isa, cpus: 1, ramBase: 0, ramSize: RAM, board, compileAfter: 20 };
  const accelerator = kind === 'jit' ? new JitAccelerator(options) : ReferenceAccelerator.create(options);
  accelerator.ram.set(ram);
  const [vcpu] = accelerator.vcpus;
  late.state = vcpu.state;
  vcpu.reset();
  begin(vcpu.state, 'long');
  vcpu.state.pc = BigInt(AT.code);
  for (const [name, value] of Object.entries({ rsp: BigInt(AT.stack), rax: NONE, rbx: BigInt(AT.data), ...registers }))
    vcpu.writeRegister(name, value);
  vcpu.refresh();
  for (let n = 0; n < 100 && vcpu.run(1000).kind === 'budget'; n++);
  const after = new DataView(accelerator.ram.buffer, accelerator.ram.byteOffset);
  return {
    vector: (Number(vcpu.state.pc) - 1 - HANDLERS) / 16,
    rip: Number(after.getBigUint64(FRAME + 8, true)) - AT.code,
    rsp: after.getBigUint64(FRAME + 32, true),
  };
}

const CASES: readonly (readonly [string, readonly number[], number, Registers?, bigint[]?])[] = [
  ['mov rcx, [rax]', [0x48, 0x8b, 0x08], Vector.gp],
  ['mov rcx, [rsp + rax]', [0x48, 0x8b, 0x0c, 0x04], Vector.ss],
  ['mov [rbp + rax], rcx', [0x48, 0x89, 0x4c, 0x05, 0x00], Vector.ss],
  ['mov rcx, ds:[rsp + rax]', [0x3e, 0x48, 0x8b, 0x0c, 0x04], Vector.ss],
  ['mov rcx, fs:[rsp + rax]', [0x64, 0x48, 0x8b, 0x0c, 0x04], Vector.gp],
  ['push [rax]', [0xff, 0x30], Vector.gp],
  ['push rcx', [0x51], Vector.ss, { rsp: NONE }],
  ['push [rbx]', [0xff, 0x33], Vector.ss, { rsp: NONE }],
  ['pop rcx', [0x59], Vector.ss, { rsp: NONE }],
  ['call', [0xe8, 0, 0, 0, 0], Vector.ss, { rsp: NONE }],
  ['leave', [0xc9], Vector.ss, { rbp: NONE }],
  ['iretq without a stack', [0x48, 0xcf], Vector.ss, { rsp: NONE }],
  ['jmp rax', [0xff, 0xe0], Vector.gp],
  ['call rax', [0xff, 0xd0], Vector.gp],
  ['ret', [0xc3], Vector.gp, {}, [NONE]],
  ['ret 8', [0xc2, 8, 0], Vector.gp, {}, [0x8000_0000_0000n]],
  ['retfq', [0x48, 0xcb], Vector.gp, {}, [NONE, 0x28n]],
  ['iretq', [0x48, 0xcf], Vector.gp, {}, [0xffff_7fff_ffff_ffffn, 0x28n, 2n, BigInt(AT.stack), 0x30n]],
];

for (const kind of ['reference', 'jit'] as const) {
  for (const [name, code, vector, registers = {}, stack = []] of CASES)
    test(`${name}: ${kind}`, () => {
      const rsp = registers['rsp'] ?? BigInt(AT.stack);
      assert.deepEqual(faultOf(kind, code, registers, stack), { vector, rip: 0, rsp });
    });

  test(`compiled calls, the last of them to nowhere: ${kind}`, () => {
    const code = [
      ...[0xb9, 0x2c, 0x01, 0x00, 0x00], // mov ecx, 300
      ...[0x48, 0x8d, 0x15, 0x0e, 0, 0, 0], // lea rdx, [rip + 14]: the RET
      ...[0x83, 0xf9, 0x01], // again: cmp ecx, 1
      ...[0x48, 0x0f, 0x44, 0xd0], // cmove rdx, rax
      ...[0xff, 0xd2], // call rdx
      ...[0xff, 0xc9, 0x75, 0xf3], // dec ecx; jnz again
      0xf4,
      0xc3,
    ];
    assert.deepEqual(faultOf(kind, code, {}, []), { vector: Vector.gp, rip: 19, rsp: BigInt(AT.stack) });
  });
}
