/**
 * Random RISC-V programs: bare metal, an M-mode frame around code in any mode,
 * with and without translation and protection. A program follows from its seed.
 */
import { Assembler, type Unit } from './assembler.ts';
import { Blocks, type Surroundings } from './blocks.ts';
import {
  AREA,
  CODE_BYTES,
  CSR,
  DATA_BYTES,
  DEVICE,
  DONE,
  firmware,
  RAM_BASE,
  RAM_SIZE,
  type Start,
  supervisorHandler,
} from './firmware.ts';
import { leaf, PageTables, PTE, randomLeaf, satpMode } from './page-tables.ts';
import { Random } from './random.ts';

export type Flavour = 'machine' | 'supervisor' | 'user' | 'paged-supervisor' | 'paged-user' | 'mprv';

export interface Program {
  readonly seed: number;
  readonly flavour: Flavour;
  /** RAM as it is at reset. */
  readonly ram: Uint8Array;
  /** Instructions of the random part, by their offset from AREA.code. */
  readonly units: readonly Unit[];
}

/** The last page of the code holds the S-mode handler, which users may not touch. */
const HANDLER_AT = CODE_BYTES - 4096;
const dataPages = Array.from({ length: DATA_BYTES / 4096 }, (_, n) => AREA.data + n * 4096);
const codePages = Array.from({ length: CODE_BYTES / 4096 - 1 }, (_, n) => AREA.code + n * 4096);
/** Nothing, a device, the last page of RAM, beyond it. */
const ODD_PAGES = [0x1000, DEVICE, RAM_BASE + RAM_SIZE - 4096, RAM_BASE + RAM_SIZE];
/** Neither we nor the virt board have anything there. */
const NOWHERE = [0x800_0000n, 0x9000_0000n, 1n << 38n, 1n << 50n];
const PORTABLE: Partial<Surroundings> = {
  portable: true,
  nowhere: NOWHERE,
  wild: [...NOWHERE, ...dataPages.slice(12, 16).map(BigInt)],
  without: new Set(['zfa', 'zicond', 'zcb', 'zicbo', 'ctzw']),
};
const WILD = [
  0n,
  0x1000n,
  BigInt(DEVICE),
  BigInt(RAM_BASE + RAM_SIZE),
  1n << 38n,
  1n << 55n,
  1n << 56n,
  (1n << 64n) - 4096n,
];

/**
 * `portable`: for QEMU's virt board as well, with nothing that QEMU 7.2 does otherwise: its PMP has a finer
 * grain, A and D are always set by hardware, PBMT is always enabled, counters count otherwise, atomic operations
 * fault as loads, its timer interrupt is pending from reset, and there is no misaligned access across
 * pages, whose tval it reports by another rule. No MPRV: traps and mret change MPP, and QEMU's TLB does not notice.
 */
