/**
 * A program that moves between the reference accelerator and the JIT at random
 * instructions, both on one space and one hart, ends as one that stays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { differences, load, options, TestBoard } from './pair.ts';
import { makeProgram } from './programs.ts';
import { Random } from './random.ts';

const LIMIT = 6000;
const PROGRAMS = Number(process.env.TRAPFRAME_COUNT ?? 6);

/** Lines that differ after each hand-over; none where all is well. */
function handOver(seed: number): string[] {
  const program = makeProgram(seed);
  const random = new Random(~seed);
  const board = new TestBoard();
  const jit = new JitAccelerator(options(board));
  const vcpu = jit.vcpus[0];
  const guest = new ReferenceAccelerator({
    space: jit.space,
    states: [vcpu.state],
    board,
    onWritten: (address, length) => jit.written(address, length),
  });
  const alone = ReferenceAccelerator.create(options(new TestBoard()));
  load(jit, program.ram);
  load(alone, program.ram);
  for (let turn = 0; vcpu.instructions < LIMIT; turn++) {
    let halted: boolean;
    if (turn % 2 === 0) halted = vcpu.run(random.between(1, 1500)).kind === 'halt';
    else {
      halted = guest.vcpus[0].run(random.between(1, 600)).kind === 'halt';
      jit.refresh(vcpu);
    }
    const stay = alone.vcpus[0];
    while (stay.instructions < vcpu.instructions) if (stay.step().kind === 'halt') break;
    let lines = differences(vcpu.state, stay.state);
    for (let n = 0; n < 3 && lines.length > 0 && stay.instructions === vcpu.instructions; n++) {
      stay.step();
      lines = differences(vcpu.state, stay.state);
    }
    if (Buffer.compare(jit.ram, alone.ram) !== 0) lines.push('RAM differs');
    if (lines.length > 0)
      return [`seed ${seed} (${program.flavour}), turn ${turn}, ${vcpu.instructions} instructions`, ...lines];
    if (halted) break;
  }
  return [];
}

test('a running program goes from one accelerator to the other and back', (t) => {
  const first = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  for (let n = 0; n < PROGRAMS; n++) assert.deepEqual(handOver((first + n) >>> 0), []);
});
