/** What is said of distances between addresses, against the addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../test/differential/random.ts';
import { testSeed } from '../../bits/test-seed.ts';
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { add, cpu, i64, load, local, pcPlus, reg, shl, sub, type Value, zext32 } from '../../ir/value.ts';
import { type Place, Places } from './places.ts';

const REGISTERS = 4;
const seed = testSeed(process.env);

test(`places with one base are as far apart as they say (TRAPFRAME_SEED=${seed})`, () => {
  const random = new Random(seed);
  let compared = 0;
  for (let round = 0; round < 400; round++) compared += compareBlock(random);
  // Bases are shared often enough for the comparison to mean something.
  assert.ok(compared > 4000, `${compared}`);
});

const LOW = (1n << 32n) - 1n;

/** Follows a block of random assignments; how many pairs of places had one base. */
function compareBlock(random: Random): number {
  const places = new Places();
  const value = () => (random.chance(0.5) ? random.pick([0n, 1n, LOW, 1n << 32n, -1n, LOW - 7n]) : random.u64());
  const registers = Array.from({ length: REGISTERS }, () => BigInt.asUintN(64, value()));
  const locals = Array.from({ length: REGISTERS }, () => BigInt.asUintN(64, value()));
  const fields = [value(), value()].map((v) => BigInt.asUintN(64, v));
  const pc = random.u64();
  let at = 0;
  const evaluate = ({ op: code, imm, a, b }: Value): bigint => {
    const [x, y] = [a, b].map((part) => (part && part.op !== op.CPU ? evaluate(part) : 0n));
    if (code === op.REG) return registers[imm];
    if (code === op.LOCAL_GET) return locals[imm];
    if (code === op.PC) return BigInt.asUintN(64, pc + BigInt(at + imm));
    if (code === op.CONST_I64) return BigInt.asUintN(64, BigInt(imm));
    if (code === op.I64_LOAD) return fields[imm / 8];
    if (code === op.i64Integer.add) return BigInt.asUintN(64, x + y);
    if (code === op.i64Integer.sub) return BigInt.asUintN(64, x - y);
    if (code === op.i64Integer.shl) return BigInt.asUintN(64, x << y);
    return x & y;
  };
  const expression = (depth: number): Value => {
    const n = random.below(REGISTERS);
    if (depth === 0 || random.chance(0.15))
      return random.pick([reg(n, 'i64'), local(n, 'i64'), pcPlus(n * 4), load(op.I64_LOAD, cpu, (n & 1) * 8)]);
    const inner = expression(depth - 1);
    const distance = random.between(-64, 64);
    return random.pick([
      () => add(inner, distance),
      () => sub(inner, distance),
      () => add(inner, expression(depth - 1)),
      () => shl(inner, random.between(1, 3)),
      () => zext32(inner),
      () => zext32(add(inner, distance)),
    ])();
  };
  const seen: { readonly place: Place; readonly value: bigint }[] = [];
  let compared = 0;
  for (let n = 0; n < 40; n++) {
    if (random.chance(0.3)) {
      at += 4;
      places.begin(at);
      for (let l = 0; l < REGISTERS; l++) locals[l] = random.u64();
    }
    const address = expression(random.between(0, 3));
    const found = places.of(address);
    if (found) {
      const now = evaluate(address);
      for (const before of seen) {
        if (before.place.base !== found.base) continue;
        compared++;
        const bits = found.wraps ? 32 : 64;
        const distance = BigInt.asIntN(bits, now - before.value);
        assert.equal(distance, BigInt(found.offset - before.place.offset), JSON.stringify([found, before.place]));
      }
      seen.push({ place: found, value: now });
    }
    // Now something changes.
    const index = random.below(REGISTERS);
    const assigned = expression(random.between(0, 2));
    const result = evaluate(assigned);
    const change = random.below(4);
    if (change === 0) {
      places.after({ kind: 'reg', reg: index, value: assigned });
      registers[index] = result;
    } else if (change === 1) {
      places.after({ kind: 'set', local: index, value: assigned });
      locals[index] = result;
    } else if (change === 2) {
      const written: Statement = { kind: 'reg', reg: index, value: assigned };
      // biome-ignore lint/suspicious/noThenProperty: nobody awaits a statement
      const perhaps: Statement = { kind: 'if', condition: i64(0), then: [written], else: [] };
      places.after(perhaps);
      if (random.chance(0.5)) registers[index] = result;
    } else if (random.chance(0.3)) {
      places.after({ kind: 'store', op: op.I64_STORE, address: cpu, offset: 0, value: assigned });
      fields[0] = result;
    }
  }
  return compared;
}
