/** Every kind of exit that small real-mode guests can make, on the port to /dev/kvm. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EMULATION_BYTES, InternalError, IO_OUT, MEM_READONLY, Run } from '../../src/accel/kvm/abi.ts';
import { KvmError } from '../../src/accel/kvm/port.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { CODE, RealMode, skip } from './real-mode.ts';

const HLT = 0xf4;

function guest(
  code: readonly number[],
  registers: ConstructorParameters<typeof RealMode>[1],
  body: (g: RealMode) => void,
) {
  const g = new RealMode(code, registers);
  try {
    body(g);
  } finally {
    g.close();
  }
}

test('HLT', { skip }, () => {
  guest([HLT], {}, (g) => {
    assert.equal(g.exit(), 'hlt');
    assert.equal(g.get('rip'), BigInt(CODE + 1));
  });
});

test('port output and input', { skip }, () => {
  // out dx, al; in ax, dx; hlt
  guest([0xee, 0xed, HLT], { rax: 0x1241, rdx: 0x3f8 }, (g) => {
    const { run } = g.vcpu;
    const data = () => Number(run.getBigUint64(Run.io.dataOffset, true));
    assert.equal(g.exit(), 'io');
    assert.equal(run.getUint8(Run.io.direction), IO_OUT);
    assert.equal(run.getUint8(Run.io.size), 1);
    assert.equal(run.getUint16(Run.io.port, true), 0x3f8);
    assert.equal(run.getUint8(data()), 0x41);
    assert.equal(g.exit(), 'io');
    assert.equal(run.getUint8(Run.io.direction), 0);
    assert.equal(run.getUint8(Run.io.size), 2);
    run.setUint16(data(), 0xbeef, true);
    assert.equal(g.exit(), 'hlt');
    assert.equal(g.get('rax'), 0xbeefn);
  });
});

test('string output and input, repeated', { skip }, () => {
  // rep outsb; mov cx, 3; rep insw; hlt
  const code = [0xf3, 0x6e, 0xb9, 3, 0, 0xf3, 0x6d, HLT];
  guest(code, { rcx: 5, rdx: 0x70, rsi: 0x2000, rdi: 0x3000 }, (g) => {
    g.ram.set(new TextEncoder().encode('hello'), 0x2000);
    const { run } = g.vcpu;
    let text = '';
    let words = 0;
    for (let reason = g.exit(); reason !== 'hlt'; reason = g.exit()) {
      assert.equal(reason, 'io');
      const at = Number(run.getBigUint64(Run.io.dataOffset, true));
      const count = run.getUint32(Run.io.count, true);
      for (let n = 0; n < count; n++) {
        if (run.getUint8(Run.io.direction) === IO_OUT) text += String.fromCharCode(run.getUint8(at + n));
        else run.setUint16(at + 2 * n, 0x1100 + words++, true);
      }
      assert.ok(text.length + words <= 8);
    }
    assert.equal(text, 'hello');
    assert.deepEqual([...g.ram.subarray(0x3000, 0x3006)], [0, 0x11, 1, 0x11, 2, 0x11]);
  });
});

test('memory without RAM: a write, and a read of another size', { skip }, () => {
  // mov ax, 0x2000; mov ds, ax; mov [0x10], cl; mov edx, [0x14]; hlt
  const code = [0xb8, 0x00, 0x20, 0x8e, 0xd8, 0x88, 0x0e, 0x10, 0, 0x66, 0x8b, 0x16, 0x14, 0, HLT];
  guest(code, { rcx: 0x77 }, (g) => {
    const { run } = g.vcpu;
    assert.equal(g.exit(), 'mmio');
    assert.equal(run.getBigUint64(Run.mmio.physAddr, true), 0x20010n);
    assert.equal(run.getUint8(Run.mmio.isWrite), 1);
    assert.equal(run.getUint32(Run.mmio.len, true), 1);
    assert.equal(run.getUint8(Run.mmio.data), 0x77);
    assert.equal(g.exit(), 'mmio');
    assert.equal(run.getBigUint64(Run.mmio.physAddr, true), 0x20014n);
    assert.equal(run.getUint8(Run.mmio.isWrite), 0);
    assert.equal(run.getUint32(Run.mmio.len, true), 4);
    run.setUint32(Run.mmio.data, 0xcafe_f00d, true);
    assert.equal(g.exit(), 'hlt');
    assert.equal(g.get('rdx'), 0xcafe_f00dn);
  });
});

test('a write to read-only memory is an exit, a read is none', { skip }, () => {
  // mov ax, 0x1000; mov ds, ax; mov al, [0x10]; mov [0x10], cl; hlt
  const code = [0xb8, 0x00, 0x10, 0x8e, 0xd8, 0xa0, 0x10, 0, 0x88, 0x0e, 0x10, 0, HLT];
  guest(code, { rcx: 0x55 }, (g) => {
    const rom = new Uint8Array(g.ram.buffer).subarray(0x20000, 0x21000);
    rom[0x10] = 0x99;
    g.vm.setMemory(1, MEM_READONLY, 0x10000, rom);
    assert.equal(g.exit(), 'mmio');
    assert.equal(g.vcpu.run.getBigUint64(Run.mmio.physAddr, true), 0x10010n);
    assert.equal(g.vcpu.run.getUint8(Run.mmio.isWrite), 1);
    assert.equal(g.exit(), 'hlt');
    assert.equal(g.get('rax') & 0xffn, 0x99n);
    assert.equal(rom[0x10], 0x99);
    g.vm.setMemory(1, MEM_READONLY, 0x10000, undefined);
  });
});

test('a triple fault is a shutdown', { skip }, () => {
  // lidt [0x2000] with limit 0; mov eax, cr0; or al, 1; mov cr0, eax; ud2: in real mode KVM may not look at the limit
  const code = [0x0f, 0x01, 0x1e, 0x00, 0x20, 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0x0f, 0x0b];
  guest(code, {}, (g) => {
    assert.equal(g.exit(), 'shutdown');
  });
});

test('what KVM cannot emulate is an internal error with the instruction bytes', { skip }, (t) => {
  // mov ax, 0x2000; mov ds, ax; prefetcht0 [0x10]; cmpps xmm0, [0x10], 0: memory that is a device
  const code = [0xb8, 0x00, 0x20, 0x8e, 0xd8, 0x0f, 0x18, 0x0e, 0x10, 0, 0x0f, 0xc2, 0x06, 0x10, 0, 0, HLT];
  guest(code, {}, (g) => {
    let reason = g.exit();
    while (reason === 'mmio') reason = g.exit();
    if (reason !== 'internal-error') return t.skip(`KVM here ends this guest with ${reason}`);
    const { run } = g.vcpu;
    assert.equal(run.getUint32(Run.internal.suberror, true), InternalError.emulation);
    if (
      run.getUint32(Run.internal.ndata, true) >= 3 &&
      Number(run.getBigUint64(Run.internal.flags, true)) & EMULATION_BYTES
    )
      assert.ok(run.getUint8(Run.internal.insnSize) <= 15);
  });
});

test('a kick before an entry ends it at once, and only that one', { skip }, () => {
  // jmp $
  guest([0xeb, 0xfe], {}, (g) => {
    g.vcpu.kick();
    const start = performance.now();
    assert.equal(g.vcpu.enter(), 4);
    assert.ok(performance.now() - start < 1000);
    assert.equal(g.exit(20), 'intr');
    assert.ok(performance.now() - start >= 20);
    assert.equal(g.get('rip'), BigInt(CODE));
  });
});

test('memory and descriptors are given back', { skip }, () => {
  const fds = () => readdirSync('/proc/self/fd').length;
  const maps = () => readFileSync('/proc/self/maps', 'utf8').split('kvm-vcpu').length;
  const before = [fds(), maps()];
  for (let n = 0; n < 20; n++) guest([HLT], {}, (g) => assert.equal(g.exit(), 'hlt'));
  assert.deepEqual([fds(), maps()], before);
  const g = new RealMode([HLT]);
  g.close();
  assert.throws(() => g.vcpu.run.getUint8(0), TypeError);
});

test('KVM that is not there, may not be opened, or is something else', () => {
  const code = (path: string) => {
    try {
      openKvm(path).close();
    } catch (error) {
      assert.ok(error instanceof KvmError);
      assert.ok(error.mend.includes('-accel jit'));
      return error.code;
    }
    return 'opened';
  };
  assert.equal(code('/dev/no-kvm-here'), 'kvm-missing');
  assert.equal(code('/dev/null'), 'kvm-version');
  if (process.getuid?.() !== 0) assert.equal(code('/dev/mem'), 'kvm-permission');
});
