/**
 * The units that instructions need, and what those raise that find them off.
 *
 * Spec: SDM volume 3, "Device Not Available Exception (#NM)"; volume 2,
 * "Exception Conditions of Legacy SIMD Instructions", "Exception Conditions
 * for AVX".
 */
import type { Insn } from '../../ir/insn.ts';
import { and, ne, type Value } from '../../ir/value.ts';
import type { Gate } from '../isa.ts';
import { fault } from './fault.ts';
import { get } from './field.ts';
import type { Gate as GateName } from './opcode.ts';
import { AT, Cr0, Vector } from './state.ts';

const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);
const notAvailable = (m: Insn) => m.raise(fault(Vector.nm), 0);
const undefinedOpcode = (m: Insn) => m.raise(fault(Vector.ud), 0);

/** With the task switched the unit is not available; whatever else is wrong makes the instruction undefined. */
const vectorClosed = (m: Insn): void => {
  m.if(
    has(get('cr0'), Cr0.em),
    () => undefinedOpcode(m),
    () =>
      m.if(
        has(get('cr0'), Cr0.ts),
        () => notAvailable(m),
        () => undefinedOpcode(m),
      ),
  );
};

const GATES: Readonly<Record<GateName, Gate>> = {
  x87: { field: AT.x87On, closed: notAvailable },
  mmx: { field: AT.x87On, closed: vectorClosed },
  sse: { field: AT.sseOn, closed: vectorClosed },
  avx: {
    field: AT.avxOn,
    closed: (m) =>
      m.if(
        has(get('cr0'), Cr0.ts),
        () => notAvailable(m),
        () => undefinedOpcode(m),
      ),
  },
};

const NONE: readonly Gate[] = [];
const LISTS = new Map<GateName, readonly Gate[]>(
  (Object.keys(GATES) as GateName[]).map((name) => [name, [GATES[name]]]),
);

export const gatesOf = (name: GateName | undefined): readonly Gate[] =>
  name === undefined ? NONE : (LISTS.get(name) ?? NONE);
