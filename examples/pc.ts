/**
 * A PC from its first sector: sixteen-bit code on a floppy disk prints to the
 * screen and to the serial port; the screen becomes `screen.png`.
 *
 * SeaBIOS is fetched when the system has none.
 * In a project of your own the import reads `from 'trapframe'`.
 */
import { writeFile } from 'node:fs/promises';
import { type Disk, Machine } from '../src/index.ts';

const text = 'Hello from a PC!';
const sector = new Uint8Array(512);
// biome-ignore format: one instruction a line
sector.set([
  0x31, 0xc0,             // xor ax, ax
  0x8e, 0xd8,             // mov ds, ax
  0xb8, 0x03, 0x00,       // mov ax, 0x0003   text mode 80x25
  0xcd, 0x10,             // int 0x10
  0xbe, 0x40, 0x7c,       // mov si, 0x7c40   the text
  0xac,                   // next: lodsb
  0x84, 0xc0,             // test al, al
  0x74, 0x0f,             // jz done
  0xb4, 0x0e,             // mov ah, 0x0e     teletype output
  0xbb, 0x07, 0x00,       // mov bx, 0x0007
  0x50,                   // push ax
  0xcd, 0x10,             // int 0x10
  0x58,                   // pop ax
  0xba, 0xf8, 0x03,       // mov dx, 0x3f8    COM1
  0xee,                   // out dx, al
  0xeb, 0xec,             // jmp next
  0xf4,                   // done: hlt
  0xeb, 0xfd,             // jmp done
]);
sector.set(new TextEncoder().encode(text), 0x40);
sector.set([0x55, 0xaa], 510);

const image = new Uint8Array(1440 * 1024);
image.set(sector);
const floppy: Disk = {
  size: image.length,
  readOnly: true,
  read: async (offset, into) => into.set(image.subarray(offset, offset + into.length)),
  write: async () => {},
  flush: async () => {},
  close: async () => {},
};

await using machine = await Machine.create({
  machine: 'pc',
  memory: '32M',
  drives: [{ disk: floppy, interface: 'floppy' }],
});
machine.start();

let seen = '';
const decoder = new TextDecoder();
for await (const bytes of machine.serial[0].readable) {
  seen += decoder.decode(bytes, { stream: true });
  if (seen.includes(text)) break;
}
const [cpu] = machine.cpus;
console.log(`the serial port says: ${text}`);
await machine.pause();
console.log(`${machine.name} with SeaBIOS; rip = 0x${cpu.readRegister('rip').toString(16)}`);
const picture = await machine.screenshot();
if (picture) await writeFile(process.argv[2] ?? 'screen.png', picture);
