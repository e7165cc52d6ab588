/** What RISC-V does not ask of the engine, one thing at a time, on the made-up instruction set of toy-isa.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { Reason } from '../../src/accel/jit/reasons.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { LIMIT, OPCODE } from './toy-isa.ts';
import { Assembler, Device, HIGH, HIGH_PAGES, mapAll, options, ROM } from './toy-machine.ts';

const VECTOR = 0x8f00;
/** Where exceptions go: halts. */
const HANDLER = 0x2f00;

interface Toy {
  readonly jit: JitAccelerator | undefined;
  /** Runs until the machine halts. */
  run(): void;
  r(n: number): number;
  field(name: string): number;
  line(): void;
  /** About so many instructions. */
  steps(count: number): void;
  readonly ram: Uint8Array;
  readonly device: Device;
  /** How often the host executed an instruction. */
  singles(): number;
}

/** The same program under both accelerators. */
function each(name: string, write: (a: Assembler) => void, check: (toy: Toy) => void): void {
  for (const kind of ['reference', 'jit'] as const) {
    test(`${name} (${kind})`, () => {
      const a = new Assembler(0x8000);
      write(a);
      const last = a.at;
      a.at = HANDLER;
      a.op('halt');
      assert.ok(last < HANDLER || last > HANDLER);
      const device = new Device();
      const jit = kind === 'jit' ? new JitAccelerator(options(device)) : undefined;
      const accelerator = jit ?? ReferenceAccelerator.create(options(device));
      mapAll(accelerator.space);
      const { ram } = accelerator;
      ram.set(a.bytes);
      new DataView(ram.buffer, ram.byteOffset).setUint32(VECTOR, HANDLER, true);
      const [vcpu] = accelerator.vcpus;
      vcpu.state.set64('vector', BigInt(VECTOR));
      vcpu.state.set64('r', 0x9000n, 6);
      let singles = 0;
      if (jit) {
        const serve = jit.serve.bind(jit);
        jit.serve = (of, reason) => {
          if (reason === Reason.straddle || reason === Reason.inside || reason === Reason.single) singles++;
          return serve(of, reason);
        };
      }
      check({
        jit,
        ram,
        device,
        r: (n) => Number(BigInt.asIntN(64, vcpu.state.get64('r', n))),
        field: (field) => vcpu.state.get32(field),
        steps: (count) => {
          while (vcpu.instructions < count) vcpu.step();
        },
        line: () => vcpu.state.setLine(0, true),
        singles: () => singles,
        run() {
          for (let n = 0; n < 300; n++) if (vcpu.run(1000).kind === 'halt') return;
          assert.fail('does not halt');
        },
      });
    });
  }
}

const ROUNDS = 3000;

each(
  'a store to the next instruction is seen by it, in a region too',
  (a) => {
    a.op('li', { a: 5, i: ROUNDS });
    const top = a.at;
    a.op('addi', { a: 1, b: 1, i: 3 });
    // The immediate of the next instruction but one.
    const to = a.at + 7 + 2;
    a.op('store4', { a: 1, b: 7, i: to });
    a.op('li', { a: 2, i: 0 });
    a.op('add', { a: 0, b: 2 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), (3 * ROUNDS * (ROUNDS + 1)) / 2);
  },
);

each(
  'a store to a later part of a decoded instruction is seen the next time',
  (a) => {
    a.op('li', { a: 5, i: 3 });
    const top = a.at;
    a.op('li', { a: 1, i: 7 });
    a.op('add', { a: 0, b: 1 });
    a.op('li', { a: 2, i: 1 });
    a.op('store1', { a: 2, b: 7, i: top + 3 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), 7 + 2 * (256 + 7));
  },
);

each(
  'stores between instructions drop nothing',
  (a) => {
    a.op('jmp', { t: 5 + 8 });
    const data = a.at;
    a.at += 8;
    a.op('li', { a: 5, i: ROUNDS });
    const top = a.at;
    a.op('store8', { a: 5, b: 7, i: data });
    a.op('load8', { a: 1, b: 7, i: data });
    a.op('add', { a: 0, b: 1 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), (ROUNDS * (ROUNDS + 1)) / 2);
    if (toy.jit) assert.ok(toy.jit.regions.live > 0);
  },
);

/** `li` and `nop` as bytes of another instruction; the registers of the test below, none of which is the one it needs. */
const LI = OPCODE.get('li') as number;
const NOP = OPCODE.get('nop') as number;
const [SUM, ONE, TURN, LEFT, VALUE] = [0, 1, 2, 3, 4, 5].filter((n) => n !== (LI & 7));

