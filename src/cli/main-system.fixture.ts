/**
 * `node main-system.fixture.ts ARGV...`: the system emulator's process around a
 * test machine whose first serial port echoes, so that streams, signals and
 * control can be tested without a guest. Guest commands, a line each:
 * `poweroff`, `flood N` (N bytes of output), `deaf` (takes no more input).
 */
import { TestMachine } from '../control/test-machine.ts';
import type { MachineConfig } from '../machine/config.ts';
import { main } from './main-system.ts';

async function create(config: MachineConfig): Promise<TestMachine> {
  const machine = new TestMachine(config.cpus);
  const serial = config.serials[0];
  const text = (words: string) => new TextEncoder().encode(words);
  let line = '';
  let deaf = false;
  let left = 0;
  const flood = () => {
    while (left > 0 && !serial?.congested) {
      const count = Math.min(left, 1024);
      serial?.write(new Uint8Array(count).fill(120));
      left -= count;
    }
    if (left === 0 && serial) serial.onDrain = undefined;
  };
  if (serial) {
    serial.room = () => (deaf ? 0 : 16);
    serial.onInput = (bytes) => {
      if (bytes.length > 16) throw new Error('more than there is room for');
      serial.write(bytes);
      for (const byte of bytes) {
        if (byte !== 10 && byte !== 13) {
          line += String.fromCharCode(byte);
          continue;
        }
        const [command, argument] = line.split(' ');
        line = '';
        if (command === 'poweroff') void machine.stop('guest-shutdown');
        if (command === 'deaf') deaf = true;
        if (command === 'flood') {
          left = Number(argument);
          serial.onDrain = flood;
          flood();
        }
      }
    };
  }
  machine.on('state', (state) => {
    if (state === 'running') serial?.write(text('guest runs\n'));
  });
  return machine;
}

process.exit(await main(process.argv.slice(2), 'riscv64', create));
