/**
 * Stops a running machine, looks into it, changes it and lets it go on.
 *
 * The program counts in t0 until somebody puts a character into its mailbox,
 * a word in RAM; then it sends that to the serial port.
 *
 * In a project of your own the import reads `from 'trapframe'`.
 */
import { Machine } from '../src/index.ts';

const RAM = 0x8000_0000;
const MAILBOX = RAM + 64;
const program = Uint32Array.of(
  0x0000_0517, // auipc a0, 0
  0x0012_8293, // again: addi t0, t0, 1
  0x0405_2303, // lw    t1, 64(a0)      the mailbox
  0xfe03_0ce3, // beqz  t1, again
  0x1000_03b7, // lui   t2, 0x10000     the serial port
  0x0063_8023, // sb    t1, 0(t2)
  0x0405_2023, // sw    zero, 64(a0)    empty again
  0xfe9f_f06f, // j     again
);

await using machine = await Machine.create({
  memory: '16M',
  bios: 'none',
  kernel: new Uint8Array(program.buffer),
});
const [cpu] = machine.cpus;
machine.on('state', (state) => console.log(`state: ${state}`));

machine.start();
await new Promise((resolve) => setTimeout(resolve, 100));
await machine.pause(); // between two instructions
const counted = cpu.readRegister('t0');
console.log(`the program has counted: ${counted > 0n}`);
console.log(
  `and stands in its loop: ${cpu.readRegister('pc') >= BigInt(RAM + 4) && cpu.readRegister('pc') < BigInt(RAM + 16)}`,
);

cpu.writeRegister('t0', 0n);
machine.writeMemory(MAILBOX, Uint8Array.of('!'.charCodeAt(0), 0, 0, 0));
machine.resume();
const reader = machine.serial[0].readable.getReader();
const { value } = await reader.read();
console.log(`it answers: ${new TextDecoder().decode(value)}`);
await machine.pause();
console.log(`the mailbox is empty again: ${machine.readMemory(MAILBOX, 4)?.every((byte) => byte === 0)}`);
