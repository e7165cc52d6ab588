import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, SHORT } from '../isa/x86/decode.ts';
import { rows } from '../isa/x86/rows/index.ts';
import { Mode } from '../isa/x86/state.ts';
import { disassemble } from './x86-disassembler.ts';

const decoder = new Decoder(rows());
const MODES = { 16: Mode.small, 32: Mode.flat, 64: Mode.long } as const;

function text(bits: 16 | 32 | 64, hex: string): string {
  const bytes = hex.split(' ').map((byte) => Number.parseInt(byte, 16));
  const decoded = decoder.decode((at) => bytes[at], MODES[bits]);
  if (decoded === SHORT || 'illegal' in decoded) return 'none';
  const { mnemonic, operands } = disassemble(decoded, 0x1000n);
  return `${mnemonic} ${operands}`.trimEnd();
}

/** As QEMU 7.2's monitor prints them. */
const AS_QEMU: readonly (readonly [bits: 16 | 32 | 64, hex: string, text: string])[] = [
  [16, 'ea 5b e0 00 f0', 'ljmpw $0xf000:$0xe05b'],
  [16, '8b 4e fe', 'movw -2(%bp), %cx'],
  [16, '8b 06 00 f0', 'movw 0xf000, %ax'],
  [16, 'f3 a5', 'rep movsw (%si), %es:(%di)'],
  [16, 'e3 fe', 'jcxz 0x1000'],
  [16, '66 0f 01 11', 'lgdtl (%bx, %di)'],
  [32, '2e 8b 41 04', 'movl %cs:4(%ecx), %eax'],
  [32, 'ff 25 10 00 00 00', 'jmpl *0x10'],
  [32, '66 6a ff', 'pushw $-1'],
  [32, '68 ff ff ff ff', 'pushl $0xffffffff'],
  [32, 'd4 0a', 'aam'],
  [32, '0f 20 c0', 'movl %cr0, %eax'],
  [32, 'a6', 'cmpsb %es:(%edi), (%esi)'],
  [64, '48 83 c0 ff', 'addq $-1, %rax'],
  [64, '48 83 e0 f0', 'andq $0xfffffffffffffff0, %rax'],
  [64, '48 8b 05 f0 ff ff ff', 'movq -0x10(%rip), %rax'],
  [64, '65 48 8b 04 25 10 00 00 00', 'movq %gs:0x10, %rax'],
  [64, '8b 04 cd 10 00 00 00', 'movl 0x10(, %rcx, 8), %eax'],
  [64, 'f0 4c 0f b1 54 24 10', 'lock cmpxchgq %r10, 0x10(%rsp)'],
  [64, '48 0f b6 c1', 'movzbq %cl, %rax'],
  [64, '48 63 c1', 'movslq %ecx, %rax'],
  [64, '48 98', 'cltq'],
  [64, 'c3', 'retq'],
  [64, '48 cf', 'iretq'],
  [64, 'f2 ae', 'repne scasb (%rdi), %al'],
  [64, '48 b8 01 00 00 00 00 00 00 00', 'movabsq $0x1, %rax'],
  [64, 'c8 10 00 02', 'enter $0x10, $2'],
  [64, 'de e1', 'fsubp %st(1)'],
  [64, 'dd 01', 'fldl (%rcx)'],
  [64, 'df 29', 'fildll (%rcx)'],
  [64, '0f c2 c1 01', 'cmpltps %xmm1, %xmm0'],
  [64, '0f c2 c1 08', 'cmpps $8, %xmm1, %xmm0'],
  [64, 'c5 f8 c2 c1 1f', 'vcmptrue_usps %xmm1, %xmm0, %xmm0'],
  [64, 'c4 e2 ed 90 5c 0b 04', 'vpgatherdq %ymm2, 4(%rbx, %xmm1), %ymm3'],
  [64, 'c4 e2 6d 93 5c 0b 04', 'vgatherqps %xmm2, 4(%rbx, %ymm1), %xmm3'],
  [64, 'c5 fb e6 01', 'vcvtpd2dqx (%rcx), %xmm0'],
  [64, '48 0f ae 21', 'xsave64 (%rcx)'],
  [64, '48 0f c7 08', 'cmpxchg16b (%rax)'],
  [64, '06', 'none'],
];

test('instructions as text', () => {
  for (const [bits, hex, expected] of AS_QEMU) {
    assert.equal(text(bits, hex), expected, `${bits}: ${hex}`);
  }
});

test('every row has a text, with every operand in it', () => {
  for (const [index, row] of rows().entries()) {
    const operands = row.operands.map((code) => {
      const size = 32;
      return code[0] === 'I' || code === '1' || code[0] === 'J' || code[0] === 'A'
        ? ({ kind: 'imm', value: 1, size: 8 } as const)
        : ({ kind: 'reg', file: 'gpr', n: 1, high: false, size } as const);
    });
    const decoded = {
      ...({
        row,
        index,
        mode: Mode.long,
        length: 2,
        osize: 32,
        asize: 64,
        rep: 0,
        lock: false,
        seg: -1,
        w: false,
      } as const),
      ...({ vectorLength: 128, modrm: 0xc0, operands, flow: 'next', target: undefined, ends: false } as const),
    };
    const { mnemonic, operands: words } = disassemble(decoded, 0n);
    assert.match(mnemonic, /^[a-z][a-z0-9_]+$/, row.mnemonic);
    assert.doesNotMatch(words, /undefined|NaN/, row.mnemonic);
  }
});
