/**
 * System instructions with operands that mean something: control, debug and
 * model-specific registers, descriptor tables, segments, far transfers,
 * interrupts, flags, ports, page tables.
 */
import { Cr0, Cr4, Eflags } from '../../../src/isa/x86/state.ts';
import type { Random } from '../random.ts';
import type { ModeName } from '../x86-system/environment.ts';
import { AT, bitsOf, CODE_SELECTORS, dataBaseOf, hasPaging, isLong, otherRoot, SELECTORS, TARGET } from './place.ts';

export interface Case {
  readonly name: string;
  readonly mode: ModeName;
  readonly user: boolean;
  readonly code: readonly number[];
  /** General registers by number. */
  readonly registers: ReadonlyMap<number, bigint>;
  /** Flags beside the fixed one. */
  readonly flags: number;
  readonly memory: readonly (readonly [number, readonly number[]])[];
}

const [RAX, RCX, RDX, RBX, RSP] = [0, 1, 2, 3, 4];
const little = (value: number | bigint, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, n) => Number((BigInt(value) >> BigInt(8 * n)) & 0xffn));

/** Writes one case. */
class Maker {
  readonly random: Random;
  readonly mode: ModeName;
  readonly user: boolean;
  readonly bits: 16 | 32 | 64;
  readonly code: number[] = [];
  readonly registers = new Map<number, bigint>();
  readonly memory: [number, number[]][] = [];
  flags = 0;
  name = '';

  constructor(random: Random, mode: ModeName, user: boolean) {
    this.random = random;
    this.mode = mode;
    this.user = user;
    this.bits = bitsOf(mode);
    for (let n = 0; n < 16; n++) if (n !== RSP && (n < 8 || this.bits === 64)) this.set(n, random.integer());
  }

  db(...bytes: number[]): this {
    this.code.push(...bytes);
    return this;
  }
  set(register: number, value: bigint | number): this {
    const width = this.bits === 64 ? 64 : 32;
    this.registers.set(register, BigInt.asUintN(width, BigInt(value)));
    return this;
  }
  /** ModRM with an absolute address; `reg` is its middle field. */
  at(reg: number, address: number): this {
    const offset = address - dataBaseOf(this.mode);
    if (this.bits === 16) return this.db((reg << 3) | 6, ...little(offset, 2));
    if (this.bits === 32) return this.db((reg << 3) | 5, ...little(offset, 4));
    return this.db((reg << 3) | 4, 0x25, ...little(offset, 4));
  }
  put(address: number, bytes: readonly number[]): this {
    this.memory.push([address, [...bytes]]);
    return this;
  }
  selector(): number {
    const { random } = this;
    const one = random.pick(SELECTORS);
    return random.chance(0.3) ? (one & ~3) | random.below(4) : one;
  }
  /** For code: mostly one that can be entered. */
  codeSelector(): number {
    const { random } = this;
    const one = random.chance(0.8) ? random.pick(CODE_SELECTORS) : this.selector();
    return this.user && random.chance(0.5) ? one | 3 : one;
  }
  /** Puts words on the stack, the first on top. */
  stack(words: readonly (number | bigint)[], size: number): this {
    return this.put(
      AT.stack - 0x100,
      words.flatMap((word) => little(word, size)),
    );
  }
}

const canonical = (value: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(48, value));
const MSRS = [
  0x10, 0x3b, 0x174, 0x175, 0x176, 0x277, 0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100,
  0xc000_0101, 0xc000_0102, 0x12345,
];
/** Registers whose value is a clock's. */
const READ_APART = new Set([0x10, 0x3b]);

