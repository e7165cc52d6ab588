/**
 * What a local APIC remembers.
 *
 * Spec: Intel SDM volume 3, "Local APIC State After Power-Up or Reset".
 */
import { array, f64, initially, layout, type StateOf, u1, u8, u32 } from '../../state/layout.ts';
import { LVT_MASKED } from './lvt.ts';

export const BASE_DEFAULT = 0xfee0_0000;

export const STATE = layout('apic', 1, {
  base: initially(f64, BASE_DEFAULT), // IA32_APIC_BASE without its flags
  enabled: initially(u1, 1), // its EN
  x2apic: u1, // its EXTD
  id: u32,
  tpr: u8,
  ldr: u8,
  dfr: initially(u8, 0xf),
  svr: initially(u32, 0xff),
  irr: array(u32, 8),
  isr: array(u32, 8),
  tmr: array(u32, 8),
  esr: u8,
  errors: u8, // shown in ESR by the next write to it
  icr: array(u32, 2),
  lvt: array(initially(u32, LVT_MASKED), 6),
  lint: array(u1, 2), // the wires
  extInt: u1, // an ExtINT message waits
  waitingForSipi: u1,
  initialCount: u32,
  divide: u8,
  countStart: f64,
  countDone: initially(u1, 1),
  rang: f64,
  tscDeadline: array(u32, 2),
  pvEoi: array(u32, 2), // MSR_KVM_PV_EOI_EN
  pvEoiOffered: u1, // the guest need not write EOI for what it serves
});

export type ApicState = StateOf<typeof STATE>;
