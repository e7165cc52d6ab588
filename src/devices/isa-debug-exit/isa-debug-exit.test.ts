import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortBus } from '../../hw/ports.ts';
import { IsaDebugExit } from './isa-debug-exit.ts';

test('the exit code is twice the value and one', () => {
  const codes: number[] = [];
  const bus = new PortBus();
  bus.add('exit', 0xf4, 4, new IsaDebugExit('exit', (code) => codes.push(code)).mmio);
  assert.equal(bus.read(0xf4, 1), 0);
  bus.write(0xf4, 1, 0);
  bus.write(0xf4, 4, 0x10);
  bus.write(0xf4, 2, 0xffff);
  assert.deepEqual(codes, [1, 33, 255]);
});
