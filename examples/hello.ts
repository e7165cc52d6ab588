/**
 * A whole machine in 40 lines: thirteen instructions on the bare board say
 * hello through its serial port and switch it off.
 *
 * In a project of your own the import reads `from 'trapframe'`.
 */
import { Machine } from '../src/index.ts';

const program = Uint32Array.of(
  0x0000_0517, // auipc a0, 0            where we are: the start of RAM
  0x0345_0513, // addi  a0, a0, 52       the text behind the program
  0x1000_05b7, // lui   a1, 0x10000      the serial port
  0x0005_4603, // next: lbu a2, 0(a0)
  0x0006_0863, // beqz  a2, done
  0x00c5_8023, // sb    a2, 0(a1)
  0x0015_0513, // addi  a0, a0, 1
  0xff1f_f06f, // j     next
  0x0010_06b7, // done: lui a3, 0x100    the board's switch
  0x0000_5737, // lui   a4, 0x5
  0x5557_0713, // addi  a4, a4, 0x555    0x5555: power off
  0x00e6_a023, // sw    a4, 0(a3)
  0x0000_006f, // j     .
);
const text = new TextEncoder().encode('Hello from a RISC-V machine!\n\0');
const kernel = new Uint8Array(program.byteLength + text.length);
kernel.set(new Uint8Array(program.buffer));
kernel.set(text, program.byteLength);

await using machine = await Machine.create({ memory: '16M', bios: 'none', kernel });
machine.start();
for await (const bytes of machine.serial[0].readable) process.stdout.write(bytes);
const { cause, code } = await machine.finished;
console.log(`${machine.name}: ${cause}, code ${code}, ${machine.cpus[0].instructions} instructions`);
