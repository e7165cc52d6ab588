/** A hart from outside: its registers by name, power-on, interrupt inputs, its own timer. */
import type { Field } from '../../state/layout.ts';
import type { IsaCpu, StateAccess } from '../isa.ts';
import { csrs } from './csr.ts';
import { registerName } from './decode.ts';
import { AT, HART, Interrupt } from './state.ts';

type FieldName = keyof typeof AT;

/** Where a register is in the state: field and element. */
interface Location {
  readonly field: FieldName;
  readonly index: number;
  readonly wide: boolean;
}

const ABI = new Map(Array.from({ length: 32 }, (_, n) => [registerName(n), n]));
const CSR_NAMES = [...csrs.values()].map(({ name }) => name).filter((name) => name in AT);
const NAMES: readonly string[] = [
  'pc',
  ...Array.from({ length: 32 }, (_, n) => `x${n}`),
  ...Array.from({ length: 32 }, (_, n) => `f${n}`),
  'priv',
  ...CSR_NAMES,
];

function locate(name: string): Location | undefined {
  const numbered = /^([xf])(\d+)$/.exec(name);
  if (numbered && Number(numbered[2]) < 32)
    return { field: numbered[1] as 'x' | 'f', index: Number(numbered[2]), wide: true };
  const abi = ABI.get(name);
  if (abi !== undefined) return { field: 'x', index: abi, wide: true };
  if (!(name in AT)) return undefined;
  const field: Field = HART.fields[name as FieldName];
  return { field: name as FieldName, index: 0, wide: field.kind === 'scalar' && field.size === 8 };
}

export const riscvCpu: IsaCpu = {
  reset(state, index) {
    state.set64('hartid', BigInt(index));
    // Hardware updates A and D until software asks for faults, as QEMU's rv64 does.
    state.set64('menvcfg', 1n << 61n);
  },
  registerNames: () => NAMES,
  readRegister(state, name) {
    const found = locate(name);
    if (!found) return undefined;
    return found.wide ? state.get64(found.field, found.index) : BigInt(state.get32(found.field));
  },
  writeRegister(state, name, value) {
    const found = locate(name);
    if (!found) return false;
    if (found.field === 'x' && found.index === 0) return true;
    if (found.wide) state.set64(found.field, value, found.index);
    else state.set32(found.field, Number(value));
    return true;
  },
  /** The interrupt input that drives bit `input` of mip. */
  setLine(state, input, level) {
    const lines = state.get32('lines');
    const next = level ? lines | (1 << input) : lines & ~(1 << input);
    if (next === lines) return;
    state.set32('lines', next);
    if (level) state.set32('attention', 1);
  },
  /** Sstc: lets STIP follow the comparator. */
  compareTime(state, ticks) {
    if ((state.get64('menvcfg') >> 63n) & 1n) {
      const deadline = state.getNumber('stimecmp');
      riscvCpu.setLine(state, Interrupt.sti, ticks >= deadline);
      return deadline >= 2 ** 53 ? Infinity : deadline;
    }
    return Infinity;
  },
};

/** Makes an interrupt pending that software clears, by its bit of mip. */
export function raiseInterrupt(state: StateAccess, input: number): void {
  state.set64('mip', state.get64('mip') | (1n << BigInt(input)));
  state.set32('attention', 1);
}
