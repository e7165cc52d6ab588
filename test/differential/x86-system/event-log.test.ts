/** `-d int`: both accelerators tell the same, in QEMU's lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Accelerator, Board, StateVcpu } from '../../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { Eflags } from '../../../src/isa/x86/state.ts';
import { HostCall } from '../../../src/isa/x86/msr.ts';
import { X86EventLog } from '../../../src/machine/x86-event-log.ts';
import { AT, BLOCK, begin, environment, RAM } from './environment.ts';

function logOf(make: (board: Board) => Accelerator & { readonly vcpus: readonly StateVcpu[] }, on: number): string {
  let text = '';
  const board: Board = {
    mmioRead: () => undefined,
    mmioWrite: () => false,
    now: () => 0,
    hostCall(_, number, a, b) {
      if (number === HostCall.logInterrupt) log.interrupt(a, b);
      else if (number === HostCall.logException) log.exception(a, b);
      return 0;
    },
  };
  const accelerator = make(board);
  const [vcpu] = accelerator.vcpus;
  const log = new X86EventLog(vcpu.state, { next: 0 }, (line) => (text += `${line}\n`));
  const ram = environment('flat32', true);
  ram.set([0xb8, 0x78, 0x56, 0x34, 0x12, 0xcd, 0x33], AT.code); // mov eax, 0x12345678; int 0x33
  ram.set([0xf4], AT.code + BLOCK); // hlt, which level 3 may not
  ram.set([0x0f, 0x0b], AT.code + 2 * BLOCK); // ud2
  accelerator.ram.set(ram);
  vcpu.reset();
  begin(vcpu.state, 'flat32');
  vcpu.state.set32('logEvents', on);
  vcpu.refresh();
  for (let n = 0; n < 200 && !text.includes('v=06'); n++) vcpu.run(1);
  return text;
}
const options = (board: Board) => ({ isa, cpus: 1, ramBase: 0, ramSize: RAM, board });
const jit = (board: Board) => new JitAccelerator(options(board));
const reference = (board: Board) => ReferenceAccelerator.create(options(board));

test('interrupts and exceptions are told as QEMU tells them, by both accelerators', () => {
  const text = logOf(reference, 1);
  assert.match(text, /^ {5}0: v=33 e=0000 i=1 cpl=3 IP=001b:0{12}8007 pc=0{12}8007 SP=0023:0{12}7f00 /);
  assert.match(text, / env->regs\[R_EAX\]=0000000012345678\nEAX=12345678 EBX=0{8} ECX=/);
  assert.match(text, /^EIP=00008007 EFL=00000002 \[-------\] CPL=3 II=0 A20=1 SMM=0 HLT=0$/m);
  assert.match(text, /^CS =001b 00000000 ffffffff 00cffb00 DPL=3 CS32 \[-RA\]$/m);
  assert.match(text, /^TR =0038 00003000 00000067 00008b00 DPL=0 TSS32-busy$/m);
  assert.match(text, /^check_exception old: 0xffffffff new 0xd\n {5}1: v=0d e=0000 i=0 cpl=3 IP=001b:0{12}8080 /m);
  assert.match(text, /^check_exception old: 0xffffffff new 0x6\n {5}2: v=06 e=0000 i=0 cpl=3 IP=001b:0{12}8100 /m);
  assert.equal(logOf(jit, 1), text);
});

test('an interrupt that comes when a slice has ended behind STI waits for the next instruction', () => {
  for (const make of [jit, reference]) {
    const taken: number[] = [];
    const accelerator = make({
      mmioRead: () => undefined,
      mmioWrite: () => false,
      now: () => 0,
      acknowledge: () => 0x33,
      hostCall(_, number) {
        if (number === HostCall.logInterrupt) taken.push(state.getNumber('result'));
        return 0;
      },
    });
    const [vcpu] = accelerator.vcpus;
    const { state } = vcpu;
    const ram = environment('flat32', true);
    ram.set([0xfb, 0x90, 0x90, 0x90], AT.code); // sti; nop ...
    accelerator.ram.set(ram);
    vcpu.reset();
    begin(state, 'flat32');
    state.set32('logEvents', 1);
    vcpu.refresh();
    for (let n = 0; n < 100 && state.pc !== BigInt(AT.code); n++) vcpu.run(1);
    state.set32('eflags', Eflags.fixed | Eflags.iopl);
    vcpu.refresh();
    vcpu.run(1);
    // The JIT goes on to the end of a block; a slice may end here all the same.
    assert.equal(state.get64('heldPc'), BigInt(AT.code + 1), accelerator.name);
    state.set64('pc', BigInt(AT.code + 1));
    state.setLine(0, true);
    for (let n = 0; n < 3 && taken.length === 0; n++) vcpu.run(1);
    assert.deepEqual(taken, [AT.code + 2], accelerator.name);
  }
});

test('nothing is told where nobody listens', () => {
  for (const make of [jit, reference]) assert.equal(logOf(make, 0), '');
});
