import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import type { InputEvent, PointerButton } from '../../hw/input.ts';
import { QKEYCODES } from '../../hw/qkeycode.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { fromBinary, load, type SavedState, save, toBinary } from '../../state/codec.ts';
import { I8042 } from './i8042.ts';

function setUp() {
  const bench = new TestBench();
  const keyboardIrq = new TestLine();
  const mouseIrq = new TestLine();
  const a20 = new TestLine();
  let resets = 0;
  const lines = { keyboardIrq, mouseIrq, a20, reset: () => void resets++ };
  const i8042 = new I8042('i8042', bench, lines);
  i8042.reset();
  const command = (...bytes: number[]) => {
    i8042.command.write(0, 1, bytes[0]);
    for (const byte of bytes.slice(1)) i8042.data.write(0, 1, byte);
  };
  const status = () => i8042.command.read(0, 1);
  const read = () => {
    const bytes: number[] = [];
    while (status() & 1) bytes.push(i8042.data.read(0, 1));
    return bytes;
  };
  const key = (name: string, down: boolean) => {
    i8042.keyboard.input({ type: 'key', key: name, down });
    i8042.keyboard.sync();
  };
  const tap = (name: string) => {
    key(name, true);
    key(name, false);
  };
  const point = (...events: InputEvent[]) => {
    for (const event of events) i8042.mouse.input(event);
    i8042.mouse.sync();
  };
  const move = (x: number, y: number): InputEvent[] => [
    { type: 'rel', axis: 'x', value: x },
    { type: 'rel', axis: 'y', value: y },
  ];
  const button = (name: PointerButton, down: boolean): InputEvent => ({ type: 'btn', button: name, down });
  const mouse = (...bytes: number[]) =>
    bytes.flatMap((byte) => {
      command(0xd4, byte);
      return read();
    });
  const w = (value: number) => i8042.data.write(0, 1, value);
  return {
    bench,
    i8042,
    keyboardIrq,
    mouseIrq,
    a20,
    command,
    status,
    read,
    key,
    tap,
    point,
    move,
    button,
    mouse,
    w,
    resets: () => resets,
  };
}

test('self test, interface tests, command byte, ports', () => {
  const { command, read, status } = setUp();
  assert.equal(status(), 0x18);
  command(0xaa);
  assert.deepEqual([status(), read()], [0x1d, [0x55]]);
  command(0xab);
  assert.deepEqual(read(), [0]);
  command(0xa9);
  assert.deepEqual(read(), [0]);
  command(0x60, 0x61);
  assert.equal(status() & 8, 0);
  command(0x20);
  assert.deepEqual(read(), [0x61]);
  command(0xd0);
  assert.deepEqual(read(), [0xcf & ~0x30]);
  command(0xd3, 0x5a);
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(read(), [0x5a]);
});

