/** The thread of a vCPU: see vcpu-thread.ts. */
import { workerData } from 'node:worker_threads';
import { Kvm } from '../../../accel/kvm/abi.ts';
import { systemCalls } from './system-calls.ts';
import { CELL, ENTER, HOME, QUIT, type VcpuThreadData } from './vcpu-thread.ts';

const { cells: shared, vcpu } = workerData as VcpuThreadData;
const cells = new Int32Array(shared);
const calls = systemCalls();
calls.prepareSignal();
Atomics.store(cells, CELL.thread, calls.thread());
for (;;) {
  Atomics.wait(cells, CELL.state, HOME);
  const state = Atomics.load(cells, CELL.state);
  if (state === QUIT) break;
  if (state !== ENTER) continue;
  cells[CELL.errno] = calls.ioctlWord(vcpu, Kvm.run, 0) < 0 ? calls.errno : 0;
  // Not over a QUIT that came meanwhile.
  Atomics.compareExchange(cells, CELL.state, ENTER, HOME);
  Atomics.notify(cells, CELL.state);
}
