/** From Machine.create to the first exit of the guest, in a process that has made machines before; prints the median. */
import { readFileSync } from 'node:fs';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import { Machine } from '../../src/machine/machine.ts';

const bios = readFileSync(process.argv[2]);
const times: number[] = [];
for (let n = 0; n < 12; n++) {
  const start = performance.now();
  const machine = await Machine.create(
    {
      machine: 'pc',
      accel: 'kvm',
      accelStay: true,
      cpu: { model: 'qemu64', features: {} },
      cpus: 1,
      memory: 16 * 2 ** 20,
      bios,
      serials: [],
      chardevs: [],
      drives: [],
      devices: [{ driver: 'isa-debug-exit', properties: { iobase: '0x501', iosize: '1' } }],
      vga: 'none',
      defaults: false,
      roms: {},
      noReboot: false,
      noShutdown: false,
    },
    new NodeMachineHost(),
  );
  const ended = new Promise((resolve) => machine.on('shutdown', resolve));
  machine.start();
  await ended;
  times.push(performance.now() - start);
  await machine.stop();
}
times.splice(0, 2);
times.sort((a, b) => a - b);
console.log(`${times[times.length >> 1].toFixed(1)} ms`);
