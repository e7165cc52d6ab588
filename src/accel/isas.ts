/** The instruction sets there are, by name; only what is asked for is loaded, in each thread anew. */
import type { Isa } from '../isa/isa.ts';

const ISAS: Readonly<Record<string, () => Promise<{ readonly isa: Isa }>>> = {
  riscv64: () => import('../isa/riscv/isa.ts'),
  x86_64: () => import('../isa/x86/isa.ts'),
};

/** The instruction set of an architecture, as QEMU names it; undefined: none here. */
export function isaOfArch(arch: string): string | undefined {
  return arch in ISAS ? arch : undefined;
}

/** `lacks`: features that the CPU has not, where the instruction set knows them. */
export async function loadIsa(name: string, lacks: readonly string[] = []): Promise<Isa> {
  const load = ISAS[name];
  if (!load) throw new RangeError(`no instruction set ${name}`);
  const { isa } = await load();
  return lacks.length > 0 && isa.without ? isa.without(lacks) : isa;
}
