/** `info registers` in QEMU's layout, and the names for `$name`: the spec's, the ABI's, and QEMU's own for x86. */
import type { VcpuView } from '../machine/api.ts';

const X = 'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(
  ' ',
);
const F =
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11'.split(
    ' ',
  );

export function registersText(vcpu: VcpuView): string {
  if (vcpu.text) return vcpu.text.registers();
  const names = vcpu.registerNames();
  const hex = (name: string) => BigInt.asUintN(64, vcpu.readRegister(name)).toString(16).padStart(16, '0');
  let text = `\nCPU#${vcpu.index}\n`;
  for (const name of names) if (!/^[xfv]\d+$/.test(name)) text += ` ${name.padEnd(8)} ${hex(name)}\n`;
  for (const [letter, abi] of [
    ['x', X],
    ['f', F],
  ] as const) {
    const cells = abi.map((alias, i) => [`${letter}${i}`, alias]).filter(([name]) => names.includes(name));
    for (let i = 0; i < cells.length; i += 4) {
      const row = cells.slice(i, i + 4).map(([name, alias]) => `${`${name}/${alias}`.padEnd(8)} ${hex(name)}`);
      text += ' ' + row.join(' ') + '\n';
    }
  }
  return text;
}

/** A register by the spec's name or the ABI's; undefined when there is none. */
export function registerByName(vcpu: VcpuView, name: string): bigint | undefined {
  const names = vcpu.registerNames();
  if (names.includes('rip')) return x86Register(vcpu, name);
  const x = name === 'fp' ? 8 : X.indexOf(name);
  const f = F.indexOf(name);
  const real = names.includes(name) ? name : x >= 0 ? `x${x}` : f >= 0 ? `f${f}` : name;
  return names.includes(real) ? vcpu.readRegister(real) : undefined;
}

/** QEMU's short names for x86, whose width is the processor's; `pc` is linear. */
const X86: Readonly<Record<string, string>> = { sp: 'rsp', fp: 'rbp', eip: 'rip' };
function x86Register(vcpu: VcpuView, name: string): bigint | undefined {
  if (name === 'pc') return vcpu.readRegister('rip') + vcpu.readRegister('cs_base');
  const names = vcpu.registerNames();
  const wide = X86[name] ?? (/^e..$/.test(name) ? `r${name.slice(1)}` : name);
  const real = names.includes(name) ? name : wide;
  return names.includes(real) ? vcpu.readRegister(real) : undefined;
}