each(
  'an instruction inside of another, whose second word stands in its place',
  (a) => {
    // From its second byte on `sti` is `li VALUE` and three `nop`.
    const i = VALUE | (5 << 8);
    const j = 0x77 | (NOP * 0x010101 * 256);
    a.op('li', { a: LI & 7, i: 0x4000 - i });
    a.op('li', { a: ONE, i: 1 });
    a.op('li', { a: LEFT, i: ROUNDS });
    const top = a.at;
    const whole = top + 6 + 3 + 6 + 5;
    a.op('li', { a: VALUE, i: 0 });
    a.op('xor', { a: TURN, b: ONE });
    a.op('bnz', { a: TURN, t: whole + 1 - a.at });
    a.op('jmp', { t: whole - a.at });
    assert.equal(a.at, whole);
    a.op('sti', { b: LI, i, j });
    a.op('add', { a: SUM, b: VALUE });
    a.op('addi', { a: LEFT, b: LEFT, i: -1 });
    a.op('bnz', { a: LEFT, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(SUM), (ROUNDS / 2) * 0x7700_0005);
    assert.deepEqual([...toy.ram.subarray(0x4000, 0x4005)], [0x77, NOP, NOP, NOP, 0]);
  },
);

each(
  'stores that are looked at together, of which one goes to code',
  (a) => {
    // To data beside the code, until a region is there; then once to the code.
    a.op('li', { a: 5, i: ROUNDS });
    a.op('li', { a: 3, i: 0x100 });
    a.op('jmp', { t: 0x200 - a.at });
    a.at = 0x200;
    const top = a.at;
    a.op('store1', { a: 5, b: 3, i: 0 });
    a.op('store4', { a: 5, b: 3, i: 0x40 });
    const immediate = a.at + 2;
    a.op('li', { a: 2, i: 0 });
    a.op('add', { a: 0, b: 2 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('bnz', { a: 4, t: 6 + 6 + 6 + 6 + 5 });
    a.op('li', { a: 4, i: 1 });
    a.op('li', { a: 5, i: 2 });
    a.op('li', { a: 3, i: immediate - 0x40 });
    a.op('jmp', { t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), 2 + 1);
  },
);

each(
  'an instruction across pages: in regions, and a store over its end is seen',
  (a) => {
    a.op('li', { a: 5, i: ROUNDS });
    a.op('jmp', { t: 0x1000 - 3 - a.at });
    a.at = 0x1000 - 3;
    const top = a.at;
    a.op('addi', { a: 0, b: 0, i: 1 }); // three bytes here, four there
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    // Then its immediate becomes 257, and 100 rounds more.
    a.op('bnz', { a: 4, t: 6 + 7 + 6 + 6 + 6 + 5 });
    a.op('store1', { a: 6, b: 7, i: 0x1001 });
    a.op('li', { a: 1, i: 1 });
    a.op('li', { a: 4, i: 1 });
    a.op('li', { a: 5, i: 100 });
    a.op('jmp', { t: top - a.at });
    a.op('halt');
    a.op('halt');
    a.op('halt');
  },
  (toy) => {
    toy.run();
    // The low byte of r6 is 0: the store wrote 0x00 over a byte that was 0.
    assert.equal(toy.r(0), ROUNDS + 100);
    if (toy.jit) {
      assert.ok(toy.jit.regions.compiled > 0);
      assert.ok(toy.singles() < ROUNDS);
    }
  },
);

each(
  'an instruction across pages that changes while a region holds it',
  (a) => {
    a.op('li', { a: 5, i: ROUNDS });
    a.op('li', { a: 1, i: 2 });
    a.op('jmp', { t: 0x1000 - 3 - a.at });
    a.at = 0x1000 - 3;
    const top = a.at;
    a.op('addi', { a: 0, b: 0, i: 1 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    const skip = a.at;
    a.op('bnz', { a: 4, t: 0 });
    a.op('store1', { a: 1, b: 7, i: 0x1000 });
    a.op('li', { a: 4, i: 1 });
    a.op('li', { a: 5, i: ROUNDS });
    a.op('jmp', { t: top - a.at });
    const end = a.at;
    a.op('halt');
    a.at = skip;
    a.op('bnz', { a: 4, t: end - skip });
    a.at = end + 1;
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), 3 * ROUNDS);
  },
);

each(
  'a branch to itself',
  (a) => {
    a.op('li', { a: 1, i: 0x2000 });
    a.op('li', { a: 3, i: 0x3800 });
    a.op('li', { a: 2, i: 0x5a });
    a.op('fill', { a: 1, b: 3 });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.deepEqual([toy.r(1), toy.r(3)], [0, 0x5800]);
    assert.deepEqual(
      [0x37ff, 0x3800, 0x57ff, 0x5800].map((at) => toy.ram[at]),
      [0, 0x5a, 0x5a, 0],
    );
  },
);

each(
  'an interrupt waits for one more instruction after one that hides it',
  (a) => {
    a.op('addi', { a: 0, b: 0, i: 1 });
    a.op('hide');
    a.op('addi', { a: 0, b: 0, i: 10 });
    a.op('addi', { a: 0, b: 0, i: 100 });
    a.op('halt');
  },
  (toy) => {
    toy.steps(2);
    assert.equal(toy.r(0), 1);
    toy.line();
    toy.run();
    assert.deepEqual([toy.field('cause'), toy.r(0)], [32, 11]);
    if (toy.jit) assert.equal(toy.singles(), 1);
  },
);

each(
  'what is known of conditions ends where ways meet that know different things',
  (a) => {
    // r0 counts: every second round, a comparison that is less; never the test, which is not zero.
    a.op('li', { a: 5, i: ROUNDS });
    a.op('li', { a: 3, i: 1 });
    const top = a.at;
    a.op('xor', { a: 4, b: 3 }); // 1, 0, 1, 0
    a.op('bnz', { a: 4, t: 6 + 2 + 5 });
    a.op('test', { a: 3 });
    a.op('jmp', { t: 5 + 3 });
    a.op('cmp', { a: 3, b: 5 });
    a.op('bcc', { t: 5 + 5 });
    a.op('jmp', { t: 5 + 7 });
    a.op('addi', { a: 0, b: 0, i: 1 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), ROUNDS / 2);
  },
);

each(
  'memory that appears twice: a store through one name changes the code at the other',
  (a) => {
    // Page 0 appears again as the last of the high ones.
    const alias = HIGH + (HIGH_PAGES - 1) * 4096;
    a.op('li', { a: 5, i: ROUNDS });
    const top = a.at;
    a.op('store4', { a: 5, b: 7, i: alias + top + 7 + 2 });
    a.op('li', { a: 1, i: 0 });
    a.op('add', { a: 0, b: 1 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), (ROUNDS * (ROUNDS + 1)) / 2);
  },
);

each(
  'read-only memory reads, and writes go to the device behind it; nothing answers with ones',
  (a) => {
    a.op('li', { a: 1, i: 0x1234567 });
    a.op('store4', { a: 1, b: 7, i: ROM + 5 });
    a.op('load4', { a: 0, b: 7, i: ROM + 5 });
    a.op('load8', { a: 2, b: 7, i: LIMIT - 4096 });
    a.op('li', { a: 3, i: 5 });
    a.op('addm', { a: 3, b: 7, i: 0xb_0ffc }); // from one page of the device to the next
    a.op('load4', { a: 4, b: 7, i: 0xb_0ffc });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.device.bytes.getUint32(5, true), 0x1234567);
    assert.deepEqual([toy.r(0), toy.r(2), toy.r(4)], [0, -1, 5]);
  },
);

each(
  'accesses across pages of memory, in a region too',
  (a) => {
    a.op('li', { a: 5, i: ROUNDS });
    a.op('li', { a: 3, i: 0x5000 });
    const top = a.at;
    a.op('store8', { a: 5, b: 3, i: -3 });
    a.op('addm', { a: 5, b: 3, i: -3 });
    a.op('load8', { a: 1, b: 3, i: -3 });
    a.op('add', { a: 0, b: 1 });
    a.op('addi', { a: 5, b: 5, i: -1 });
    a.op('bnz', { a: 5, t: top - a.at });
    a.op('halt');
  },
  (toy) => {
    toy.run();
    assert.equal(toy.r(0), ROUNDS * (ROUNDS + 1));
  },
);

test('areas are shown, moved and hidden while code runs from them', () => {
  const device = new Device();
  const jit = new JitAccelerator(options(device));
  mapAll(jit.space);
  const rom = jit.space.memoryArea('rom');
  const a = new Assembler(0x4000);
  a.op('addi', { a: 0, b: 0, i: 1 });
  a.op('halt');
  rom.bytes.set(a.bytes);
  const [vcpu] = jit.vcpus;
  const run = (pc: number) => {
    vcpu.state.set32('waiting', 0);
    vcpu.state.pc = BigInt(pc);
    return vcpu.run(100).kind;
  };
  rom.place(0x20_0000);
  assert.equal(run(0x20_0000), 'halt');
  rom.place(0x30_0000);
  run(0x20_0000);
  assert.equal(vcpu.readRegister('r0'), 1n);
  assert.equal(run(0x30_0000), 'halt');
  assert.equal(vcpu.readRegister('r0'), 2n);
  rom.place(undefined);
  assert.equal(jit.space.range(0x30_0000, 4), undefined);
  assert.equal(jit.space.pieces(0x9_fff0, 32), undefined);
  assert.deepEqual(
    jit.space.pieces(HIGH + 4090, 12)?.map(({ bytes }) => bytes.length),
    [6, 6],
  );
  rom.place(0x30_0000);
  rom.readOnly = true;
  assert.equal(jit.space.range(0x30_0000, 4, true), undefined);
  assert.equal(jit.space.range(0x30_0000, 4)?.length, 4);
});
