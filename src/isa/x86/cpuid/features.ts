/**
 * CPU features by QEMU's names: where CPUID tells them.
 *
 * Spec: SDM volume 2, "CPUID" (its tables of feature information); AMD64
 * Architecture Programmer's Manual volume 3, appendix "Obtaining Processor
 * Information Via the CPUID Instruction".
 */

/** A word of feature bits: leaf, subleaf and register of CPUID; names from bit 0 on, `-` for none. */
interface Word {
  readonly leaf: number;
  readonly subleaf: number;
  /** 0: EAX ... 3: EDX. */
  readonly register: 0 | 1 | 2 | 3;
  readonly names: readonly string[];
}

const word = (leaf: number, subleaf: number, register: 0 | 1 | 2 | 3, names: string): Word => ({
  leaf,
  subleaf,
  register,
  names: names.trim().split(/\s+/),
});

const LEAF_1_EDX =
  'fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe';

export const WORDS: readonly Word[] = [
  word(1, 0, 3, LEAF_1_EDX),
  word(
    1,
    0,
    2,
    'pni pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave - avx f16c rdrand hypervisor',
  ),
  word(
    7,
    0,
    1,
    'fsgsbase tsc-adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl',
  ),
  word(
    7,
    0,
    2,
    '- avx512vbmi umip pku - waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq - la57 - - - - - rdpid - bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks',
  ),
  word(
    7,
    0,
    3,
    '- - avx512-4vnniw avx512-4fmaps fsrm - - - avx512-vp2intersect - md-clear - - - serialize - tsx-ldtrk - - arch-lbr - - amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp - arch-capabilities core-capability ssbd',
  ),
  word(6, 0, 0, '- - arat'),
  word(0xd, 1, 0, 'xsaveopt xsavec xgetbv1 xsaves'),
  word(
    0x8000_0001,
    0,
    3,
    '- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow',
  ),
  word(
    0x8000_0001,
    0,
    2,
    'lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb',
  ),
  word(0x8000_0007, 0, 3, '- - - - - - - - invtsc'),
  word(
    0x8000_0008,
    0,
    1,
    'clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb - ibrs amd-stibp - - - - - - - - amd-ssbd virt-ssbd amd-no-ssb',
  ),
  word(0x8000_000a, 0, 3, 'npt lbrv svm-lock nrip-save'),
];

/** Other spellings that QEMU takes. */
export const ALIASES: Readonly<Record<string, string>> = {
  sse3: 'pni',
  pclmuldq: 'pclmulqdq',
  'sse4-1': 'sse4.1',
  sse4_1: 'sse4.1',
  'sse4-2': 'sse4.2',
  sse4_2: 'sse4.2',
  xd: 'nx',
  i64: 'lm',
  ffxsr: 'fxsr-opt',
};

export interface Feature {
  readonly word: number;
  readonly bit: number;
}
export const FEATURES: ReadonlyMap<string, Feature> = new Map(
  WORDS.flatMap(({ names }, n) => names.map((name, bit): [string, Feature] => [name, { word: n, bit }])).filter(
    ([name]) => name !== '-',
  ),
);

/** A feature's own name; undefined when there is no such feature. */
export function featureName(text: string): string | undefined {
  const name = ALIASES[text] ?? text.replaceAll('_', '-');
  const own = ALIASES[name] ?? name;
  return FEATURES.has(own) ? own : undefined;
}

/** What the emulated CPU has. */
export const EMULATED: ReadonlySet<string> = new Set(
  `fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht
   pni pclmulqdq monitor ssse3 fma cx16 pcid sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand
   hypervisor fsgsbase tsc-adjust bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb sha-ni umip pku pks la57
   rdpid fsrm arat xsaveopt xsavec xgetbv1 syscall nx mmxext pdpe1gb rdtscp lm lahf-lm abm 3dnowprefetch cr8legacy
   invtsc acpi`
    .trim()
    .split(/\s+/),
);

/** The features that are not among these. */
export const missingFeatures = (features: ReadonlySet<string>): string[] =>
  [...FEATURES.keys()].filter((name) => !features.has(name));

/** Bits of CPUID 1 EDX that AMD's processors repeat in 8000_0001 EDX. */
export const AMD_REPEATED = 0x0183_f3ff;