export function makeProgram(seed: number, blocks = 24, portable = false): Program {
  const random = new Random(seed);
  const flavour = random.weighted<Flavour>([
    [5, 'machine'],
    [1, 'supervisor'],
    [1, 'user'],
    [4, 'paged-supervisor'],
    [3, 'paged-user'],
    [portable ? 0 : 3, 'mprv'],
  ]);
  const ram = new Uint8Array(RAM_SIZE);
  const view = new DataView(ram.buffer);
  for (let at = 0; at < DATA_BYTES; at += 8)
    view.setBigUint64(AREA.data - RAM_BASE + at, random.chance(0.5) ? random.integer() : random.float(), true);

  const mode = flavour.endsWith('user') ? 0 : flavour.endsWith('supervisor') ? 1 : 3;
  const paged = flavour.startsWith('paged') || flavour === 'mprv';
  const csrs: [number, bigint][] = [];
  let codeBase = BigInt(AREA.code);
  let world: Surroundings = {
    mode,
    data: dataPages.slice(0, 12).map(BigInt),
    wild: [...WILD, ...codePages.slice(5).map(BigInt), ...dataPages.slice(12, 16).map(BigInt)],
    entries: [],
    pages: [],
    mprv: false,
    ...(portable ? PORTABLE : {}),
  };
  protection(random, csrs);
  if (mode !== 3 && random.chance(0.6)) csrs.push([CSR.medeleg, random.u64() & (portable ? 0xa0f4n : 0xa0fcn)]);
  if (random.chance(0.15)) csrs.push([CSR.mie, random.u64() & (portable ? 0xa2an : 0xaaan)]);
  if (mode !== 3 && random.chance(0.15)) csrs.push([CSR.mideleg, 0x222n]);
  csrs.push([CSR.mcounteren, random.u64() & 0xffn], [CSR.scounteren, random.u64() & 0xffn]);
  csrs.push([
    CSR.menvcfg,
    (random.u64() & ((3n << 61n) | 0xf1n)) | (portable ? 3n << 61n : random.chance(0.6) ? 1n << 61n : 0n),
  ]);
  csrs.push([CSR.senvcfg, random.u64() & 0xf1n]);
  if (paged) {
    const user = flavour === 'paged-user' || (flavour === 'mprv' && random.chance(0.5));
    const space = addressSpace(random, ram, user, portable);
    csrs.push([CSR.satp, space.satp]);
    world = { ...world, ...space.world, mprv: flavour === 'mprv' };
    if (portable) world = { ...world, nowhere: world.mprv ? NOWHERE : [space.codeBase - 0x3000n] };
    if (!world.mprv) codeBase = space.codeBase;
    else world = { ...world, data: [...world.data, ...dataPages.slice(0, 4).map(BigInt)] };
  }
  // SUM, MXR, TW; with TVM, the fences of S-mode would not be carried out.
  if (random.chance(0.4)) csrs.push([CSR.mstatus, (3n << 13n) | (random.u64() & (11n << 18n))]);

  const a = new Assembler(codeBase);
  if (flavour === 'mprv') {
    a.li(5, (1n << 17n) | (BigInt(random.below(2)) << 11n) | (random.u64() & (3n << 18n)));
    a.op('csrrs', { d: 0, k: CSR.mstatus, a: 5 });
  }
  new Blocks(a, random, world).program(blocks);
  const end = a.label();
  a.li(30, BigInt(DONE));
  a.op('ecall');
  a.to('jal', end, { d: 0 });
  // Code that is only ever reached by a wild jump.
  while (!portable && a.at < HANDLER_AT - 2 && random.chance(0.995)) a.half(random.u32());
  const code = a.finish();
  if (code.length > HANDLER_AT) return makeProgram(seed, blocks - 4, portable);
  ram.set(code, AREA.code - RAM_BASE);
  const handler = new Assembler(0n);
  supervisorHandler(handler);
  ram.set(handler.finish(), AREA.code - RAM_BASE + HANDLER_AT);

  const start: Start = {
    entry: codeBase,
    mode,
    csrs,
    x: Array.from({ length: 32 }, () => random.integer()),
    f: Array.from({ length: 32 }, () => random.float()),
    stvec: codeBase + BigInt(HANDLER_AT),
  };
  ram.set(firmware(start), AREA.boot - RAM_BASE);
  return { seed, flavour, ram, units: a.units };
}

/** Everything allowed by the last entry; sometimes entries before it that take parts of the data away. */
function protection(random: Random, csrs: [number, bigint][]): void {
  let low = 0n;
  if (random.chance(0.4)) {
    for (let n = 0; n < 6; n++) {
      const page = BigInt(random.pick(dataPages)) >> 2n;
      const size = BigInt(random.below(3)); // 4, 8, 16 KiB
      const napot = n === 0 || random.chance(0.6);
      const mode = napot ? 0x18n : random.chance(0.7) ? 0x08n : 0n;
      const address = napot ? (page & ~((0x400n << size) - 1n)) | ((0x200n << size) - 1n) : page;
      csrs.push([CSR.pmpaddr0 + n, address]);
      // Locked entries hold for M-mode too.
      const lock = napot && random.chance(0.2) ? 0x80n : 0n;
      // Writing without reading is reserved.
      const access = random.pick([0n, 1n, 3n, 4n, 5n, 7n]);
      low |= (mode | lock | access) << BigInt(8 * n);
    }
  }
  csrs.push([CSR.pmpcfg0, low]);
  csrs.push([CSR.pmpaddr0 + 15, (1n << 54n) - 1n], [CSR.pmpcfg0 + 2, 0x1fn << 56n]);
}

