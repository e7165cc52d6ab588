/** Writes a static RISC-V ELF of one loadable segment that may be read, written and executed. */

/** `physical` differs from `virtual` for nobody here; the entry is the segment's first byte. */
export function elf(address: number, bytes: Uint8Array): Buffer {
  const OFFSET = 4096;
  const file = Buffer.alloc(OFFSET + bytes.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little-endian, version 1
  file.writeUInt16LE(2, 16); // executable
  file.writeUInt16LE(243, 18); // RISC-V
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(address), 24);
  file.writeBigUInt64LE(64n, 32); // program headers follow
  file.writeUInt32LE(5, 48); // compressed instructions, double-precision calling convention
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  const header = 64;
  file.writeUInt32LE(1, header); // load
  file.writeUInt32LE(7, header + 4);
  file.writeBigUInt64LE(BigInt(OFFSET), header + 8);
  file.writeBigUInt64LE(BigInt(address), header + 16);
  file.writeBigUInt64LE(BigInt(address), header + 24);
  file.writeBigUInt64LE(BigInt(bytes.length), header + 32);
  file.writeBigUInt64LE(BigInt(bytes.length), header + 40);
  file.writeBigUInt64LE(4096n, header + 48);
  file.set(bytes, OFFSET);
  return file;
}
