/**
 * `machine-exit`: a program for the ramdisk of a PC guest that writes the first
 * byte of its argument to the port of `isa-debug-exit`. busybox cannot: Debian's
 * cloud kernel has no /dev/port.
 *
 * A static 32-bit ELF file, which the kernels of x86-64 run too.
 * Spec: System V ABI, Intel386 supplement, "Object Files", "Process Stack".
 */
import { concat } from './byte-reader.ts';

/** I/O port of `isa-debug-exit`: QEMU's default. */
export const EXIT_PORT = 0x501;

const BASE = 0x0804_8000;
const HEADERS = 52 + 2 * 32;

const dword = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];

// biome-ignore format: one instruction a line
const CODE = Uint8Array.of(
  0xb8, ...dword(101),        // mov eax, SYS_ioperm
  0xbb, ...dword(EXIT_PORT),  // mov ebx, EXIT_PORT
  0xb9, ...dword(1),          // mov ecx, 1           one port
  0xba, ...dword(1),          // mov edx, 1           on
  0xcd, 0x80,                 // int 0x80
  0x8b, 0x74, 0x24, 0x08,     // mov esi, [esp + 8]   argv[1]
  0x8a, 0x06,                 // mov al, [esi]
  0xba, ...dword(EXIT_PORT),  // mov edx, EXIT_PORT
  0xee,                       // out dx, al
  0xb8, ...dword(1),          // mov eax, SYS_exit    no such device
  0xbb, ...dword(1),          // mov ebx, 1
  0xcd, 0x80,                 // int 0x80
);

/** The file. */
export function exitProgram(): Uint8Array {
  const size = HEADERS + CODE.length;
  const header = new Uint8Array(HEADERS);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]); // ELF, 32 bits, little endian, version 1
  const put16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const put32 = (at: number, value: number): void => view.setUint32(at, value, true);
  put16(16, 2); // e_type: ET_EXEC
  put16(18, 3); // e_machine: EM_386
  put32(20, 1); // e_version
  put32(24, BASE + HEADERS); // e_entry
  put32(28, 52); // e_phoff
  put16(40, 52); // e_ehsize
  put16(42, 32); // e_phentsize
  put16(44, 2); // e_phnum
  put32(52, 1); // p_type: PT_LOAD
  put32(60, BASE); // p_vaddr; the file's beginning, headers too
  put32(64, BASE); // p_paddr
  put32(68, size); // p_filesz
  put32(72, size); // p_memsz
  put32(76, 5); // p_flags: read, execute
  put32(80, 0x1000); // p_align
  put32(84, 0x6474_e551); // PT_GNU_STACK
  put32(108, 6); // p_flags: read, write
  return concat([header, CODE]);
}
