/** Groups of accesses against walks through their blocks: a member follows its group's first, at the distance it says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../test/differential/random.ts';
import { testSeed } from '../../bits/test-seed.ts';
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { add, cpu, i64, load, reg, type Value, zext32 } from '../../ir/value.ts';
import type { Block, Edge, Step, Terminator } from './cfg.ts';
import { successors } from './flow.ts';
import { findGroups, type Group } from './groups.ts';
import { plan } from './region-plan.ts';

const REGISTERS = 3;
const FIELD = 0x100;
const seed = testSeed(process.env);

test(`members of groups lie where their group says, on every way to them (TRAPFRAME_SEED=${seed})`, () => {
  const random = new Random(seed);
  const met = { members: 0, across: 0 };
  for (let round = 0; round < 300; round++) walkRegion(random, met);
  // Enough of them lie in other blocks than their group's first.
  assert.ok(met.members > 5000 && met.across > 1000, JSON.stringify(met));
});

function walkRegion(random: Random, met: { members: number; across: number }): void {
  const { blocks, shape } = plan(randomBlocks(random));
  const members = findGroups({ blocks, shape, flows: [] }, random.chance(0.7));
  for (let walk = 0; walk < 6; walk++) {
    const registers = Array.from({ length: REGISTERS }, () => random.u64());
    let field = random.u64();
    const opened = new Map<Group, bigint>();
    const evaluate = ({ op: code, imm, a, b }: Value): bigint => {
      if (code === op.REG) return registers[imm];
      if (code === op.CONST_I64) return BigInt.asUintN(64, BigInt(imm));
      if (code === op.I64_LOAD) return field;
      const [x, y] = [evaluate(a as Value), evaluate(b as Value)];
      return code === op.i64Integer.and ? x & y : BigInt.asUintN(64, x + y);
    };
    const execute = (s: Statement, block: number): void => {
      if (s.kind === 'reg') registers[s.reg] = evaluate(s.value);
      else if (s.kind === 'store') field = random.u64();
      else if (s.kind === 'if') {
        if (random.chance(0.5)) for (const inner of s.then) execute(inner, block);
      } else if (s.kind === 'gload' || s.kind === 'gstore') {
        const member = members.get(s);
        if (!member) return;
        const { group, offset, first } = member;
        const size = op.accessSize(s.op);
        assert.ok(offset >= group.low && offset + size <= group.high, 'within its group');
        assert.ok(group.stores || (s.kind === 'gload' && s.intent === 'load'), 'stores need a look for stores');
        const base = BigInt.asUintN(32, evaluate(s.address) - BigInt(offset));
        if (first) opened.set(group, base);
        assert.equal(base, opened.get(group), `block ${block} of a group of ${group.block}`);
        met.members++;
        if (group.block !== block) met.across++;
      }
    };
    let at: number | undefined = 0;
    for (let left = 40; left > 0 && at !== undefined; left--) {
      const block: Block = blocks[at];
      for (const { insn } of block.steps) for (const s of insn.statements) execute(s, at);
      const { end } = block;
      if (end.kind === 'call' || end.kind === 'check') {
        for (let n = 0; n < REGISTERS; n++) if (random.chance(0.5)) registers[n] = random.u64();
        field = random.u64();
        opened.clear();
      }
      const next = successors(block);
      at = next.length > 0 ? random.pick(next) : undefined;
    }
  }
}

/** Blocks of a few instructions that go anywhere, mostly on. */
function randomBlocks(random: Random): Block[] {
  const count = random.between(2, 9);
  const edge = (from: number): Edge =>
    random.chance(0.1)
      ? { exit: i64(0), rare: false }
      : { block: random.chance(0.75) ? Math.min(count - 1, from + random.between(1, 3)) : random.below(count) };
  const terminator = (n: number): Terminator => {
    const kind = random.below(10);
    const target = i64(0);
    if (kind < 4) return { kind: 'branch', condition: load(op.I32_LOAD, cpu, 0), taken: edge(n), fall: edge(n) };
    if (kind < 8) return { kind: 'goto', to: edge(n) };
    if (kind === 8) return { kind: 'call', target, next: edge(n), returns: target };
    return random.chance(0.5)
      ? { kind: 'check', changed: load(op.I32_LOAD, cpu, 0), next: edge(n), returns: target }
      : { kind: 'return', target };
  };
  return Array.from({ length: count }, (_, n) => ({
    offset: n * 64,
    endOffset: n * 64 + 63,
    steps: Array.from({ length: random.between(0, 4) }, (_, k) => step(random, n * 64 + k)),
    end: terminator(n),
  }));
}

function step(random: Random, offset: number): Step {
  const any = () => reg(random.below(REGISTERS), 'i64');
  const near = (): Value => {
    const sum = add(random.chance(0.9) ? any() : load(op.I64_LOAD, cpu, FIELD), random.between(-8, 8) * 8);
    return random.chance(0.3) ? zext32(sum) : sum;
  };
  const assign = (): Statement => ({
    kind: 'reg',
    reg: random.below(REGISTERS),
    value: random.chance(0.9) ? near() : add(any(), any()),
  });
  const access = (): Statement =>
    random.chance(0.7)
      ? { kind: 'gload', op: random.pick([op.I64_LOAD, op.I64_LOAD32_U]), address: near(), local: 0, intent: 'load' }
      : { kind: 'gstore', op: op.I64_STORE, address: near(), value: i64(0) };
  const statement = (): Statement => {
    const kind = random.below(20);
    if (kind < 12) return access();
    if (kind < 17) return assign();
    if (kind < 18) return { kind: 'store', op: op.I64_STORE, address: cpu, offset: FIELD, value: i64(0) };
    // biome-ignore lint/suspicious/noThenProperty: nobody awaits a statement
    return { kind: 'if', condition: load(op.I32_LOAD, cpu, 0), then: [assign()], else: [] };
  };
  const statements = Array.from({ length: random.between(1, 3) }, statement);
  return { insn: { statements }, decoded: { gates: [] }, offset } as unknown as Step;
}
