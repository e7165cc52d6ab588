/** What of the monitor needs a processor with text of its own, or ports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessorText } from '../machine/api.ts';
import { Hmp } from './hmp.ts';
import { testControl } from './test-stream.ts';

/** One byte is an instruction, but 0xff; 0xfe begins one of nine. */
const TEXT: ProcessorText = {
  registers: () => '\nCPU#0\nall of them\n',
  mem: () => 'PG disabled',
  tlb: () => '',
  code(bytes) {
    if (bytes[0] === 0xff || (bytes[0] === 0xfe && bytes.length < 9)) return undefined;
    return { length: bytes[0] === 0xfe ? 9 : 1, mnemonic: 'nop', operands: `$${bytes[0]}` };
  },
};

function start() {
  const { machine, control } = testControl();
  Object.assign(machine.vcpus[0], { text: TEXT });
  const accesses: string[] = [];
  machine.ports = {
    read(port, size) {
      accesses.push(`read ${port} ${size}`);
      return 0x12;
    },
    write: (port, size, value) => void accesses.push(`write ${port} ${size} ${value}`),
  };
  return { hmp: new Hmp(control), machine, accesses };
}

test('x/i: long instructions take two lines, what is none is a byte', async () => {
  const { hmp, machine } = start();
  machine.ram.set([1, 0xfe, 2, 3, 4, 5, 6, 7, 8, 9, 0xff, 3]);
  assert.equal(
    await hmp.execute('x/4i 0x80000000'),
    [
      '0x80000000:  01                       nop      $1\n',
      '0x80000001:  fe 02 03 04 05 06 07 08  nop      $254\n',
      '0x80000009:  09\n',
      '0x8000000a:  ff                       .byte    0xff\n',
      '0x8000000b:  03                       nop      $3\n',
    ].join(''),
  );
});

test('x/i at the end of memory goes on as long as there are bytes', async () => {
  const { hmp, machine } = start();
  machine.ram.set([1, 0xfe], machine.ram.length - 2);
  const end = 0x8000_0000 + machine.ram.length;
  assert.equal(
    await hmp.execute(`xp/3i 0x${(end - 2).toString(16)}`),
    [
      '0x8001fffe:  01                       nop      $1\n',
      '0x8001ffff:  fe                       .byte    0xfe\n',
      '0x80020000: unable to read memory\n',
    ].join(''),
  );
});

test('the size of a format outlives instructions', async () => {
  const { hmp } = start();
  await hmp.execute('xp/xh 0x80000000');
  await hmp.execute('xp/i 0x80000000');
  assert.equal(await hmp.execute('p 1'), '1\n');
  assert.equal(await hmp.execute('xp/x 0x80000000'), '0000000080000000: 0x0000\n');
});

test('ports are read and written in the size of the format', async () => {
  const { hmp, accesses } = start();
  assert.equal(await hmp.execute('i 0x70'), 'portl[0x0070] = 0x00000012\n');
  assert.equal(await hmp.execute('i/h 0x12345'), 'portw[0x2345] = 0x0012\n');
  assert.equal(await hmp.execute('i/b 0x70.5'), 'portb[0x0071] = 0x12\n');
  assert.equal(await hmp.execute('o/w 0xcf8 0xffffffff'), '');
  assert.match(await hmp.execute('i 0x70 5'), /^i: extraneous characters/);
  assert.match(await hmp.execute('o 0x70'), /^unexpected end of expression/);
  assert.deepEqual(accesses, ['read 112 4', 'read 9029 2', 'write 112 1 5', 'read 113 1', 'write 3320 4 4294967295']);
});

test('registers, page tables and non-maskable interrupts are the processor’s and the board’s', async () => {
  const { hmp, machine } = start();
  assert.equal(await hmp.execute('info registers'), '\nCPU#0\nall of them\n');
  assert.equal(await hmp.execute('info mem'), 'PG disabled\n');
  assert.equal(await hmp.execute('info tlb'), '');
  let pressed = 0;
  machine.nmi = () => void pressed++;
  assert.equal(await hmp.execute('nmi'), '');
  assert.equal(pressed, 1);
});
