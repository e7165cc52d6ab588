/** Instructions of features that a processor lacks are none, or what they were before the feature came. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Isa } from '../isa.ts';
import { FEATURES } from './cpuid/features.ts';
import { isa, type X86Decoded } from './isa.ts';
import { rows } from './rows/index.ts';
import { Mode } from './state.ts';

function mnemonic(of: Isa, hex: string): string | undefined {
  const bytes = Uint8Array.from(Buffer.from(hex.padEnd(30, '0'), 'hex'));
  const decoded = of.decode(new DataView(bytes.buffer), 0, bytes.length, Mode.long);
  assert.notEqual(decoded, 'beyond');
  return (decoded as X86Decoded | undefined)?.x86.row.mnemonic;
}
function without(...lacks: string[]): Isa {
  assert.ok(isa.without);
  return isa.without(lacks);
}

test('rows name features as CPUID has them', () => {
  for (const { mnemonic, traits } of rows())
    if (traits.feature !== undefined) assert.ok(FEATURES.has(traits.feature), `${mnemonic}: ${traits.feature}`);
});

test('what a feature brings is no instruction without it', () => {
  const bare = without('invpcid', 'rdrand', 'avx');
  for (const [hex, name] of [
    ['660f388208', 'invpcid'], // invpcid rcx, [rax]
    ['480fc7f0', 'rdrand'], // rdrand rax
    ['c5f877', 'vzeroupper'],
  ]) {
    assert.equal(mnemonic(isa, hex), name);
    assert.equal(mnemonic(bare, hex), undefined, name);
  }
  assert.equal(mnemonic(bare, '480fc7f8'), 'rdseed');
});

test('without their feature TZCNT and LZCNT are BSF and BSR', () => {
  const bare = without('bmi1', 'abm');
  assert.deepEqual([mnemonic(isa, 'f30fbcc1'), mnemonic(isa, 'f30fbdc1')], ['tzcnt', 'lzcnt']);
  assert.deepEqual([mnemonic(bare, 'f30fbcc1'), mnemonic(bare, 'f30fbdc1')], ['bsf', 'bsr']);
});
