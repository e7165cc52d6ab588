/** What a user program cannot try: environments of real-address mode, how a waiting exception is reported, FWAIT's #NM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Datum, Evaluator, GuestFault, type World } from '../../ir/evaluate.ts';
import { passGates } from '../isa.ts';
import { vectorOf } from './fault.ts';
import { isa } from './isa.ts';
import { HostCall } from './msr.ts';
import { AT, Cr0, Mode, Seg, Vector } from './state.ts';

/** Guest memory: flat, from 0. */
const GUEST_BYTES = 0x1000;
const CODE_SELECTOR = 0x1230;
const DATA_SELECTOR = 0x5678;

class Machine {
  readonly state = new DataView(new ArrayBuffer(isa.stateSize));
  readonly guest = new DataView(new ArrayBuffer(GUEST_BYTES));
  readonly calls: number[] = [];
  private readonly evaluator: Evaluator;

  constructor() {
    const { guest } = this;
    const world: World = {
      memory: this.state,
      cpu: 0,
      registers: { get: () => 0n, set: () => {} },
      load(address, size) {
        let value = 0n;
        for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(guest.getUint8(Number(address) + n));
        return value;
      },
      store(address, size, value) {
        for (let n = 0; n < size; n++) guest.setUint8(Number(address) + n, Number((value >> BigInt(8 * n)) & 0xffn));
      },
      host: (_, args) => this.calls.push(args[0] as number),
    };
    this.evaluator = new Evaluator(world);
    this.set('fcw', 0x37f);
    this.set('ftag', 0xffff);
    this.set('x87On', 1);
    this.state.setUint32(AT.segSelector + 4 * Seg.cs, CODE_SELECTOR, true);
    this.state.setBigUint64(AT.segBase + 8 * Seg.cs, BigInt(CODE_SELECTOR * 16), true);
    this.state.setUint32(AT.segLimit + 4 * Seg.cs, 0xffff, true);
    // DS at 0, whatever its selector says, so that guest memory can be small.
    this.state.setUint32(AT.segSelector + 4 * Seg.ds, DATA_SELECTOR, true);
    this.state.setUint32(AT.segLimit + 4 * Seg.ds, 0xffff, true);
    this.state.setUint32(AT.segAttr + 4 * Seg.ds, 0x93, true);
  }
  get(field: keyof typeof AT): number {
    return this.state.getUint32(AT[field], true);
  }
  set(field: keyof typeof AT, value: number): void {
    this.state.setUint32(AT[field], value, true);
  }
  /** Executes an instruction of real-address mode at CS:ip; the vector of its exception. */
  run(ip: number, ...bytes: number[]): number | undefined {
    const view = new DataView(Uint8Array.from([...bytes, 0x90, 0x90, 0x90, 0x90]).buffer);
    const decoded = isa.decode(view, 0, view.byteLength, Mode.small);
    assert.ok(decoded && decoded !== 'beyond');
    const insn = isa.build(decoded, Mode.small, undefined, (m) => passGates(m, decoded.gates));
    this.evaluator.pc = BigInt(CODE_SELECTOR * 16 + ip);
    const locals: Datum[] = insn.locals.map((type) => (type === 'i32' ? 0 : 0n));
    try {
      this.evaluator.statements(insn.statements, locals);
      return undefined;
    } catch (thrown) {
      if (!(thrown instanceof GuestFault)) throw thrown;
      return vectorOf(thrown.cause);
    }
  }
  words(at: number, count: number): number[] {
    return Array.from({ length: count }, (_, n) => this.guest.getUint16(at + 2 * n, true));
  }
}

const LINEAR_IP = CODE_SELECTOR * 16 + 0x100;
const LINEAR_DP = DATA_SELECTOR * 16 + 0x40;
/** FLD m32 at DS:0040h, then FNSTENV to 0080h. */
function withEnvironment(...prefix: number[]): Machine {
  const machine = new Machine();
  assert.equal(machine.run(0x100, 0xd9, 0x06, 0x40, 0x00), undefined);
  assert.equal(machine.run(0x104, ...prefix, 0xd9, 0x36, 0x80, 0x00), undefined);
  return machine;
}

