/** A hart with RAM at 0x80000000 and nothing else, for programs that report through `tohost`. */
import type { Board, Vcpu } from '../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceVcpu } from '../../src/accel/reference/reference.ts';
import { CpuState } from '../../src/accel/cpu-state.ts';
import { Space } from '../../src/accel/space.ts';
import { isa } from '../../src/isa/riscv/isa.ts';

export const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 16 << 20;

export interface Bare {
  readonly vcpu: Vcpu;
  readonly ram: Uint8Array;
  tohost(): number;
  wake(): void;
}

/** The ELF's segments at their physical addresses, and the address of its symbol `tohost`. */
export function loadElf(elf: Buffer, ram: Uint8Array): { entry: bigint; tohost: number } {
  const phoff = Number(elf.readBigUInt64LE(32));
  for (let n = 0; n < elf.readUInt16LE(56); n++) {
    const at = phoff + n * elf.readUInt16LE(54);
    if (elf.readUInt32LE(at) !== 1) continue;
    const offset = Number(elf.readBigUInt64LE(at + 8));
    const paddr = Number(elf.readBigUInt64LE(at + 24));
    const size = Number(elf.readBigUInt64LE(at + 32));
    ram.set(elf.subarray(offset, offset + size), paddr - RAM_BASE);
  }
  let tohost = 0;
  const shoff = Number(elf.readBigUInt64LE(40));
  const sections = Array.from({ length: elf.readUInt16LE(60) }, (_, n) => shoff + n * elf.readUInt16LE(58));
  for (const at of sections) {
    if (elf.readUInt32LE(at + 4) !== 2) continue;
    const [symbols, size] = [Number(elf.readBigUInt64LE(at + 24)), Number(elf.readBigUInt64LE(at + 32))];
    const strings = Number(elf.readBigUInt64LE(sections[elf.readUInt32LE(at + 40)] + 24));
    for (let s = symbols; s < symbols + size; s += 24) {
      const name = strings + elf.readUInt32LE(s);
      if (elf.toString('latin1', name, elf.indexOf(0, name)) === 'tohost') tohost = Number(elf.readBigUInt64LE(s + 8));
    }
  }
  return { entry: elf.readBigUInt64LE(24), tohost };
}

export function bareMachine(elf: Buffer, accel: 'reference' | 'jit'): Bare {
  let time = 0;
  const board: Board = {
    mmioRead: () => undefined,
    mmioWrite: () => false,
    now: () => {
      time += 1000;
      return time;
    },
  };
  let vcpu: Vcpu;
  let space: Space;
  if (accel === 'reference') {
    space = new Space(1 << 20, { ramBase: RAM_BASE, ramSize: RAM_SIZE });
    vcpu = new ReferenceVcpu(new CpuState(isa, space, 0, 0x10000), board, () => {});
  } else {
    const jit = new JitAccelerator({ isa, cpus: 1, ramBase: RAM_BASE, ramSize: RAM_SIZE, board, compileAfter: 200 });
    space = jit.space;
    vcpu = jit.vcpus[0];
  }
  const ram = space.ramBytes();
  const { entry, tohost } = loadElf(elf, ram);
  vcpu.writeRegister('pc', entry);
  return {
    vcpu,
    ram,
    tohost: () => space.view.getUint32(space.ram.host + tohost - RAM_BASE, true),
    wake: () => {
      time += 1e7;
    },
  };
}
