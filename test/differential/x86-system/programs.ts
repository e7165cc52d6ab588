/** Random bare programs: blocks of random instructions, most of them loops, in one mode of the processor. */
import type { Row } from '../../../src/isa/x86/opcode.ts';
import { rows } from '../../../src/isa/x86/rows/index.ts';
import type { Random } from '../random.ts';
import { encode, exists } from '../x86/encode.ts';
import { AT, BLOCK, BLOCKS, bitsOf, dataBaseOf, environment, type ModeName } from './environment.ts';

/** What ends programs early, or answers by the clock. */
const LEFT_OUT = new Set('hlt mwait rdrand rdseed rdtsc rdtscp lgdt lidt lmsw'.split(' '));
/** What changes where the program stands: rarely. */
const RARE = /^(C|D|S)/;
const RARE_NAMES = new Set('wrmsr lldt ltr pop lss les lds lfs lgs iret sysret sysexit sysenter syscall'.split(' '));
const isRare = ({ mnemonic, operands }: Row): boolean =>
  RARE.test(operands[0] ?? '') || (RARE_NAMES.has(mnemonic) && (mnemonic !== 'pop' || /^.S$/.test(operands[0] ?? '')));

export function program(random: Random, mode: ModeName, user: boolean): Uint8Array {
  const bits = bitsOf(mode);
  const ram = environment(mode, user);
  const all = rows().filter((row) => exists(row, bits) && !LEFT_OUT.has(row.mnemonic));
  const usual = all.filter((row) => !isRare(row));
  for (let at = AT.data; at < AT.dataEnd; at++) ram[at] = random.below(256);
  for (let n = 0; n < BLOCKS; n++) {
    const start = AT.code + n * BLOCK;
    const bytes: number[] = [];
    // A loop of some length, its counter in memory: dec word [counter]; jnz.
    const counter = AT.data + 0x2f00 + 2 * n - dataBaseOf(mode);
    const rounds = random.pick([1, 3, 40, 400, 900]);
    new DataView(ram.buffer).setUint16(counter + dataBaseOf(mode), rounds, true);
    const few = random.between(2, 9);
    for (let k = 0; k < few && bytes.length < BLOCK - 40; k++) {
      const place = {
        bits,
        ip: start + bytes.length,
        // Now and then code is what is written to: this block's or another's.
        target:
          (random.chance(0.06)
            ? AT.code + (random.chance(0.6) ? n * BLOCK + random.below(BLOCK) : random.below(BLOCKS * BLOCK))
            : AT.data + random.below(AT.dataEnd - AT.data)) - dataBaseOf(mode),
        jump: AT.code + random.below(BLOCK * BLOCKS),
        dataBase: dataBaseOf(mode),
        fsBase: 0,
        gsBase: 0,
        wrong: random.chance(0.02),
      };
      const row = random.pick(random.chance(0.03) ? all : usual);
      bytes.push(...encode(row, random, place).bytes);
    }
    if (bits !== 16) bytes.push(0x66);
    if (bits === 64) bytes.push(0xff, 0x0c, 0x25, counter & 0xff, counter >> 8, 0, 0);
    else if (bits === 32) bytes.push(0xff, 0x0d, counter & 0xff, counter >> 8, 0, 0);
    else bytes.push(0xff, 0x0e, counter & 0xff, counter >> 8);
    const back = -(bytes.length + 2);
    if (back >= -128) bytes.push(0x75, back & 0xff);
    // On to the next block: an interrupt, or what is no instruction.
    bytes.push(...(random.chance(0.5) ? [0xcd, 0x33] : [0x0f, 0x0b]));
    ram.set(bytes.slice(0, BLOCK), start);
  }
  return ram;
}
