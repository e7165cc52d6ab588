/**
 * The local vector table.
 *
 * Spec: Intel SDM volume 3, "Local Vector Table".
 */

/** Its entries, in order of address. */
export const LVT = { TIMER: 0, THERMAL: 1, PERFORMANCE: 2, LINT0: 3, LINT1: 4, ERROR: 5 };
export const LVT_MASKED = 0x1_0000;
export const LVT_WRITABLE: readonly number[] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
/** Delivery status and remote IRR: a write may hold anything there. */
export const LVT_READ_ONLY = 0x5000;
