/**
 * Boots Linux on a PC, talks to its shell as a program, and switches it off.
 *
 * `npm start` fetches the kernel and builds the ramdisk that are used here;
 * name others as arguments: `examples/linux.ts bzImage initrd.cpio`.
 *
 * In a project of your own the import reads `from 'trapframe'`.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Machine, SerialStream } from '../src/index.ts';

const trapframe = fileURLToPath(new URL('../bin/trapframe', import.meta.url));
const images = () =>
  execFileSync(process.execPath, [trapframe, 'images', 'path', 'x86_64'], { encoding: 'utf8' }).trim();
const [kernel = join(images(), 'kernel'), initrd = join(images(), 'initrd')] = process.argv.slice(2);

const serial = new SerialStream();
await using machine = await Machine.create({
  machine: 'q35',
  memory: '256M',
  kernel,
  initrd,
  append: 'console=ttyS0 quiet',
  serial: [serial],
  noReboot: true,
});
machine.start();

const output = serial.readable.getReader();
const decoder = new TextDecoder();
const keyboard = serial.writable.getWriter();
const type = (line: string) => keyboard.write(new TextEncoder().encode(`${line}\n`));

/** Reads on until the guest has printed `pattern`; returns the match. */
let seen = '';
async function until(pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const match = pattern.exec(seen);
    if (match) {
      seen = seen.slice(match.index + match[0].length);
      return match;
    }
    const { value, done } = await output.read();
    if (done) throw new Error(`the machine ended before ${pattern}; its last words: ${seen.slice(-500)}`);
    seen += decoder.decode(value, { stream: true });
  }
}

await until(/:~# /);
await type('uname -srm; echo "[$((6 * 7))]"');
const [, system] = await until(/(Linux \S+ x86_64)/);
const [, answer] = await until(/\[(\d+)\]/);
console.log(`${system} says ${answer}`);
await type('poweroff -f');
console.log(`ended: ${(await machine.finished).cause}`);
