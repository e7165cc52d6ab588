/** Programs that run once more, with the regions of the time before: as on the reference accelerator again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CodeStore } from '../../src/accel/code-store.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { Assembler, Label } from './assembler.ts';
import { RAM_BASE } from './firmware.ts';
import { options, runPair, TestBoard } from './pair.ts';
import { makeProgram } from './programs.ts';
import { Random } from './random.ts';
import { MODES } from './x86-system/environment.ts';
import { Pair as X86Pair, runPair as runX86Pair } from './x86-system/pair.ts';
import { program as x86Program } from './x86-system/programs.ts';

const seed = testSeed(process.env);

function memoryStore(): CodeStore {
  const files = new Map<string, Uint8Array>();
  return {
    read: (name) => files.get(name),
    write: (name, bytes) => void files.set(name, bytes),
  };
}

test(`RISC-V programs with regions of an earlier run (TRAPFRAME_SEED=${seed})`, () => {
  const codeStore = memoryStore();
  let taken = 0;
  // One store for all: places of one program look like those of another.
  for (const round of [0, 1]) {
    for (let n = 0; n < 5; n++) {
      const outcome = runPair(makeProgram(seed + n), { limit: 6000, codeStore });
      assert.deepEqual(outcome.mismatch?.lines ?? [], [], `program ${seed + n}, round ${round}`);
      if (round > 0) taken += outcome.taken ?? 0;
    }
  }
  assert.ok(taken > 0, `${taken} regions were taken`);
});

test(`bare x86 programs with regions of an earlier run, in each mode (TRAPFRAME_SEED=${seed})`, () => {
  const codeStore = memoryStore();
  let taken = 0;
  for (const round of [0, 1]) {
    MODES.forEach((mode, n) => {
      const random = new Random(seed + n);
      const user = mode !== 'real' && random.chance(0.4);
      const pair = new X86Pair(mode, x86Program(random, mode, user), codeStore);
      const mismatch = runX86Pair(pair, random, 6000);
      assert.equal(mismatch, undefined, `${mode}, round ${round}: ${JSON.stringify(mismatch, undefined, 1)}`);
      pair.jit.close();
      if (round > 0) taken += pair.jit.regions.taken;
      assert.match(pair.jit.describe()[0], new RegExp(`, ${pair.jit.regions.taken} of them from earlier processes`));
    });
  }
  assert.ok(taken > 0, 'regions were taken');
});

/** A loop of 1000 turns with something rare in it, twice: never or always rare, then always. */
class Rarely {
  private readonly codeStore = memoryStore();

  /** What the rare path has summed up, and how many regions were taken; `patch`: in between, it is made to add 2. */
  run(rare: 0 | 1, patch = false): { readonly sum: bigint; readonly taken: number } {
    const [T0, T1, COUNT, RARE, LINK, SUM] = [5, 6, 8, 9, 18, 19];
    const jit = new JitAccelerator({ ...options(new TestBoard()), codeStore: this.codeStore });
    const a = new Assembler(BigInt(RAM_BASE));
    const [main, loop, rarely, addition, back] = [new Label(), new Label(), new Label(), new Label(), new Label()];
    a.to('jal', main, { d: 0 });
    a.place(loop);
    a.to('bne', rarely, { a: RARE, b: 0 });
    a.place(back);
    a.op('addi', { d: COUNT, a: COUNT, i: -1 });
    a.to('bne', loop, { a: COUNT, b: 0 });
    a.op('jalr', { d: 0, a: LINK, i: 0 });
    a.place(rarely);
    a.op('fsqrt.d', { d: 1, a: 1 });
    a.place(addition);
    a.op('addi', { d: SUM, a: SUM, i: 1 });
    a.to('jal', back, { d: 0 });
    a.place(main);
    a.li(T0, 0x2000n);
    a.csrw(0x300, T0); // FS: the unit is on
    for (const [n, taken] of [rare, 1].entries()) {
      if (n === 1) {
        a.la(T0, addition);
        a.op('lw', { d: T1, a: T0, i: 0 });
        if (patch) a.li(T1, BigInt(ADD_TWO));
        a.op('sw', { a: T0, b: T1, i: 0 });
        a.op('fence.i');
      }
      a.op('addi', { d: RARE, a: 0, i: taken });
      a.li(COUNT, 1000n);
      a.to('jal', loop, { d: LINK });
    }
    const end = a.at;
    a.op('wfi');
    jit.ram.set(a.finish());
    const [vcpu] = jit.vcpus;
    vcpu.writeRegister('pc', BigInt(RAM_BASE));
    for (let n = 0; n < 50 && vcpu.run(10_000).kind !== 'halt'; n++);
    assert.equal(vcpu.readRegister('pc'), BigInt(RAM_BASE + end + 4));
    jit.close();
    return { sum: vcpu.readRegister('s3'), taken: jit.regions.taken };
  }
}
/** addi s3, s3, 2 */
const ADD_TWO = 0x0029_8993;

test('a region is taken though its process has not met an instruction of it, nor what that calls', () => {
  const program = new Rarely();
  assert.equal(program.run(1).sum, 2000n);
  const { sum, taken } = program.run(0);
  assert.equal(sum, 1000n);
  assert.ok(taken > 0, 'the region was taken');
});

test('a region goes when code of it is written that its process has not met', () => {
  const program = new Rarely();
  program.run(1);
  const { sum, taken } = program.run(0, true);
  assert.ok(taken > 0, 'the region was taken');
  assert.equal(sum, 2000n, 'the new code was executed');
});
