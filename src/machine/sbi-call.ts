/** What the extensions of the built-in SBI share: how a call looks, what it returns, what it may reach. */
import type { CpuState } from '../accel/cpu-state.ts';

/** Spec: RISC-V SBI 2.0, "Standard SBI Errors". */
export const SBI = {
  SUCCESS: 0n,
  FAILED: -1n,
  NOT_SUPPORTED: -2n,
  INVALID_PARAM: -3n,
  DENIED: -4n,
  INVALID_ADDRESS: -5n,
  ALREADY_AVAILABLE: -6n,
  ALREADY_STARTED: -7n,
  ALREADY_STOPPED: -8n,
} as const;

/** One ecall. */
export interface SbiCall {
  /** The hart that calls. */
  readonly hart: number;
  /** a6 */
  readonly fid: bigint;
  /** a0 to a5, unsigned. */
  readonly args: readonly bigint[];
}

/** a0 and a1 of the answer. */
export interface SbiAnswer {
  readonly error: bigint;
  readonly value: bigint;
}

export const answer = (error: bigint, value = 0n): SbiAnswer => ({ error, value });
export const ok = (value = 0n): SbiAnswer => ({ error: SBI.SUCCESS, value });
export const notSupported: SbiAnswer = { error: SBI.NOT_SUPPORTED, value: 0n };

export interface SbiExtension {
  /** Numbers of the extension: a7. */
  readonly ids: readonly bigint[];
  call(call: SbiCall): SbiAnswer;
}

/** What the SBI does to the machine. */
export interface SbiMachine {
  readonly harts: readonly CpuState[];
  /** Something of the hart has changed: it must be run and look around. */
  attend(hart: number): void;
  /** The timer's counter: ticks of 100 ns. */
  ticks(): number;
  /** Drops the hart's cached translations. */
  flushTranslations(hart: number): void;
  /** Guest-physical bytes, or undefined where they are not all RAM. */
  readable(address: number, length: number): Uint8Array | undefined;
  /** The same for writing. */
  writable(address: number, length: number): Uint8Array | undefined;
  readonly console: {
    write(bytes: Uint8Array): void;
    /** A byte that was typed, or -1. */
    read(): number;
  };
  poweroff(code: number): void;
  reset(): void;
}
