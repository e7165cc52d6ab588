/**
 * Our side with an accelerator: the same cases in long mode with paging, their
 * faults delivered through gates to handlers that halt.
 */
import type { SpaceAccelerator } from '../../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { Attr, Seg } from '../../../src/isa/x86/state.ts';
import { getRegisters, setRegisters } from './evaluated.ts';
import {
  type Case,
  CODE,
  CODE_BYTES,
  codeOf,
  DATA,
  DATA_BYTES,
  FLAGS,
  type Outcome,
  READ_ONLY_BYTES,
  STOP,
} from './record.ts';

/** Physical addresses. */
const AT = {
  pml4: 0x1000,
  pdpt: 0x2000,
  directory: 0x3000,
  dataTable: 0x4000,
  codeTable: 0x5000,
  systemTable: 0x6000,
  data: 0x8000,
  code: 0xd000,
  idt: 0x1_0000,
  gdt: 0x1_1000,
  stubs: 0x1_2000,
  stack: 0x1_3000,
  end: 0x1_4000,
} as const;
/** Where the system's pages appear, for the supervisor alone: nowhere that cases are likely to look. */
const SYSTEM = 0x35a5_0000;
const virtual = (physical: number): number => SYSTEM + physical - AT.idt;
const TSS = AT.gdt + 0x100;
const STUB_BYTES = 16;

const KERNEL_CODE = 0x08;
const TASK = 0x40;
const BREAKPOINT = 3;
const PAGE_FAULT = 14;
/** Vectors that push an error code. */
const WITH_ERROR: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

/** Present, writable, accessed, dirty. */
const PAGE = 0x63n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;

function tables(view: DataView): void {
  const put = (table: number, index: number, value: bigint) => view.setBigUint64(table + 8 * index, value, true);
  const page = (table: number, address: number, physical: number, flags: bigint) =>
    put(table, (address >> 12) & 511, BigInt(physical) | flags);
  put(AT.pml4, 0, BigInt(AT.pdpt) | PAGE | USER);
  put(AT.pdpt, 0, BigInt(AT.directory) | PAGE | USER);
  put(AT.directory, DATA >>> 21, BigInt(AT.dataTable) | PAGE | USER);
  put(AT.directory, CODE >>> 21, BigInt(AT.codeTable) | PAGE | USER);
  put(AT.directory, SYSTEM >>> 21, BigInt(AT.systemTable) | PAGE | USER);
  for (let at = 0; at < DATA_BYTES + READ_ONLY_BYTES; at += 4096) {
    const writable = at < DATA_BYTES ? PAGE : PAGE & ~2n;
    page(AT.dataTable, DATA + at, AT.data + at, writable | USER | NO_EXECUTE);
  }
  page(AT.codeTable, CODE, AT.code, PAGE | USER);
  for (let at: number = AT.idt; at < AT.end; at += 4096) page(AT.systemTable, virtual(at), at, PAGE);
}

function descriptors(view: DataView): void {
  // 64-bit code of the supervisor; user segments as the cases have them.
  view.setBigUint64(AT.gdt + KERNEL_CODE, 0x00af_9b00_0000_ffffn, true);
  view.setBigUint64(AT.gdt + 0x20, 0x00cf_fb00_0000_ffffn, true);
  view.setBigUint64(AT.gdt + 0x28, 0x00cf_f300_0000_ffffn, true);
  view.setBigUint64(AT.gdt + 0x30, 0x00af_fb00_0000_ffffn, true);
  view.setBigUint64(TSS + 4, BigInt(virtual(AT.end)), true);
  // Beyond the limit: no port is allowed.
  view.setUint16(TSS + 0x66, 0x68, true);
  for (let vector = 0; vector < 256; vector++) {
    const stub = virtual(AT.stubs) + STUB_BYTES * vector;
    const gate = AT.idt + 16 * vector;
    view.setUint16(gate, stub & 0xffff, true);
    view.setUint16(gate + 2, KERNEL_CODE, true);
    view.setUint16(gate + 4, 0x8e00 | (vector === BREAKPOINT ? 0x6000 : 0), true);
    view.setUint16(gate + 6, stub >>> 16, true);
    // HLT.
    view.setUint8(AT.stubs + STUB_BYTES * vector, 0xf4);
  }
}

