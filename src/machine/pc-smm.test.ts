import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, writeU32 } from '../bits/endian.ts';
import { kvmFlavour } from '../host/node/kvm/kvm-flavour.ts';
import { NodeMachineHost } from '../host/node/machine-host.ts';
import { Machine } from './machine.ts';
import { Assembler } from './x86-assembler.ts';
import { NOTHING_ATTACHED } from '../../test/nothing-attached.ts';

const MIB = 0x10_0000;
/** Where the guest leaves what it finds. */
const AT = { revision: 0x500, first: 0x504, second: 0x508, saved: 0x50c, opened: 0x510, closed: 0x514, after: 0x518 };
const FIRST = 0x3000; // segments whose offset 0x8000 an SMI enters
const MOVED = 0xa000;

interface Board {
  readonly machine: 'pc' | 'q35';
  readonly cpu: string;
  /** Where the saved state has SMBASE and EAX, and what it calls itself. */
  readonly layout: { readonly smbase: number; readonly eax: number; readonly revision: number };
  /** Register of the host bridge for system management RAM. */
  readonly smram: number;
}
const WIDE = { smbase: 0xff00, eax: 0xfff8, revision: 0x2_0064 };
const NARROW = { smbase: 0xfef8, eax: 0xffd0, revision: 0x2_0000 };
const BOARDS: readonly Board[] = [
  { machine: 'pc', cpu: 'qemu64', layout: WIDE, smram: 0x72 },
  { machine: 'q35', cpu: 'qemu64', layout: WIDE, smram: 0x9d },
  { machine: 'pc', cpu: 'qemu32', layout: NARROW, smram: 0x72 },
];

/**
 * A first SMI moves SMBASE to 0xa0000, whose RAM only the mode sees; a second one runs there, changes the saved EAX, and
 * its code can be seen neither before nor after.
 */
function firmware({ machine, layout, smram }: Board): Uint8Array {
  const code = new Assembler();
  const out = (port: number, size: 1 | 4, value: number) => {
    code.db(0xba).dw(port);
    if (size === 4) code.db(0x66, 0xb8).dd(value).db(0x66, 0xef);
    else code.db(0xb0, value, 0xee);
  };
  const config = (slot: number, fn: number, at: number, size: 1 | 4, value: number) => {
    out(0xcf8, 4, 0x8000_0000 + (slot << 11) + (fn << 8) + (at & 0xfc));
    out(0xcfc + (at & 3), size, value);
  };
  const loadCs = (at: number) => code.db(0x2e, 0x66, 0xa1).dw(at); // mov eax, cs:[at]
  const store = (at: number) => code.db(0x66, 0xa3).dw(at); // mov [at], eax
  const setCs = (at: number, value: number) => code.db(0x2e, 0x66, 0xc7, 0x06).dw(at).dd(value);
  const increase = (at: number) => code.db(0x66, 0xff, 0x06).dw(at);
  const moveEax = (value: number) => code.db(0x66, 0xb8).dd(value);
  /** Copies 64 bytes of the handler to segment:8000h. */
  const copy = (handler: string, segment: number) =>
    code
      .db(0x0e, 0x1f, 0xb8)
      .dw(segment)
      .db(0x8e, 0xc0, 0xbe)
      .ref16(handler) // push cs; pop ds; mov es, ax; mov si
      .db(0xbf)
      .dw(0x8000)
      .db(0xb9)
      .dw(64)
      .db(0xf3, 0xa4) // mov di; mov cx; rep movsb
      .db(0x31, 0xc0, 0x8e, 0xd8); // xor ax, ax; mov ds, ax
  /** mov eax, [a000h:8000h] to `at`. */
  const look = (at: number) => {
    code.db(0xb8).dw(MOVED).db(0x8e, 0xc0, 0x26, 0x66, 0xa1).dw(0x8000);
    store(at);
  };

  code.cli().db(0xfc, 0xbc).dw(0x7000); // cld; mov sp
  code.db(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0); // ds = ss = 0
  if (machine === 'pc') config(1, 3, 0x5b, 1, 2);
  else {
    config(31, 0, 0x40, 4, 0x601);
    config(31, 0, 0x44, 1, 0x80);
    out(0x630, 4, 0x21);
  }
  copy('first', FIRST);
  out(0xb2, 1, 0x55);
  config(0, 0, smram, 1, 0x4a); // enabled and open
  copy('second', MOVED);
  look(AT.opened);
  config(0, 0, smram, 1, 0x1a); // closed, and locked
  if (machine === 'pc') config(0, 0, smram, 1, 0x4a);
  look(AT.closed);
  moveEax(0x1122_3344);
  code.db(0xe6, 0xb2); // out 0xb2, al
  store(AT.after);
  code.label('halt').db(0xf4).jmp('halt');

  code.label('first');
  loadCs(0xfefc);
  store(AT.revision);
  setCs(layout.smbase, MOVED << 4);
  increase(AT.first);
  code.db(0x0f, 0xaa);
  code.to(code.here + 40);
  code.label('second');
  loadCs(layout.eax);
  store(AT.saved);
  setCs(layout.eax, 0x5566_7788);
  increase(AT.second);
  code.db(0x0f, 0xaa);
  code.to(code.here + 40);
  const rom = new Uint8Array(0x1_0000);
  rom.set(code.finish());
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  return rom;
}