type Make = (m: Maker) => void;
const kinds: Readonly<Record<string, Make>> = {
  'mov from cr': (m) => {
    const cr = m.random.pick([0, 2, 3, 4]);
    m.name = `mov r, cr${cr}`;
    m.db(0x0f, 0x20, 0xc0 | (cr << 3) | RBX);
  },
  'mov to cr0': (m) => {
    const bit = m.random.pick([Cr0.mp, Cr0.em, Cr0.ts, Cr0.ne, Cr0.wp, Cr0.am, Cr0.nw, Cr0.cd, 0x40, 0x10]);
    const now =
      BigInt(Cr0.ne | Cr0.mp | Cr0.et | Cr0.wp | (m.mode === 'real' ? 0 : Cr0.pe)) |
      (hasPaging(m.mode) ? BigInt(Cr0.pg) : 0n);
    m.name = 'mov cr0, r';
    m.set(RBX, now ^ BigInt(bit)).db(0x0f, 0x22, 0xc0 | RBX);
    // What the bit does is seen in the next instruction.
    if (m.random.chance(0.3)) m.db(0xd9, 0xe8);
  },
  'mov to cr3': (m) => {
    m.name = 'mov cr3, r';
    m.set(RBX, hasPaging(m.mode) ? otherRoot(m.mode) | m.random.pick([0, 0x18]) : m.random.u32() & 0xf_f018);
    m.db(0x0f, 0x22, 0xd8 | RBX, 0x8b).at(RAX, AT.data + 8);
  },
  'mov to cr4': (m) => {
    const bits = [
      Cr4.tsd,
      Cr4.de,
      Cr4.pse,
      Cr4.mce,
      Cr4.pge,
      Cr4.osfxsr,
      Cr4.osxmmexcpt,
      Cr4.umip,
      Cr4.fsgsbase,
      Cr4.smep,
    ];
    const bit = m.random.pick([...bits, Cr4.osxsave, 0x2000, 0x80_0000, 0x8000, Cr4.pae]);
    const now =
      Cr4.osfxsr | Cr4.osxmmexcpt | Cr4.osxsave | Cr4.fsgsbase | (isLong(m.mode) || m.mode === 'pae' ? Cr4.pae : 0);
    m.name = 'mov cr4, r';
    m.set(RBX, now ^ bit).db(0x0f, 0x22, 0xe0 | RBX);
  },
  'mov dr': (m) => {
    const dr = m.random.below(8);
    const to = m.random.chance(0.6);
    m.name = to ? `mov dr${dr}, r` : `mov r, dr${dr}`;
    const value =
      dr < 4 ? m.random.u32() : dr === 7 || dr === 5 ? 0x400 | m.random.pick([0, 0x300, 0xc000_0000]) : m.random.u32();
    if (to) m.set(RBX, value >>> 0);
    m.db(0x0f, to ? 0x23 : 0x21, 0xc0 | (dr << 3) | RBX);
    if (to) m.db(0x0f, 0x21, 0xc0 | (dr << 3) | RCX);
  },
  'descriptor tables': (m) => {
    const kind = m.random.below(4);
    m.name = ['sgdt', 'sidt', 'lgdt', 'lidt'][kind];
    const base = kind === 2 ? AT.gdt : m.random.chance(0.7) ? AT.idt : m.random.u32();
    m.put(AT.data + 0x20, [...little(kind === 3 ? 0xfff : m.random.pick([0xcf, 0xffff]), 2), ...little(base, 8)]);
    m.db(0x0f, 0x01).at(kind, AT.data + 0x20);
  },
  'system segments': (m) => {
    const kind = m.random.below(4);
    m.name = ['sldt', 'str', 'lldt', 'ltr'][kind];
    m.set(RBX, m.random.chance(0.4) ? (kind === 2 ? 0x78 : 0x88) : m.selector());
    m.db(0x0f, 0x00, 0xc0 | (kind << 3) | RBX);
  },
  'load segment': (m) => {
    const seg = m.random.pick([0, 2, 3, 4, 5]);
    m.name = `mov ${['es', 'cs', 'ss', 'ds', 'fs', 'gs'][seg]}, r`;
    m.set(RBX, m.selector()).db(0x8e, 0xc0 | (seg << 3) | RBX);
    // A store through it.
    if (m.bits !== 64 && seg !== 2) m.db([0x26, 0, 0, 0x3e, 0x64, 0x65][seg], 0x88).at(RAX, AT.data + 0x40);
  },
  'store segment': (m) => {
    const seg = m.random.below(6);
    m.name = 'mov r, seg';
    m.db(0x8c, 0xc0 | (seg << 3) | RBX);
  },
  'pop segment': (m) => {
    const seg = m.random.pick(m.bits === 64 ? ['fs', 'gs'] : ['es', 'ss', 'ds', 'fs', 'gs']);
    m.name = `pop ${seg}`;
    m.stack([m.selector()], m.bits / 8);
    const [first, ...rest] = { es: [7], ss: [0x17], ds: [0x1f], fs: [0x0f, 0xa1], gs: [0x0f, 0xa9] }[seg] as number[];
    m.db(first, ...rest);
  },
  'load far pointer': (m) => {
    const kind = m.random.pick([0xb2, 0xb4, 0xb5]);
    m.name = { 178: 'lss', 180: 'lfs', 181: 'lgs' }[kind] as string;
    m.put(AT.data + 0x30, [...little(m.random.u32(), m.bits === 16 ? 2 : 4), ...little(m.selector(), 2)]);
    m.db(0x0f, kind).at(RBX, AT.data + 0x30);
  },
  'far direct': (m) => {
    const call = m.random.chance(0.5);
    m.name = call ? 'call far direct' : 'jmp far direct';
    const selector = m.mode === 'real' ? m.random.below(0x10) : m.codeSelector();
    const offset = m.mode === 'real' ? TARGET - selector * 16 : TARGET;
    m.db(call ? 0x9a : 0xea, ...little(offset, m.bits === 16 ? 2 : 4), ...little(selector, 2));
  },
  'far indirect': (m) => {
    const call = m.random.chance(0.5);
    m.name = call ? 'call far indirect' : 'jmp far indirect';
    const selector = m.mode === 'real' ? m.random.below(0x10) : m.codeSelector();
    const offset = m.mode === 'real' ? TARGET - selector * 16 : TARGET;
    m.put(AT.data + 0x30, [...little(offset, m.bits === 16 ? 2 : 4), ...little(selector, 2)]);
    m.db(0xff).at(call ? 3 : 5, AT.data + 0x30);
  },
  'far return': (m) => {
    m.name = 'retf';
    const size = m.bits === 16 ? 2 : 4;
    const selector = m.mode === 'real' ? m.random.below(0x10) : m.codeSelector();
    const offset = m.mode === 'real' ? TARGET - selector * 16 : TARGET;
    m.stack([offset, selector, AT.stack - 0x80, m.random.chance(0.6) ? 0x23 : m.selector()], size);
    if (m.random.chance(0.3)) m.db(0xca, 8, 0);
    else m.db(0xcb);
  },
  iret: (m) => {
    m.name = 'iret';
    const size = m.bits / 8;
    const selector = m.mode === 'real' ? m.random.below(0x10) : m.codeSelector();
    const offset = m.mode === 'real' ? TARGET - selector * 16 : TARGET;
    const flags =
      m.random.u32() & (Eflags.arithmetic | Eflags.if | Eflags.df | Eflags.iopl | Eflags.ac | Eflags.id | Eflags.rf);
    const ss = m.random.chance(0.6) ? 0x23 : m.selector();
    m.stack([offset, selector, flags | 2, AT.stack - 0x80, ss], size);
    if (m.bits === 64) m.db(0x48);
    m.db(0xcf);
  },
  'software interrupt': (m) => {
    const n = m.random.below(256);
    const [name, ...bytes] = m.random.pick<readonly [string, ...number[]]>([
      ['int n', 0xcd, n],
      ['int3', 0xcc],
      ['ud2', 0x0f, 0x0b],
      ['icebp', 0xf1],
      ...(m.bits === 64 ? [] : ([['into', 0xce]] as const)),
    ]);
    m.name = name;
    m.flags = m.random.u32() & (Eflags.of | Eflags.if | Eflags.iopl);
    m.db(...bytes);
  },
  'divide error': (m) => {
    m.name = 'div by 0';
    m.set(RCX, 0).db(0xf7, 0xf0 | RCX);
  },
  'page fault': (m) => {
    m.name = 'access';
    const pages = [AT.dataEnd, AT.dataEnd + 0x1000, 0x2_8000, 0x2_9000];
    const address = m.bits === 16 ? AT.dataEnd : m.random.pick(pages);
    const store = m.random.chance(0.5);
    m.db(store ? 0x89 : 0x8b).at(RBX, address + m.random.pick([0, 8, 0xffe]));
  },
  'model-specific': (m) => {
    const write = m.random.chance(0.7);
    const msr = m.random.pick(MSRS);
    m.name = `${write ? 'wrmsr' : 'rdmsr'} ${msr.toString(16)}`;
    let value = m.random.pick([canonical(m.random.u64()), m.random.u64(), BigInt(m.random.u32())]);
    if (msr === 0xc000_0080) value = BigInt(m.random.pick([1, 0x801, 0x101, 0xd01, 0x1000, 0x501]));
    if (msr === 0x277) value = m.random.pick([0x0007_0406_0007_0406n, 0x0707_0606_0505_0404n, 0x0200_0000_0000_0000n]);
    if (READ_APART.has(msr)) return m.db(0x90);
    m.set(RCX, msr)
      .set(RAX, value & 0xffff_ffffn)
      .set(RDX, value >> 32n)
      .db(0x0f, write ? 0x30 : 0x32);
    return m;
  },
  flags: (m) => {
    const [name, byte] = m.random.pick([
      ['cli', 0xfa],
      ['sti', 0xfb],
      ['pushf', 0x9c],
      ['popf', 0x9d],
      ['cld', 0xfc],
      ['std', 0xfd],
    ] as const);
    m.name = name;
    m.flags = m.random.u32() & (Eflags.arithmetic | Eflags.if | Eflags.iopl | Eflags.df);
    m.stack([(m.random.u32() & (0x3f_7ed5 & ~Eflags.vm)) | 2, 0], m.bits === 16 ? 2 : m.bits === 32 ? 4 : 8);
    m.db(byte);
  },
  'machine status': (m) => {
    const kind = m.random.below(3);
    m.name = ['smsw', 'lmsw', 'clts'][kind];
    m.set(RBX, m.random.u32() & ~(m.mode === 'real' ? 1 : 0));
    if (kind === 2) m.db(0x0f, 0x06);
    else m.db(0x0f, 0x01, 0xc0 | ((kind === 0 ? 4 : 6) << 3) | RBX);
  },
  'caches and translations': (m) => {
    const [name, ...bytes] = m.random.pick<readonly [string, ...number[]]>([
      ['invlpg', 0x0f, 0x01],
      ['wbinvd', 0x0f, 0x09],
      ['invd', 0x0f, 0x08],
    ]);
    m.name = name;
    m.db(...bytes);
    if (name === 'invlpg') m.at(7, AT.data);
  },
  'what a descriptor allows': (m) => {
    const [name, ...bytes] = m.random.pick<readonly [string, ...number[]]>([
      ['lar', 0x0f, 0x02, 0xc0 | (RAX << 3) | RBX],
      ['lsl', 0x0f, 0x03, 0xc0 | (RAX << 3) | RBX],
      ['verr', 0x0f, 0x00, 0xe0 | RBX],
      ['verw', 0x0f, 0x00, 0xe8 | RBX],
      ...(m.bits === 64 ? [] : ([['arpl', 0x63, 0xc0 | (RBX << 3) | RAX]] as const)),
    ]);
    m.name = name;
    m.set(RBX, m.selector()).db(...bytes);
  },
  'fast system calls': (m) => {
    const [name, ...bytes] = m.random.pick<readonly [string, ...number[]]>([
      ['syscall', 0x0f, 0x05],
      ['sysret', ...(m.bits === 64 && m.random.chance(0.5) ? [0x48] : []), 0x0f, 0x07],
      ['sysenter', 0x0f, 0x34],
      ['sysexit', ...(m.bits === 64 && m.random.chance(0.5) ? [0x48] : []), 0x0f, 0x35],
    ]);
    m.name = name;
    m.set(RCX, TARGET)
      .set(RDX, TARGET)
      .set(11, 0x202)
      .db(...bytes);
  },
  'bases of FS and GS': (m) => {
    const [name, ...bytes] = m.random.pick<readonly [string, ...number[]]>([
      ['swapgs', 0x0f, 0x01, 0xf8],
      ['rdfsbase', 0xf3, 0x48, 0x0f, 0xae, 0xc0 | RBX],
      ['rdgsbase', 0xf3, 0x48, 0x0f, 0xae, 0xc8 | RBX],
      ['wrfsbase', 0xf3, 0x48, 0x0f, 0xae, 0xd0 | RBX],
      ['wrgsbase', 0xf3, 0x48, 0x0f, 0xae, 0xd8 | RBX],
    ]);
    m.name = name;
    if (m.bits === 64) m.db(...bytes);
    else m.db(0x90);
  },
  'extended control': (m) => {
    const write = m.random.chance(0.5);
    m.name = write ? 'xsetbv' : 'xgetbv';
    m.set(RCX, m.random.pick([0, 0, 0, 2]))
      .set(RAX, m.random.pick([1, 3, 7, 2, 5]))
      .set(RDX, 0);
    m.db(0x0f, 0x01, write ? 0xd1 : 0xd0);
  },
  ports: (m) => {
    const [name, byte] = m.random.pick([
      ['in al, dx', 0xec],
      ['in eax, dx', 0xed],
      ['out dx, al', 0xee],
      ['out dx, eax', 0xef],
      ['insb', 0x6c],
      ['outsb', 0x6e],
    ] as const);
    m.name = name;
    m.set(RDX, m.random.below(0x10000))
      .set(7, AT.data + 0x50)
      .set(6, AT.data + 0x60);
    m.flags = m.random.chance(0.5) ? Eflags.iopl : 0;
    m.db(byte);
  },
  'segment limits': (m) => {
    m.name = 'limit';
    const offset = m.bits === 16 ? 0xffff : m.random.pick([0xf_efff, 0xffff_ffff]);
    if (m.bits === 64) return m.db(0x90);
    return m.db(0x8b, (RBX << 3) | (m.bits === 16 ? 6 : 5), ...little(offset, m.bits === 16 ? 2 : 4));
  },
  'stack switch': (m) => {
    m.name = 'push at a bad stack';
    m.set(RSP, m.random.pick([1, 2, 0xfff_ffff, AT.dataEnd + 0x800])).db(0x50);
    return m;
  },
};

export const KINDS = Object.keys(kinds);

export function makeCase(random: Random, mode: ModeName, user: boolean, kind = random.pick(KINDS)): Case {
  const m = new Maker(random, mode, user);
  kinds[kind](m);
  const { name, code, registers, flags, memory } = m;
  return { name: name || kind, mode, user, code, registers, flags, memory };
}