const BUDGET = 100_000;

export class OnAccelerator {
  private readonly accelerator: SpaceAccelerator;
  private readonly pattern: Uint8Array;
  private readonly view: DataView;
  /** How often each case is run: what is run often is compiled. */
  private readonly times: number;
  private last = '';

  constructor(kind: 'reference' | 'jit', pattern: Uint8Array, times = 1) {
    const board = { mmioRead: () => 0, mmioWrite: () => true, now: () => 0 };
    const options = { isa, cpus: 1, board, ramBase: 0, ramSize: 0x2_0000, compileAfter: 200 };
    this.accelerator = kind === 'jit' ? new JitAccelerator(options) : ReferenceAccelerator.create(options);
    this.pattern = pattern;
    this.times = times;
    const { ram } = this.accelerator;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
    tables(this.view);
    descriptors(this.view);
  }

  run(c: Case): Outcome | undefined {
    for (let n = 0; n < this.times; n++) if (!this.once(c)) return undefined;
    return this.outcome(c.segments === 'based' ? CODE : 0);
  }

  /** Whether it comes to an end. */
  private once(c: Case): boolean {
    const { accelerator, view, pattern } = this;
    const { ram } = accelerator;
    const [vcpu] = accelerator.vcpus;
    const { state } = vcpu;
    ram.set(pattern, AT.data);
    ram.set(pattern.subarray(0, READ_ONLY_BYTES), AT.data + DATA_BYTES);
    for (const { at, value } of c.patches) view.setBigUint64(AT.data + at, value, true);
    const code = codeOf(c);
    const name = `${c.at} ${code}`;
    if (name !== this.last) {
      ram.fill(STOP, AT.code, AT.code + CODE_BYTES);
      ram.set(code, AT.code + c.at);
      accelerator.written(AT.code, CODE_BYTES);
      this.last = name;
    }
    setRegisters(state, c);
    state.set64('cr3', BigInt(AT.pml4));
    state.set64('gdtBase', BigInt(virtual(AT.gdt)));
    state.set32('gdtLimit', 0x6f);
    state.set64('idtBase', BigInt(virtual(AT.idt)));
    state.set32('idtLimit', 0xfff);
    state.set32('segSelector', TASK, Seg.tr);
    state.set64('segBase', BigInt(virtual(TSS)), Seg.tr);
    state.set32('segLimit', 0x67, Seg.tr);
    state.set32('segAttr', Attr.present | 11, Seg.tr);
    state.set32('waiting', 0);
    state.set64('pc', BigInt(CODE + c.at));
    // What is derived follows when a register is written from outside.
    vcpu.writeRegister('rax', c.start.gpr[0]);
    for (let left = BUDGET; ; left -= 10_000) {
      if (left <= 0) return false;
      if (vcpu.run(10_000).kind === 'halt') return true;
    }
  }

  private outcome(codeBase: number): Outcome {
    const { view, pattern } = this;
    const { state } = this.accelerator.vcpus[0];
    const vector = Math.floor((state.getNumber('pc') - virtual(AT.stubs)) / STUB_BYTES);
    if (vector < 0 || vector > 255) throw new Error(`it halted at ${state.get64('pc').toString(16)}`);
    const end = getRegisters(state);
    let frame = state.getNumber('gpr', 4) - virtual(AT.idt) + AT.idt;
    let error = 0;
    if (WITH_ERROR.has(vector)) {
      error = view.getUint32(frame, true);
      frame += 8;
    }
    const ip = view.getBigUint64(frame, true) + BigInt(codeBase);
    end.flags = view.getBigUint64(frame + 16, true) & FLAGS;
    end.gpr[4] = view.getBigUint64(frame + 24, true);
    const words = new Map<number, bigint>();
    const before = new DataView(pattern.buffer, pattern.byteOffset);
    for (let at = 0; at < DATA_BYTES; at += 8) {
      const value = view.getBigUint64(AT.data + at, true);
      if (value !== before.getBigUint64(at, true)) words.set(at, value);
    }
    if (vector === BREAKPOINT) return { end, ip: ip - 1n, fault: undefined, words };
    return { end, ip, fault: { vector, error, address: vector === PAGE_FAULT ? state.get64('cr2') : 0n }, words };
  }
}
