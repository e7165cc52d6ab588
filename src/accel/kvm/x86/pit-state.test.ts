import assert from 'node:assert/strict';
import { test } from 'node:test';
import { I8254 } from '../../../devices/i8254/i8254.ts';
import { Pit, PitChannel } from './abi-irqchip.ts';
import { decodePit, encodePit, type PitFields } from './pit-state.ts';

const HZ = 1_193_182;
const PASSED = 3e9;

/** What the kernel's pit_get_count and pit_get_out say, `ticks` after counter 0 was loaded. */
function readBack(mode: number, count: number, ticks: number): { value: number; out: boolean } {
  if (mode === 2) return { value: (count - (ticks % count)) & 0xffff, out: ticks % count !== 0 };
  if (mode === 3) return { value: (count - ((2 * ticks) % count)) & 0xffff, out: ticks % count < (count + 1) >> 1 };
  return { value: (count - ticks) & 0xffff, out: ticks >= count };
}

const fields = (): PitFields => {
  const wiring = { clock: { now: () => 0, timer: () => ({ set() {}, cancel() {} }) }, log: undefined } as never;
  const { state } = new I8254('i8254', wiring, { set() {} } as never);
  return structuredClone(state) as unknown as PitFields;
};
function shown(from: PitFields): DataView {
  const view = new DataView(new ArrayBuffer(Pit.size));
  encodePit(from, () => 0, false, 0, view);
  return view;
}

test('where counter 0 is follows from what is read back of it', () => {
  for (const mode of [0, 2, 3])
    for (const count of [2, 3, 1193, 1000, 50_001, 65_535, 65_536])
      for (const part of [0, 0.1, 0.4999, 0.5, 0.77, 0.9999, 1, 1.3]) {
        const ticks = Math.floor(part * count);
        const before = fields();
        const now = fields();
        now.mode[0] = mode;
        now.count[0] = count;
        const to = fields();
        const look = { shown: shown(now), at: PASSED, doubt: 0, counter0: readBack(mode, count, ticks) };
        const sent = { shown: shown({ ...before, mode: [5, 5, 5] }), at: 0, doubt: 0 };
        assert.equal(
          decodePit(look, sent, (at) => Math.floor((at * HZ) / 1e9), to),
          false,
        );
        const wanted = mode === 0 ? ticks : ticks % count;
        const found = Math.floor((PASSED * HZ) / 1e9) - to.start[0];
        const what = `mode ${mode}, ${ticks} of ${count}: ${found}`;
        if (mode === 0 && ticks >= count) assert.ok(found >= count && (found - ticks) % 0x1_0000 === 0, what);
        else assert.ok(Math.abs(found - wanted) <= (mode === 3 ? 1 : 0), what);
      }
});

test('the same count goes on as ours only where it is what it would be', () => {
  for (const mode of [0, 2, 3]) {
    const count = 50_000;
    const before = fields();
    before.mode[0] = mode;
    before.count[0] = count;
    const sent = { shown: shown(before), at: 0, doubt: 0 };
    const passed = (ticks: number) => (ticks * 1e9) / HZ;
    for (const ticks of [10, 20_000, 49_990]) {
      const at = passed(ticks);
      const there = { shown: sent.shown, at, doubt: 0, counter0: readBack(mode, count, ticks) };
      const again = { ...there, counter0: readBack(mode, count, (ticks + 25_000) % count) };
      const tick = (time: number) => Math.floor((time * HZ) / 1e9);
      assert.equal(decodePit(there, sent, tick, fields()), true, `mode ${mode}, ${ticks}`);
      assert.equal(decodePit(again, sent, tick, fields()), false, `mode ${mode}, ${ticks}`);
      assert.equal(decodePit({ ...again, doubt: passed(count) }, sent, tick, fields()), true);
    }
  }
});

test('a count that has ended is given as one that does not end again, and reads as before', () => {
  for (const ticks of [1000, 70_000, 200_000]) {
    const from = fields();
    from.mode[0] = 0;
    from.count[0] = 1000;
    const view = new DataView(new ArrayBuffer(Pit.size));
    encodePit(from, () => ticks, true, 0, view);
    const count = view.getUint32(PitChannel.count, true);
    assert.ok(count / HZ > 3000);
    assert.equal(count & 0xffff, (1000 - ticks) & 0xffff);
  }
});