/** Under KVM the mode's own code is the interpreter's. */
const ACCELERATORS = kvmFlavour() ? (['reference', 'jit', 'kvm'] as const) : (['reference', 'jit'] as const);

async function machineOf(board: Board, accel: 'reference' | 'jit' | 'kvm', smm: string, bios = firmware(board)) {
  return Machine.create(
    {
      machine: board.machine,
      accel,
      accelStay: true,
      cpu: { model: board.cpu, features: {} },
      cpus: 1,
      memory: 4 * MIB,
      bios,
      ...NOTHING_ATTACHED,
      defaults: false,
      machineProperties: { smm },
    },
    new NodeMachineHost(),
  );
}

async function halted(machine: Machine): Promise<void> {
  machine.start();
  while (!machine.vcpus[0].halted) await new Promise((resolve) => setTimeout(resolve, 1));
}
const word = (machine: Machine, at: number) => readU32(machine.readMemory(at, 4) as Uint8Array, 0);

test('SMIs: saved state, SMBASE, RAM that only the mode sees', async (t) => {
  if (!kvmFlavour()) t.diagnostic('no /dev/kvm: not under KVM');
  for (const board of BOARDS) {
    for (const accel of ACCELERATORS) {
      const machine = await machineOf(board, accel, 'on');
      await halted(machine);
      const found = Object.fromEntries(Object.entries(AT).map(([name, at]) => [name, word(machine, at)]));
      assert.deepEqual(
        { ...found, opened: 0, closed: 0 },
        {
          revision: board.layout.revision,
          first: 1,
          second: 1,
          saved: 0x1122_3344,
          opened: 0,
          closed: 0,
          after: 0x5566_7788,
        },
        `${board.machine} ${board.cpu} ${accel}`,
      );
      // The handler begins with mov eax, cs:[...], and nothing else answers there.
      assert.deepEqual([found.opened & 0xff_ffff, found.closed], [0xa1_662e, 0xffff_ffff]);
      assert.equal(machine.readMemory(0xa_8000, 4), undefined);
      await machine.stop();
    }
  }
});

test('without system management mode the chips say that firmware has set it up, and RSM is no instruction', async () => {
  const [board] = BOARDS;
  const machine = await machineOf(board, 'jit', 'off');
  await halted(machine);
  assert.deepEqual([word(machine, AT.first), word(machine, AT.after)], [0, 0x1122_3344]);
  await machine.stop();
  const code = new Assembler().cli().db(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc).dw(0x7000);
  code
    .db(0xc7, 0x06)
    .dw(6 * 4)
    .ref16('ud')
    .db(0xc7, 0x06)
    .dw(6 * 4 + 2)
    .dw(0xf000); // vector 6
  code.db(0x0f, 0xaa);
  code.label('ud').db(0x66, 0xff, 0x06).dw(AT.first);
  code.label('halt').db(0xf4).jmp('halt');
  const rom = new Uint8Array(0x1_0000);
  rom.set(code.finish());
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  const other = await machineOf(board, 'reference', 'on', rom);
  await halted(other);
  assert.equal(word(other, AT.first), 1);
  await other.stop();
});

test('the TSEG of q35 belongs to the mode', async () => {
  const board = BOARDS[1];
  const code = new Assembler().cli();
  const config = (at: number, value: number) => {
    code
      .db(0xba)
      .dw(0xcf8)
      .db(0x66, 0xb8)
      .dd(0x8000_0000 + (at & 0xfc))
      .db(0x66, 0xef);
    code
      .db(0xba)
      .dw(0xcfc + (at & 3))
      .db(0xb0, value, 0xee);
  };
  config(0x9e, 1); // 1 MiB
  config(0x9d, 0x0a);
  code.label('halt').db(0xf4).jmp('halt');
  const rom = new Uint8Array(0x1_0000);
  rom.set(code.finish());
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
  const machine = await machineOf(board, 'reference', 'on', rom);
  const marker = new Uint8Array(4);
  writeU32(marker, 0, 0x1234_5678);
  assert.ok(machine.writeMemory(3 * MIB, marker));
  await halted(machine);
  assert.equal(machine.readMemory(3 * MIB, 4), undefined);
  assert.ok(machine.readMemory(3 * MIB - 4, 4));
  await machine.pause();
  machine.reset();
  assert.equal(word(machine, 3 * MIB), 0x1234_5678);
  await machine.stop();
});
