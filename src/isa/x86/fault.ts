/**
 * Faults as IR functions and rows pass them on: one i32, never 0, that holds
 * vector and error code. Accelerators hand it from whoever finds it to `trap`.
 *
 * Spec: SDM volume 3, "Error Code", "Page-Fault Exception (#PF)".
 */
import { type I32, i32, or32, shl32, type Value } from '../../ir/value.ts';

const HAS_ERROR = 0x100;
/** Makes a fault of #DE without error code differ from 0. */
const IS_FAULT = 0x200;

/** What `raise` must know to tell a general protection fault of an address that is none from a stack fault. */
export const FaultFlag = {
  /** Of an address that is not canonical. */
  nonCanonical: 0x400,
  /** The access was to the stack. */
  stack: 0x800,
} as const;

/** The number of a fault; `error` of 16 bits where the vector has one. */
export const faultNumber = (vector: number, error?: number): number =>
  IS_FAULT | vector | (error === undefined ? 0 : HAS_ERROR | (error << 16));
export const fault = (vector: number, error?: number): Value => i32(faultNumber(vector, error));
/** With an error code known when the guest runs; its upper 16 bits are ignored. */
export const faultWith = (vector: number, error: I32): Value => or32(i32(faultNumber(vector, 0)), shl32(error, 16));

export const vectorOf = (fault: number): number => fault & 0xff;
export const errorOf = (fault: number): number | undefined => (fault & HAS_ERROR ? fault >>> 16 : undefined);
