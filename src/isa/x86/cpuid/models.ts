/**
 * CPU models by QEMU's names.
 *
 * Source: QEMU 7.2, `query-cpu-model-expansion` of each model. Features are
 * those of features.ts, or another model with differences.
 */
export interface Model {
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** The highest basic and extended leaves. */
  readonly level: number;
  readonly xlevel: number;
  readonly name: string;
  /** Names, or a model's name followed by `+feature` and `-feature`. */
  readonly features: string;
}

/** Vendor, family, model, stepping, levels in hexadecimal; name; features. */
const ROWS: Readonly<Record<string, string>> = {
  '486': 'GenuineIntel 4 8 0 1 0; ; fpu pse',
  Broadwell:
    'GenuineIntel 6 61 2 d 80000008; Intel Core Processor (Broadwell); 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf-lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmulqdq pge pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep smap smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave xsaveopt',
  'Broadwell-v2': 'GenuineIntel 6 61 2 d 80000008; Intel Core Processor (Broadwell, no TSX); Broadwell -hle -rtm',
  'Broadwell-v3': 'GenuineIntel 6 61 2 d 80000008; Intel Core Processor (Broadwell, IBRS); Broadwell +spec-ctrl',
  'Broadwell-v4':
    'GenuineIntel 6 61 2 d 80000008; Intel Core Processor (Broadwell, no TSX, IBRS); Broadwell-v2 +spec-ctrl',
  'Cascadelake-Server':
    'GenuineIntel 6 85 6 d 80000008; Intel Xeon Processor (Cascadelake); 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd avx512dq avx512f avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf-lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmulqdq pdpe1gb pge pku pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xgetbv1 xsave xsavec xsaveopt',
  'Cascadelake-Server-v2':
    'GenuineIntel 6 85 6 d 80000008; Intel Xeon Processor (Cascadelake); Cascadelake-Server +arch-capabilities',
  'Cascadelake-Server-v3':
    'GenuineIntel 6 85 6 d 80000008; Intel Xeon Processor (Cascadelake); Cascadelake-Server-v2 -hle -rtm',
  'Cascadelake-Server-v5':
    'GenuineIntel 6 85 6 d 80000008; Intel Xeon Processor (Cascadelake); Cascadelake-Server-v3 +xsaves',
  Conroe:
    'GenuineIntel 6 15 3 a 80000008; Intel Celeron_4x0 (Conroe/Merom Class Core 2); apic clflush cmov cx8 de fpu fxsr lahf-lm lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36 sep sse sse2 ssse3 syscall tsc',
  Cooperlake: 'GenuineIntel 6 85 10 d 80000008; Intel Xeon Processor (Cooperlake); Cascadelake-Server-v2 +stibp',
  'Cooperlake-v2': 'GenuineIntel 6 85 10 d 80000008; Intel Xeon Processor (Cooperlake); Cooperlake +xsaves',
  Denverton:
    'GenuineIntel 6 95 1 15 80000008; Intel Atom Processor (Denverton); 3dnowprefetch aes apic arat arch-capabilities clflush clflushopt cmov cx16 cx8 de erms fpu fsgsbase fxsr lahf-lm lm mca mce mmx monitor movbe mpx msr mtrr nx pae pat pclmulqdq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep sha-ni smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xgetbv1 xsave xsavec xsaveopt',
  'Denverton-v2': 'GenuineIntel 6 95 1 15 80000008; Intel Atom Processor (Denverton); Denverton -monitor -mpx',
  'Denverton-v3': 'GenuineIntel 6 95 1 15 80000008; Intel Atom Processor (Denverton); Denverton-v2 +xsaves',
  Dhyana:
    'HygonGenuine 24 0 1 d 8000001e; Hygon Dhyana Processor; 3dnowprefetch abm adx apic arat avx avx2 bmi1 bmi2 clflush clflushopt cmov cr8legacy cx16 cx8 de f16c fma fpu fsgsbase fxsr fxsr-opt ibpb lahf-lm lm mca mce misalignsse mmx mmxext monitor movbe msr mtrr npt nrip-save nx osvw pae pat pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep smap smep sse sse2 sse4.1 sse4.2 sse4a ssse3 svm syscall topoext tsc xgetbv1 xsave xsavec xsaveopt',
  'Dhyana-v2': 'HygonGenuine 24 0 1 d 8000001e; Hygon Dhyana Processor; Dhyana +xsaves',
  EPYC: 'AuthenticAMD 23 1 2 d 8000001e; AMD EPYC Processor; Dhyana +aes +pclmulqdq +sha-ni -ibpb',
  'EPYC-v2': 'AuthenticAMD 23 1 2 d 8000001e; AMD EPYC Processor (with IBPB); EPYC +ibpb',
  'EPYC-v3': 'AuthenticAMD 23 1 2 d 8000001e; AMD EPYC Processor; EPYC-v2 +clzero +perfctr-core +xsaveerptr +xsaves',
  'EPYC-Milan':
    'AuthenticAMD 25 1 1 d 8000001e; AMD EPYC-Milan Processor; 3dnowprefetch abm adx aes amd-ssbd amd-stibp apic arat avx avx2 bmi1 bmi2 clflush clflushopt clwb clzero cmov cr8legacy cx16 cx8 de erms f16c fma fpu fsgsbase fsrm fxsr fxsr-opt ibpb ibrs invpcid lahf-lm lm mca mce misalignsse mmx mmxext monitor movbe msr mtrr npt nrip-save nx osvw pae pat pcid pclmulqdq pdpe1gb perfctr-core pge pku pni popcnt pse pse36 rdpid rdrand rdseed rdtscp sep sha-ni smap smep sse sse2 sse4.1 sse4.2 sse4a ssse3 svm syscall topoext tsc umip wbnoinvd xgetbv1 xsave xsavec xsaveerptr xsaveopt xsaves',
  'EPYC-Rome':
    'AuthenticAMD 23 49 0 d 8000001e; AMD EPYC-Rome Processor; EPYC-v3 +amd-stibp +clwb +rdpid +umip +wbnoinvd',
  'EPYC-Rome-v2': 'AuthenticAMD 23 49 0 d 8000001e; AMD EPYC-Rome Processor; EPYC-Rome +amd-ssbd +ibrs',
  Haswell:
    'GenuineIntel 6 60 4 d 80000008; Intel Core Processor (Haswell); Broadwell -3dnowprefetch -adx -rdseed -smap',
  'Haswell-v2': 'GenuineIntel 6 60 1 d 80000008; Intel Core Processor (Haswell, no TSX); Haswell -hle -rtm',
  'Haswell-v3': 'GenuineIntel 6 60 4 d 80000008; Intel Core Processor (Haswell, IBRS); Haswell +spec-ctrl',
  'Haswell-v4': 'GenuineIntel 6 60 1 d 80000008; Intel Core Processor (Haswell, no TSX, IBRS); Haswell-v2 +spec-ctrl',
  'Icelake-Server':
    'GenuineIntel 6 134 0 d 80000008; Intel Xeon Processor (Icelake); Cascadelake-Server +avx512-vpopcntdq +avx512bitalg +avx512vbmi +avx512vbmi2 +gfni +la57 +umip +vaes +vpclmulqdq +wbnoinvd',
  'Icelake-Server-v2': 'GenuineIntel 6 134 0 d 80000008; Intel Xeon Processor (Icelake); Icelake-Server -hle -rtm',
  'Icelake-Server-v3':
    'GenuineIntel 6 134 0 d 80000008; Intel Xeon Processor (Icelake); Icelake-Server-v2 +arch-capabilities',
  'Icelake-Server-v4':
    'GenuineIntel 6 106 0 d 80000008; Intel Xeon Processor (Icelake); Icelake-Server-v3 +avx512ifma +fsrm +rdpid +sha-ni',
  'Icelake-Server-v5': 'GenuineIntel 6 106 0 d 80000008; Intel Xeon Processor (Icelake); Icelake-Server-v4 +xsaves',
  IvyBridge:
    'GenuineIntel 6 58 9 d 80000008; Intel Xeon E3-12xx v2 (Ivy Bridge); Haswell-v2 -abm -avx2 -bmi1 -bmi2 -fma -invpcid -movbe -pcid',
  'IvyBridge-v2': 'GenuineIntel 6 58 9 d 80000008; Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS); IvyBridge +spec-ctrl',
  KnightsMill:
    'GenuineIntel 6 133 0 d 80000008; Intel Xeon Phi Processor (Knights Mill); 3dnowprefetch abm adx aes apic arat avx avx2 avx512-4fmaps avx512-4vnniw avx512-vpopcntdq avx512cd avx512er avx512f avx512pf bmi1 bmi2 clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr lahf-lm lm mca mce mmx movbe msr mtrr nx pae pat pclmulqdq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep smep ss sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave xsaveopt',
  Nehalem:
    'GenuineIntel 6 26 3 b 80000008; Intel Core i7 9xx (Nehalem Class Core i7); Conroe +cx16 +popcnt +sse4.1 +sse4.2',
  'Nehalem-v2': 'GenuineIntel 6 26 3 b 80000008; Intel Core i7 9xx (Nehalem Core i7, IBRS update); Nehalem +spec-ctrl',
  Opteron_G1: 'AuthenticAMD 15 6 1 5 80000008; AMD Opteron 240 (Gen 1 Class Opteron); Conroe -lahf-lm -ssse3',
  Opteron_G2: 'AuthenticAMD 15 6 1 5 8000000a; AMD Opteron 22xx (Gen 2 Class Opteron); Conroe +cx16 +svm -ssse3',
  Opteron_G3:
    'AuthenticAMD 16 2 3 5 8000000a; AMD Opteron 23xx (Gen 3 Class Opteron); Opteron_G2 +abm +misalignsse +monitor +popcnt +rdtscp +sse4a',
  Opteron_G4:
    'AuthenticAMD 21 1 2 d 8000001a; AMD Opteron 62xx class CPU; 3dnowprefetch abm aes apic avx clflush cmov cx16 cx8 de fma4 fpu fxsr lahf-lm lm mca mce misalignsse mmx msr mtrr npt nrip-save nx pae pat pclmulqdq pdpe1gb pge pni popcnt pse pse36 rdtscp sep sse sse2 sse4.1 sse4.2 sse4a ssse3 svm syscall tsc xop xsave',
  Opteron_G5: 'AuthenticAMD 21 2 0 d 8000001a; AMD Opteron 63xx class CPU; Opteron_G4 +f16c +fma +tbm',
  Penryn: 'GenuineIntel 6 23 3 a 80000008; Intel Core 2 Duo P9xxx (Penryn Class Core 2); Conroe +cx16 +sse4.1',
  SandyBridge:
    'GenuineIntel 6 42 1 d 80000008; Intel Xeon E312xx (Sandy Bridge); IvyBridge -erms -f16c -fsgsbase -rdrand -smep',
  'SandyBridge-v2':
    'GenuineIntel 6 42 1 d 80000008; Intel Xeon E312xx (Sandy Bridge, IBRS update); SandyBridge +spec-ctrl',
  'Skylake-Client': 'GenuineIntel 6 94 3 d 80000008; Intel Core Processor (Skylake); Broadwell +xgetbv1 +xsavec',
  'Skylake-Client-v2':
    'GenuineIntel 6 94 3 d 80000008; Intel Core Processor (Skylake, IBRS); Skylake-Client +spec-ctrl',
  'Skylake-Client-v3':
    'GenuineIntel 6 94 3 d 80000008; Intel Core Processor (Skylake, IBRS, no TSX); Broadwell-v4 +xgetbv1 +xsavec',
  'Skylake-Client-v4':
    'GenuineIntel 6 94 3 d 80000008; Intel Core Processor (Skylake, IBRS, no TSX); Skylake-Client-v3 +xsaves',
  'Skylake-Server':
    'GenuineIntel 6 85 4 d 80000008; Intel Xeon Processor (Skylake); Cascadelake-Server -avx512vnni -spec-ctrl -ssbd',
  'Skylake-Server-v2':
    'GenuineIntel 6 85 4 d 80000008; Intel Xeon Processor (Skylake, IBRS); Skylake-Server +spec-ctrl -clflushopt',
  'Skylake-Server-v3':
    'GenuineIntel 6 85 4 d 80000008; Intel Xeon Processor (Skylake, IBRS, no TSX); Skylake-Server-v2 -hle -rtm',
  'Skylake-Server-v5':
    'GenuineIntel 6 85 4 d 80000008; Intel Xeon Processor (Skylake, IBRS, no TSX); Skylake-Server-v3 +xsaves',
  Snowridge:
    'GenuineIntel 6 134 1 1b 80000008; Intel Atom Processor (SnowRidge); Denverton +cldemote +clwb +core-capability +gfni +movdir64b +movdiri +umip',
  'Snowridge-v2': 'GenuineIntel 6 134 1 1b 80000008; Intel Atom Processor (Snowridge, no MPX); Snowridge -mpx',
  'Snowridge-v3': 'GenuineIntel 6 134 1 1b 80000008; Intel Atom Processor (Snowridge, no MPX); Snowridge-v2 +xsaves',
  'Snowridge-v4':
    'GenuineIntel 6 134 1 1b 80000008; Intel Atom Processor (Snowridge, no MPX); Snowridge-v3 -core-capability',
  Westmere: 'GenuineIntel 6 44 1 b 80000008; Westmere E56xx/L56xx/X56xx (Nehalem-C); Nehalem +aes +arat +pclmulqdq',
  'Westmere-v2': 'GenuineIntel 6 44 1 b 80000008; Westmere E56xx/L56xx/X56xx (IBRS update); Westmere +spec-ctrl',
  athlon:
    'AuthenticAMD 6 2 3 2 80000008; QEMU Virtual CPU version 2.5+; Opteron_G1 +3dnow +3dnowext +mmxext -clflush -lm -nx -pni -syscall',
  core2duo:
    'GenuineIntel 6 15 11 a 80000008; Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz; Conroe +acpi +cx16 +monitor +ss',
  coreduo:
    'GenuineIntel 6 14 8 a 80000008; Genuine Intel(R) CPU           T2600  @ 2.16GHz; Opteron_G1 +acpi +monitor +ss -lm -pse36 -syscall',
  kvm32: 'GenuineIntel 15 6 1 5 80000008; Common 32-bit KVM processor; Opteron_G1 -lm -nx -syscall',
  kvm64: 'GenuineIntel 15 6 1 d 80000008; Common KVM processor; Opteron_G1 +cx16',
  n270: 'GenuineIntel 6 28 2 a 80000008; Intel(R) Atom(TM) CPU N270   @ 1.60GHz; coreduo +lahf-lm +movbe +ssse3',
  pentium: 'GenuineIntel 5 4 3 1 0; ; 486 +apic +cx8 +de +mce +mmx +msr +tsc',
  pentium2: 'GenuineIntel 6 5 2 2 0; ; kvm32 -clflush -pni -sse -sse2',
  pentium3: 'GenuineIntel 6 7 3 3 0; ; pentium2 +sse',
  phenom:
    'AuthenticAMD 16 2 3 5 8000001a; AMD Phenom(tm) 9550 Quad-Core Processor; Opteron_G3 +3dnow +3dnowext +fxsr-opt +mmxext +npt +pdpe1gb -misalignsse',
  qemu32: 'GenuineIntel 6 6 3 4 80000004; QEMU Virtual CPU version 2.5+; kvm32 -clflush -mca -mtrr -pse36',
  qemu64: 'AuthenticAMD 15 107 1 d 8000000a; QEMU Virtual CPU version 2.5+; Opteron_G2',
};

