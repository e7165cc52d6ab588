import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hmp } from './hmp.ts';
import { testControl } from './test-stream.ts';

function start() {
  const { machine, control, saved } = testControl(2);
  const words = new DataView(machine.ram.buffer);
  // The first words of QEMU's reset vector, so that its own output can be the expectation.
  for (const [i, word] of [0x00000297, 0x02828613, 0xf1402573, 0x0202b583, 0x0182b283].entries())
    words.setUint32(i * 4, word, true);
  return { hmp: new Hmp(control), machine, saved };
}

/** What QEMU 7.2 answers, with the vector at 0x80000000 in place of 0x1000. */
const AS_QEMU: [line: string, answer: string][] = [
  ['', ''],
  ['   ', ''],
  ['foo', "unknown command: 'foo'\n"],
  ['"abc', "unknown command: '\"abc'\n"],
  ['info foo', "unknown command: 'info foo'\n"],
  ['info status', 'VM status: paused (prelaunch)\n'],
  [
    'info status extra',
    'status: extraneous characters at the end of line\nTry "help info status" for more information\n',
  ],
  ['info name', 'probe\n'],
  ['info uuid', '00000000-0000-0000-0000-000000000000\n'],
  ['stop extra', 'stop|s: extraneous characters at the end of line\nTry "help stop" for more information\n'],
  ['help stop', 'stop|s  -- stop emulation\n'],
  ['? c', 'cont|c  -- resume emulation\n'],
  ['help foo', "unknown command: 'foo'\n"],
  ['print /x 1+2*3', '0x7\n'],
  ['print 10', '0xa\n'],
  ['p 0x10 | 3', '0x13\n'],
  ['p 010', '0x8\n'],
  ['p /c 65', "'A'\n"],
  ['p /d -1', '-1\n'],
  ['p /d ~1', '-2\n'],
  ['p /o 9', '011\n'],
  ['p /u -1', '18446744073709551615\n'],
  ["p /d 'A'", '65\n'],
  ['p /d 7 & 3 + 4', '7\n'],
  ['p (1', '\')\' expected\nTry "help p" for more information\n'],
  ['p', 'unexpected end of expression\nTry "help p" for more information\n'],
  ['p $foo', 'unknown register\nTry "help p" for more information\n'],
  ['p 1/0', 'division by zero\nTry "help p" for more information\n'],
  ['p 1 2', 'print|p: extraneous characters at the end of line\nTry "help p" for more information\n'],
  ['p /t 9', 'invalid char in format: \'t\'\nTry "help p" for more information\n'],
  ['xp /2gx 0x80000000', '0000000080000000: 0x0282861300000297 0x0202b583f1402573\n'],
  ['xp /8xb 0x80000000', '0000000080000000: 0x97 0x02 0x00 0x00 0x13 0x86 0x82 0x02\n'],
  [
    'xp /20cb 0x80000000',
    "0000000080000000: '\\x97' '\\x02' '\\x00' '\\x00' '\\x13' '\\x86' '\\x82' '\\x02'\n" +
      "0000000080000008: 's' '%' '@' '\\xf1' '\\x83' '\\xb5' '\\x02' '\\x02'\n" +
      "0000000080000010: '\\x83' '\\xb2' '\\x82' '\\x01'\n",
  ],
  ['xp /4dh 0x80000000', '0000000080000000:   663     0 34323   642\n'],
  ['xp /2uh 0x80000000', '0000000080000000:   663     0\n'],
  ['xp /4oh 0x80000000', '0000000080000000:  01227      0 0103023  01202\n'],
  ['x/2xg 0x80000000', '0000000080000000: 0x0282861300000297 0x0202b583f1402573\n'],
  ['x /2wx 0xffffffffff', '000000ffffffffff: Cannot access memory\n'],
  ['xp /2wx 0xffffffffff', '000000ffffffffff: Cannot access memory\n'],
  ['x', 'unexpected end of expression\nTry "help x" for more information\n'],
  ['x /q 0', 'invalid char in format: \'q\'\nTry "help x" for more information\n'],
  ['pmemsave 0 1', 'pmemsave: string expected\nTry "help pmemsave" for more information\n'],
  ['log', 'log: string expected\nTry "help log" for more information\n'],
  ['nmi', 'Error: this feature or command is not currently supported\n'],
  ['cpu 3', 'invalid CPU index\n'],
  ['info cpus', '* CPU #0: thread_id=4711\n  CPU #1: thread_id=4711\n'],
];
for (const [line, answer] of AS_QEMU) {
  test(`"${line}" is answered as by QEMU`, async () => {
    const { hmp } = start();
    assert.equal(await hmp.execute(line), answer);
  });
}