function addressSpace(random: Random, ram: Uint8Array, user: boolean, portable: boolean) {
  const { R, W, X, U, G, A, D } = PTE;
  const levels = random.pick([3, 4, 5] as const);
  const tables = new PageTables(ram, RAM_BASE, AREA.tables, AREA.tablesEnd, levels);
  const bits = BigInt(levels * 9 + 12);
  // A place of 4 GiB anywhere in the address space.
  const base = BigInt.asUintN(64, BigInt.asIntN(Number(bits), random.u64() & ~((1n << 32n) - 1n)));
  const mine = user ? U : 0n;
  const global = random.chance(0.3) ? G : 0n;
  const at = (offset: number) => base + BigInt(offset);
  for (const [n, page] of codePages.entries())
    tables.map(at(0x4000 + n * 4096), page, R | W | X | A | D | mine | global);
  tables.map(at(0x4000 + HANDLER_AT), AREA.code + HANDLER_AT, R | X | A | D | global);
  const data: bigint[] = [];
  const strange: bigint[] = [];
  const entries: { va: bigint; at: bigint }[] = [];
  const odd = portable ? [0x800_0000, 0x9000_0000] : [...codePages.slice(3), ...ODD_PAGES];
  const pages = [...dataPages, ...dataPages, ...odd];
  for (const [n, page] of dataPages.entries()) {
    const va = at(0x20000 + n * 4096);
    if (n < 12) {
      tables.map(va, page, R | W | A | D | mine | (n % 3 === 0 ? global : 0n));
      data.push(va);
    } else {
      const entry = tables.set(va, randomLeaf(random, random.chance(0.8) ? dataPages : pages, user, portable));
      strange.push(va);
      entries.push({ va, at: at(0x400000 + entry - AREA.tables) });
    }
  }
  // The tables themselves, for the program to change.
  for (let page: number = AREA.tables; page < AREA.tablesEnd; page += 4096)
    tables.map(at(0x400000 + page - AREA.tables), page, R | W | A | D | (user ? U : 0n));
  // Large pages, some askew; accesses go to the data behind them.
  for (let n = 1; n <= 2; n++) {
    const flags =
      R | W | A | D | (random.chance(0.8) ? mine : 0n) | (random.chance(0.2) ? X : 0n) | (n === 1 ? global : 0n);
    const large = at(0x40000000 * n);
    const middle = at(0x800000 + 0x200000 * n);
    tables.set(large, leaf(RAM_BASE, flags) | (random.chance(0.2) ? 1n << 20n : 0n), 2);
    tables.set(middle, leaf(RAM_BASE, flags) | (random.chance(0.2) ? 1n << 12n : 0n), 1);
    for (const va of [large, middle])
      strange.push(va + BigInt(AREA.data - RAM_BASE), va + BigInt(AREA.data - RAM_BASE + 0x3000));
    data.push(middle + BigInt(AREA.data - RAM_BASE + 0x5000));
  }
  const outside = base ^ (1n << (bits - 1n)) ^ (1n << 63n);
  const wild = [
    ...strange,
    ...strange,
    at(0x4000 + 5 * 4096),
    at(0x1000),
    at(0x10000000),
    outside,
    0n,
    (1n << 64n) - 4096n,
  ];
  const satp = (satpMode(levels) << 60n) | (BigInt(random.below(3)) << 44n) | BigInt(tables.root >>> 12);
  return { satp, codeBase: at(0x4000), world: { data, wild, entries: entries.slice(0, 12), pages } };
}
