/**
 * SBI extensions that reach other harts: IPI, RFENCE, HSM.
 *
 * Spec: RISC-V SBI 2.0, "IPI Extension", "RFENCE Extension", "Hart State
 * Management Extension". Departures: every remote fence drops all translations
 * of its targets; no suspend type beyond the retentive default exists; the
 * hypervisor's fences are not supported.
 */
import type { CpuState } from '../accel/cpu-state.ts';
import { Interrupt, PRIV_S, REGIME_S } from '../isa/riscv/state.ts';
import { answer, notSupported, ok, SBI, type SbiExtension, type SbiMachine } from './sbi-call.ts';

const ALL = (1n << 64n) - 1n;
const SSIP = 1n << BigInt(Interrupt.ssi);

/**
 * The harts of a mask: bit n means hart `base` + n; a base of all ones means every hart. Undefined when one of them
 * does not exist.
 */
export function hartsOf(machine: SbiMachine, mask: bigint, base: bigint): readonly number[] | undefined {
  if (base === ALL) return machine.harts.flatMap((hart, n) => (hart.get32('stopped') ? [] : [n]));
  const found: number[] = [];
  for (let rest = mask, bit = 0n; rest !== 0n; rest >>= 1n, bit++) {
    if (!(rest & 1n)) continue;
    const hart = base + bit;
    if (hart >= BigInt(machine.harts.length)) return undefined;
    found.push(Number(hart));
  }
  return found;
}

export function sendIpi(machine: SbiMachine, targets: readonly number[]): void {
  for (const target of targets) {
    const hart = machine.harts[target];
    hart.set64('mip', hart.get64('mip') | SSIP);
    hart.set32('attention', 1);
    machine.attend(target);
  }
}

export function ipi(machine: SbiMachine): SbiExtension {
  return {
    ids: [0x73_5049n], // "sPI"
    call({ fid, args }) {
      if (fid !== 0n) return notSupported;
      const targets = hartsOf(machine, args[0], args[1]);
      if (!targets) return answer(SBI.INVALID_PARAM);
      sendIpi(machine, targets);
      return ok();
    },
  };
}

export function rfence(machine: SbiMachine): SbiExtension {
  return {
    ids: [0x5246_4e43n], // "RFNC"
    call({ fid, args }) {
      if (fid > 2n) return notSupported;
      const targets = hartsOf(machine, args[0], args[1]);
      if (!targets) return answer(SBI.INVALID_PARAM);
      // FENCE.I needs nothing: what was translated is dropped when it is written.
      if (fid > 0n) for (const target of targets) machine.flushTranslations(target);
      return ok();
    },
  };
}

/** A hart as the built-in SBI starts it: in S-mode without translation, everything delegated. */
export function startHart(hart: CpuState, pc: bigint, opaque: bigint): void {
  hart.reset();
  hart.set64('pc', pc);
  hart.set64('x', BigInt(hart.index), 10);
  hart.set64('x', opaque, 11);
  hart.set32('priv', PRIV_S);
  hart.set32('regime', REGIME_S);
  hart.set32('sbi', 1);
  hart.set64('medeleg', 0xb3ffn);
  hart.set64('mideleg', 0x222n);
  hart.set64('mcounteren', 7n);
  // As OpenSBI leaves it: Linux's vDSO reads the time in U-mode.
  hart.set64('scounteren', 7n);
  // STCE, PBMTE, ADUE; CBZE, CBCFE, CBIE = 3.
  hart.set64('menvcfg', (7n << 61n) | 0xf0n);
  // One entry lets S and U reach everything.
  hart.set64('pmpcfg0', 0x1fn);
  hart.set64('pmpaddr', (1n << 54n) - 1n, 0);
  hart.set64('pmpLow', 0n, 0);
  hart.set64('pmpHigh', 1n << 57n, 0);
  hart.set32('pmpCount', 1);
  hart.set32('attention', 1);
}

const STATE = { STARTED: 0n, STOPPED: 1n, SUSPENDED: 4n };
const DEFAULT_RETENTIVE = 0n;

export function hsm(machine: SbiMachine): SbiExtension {
  const find = (id: bigint): CpuState | undefined =>
    id < machine.harts.length ? machine.harts[Number(id)] : undefined;
  return {
    ids: [0x48_534dn], // "HSM"
    call({ hart: caller, fid, args }) {
      switch (fid) {
        case 0n: {
          const hart = find(args[0]);
          if (!hart) return answer(SBI.INVALID_PARAM);
          if (!hart.get32('stopped')) return answer(SBI.ALREADY_AVAILABLE);
          if (args[1] >= 1n << 53n || !machine.readable(Number(args[1]), 2)) return answer(SBI.INVALID_ADDRESS);
          // Wires and the count of instructions outlive a stop.
          const kept = { lines: hart.get32('lines'), instret: hart.get64('instret') };
          machine.flushTranslations(hart.index);
          startHart(hart, args[1], args[2]);
          hart.set32('lines', kept.lines);
          hart.set64('instret', kept.instret);
          machine.attend(hart.index);
          return ok();
        }
        case 1n: {
          const hart = machine.harts[caller];
          hart.set32('stopped', 1);
          hart.set32('attention', 1);
          machine.attend(caller);
          return ok();
        }
        case 2n: {
          const hart = find(args[0]);
          if (!hart) return answer(SBI.INVALID_PARAM);
          if (hart.get32('stopped')) return ok(STATE.STOPPED);
          return ok(hart.get32('waiting') ? STATE.SUSPENDED : STATE.STARTED);
        }
        case 3n:
          if (args[0] !== DEFAULT_RETENTIVE) return args[0] === 0x8000_0000n ? notSupported : answer(SBI.INVALID_PARAM);
          machine.harts[caller].set32('waiting', 1);
          machine.harts[caller].set32('attention', 1);
          return ok();
        default:
          return notSupported;
      }
    },
  };
}