/** Names of models that are others. */
export const MODEL_ALIASES: Readonly<Record<string, string>> = {
  '486-v1': '486',
  'Broadwell-IBRS': 'Broadwell-v3',
  'Broadwell-noTSX': 'Broadwell-v2',
  'Broadwell-noTSX-IBRS': 'Broadwell-v4',
  'Broadwell-v1': 'Broadwell',
  'Cascadelake-Server-noTSX': 'Cascadelake-Server-v3',
  'Cascadelake-Server-v1': 'Cascadelake-Server',
  'Cascadelake-Server-v4': 'Cascadelake-Server-v3',
  'Conroe-v1': 'Conroe',
  'Cooperlake-v1': 'Cooperlake',
  'Denverton-v1': 'Denverton',
  'Dhyana-v1': 'Dhyana',
  'EPYC-IBPB': 'EPYC-v2',
  'EPYC-Milan-v1': 'EPYC-Milan',
  'EPYC-Rome-v1': 'EPYC-Rome',
  'EPYC-v1': 'EPYC',
  'Haswell-IBRS': 'Haswell-v3',
  'Haswell-noTSX': 'Haswell-v2',
  'Haswell-noTSX-IBRS': 'Haswell-v4',
  'Haswell-v1': 'Haswell',
  'Icelake-Server-noTSX': 'Icelake-Server-v2',
  'Icelake-Server-v1': 'Icelake-Server',
  'Icelake-Server-v6': 'Icelake-Server-v5',
  'IvyBridge-IBRS': 'IvyBridge-v2',
  'IvyBridge-v1': 'IvyBridge',
  'KnightsMill-v1': 'KnightsMill',
  'Nehalem-IBRS': 'Nehalem-v2',
  'Nehalem-v1': 'Nehalem',
  'Opteron_G1-v1': 'Opteron_G1',
  'Opteron_G2-v1': 'Opteron_G2',
  'Opteron_G3-v1': 'Opteron_G3',
  'Opteron_G4-v1': 'Opteron_G4',
  'Opteron_G5-v1': 'Opteron_G5',
  'Penryn-v1': 'Penryn',
  'SandyBridge-IBRS': 'SandyBridge-v2',
  'SandyBridge-v1': 'SandyBridge',
  'Skylake-Client-IBRS': 'Skylake-Client-v2',
  'Skylake-Client-noTSX-IBRS': 'Skylake-Client-v3',
  'Skylake-Client-v1': 'Skylake-Client',
  'Skylake-Server-IBRS': 'Skylake-Server-v2',
  'Skylake-Server-noTSX-IBRS': 'Skylake-Server-v3',
  'Skylake-Server-v1': 'Skylake-Server',
  'Skylake-Server-v4': 'Skylake-Server-v3',
  'Snowridge-v1': 'Snowridge',
  'Westmere-IBRS': 'Westmere-v2',
  'Westmere-v1': 'Westmere',
  'athlon-v1': 'athlon',
  'core2duo-v1': 'core2duo',
  'coreduo-v1': 'coreduo',
  'kvm32-v1': 'kvm32',
  'kvm64-v1': 'kvm64',
  'n270-v1': 'n270',
  'pentium-v1': 'pentium',
  'pentium2-v1': 'pentium2',
  'pentium3-v1': 'pentium3',
  'phenom-v1': 'phenom',
  'qemu32-v1': 'qemu32',
  'qemu64-v1': 'qemu64',
};

export const MODEL_NAMES: readonly string[] = [...Object.keys(ROWS), ...Object.keys(MODEL_ALIASES)].sort();

/** A model; undefined when there is none of that name. */
export function findModel(name: string): Model | undefined {
  const row = ROWS[MODEL_ALIASES[name] ?? name];
  if (!row) return undefined;
  const [numbers, brand, features] = row.split('; ');
  const [vendor, ...words] = numbers.split(' ');
  const [family, model, stepping] = words.map(Number);
  const [level, xlevel] = words.slice(3).map((word) => Number.parseInt(word, 16));
  return { vendor, family, model, stepping, level, xlevel, name: brand, features };
}

/** All features of a model. */
export function featuresOf(name: string): Set<string> {
  const found = findModel(name);
  if (!found) return new Set();
  const words = found.features.split(' ');
  const set = words[0] in ROWS ? featuresOf(words[0]) : new Set<string>(words);
  if (words[0] in ROWS) {
    for (const change of words.slice(1)) {
      if (change[0] === '+') set.add(change.slice(1));
      else set.delete(change.slice(1));
    }
  }
  return set;
}