test('commands act on the machine', async () => {
  const { hmp, machine, saved } = start();
  assert.equal(await hmp.execute('cont'), '');
  assert.equal(machine.state, 'running');
  assert.equal(await hmp.execute('s'), '');
  assert.equal(machine.state, 'paused');
  await hmp.execute('system_reset');
  await hmp.execute('system_powerdown');
  assert.deepEqual(machine.log, ['reset', 'powerdown']);
  assert.equal(await hmp.execute('pmemsave 0x80000000 4 "a file"'), '');
  assert.deepEqual([...(saved.get('a file') ?? [])], [0x97, 2, 0, 0]);
  assert.match(await hmp.execute('pmemsave 0x80000000 4 "/no/x"'), /^Error: Could not open/);
  await hmp.execute('q');
  assert.equal(machine.state, 'shutdown');
});

test('registers by name, of the chosen processor', async () => {
  const { hmp } = start();
  assert.equal(await hmp.execute('p $pc'), '0x80000000\n');
  assert.equal(await hmp.execute('p /x $a0 + $x1'), '0xbbbb\n');
  const text = await hmp.execute('info registers');
  assert.match(text, /^\nCPU#0\n pc {7}0000000080000000\n/);
  assert.match(text, / x8\/s0 {4}0000000000008888 x9\/s1 /);
  assert.equal((await hmp.execute('info registers -a')).match(/CPU#/g)?.length, 2);
  assert.equal(await hmp.execute('cpu 1'), '');
  assert.match(await hmp.execute('info registers'), /CPU#1/);
});

test('hostile lines end in a message', async () => {
  const { hmp } = start();
  for (const line of [
    'x /99999999999999999999gx 0',
    'p ' + '('.repeat(100_000),
    'p ' + '-'.repeat(100_000) + '1',
    'p 99999999999999999999999999999',
    'p $' + 'a'.repeat(10_000),
    "p '",
    'pmemsave 0 -1 "x"',
    'pmemsave 0 0x7fffffffffffffff "x"',
    'pmemsave 0x80000000 1 "unterminated',
    'sum 0 0x7fffffffffffffff',
    'savevm a',
    'info pci',
    'xp /i 0x80000000',
    'constructor',
    'info __proto__',
  ]) {
    assert.match(await hmp.execute(line), /\S/, line.slice(0, 40));
  }
});

test('completion knows commands and topics', () => {
  const { hmp } = start();
  assert.deepEqual(hmp.complete('sys'), ['system_powerdown', 'system_reset', 'system_wakeup']);
  assert.deepEqual(hmp.complete('info st'), ['status']);
  assert.deepEqual(hmp.complete('pmemsave 0'), []);
});

test('accel shows the accelerator, changes it, or says why not', async () => {
  const { hmp } = start();
  assert.equal(await hmp.execute('accel'), 'reference\n');
  assert.equal(await hmp.execute('accel jit'), '');
  assert.equal(await hmp.execute('accel'), 'jit\n');
  assert.match(await hmp.execute('accel kvm'), /there is no KVM here; use -accel jit/);
  assert.match(await hmp.execute('accel xen'), /there is no accelerator 'xen'/);
  assert.equal(await hmp.execute('info kvm'), 'kvm of the test machine\n');
});