test('an environment of 16 bits in real-address mode has linear addresses', () => {
  const machine = withEnvironment();
  const opcode = 0x106;
  const upper = (address: number) => (address >> 4) & 0xf000;
  assert.deepEqual(machine.words(0x80, 7), [
    0x37f,
    0x3800,
    0x7fff, // one register, which holds zero
    LINEAR_IP & 0xffff,
    upper(LINEAR_IP) | opcode,
    LINEAR_DP & 0xffff,
    upper(LINEAR_DP),
  ]);
});

test('an environment of 32 bits in real-address mode', () => {
  const machine = withEnvironment(0x66);
  const words = machine.words(0x80, 14);
  assert.deepEqual(words.slice(0, 6), [0x37f, 0xffff, 0x3800, 0xffff, 0x7fff, 0xffff]);
  assert.deepEqual(words.slice(6, 8), [LINEAR_IP & 0xffff, 0xffff]);
  assert.deepEqual(words[8] | (words[9] << 16), ((LINEAR_IP >> 16) << 12) | 0x106);
  assert.deepEqual(words.slice(10, 12), [LINEAR_DP & 0xffff, 0xffff]);
  assert.deepEqual(words[12] | (words[13] << 16), (LINEAR_DP >> 16) << 12);
});

for (const prefix of [[], [0x66]])
  test(`an environment comes back as it was (${prefix.length ? 32 : 16} bits)`, () => {
    const machine = withEnvironment(...prefix);
    const before = machine.words(0x80, 14);
    assert.equal(machine.run(0x200, 0xdb, 0xe3), undefined); // FNINIT
    assert.equal(machine.get('ftag'), 0xffff);
    assert.equal(machine.run(0x202, ...prefix, 0xd9, 0x26, 0x80, 0x00), undefined);
    assert.equal(machine.run(0x206, ...prefix, 0xd9, 0x36, 0x80, 0x00), undefined);
    assert.deepEqual(machine.words(0x80, 14), before);
  });

test('a waiting exception: #MF with CR0.NE, else the board is told', () => {
  const machine = new Machine();
  machine.set('fcw', 0x37e);
  machine.set('fsw', 0x8081);
  assert.equal(machine.run(0, 0x9b), undefined); // FWAIT
  assert.deepEqual(machine.calls, [HostCall.ferr]);
  machine.set('cr0', Cr0.ne);
  assert.equal(machine.run(0, 0x9b), Vector.mf);
  assert.equal(machine.run(0, 0xd9, 0xe8), Vector.mf); // FLD1
  assert.equal(machine.get('ftop'), 0);
  assert.equal(machine.run(0, 0xdb, 0xe2), undefined); // FNCLEX does not wait
  assert.equal(machine.run(0, 0x9b), undefined);
});

test('FWAIT minds TS only with MP; other instructions mind the gate', () => {
  const machine = new Machine();
  machine.set('x87On', 0);
  machine.set('cr0', Cr0.ts);
  assert.equal(machine.run(0, 0x9b), undefined);
  machine.set('cr0', Cr0.ts | Cr0.mp);
  assert.equal(machine.run(0, 0x9b), Vector.nm);
  assert.equal(machine.run(0, 0xdb, 0xe3), Vector.nm);
});

test('masks that are lifted let flags wait, and masks that come back do not', () => {
  const machine = new Machine();
  machine.set('fsw', 0x04);
  machine.guest.setUint16(0x40, 0x37b, true);
  assert.equal(machine.run(0, 0xd9, 0x2e, 0x40, 0x00), undefined); // FLDCW
  assert.equal(machine.get('fsw'), 0x8084);
  assert.equal(machine.get('fcw'), 0x37b);
  machine.set('cr0', Cr0.ne);
  assert.equal(machine.run(0, 0xd9, 0x2e, 0x40, 0x00), Vector.mf);
});
