/**
 * Random programs of unprivileged instructions that run alike as a Linux
 * program under qemu-riscv64 and bare on our accelerators: they provoke no
 * trap, leave their registers in memory, write memory out and exit.
 */
import { Assembler, type Unit } from './assembler.ts';
import { Blocks } from './blocks.ts';
import { AREA, CODE_BYTES, CSR, RAM_BASE, RAM_SIZE } from './firmware.ts';
import { PTR } from './instructions.ts';
import { Random } from './random.ts';

/** What QEMU 7.2 does not have; its ctzw counts on into the upper half when the lower one is zero. */
const WITHOUT: ReadonlySet<string> = new Set(['zfa', 'zicond', 'zcb', 'zicbo', 'ctzw']);

/** Where everything lies; the same addresses everywhere. */
export const USER = {
  code: AREA.code,
  data: AREA.data,
  dataBytes: 0x4000,
  /** x1 to x31, f0 to f31, fcsr. */
  registers: AREA.data + 0x4000,
  registerBytes: 65 * 8,
} as const;
/** One segment: code to registers. */
export const IMAGE_BYTES = USER.registers + 4096 - AREA.code;

export interface UserProgram {
  readonly seed: number;
  /** The bytes from USER.code on. */
  readonly image: Uint8Array;
  readonly units: readonly Unit[];
}

export function makeUserProgram(seed: number, blocks = 24): UserProgram {
  const random = new Random(seed);
  const image = new Uint8Array(IMAGE_BYTES);
  const view = new DataView(image.buffer);
  for (let at = USER.data - USER.code; at < USER.registers - USER.code; at += 8)
    view.setBigUint64(at, random.chance(0.4) ? random.integer() : random.float(), true);
  const a = new Assembler(BigInt(USER.code));
  for (let n = 0; n < 32; n++) {
    a.li(5, random.float());
    a.op('fmv.d.x', { d: n, a: 5 });
  }
  a.op('csrrwi', { d: 0, k: CSR.fcsr, z: 0 });
  for (let n = 1; n < 32; n++) a.li(n, random.integer());
  const body = a.units.length;
  // Loops walk more than three KiB further.
  const data = Array.from({ length: USER.dataBytes / 4096 - 1 }, (_, n) => BigInt(USER.data + n * 4096));
  new Blocks(a, random, {
    mode: 0,
    data,
    wild: [],
    entries: [],
    pages: [],
    mprv: false,
    gentle: true,
    without: WITHOUT,
  }).program(blocks);
  const units = a.units.slice(body);
  // Registers into memory.
  a.li(PTR, BigInt(USER.registers));
  for (let n = 1; n < 32; n++) a.op('sd', { a: PTR, b: n, i: (n - 1) * 8 });
  for (let n = 0; n < 32; n++) a.op('fsd', { a: PTR, b: n, i: (31 + n) * 8 });
  a.csrr(5, CSR.fcsr);
  a.op('sd', { a: PTR, b: 5, i: 63 * 8 });
  // write(1, data, to the end of the registers); exit_group(0). Bare, the first call is the end.
  a.li(10, 1n);
  a.li(11, BigInt(USER.data));
  a.li(12, BigInt(USER.registers + USER.registerBytes - USER.data));
  a.li(17, 64n);
  a.op('ecall');
  a.li(10, 0n);
  a.li(17, 94n);
  a.op('ecall');
  const code = a.finish();
  if (code.length > CODE_BYTES) return makeUserProgram(seed, blocks - 4);
  image.set(code);
  return { seed, image, units };
}

/** Where a call ends up on bare metal: it waits there. */
export const STOP = AREA.boot;

/** RAM with the program and the place where it stops. */
export function bareRam({ image }: UserProgram): Uint8Array {
  const ram = new Uint8Array(RAM_SIZE);
  const stop = new Assembler(BigInt(STOP));
  const rest = stop.label();
  stop.op('wfi');
  stop.to('jal', rest, { d: 0 });
  ram.set(stop.finish(), STOP - RAM_BASE);
  ram.set(image, USER.code - RAM_BASE);
  return ram;
}
