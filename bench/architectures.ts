/** What a guest architecture's benchmark needs: a compiler, a board, and who else emulates it. */
export type Peer = 'qemu' | 'v86';

export interface Architecture {
  /** QEMU's name, which is the catalogue's too. */
  readonly name: string;
  readonly compiler: string;
  /** Debian's package that brings the compiler. */
  readonly package: string;
  readonly flags: readonly string[];
  /** The host runs its programs: then "native" is the same program. */
  readonly native: boolean;
  /** Options of the board, for QEMU and for us. */
  readonly machine: readonly string[];
  readonly peers: readonly Peer[];
}

const onX86 = process.arch === 'x64';
/** The kernel's headers, which gcc-multilib would link to where gcc looks; but that is in the way of cross compilers. */
const KERNEL_HEADERS = ['-idirafter', '/usr/include/x86_64-linux-gnu'];

export const ARCHITECTURES: readonly Architecture[] = [
  {
    name: 'x86_64',
    compiler: process.env['BENCH_CC_X86_64'] ?? (onX86 ? 'gcc' : 'x86_64-linux-gnu-gcc'),
    package: onX86 ? 'gcc' : 'gcc-x86-64-linux-gnu',
    flags: ['-march=x86-64'], // SSE2
    native: onX86,
    machine: ['-M', 'q35'],
    peers: ['qemu'],
  },
  {
    name: 'i386',
    compiler: process.env['BENCH_CC_I386'] ?? (onX86 ? 'gcc' : 'i686-linux-gnu-gcc'),
    package: onX86 ? 'gcc-12-multilib' : 'gcc-i686-linux-gnu',
    flags: [...(onX86 ? ['-m32', ...KERNEL_HEADERS] : []), '-march=i686', '-mfpmath=387'],
    native: onX86,
    machine: ['-M', 'pc'],
    peers: ['qemu', 'v86'],
  },
  {
    name: 'riscv64',
    compiler: process.env['BENCH_CC'] ?? 'riscv64-linux-gnu-gcc',
    package: 'gcc-riscv64-linux-gnu',
    flags: [],
    native: false,
    machine: ['-M', 'virt'],
    peers: ['qemu'],
  },
];

/** Throws RangeError. */
export function architecture(name: string): Architecture {
  const found = ARCHITECTURES.find((one) => one.name === name);
  if (found) return found;
  throw new RangeError(`--arch takes ${ARCHITECTURES.map((one) => one.name).join(', ')}`);
}