test('keys in set 2, and translated to set 1', () => {
  const { command, read, tap, key, keyboardIrq } = setUp();
  tap('a');
  assert.equal(keyboardIrq.level, true);
  assert.deepEqual(read(), [0x1c, 0xf0, 0x1c]);
  assert.deepEqual([keyboardIrq.level, keyboardIrq.rises], [false, 3], 'an edge for each byte');
  command(0x60, 0x41);
  tap('a');
  assert.deepEqual(read(), [0x1e, 0x9e]);
  tap('f7');
  assert.deepEqual(read(), [0x41, 0xc1]);
  tap('right');
  assert.deepEqual(read(), [0xe0, 0x4d, 0xe0, 0xcd]);
  tap('pause');
  assert.deepEqual(read(), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
  key('print', true);
  assert.deepEqual(read(), [0xe0, 0x2a, 0xe0, 0x37]);
  key('print', false);
  assert.deepEqual(read(), [0xe0, 0xb7, 0xe0, 0xaa]);
  key('alt', true);
  tap('print');
  key('alt', false);
  assert.deepEqual(read(), [0x38, 0x54, 0xd4, 0xb8]);
});

test('keyboard commands', () => {
  const { command, read, w, tap, i8042 } = setUp();
  w(0xff);
  assert.deepEqual(read(), [0xfa, 0xaa]);
  w(0xf2);
  assert.deepEqual(read(), [0xfa, 0xab, 0x83]);
  command(0x60, 0x41);
  w(0xf2);
  assert.deepEqual(read(), [0xfa, 0xab, 0x41]);
  command(0x60, 0x01);
  w(0xed);
  assert.deepEqual(read(), [0xfa]);
  tap('x'); // waits for the parameter
  assert.deepEqual(read(), []);
  w(0x05);
  assert.deepEqual(read(), [0xfa, 0x22, 0xf0, 0x22]);
  assert.equal(i8042.keyboard.state.leds, 5);
  w(0xf0);
  w(0);
  assert.deepEqual(read(), [0xfa, 0xfa, 2]);
  w(0xf0);
  w(1);
  read();
  tap('right');
  assert.deepEqual(read(), [0xe0, 0x4d, 0xe0, 0xcd]);
  w(0xf0);
  w(3);
  assert.deepEqual(read(), [0xfa, 0xfe]);
  w(0xf5);
  read();
  tap('a');
  assert.deepEqual(read(), []);
  w(0xf4);
  assert.deepEqual(read(), [0xfa]);
  w(0xee);
  assert.deepEqual(read(), [0xee]);
  w(0x12);
  assert.deepEqual(read(), [0xfe]);
});

test('a disabled keyboard waits; the interrupt can be masked; keys beyond the buffer are lost whole', () => {
  const { command, read, tap, keyboardIrq } = setUp();
  command(0xad);
  tap('a');
  assert.deepEqual([read(), keyboardIrq.level], [[], false]);
  command(0xae);
  assert.equal(keyboardIrq.level, true);
  command(0x60, 0x00);
  assert.equal(keyboardIrq.level, false);
  read();
  for (let i = 0; i < 10; i++) tap('a');
  const bytes = read();
  assert.ok(bytes.length >= 15 && bytes.length <= 18, `${bytes.length}`);
});

test('mouse: reset, ID, reports in the direction of the axes, buttons', () => {
  const { mouse, point, move, button, read, mouseIrq, status } = setUp();
  assert.deepEqual(mouse(0xff), [0xfa, 0xaa, 0]);
  assert.deepEqual(mouse(0xf2), [0xfa, 0]);
  point(...move(5, 5));
  assert.deepEqual(read(), [], 'not before it is enabled');
  assert.deepEqual(mouse(0xf4), [0xfa]);
  const { rises } = mouseIrq;
  point(...move(5, -3));
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(read(), [0x08, 5, 3]);
  assert.equal(mouseIrq.rises, rises + 3);
  point(...move(-1, 2), button('left', true));
  assert.deepEqual(read(), [0x39, 0xff, 0xfe]);
  point(...move(-300, 0), button('left', false), button('right', true));
  assert.deepEqual(read(), [0x1a, 0x81, 0, 0x1a, 0x81, 0, 0x1a, 0x100 - 46, 0]);
  assert.deepEqual(mouse(0xe9), [0xfa, 0x21, 2, 100]);
  point(...move(5000, 0));
  assert.equal(read().length, 3 * Math.ceil(5000 / 127), 'what has no room is reported as the buffer empties');
});

test('mouse: IntelliMouse with wheel and Explorer with five buttons', () => {
  const { mouse, point, button, read } = setUp();
  mouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
  assert.deepEqual(mouse(0xf2), [0xfa, 3]);
  mouse(0xf4);
  point(button('wheel-down', true), button('wheel-down', false));
  assert.deepEqual(read(), [8, 0, 0, 1]);
  point(button('wheel-up', true));
  assert.deepEqual(read(), [8, 0, 0, 0xff]);
  mouse(0xf3, 200, 0xf3, 200, 0xf3, 80);
  assert.deepEqual(mouse(0xf2), [0xfa, 4]);
  point(button('side', true), button('wheel-up', true));
  assert.deepEqual(read(), [8, 0, 0, 0x1f]);
  point(button('side', false), button('extra', true));
  assert.deepEqual(read(), [8, 0, 0, 0x20]);
});

test('mouse: remote and wrap modes', () => {
  const { mouse, point, move, read } = setUp();
  mouse(0xf4, 0xf0);
  point(...move(3, 0));
  assert.deepEqual(read(), []);
  assert.deepEqual(mouse(0xeb), [0xfa, 8, 3, 0]);
  mouse(0xee);
  assert.deepEqual(mouse(0x42, 0xf2), [0x42, 0xf2]);
  assert.deepEqual(mouse(0xec), [0xfa]);
});

test('A20 and reset', () => {
  const { command, a20, resets } = setUp();
  assert.equal(a20.level, true);
  command(0xdd);
  assert.equal(a20.level, false);
  command(0xd1, 0x03);
  assert.equal(a20.level, true);
  command(0xdf);
  assert.equal(resets(), 0);
  command(0xfe);
  assert.equal(resets(), 1);
  command(0xd1, 0x02);
  assert.equal(resets(), 2);
});

test('state saves and loads with devices and what waits', () => {
  const first = setUp();
  first.tap('a');
  first.mouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
  const saved = fromBinary(toBinary(save(first.i8042.layout, first.i8042.state))) as unknown as SavedState;
  const second = setUp();
  load(second.i8042.layout, second.i8042.state, saved);
  second.i8042.resumed();
  assert.deepEqual(second.mouse(0xf2), [0xfa, 3]);
  second.tap('b');
  assert.deepEqual(second.read(), [0x32, 0xf0, 0x32]);
});

const seed = testSeed(process.env);
test(`random accesses and input (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, i8042, key, point, move, button } = setUp();
  const keys = [...QKEYCODES];
  hammer({
    seed,
    bench,
    device: i8042,
    windows: [
      { mmio: i8042.data, size: 1 },
      { mmio: i8042.command, size: 1 },
    ],
    also(random) {
      key(random.pick(keys), random.below(2) === 0);
      point(...move((random.next() | 0) >> random.below(32), 3), button(random.pick(['left', 'wheel-up']), true));
      const { waiting, keyboard, mouse } = i8042.state;
      assert.ok(waiting.length <= 16 && keyboard.keys.length <= 16 && mouse.reports.length <= 16);
      assert.ok(keyboard.replies.length < 8 && mouse.replies.length < 8);
    },
  });
});
