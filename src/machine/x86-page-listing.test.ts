import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StateAccess } from '../isa/isa.ts';
import { mappedPages, mappedStretches } from './x86-page-listing.ts';

const memory = new Uint8Array(0x10_0000);
const view = new DataView(memory.buffer);
const read = (address: number, length: number) =>
  address + length <= memory.length ? memory.subarray(address, address + length) : undefined;

function processor(registers: Record<string, bigint>): StateAccess {
  return { get64: (name: string) => registers[name] ?? 0n } as unknown as StateAccess;
}
const LONG = { cr0: 0x8000_0001n, cr3: 0x1000n, cr4: 0x20n, efer: 0x500n };
const entry = (at: number, value: bigint) => view.setBigUint64(at, value, true);

test('stretches and pages of four levels, in the upper half too', () => {
  memory.fill(0);
  entry(0x1000, 0x2007n);
  entry(0x1ff8, 0x2003n);
  entry(0x2000, 0x3007n);
  entry(0x3000, 0x4007n);
  entry(0x3008, 0x20_00e3n); // 2 MiB, global no, dirty
  entry(0x4000, 0x8000_0000_0000_5101n);
  entry(0x4008, 0x6007n);
  const state = processor(LONG);
  assert.deepEqual(mappedStretches(state, read).split('\n'), [
    '0000000000000000-0000000000001000 0000000000001000 -r-',
    '0000000000001000-0000000000002000 0000000000001000 urw',
    '0000000000200000-0000000000400000 0000000000200000 -rw',
    'ffffff8000000000-ffffff8000001000 0000000000001000 -r-',
    'ffffff8000001000-ffffff8000002000 0000000000001000 -rw',
    'ffffff8000200000-ffffff8000400000 0000000000200000 -rw',
  ]);
  assert.deepEqual(mappedPages(state, read).split('\n').slice(0, 3), [
    '0000000000000000: 0000000000005000 XG-------',
    '0000000000001000: 0000000000006000 -------UW',
    '0000000000200000: 0000000000200000 --PDA---W',
  ]);
});

test('without paging there is nothing to list', () => {
  assert.equal(mappedStretches(processor({}), read), 'PG disabled');
  assert.equal(mappedPages(processor({}), read), 'PG disabled');
});

test('tables that lead to themselves, or nowhere, end', () => {
  memory.fill(0);
  for (let n = 0; n < 512; n++) entry(0x1000 + 8 * n, 0x1007n);
  assert.match(mappedPages(processor(LONG), read), /\nthere is more than this; the listing ends here$/);
  assert.match(mappedStretches(processor(LONG), read), /ends here$/);
  assert.equal(mappedPages(processor({ ...LONG, cr3: 0xffff_f000n }), read), '');
});
