/**
 * What is known of the flags after an instruction is remembered by a few of
 * its properties: for encodings of every row it must be what the row itself says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ccOp } from '../../../src/isa/x86/flags.ts';
import { isa, type X86Decoded } from '../../../src/isa/x86/isa.ts';
import type { X86Insn } from '../../../src/isa/x86/insn.ts';
import { rows } from '../../../src/isa/x86/rows/index.ts';
import { Mode } from '../../../src/isa/x86/state.ts';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { encode, exists, type Place } from './encode.ts';

const SEED = testSeed(process.env);
const EACH = Number(process.env.TRAPFRAME_COUNT ?? 2);
const PLACE: Omit<Place, 'bits'> = {
  ip: 0,
  target: 0x1000,
  jump: 0x100,
  dataBase: 0,
  fsBase: 0,
  gsBase: 0,
  wrong: false,
};

for (const [bits, mode] of [
  [64, Mode.longUser],
  [32, Mode.flatUser],
  [16, Mode.smallUser],
] as const)
  test(`known flags, ${bits}-bit code`, (t) => {
    const random = new Random(SEED);
    const wrong = new Map<string, string>();
    let count = 0;
    const look = (decoded: X86Decoded, bytes: Uint8Array, context: number | undefined) => {
      const { ccAfter } = isa.build(decoded, mode, context) as X86Insn;
      const right = ccAfter === 'kept' ? context : ccAfter;
      const known = isa.after?.(decoded, mode, context);
      count++;
      if (known === right) return;
      const { mnemonic, text } = decoded.x86.row;
      wrong.set(`${mnemonic} (${text})`, `${Buffer.from(bytes).toString('hex')}: ${known}, right ${right}`);
    };
    for (const row of rows()) {
      // Counts and repeat prefixes differ between encodings.
      const times = row.traits.string || row.operands.includes('Ib') ? 8 * EACH : EACH;
      for (let n = 0; exists(row, bits) && n < times; n++) {
        const { bytes } = encode(row, random, { ...PLACE, bits });
        const decoded = isa.decode(new DataView(bytes.buffer), 0, bytes.length, mode);
        if (!decoded || decoded === 'beyond') continue;
        for (const context of [undefined, ccOp('add', 32)]) look(decoded, bytes, context);
      }
    }
    assert.deepEqual([...wrong], []);
    t.diagnostic(`${count} looked at, TRAPFRAME_SEED=${SEED}`);
  });
