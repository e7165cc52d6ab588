/**
 * Recognises Multiboot kernels.
 *
 * Spec: Multiboot Specification 0.6.96, "OS image format".
 */
import { readU32 } from '../bits/endian.ts';

const MULTIBOOT_MAGIC = 0x1bad_b002;
const MULTIBOOT_SEARCH = 8192;
const HDRS = 0x5372_6448;

/** Where a Multiboot header begins; undefined without one, and for a Linux kernel. */
export function multibootHeader(kernel: Uint8Array): number | undefined {
  if (kernel.length > 0x206 && readU32(kernel, 0x202) === HDRS) return undefined;
  const end = Math.min(kernel.length - 12, MULTIBOOT_SEARCH);
  for (let at = 0; at <= end; at += 4) {
    if (readU32(kernel, at) !== MULTIBOOT_MAGIC) continue;
    if ((MULTIBOOT_MAGIC + readU32(kernel, at + 4) + readU32(kernel, at + 8)) % 2 ** 32 === 0) return at;
  }
  return undefined;
}
