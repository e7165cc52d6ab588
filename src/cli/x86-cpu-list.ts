/** `-cpu help` on x86: QEMU's list of models and features, of those that are there. */
import { PARAVIRTUAL_NAMES } from '../isa/x86/cpuid/paravirtual.ts';
import { FEATURES } from '../isa/x86/cpuid/features.ts';
import { findModel, MODEL_ALIASES, MODEL_NAMES } from '../isa/x86/cpuid/models.ts';

const WIDTH = 75;

/** A model's line. Unversioned names stand for a version; every other name of a model is an alias or a version. */
function line(name: string): string {
  const versioned = /-v\d+$/.test(name);
  const other = MODEL_ALIASES[name];
  let about = findModel(name)?.name ?? '';
  if (!versioned) about = other === undefined ? '(alias configured by machine type)' : `(alias of ${other})`;
  return `x86 ${name.padEnd(20)}  ${about}`;
}

export function x86CpuList(more: Readonly<Record<string, string>>): string {
  const models = [
    ...MODEL_NAMES.map(line),
    ...Object.entries(more).map(([name, about]) => `x86 ${name.padEnd(20)}  ${about}`),
  ];
  const lines: string[] = [];
  let flags = ' ';
  for (const name of [...FEATURES.keys(), 'kvm', ...PARAVIRTUAL_NAMES].sort()) {
    if (flags.length + name.length + 1 > WIDTH) {
      lines.push(flags);
      flags = ' ';
    }
    flags += ` ${name}`;
  }
  return ['Available CPUs:', ...models, '', 'Recognized CPUID flags:', ...lines, flags, ''].join('\n');
}
