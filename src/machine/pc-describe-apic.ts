/** `info lapic` and `info irq`, in the lines of QEMU 7.2's monitor. Departure: all processors, not the monitor's own. */
import { LocalApic } from '../devices/apic/local-apic.ts';
import { LVT } from '../devices/apic/lvt.ts';
import type { MachineBoard } from './board.ts';
import type { PcChipset } from './pc-chipset.ts';

const hex = (value: number, digits: number): string => (value >>> 0).toString(16).padStart(digits, '0');

const MODES = ['Fixed', 'Lowest', 'SMI', '...', 'NMI', 'INIT', '...', 'ExtINT'];
const TIMER_MODES = ['one-shot', 'periodic', 'tsc-deadline', '...'];
const SHORTHANDS = ['no-shorthand', 'self', 'all-self', 'all'];
const DIVIDERS = [2, 4, 8, 16, 32, 64, 128, 1];

function entry(name: string, value: number, timer = false): string {
  const kind = timer ? TIMER_MODES[(value >>> 17) & 3] : '';
  const words = [
    `active-${value & 0x2000 ? 'lo' : 'hi'}`,
    value & 0x8000 ? 'level' : 'edge ',
    value & 0x1_0000 ? 'masked' : '      ',
    value & 0x1000 ? 'pending' : '       ',
    kind.padEnd(12),
    MODES[(value >>> 8) & 7].padEnd(6),
  ];
  const vector = ((value >>> 8) & 7) === 0 ? ` (vec ${value & 0xff})` : '';
  return `${name}\t 0x${hex(value, 8)} ${words.join(' ')}${vector}`.trimEnd();
}

function vectors(name: string, words: readonly number[]): string {
  const set: number[] = [];
  words.forEach((word, n) => {
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) set.push(32 * n + bit);
  });
  return `${name}\t ${set.length > 0 ? set.join(' ') : '(none)'}`;
}

function describeLapic(apic: LocalApic, index: number): string {
  const { state, timer, ppr } = apic;
  const { lvt, svr, icr, divide } = state;
  const divider = DIVIDERS[(divide & 3) | ((divide >>> 1) & 4)];
  const low = icr[0];
  return [
    `dumping local APIC state for CPU ${index} `,
    '',
    entry('LVT0', lvt[LVT.LINT0]),
    entry('LVT1', lvt[LVT.LINT1]),
    entry('LVTPC', lvt[LVT.PERFORMANCE]),
    entry('LVTERR', lvt[LVT.ERROR]),
    entry('LVTTHMR', lvt[LVT.THERMAL]),
    entry('LVTT', lvt[LVT.TIMER], true),
    `Timer\t DCR=0x${hex(divide, 1)} (divide by ${divider}) initial_count = ${state.initialCount} current_count = ${timer.currentCount()}`,
    `SPIV\t 0x${hex(svr, 8)} APIC ${svr & 0x100 ? 'enabled' : 'disabled'}, focus=${svr & 0x200 ? 'on' : 'off'}, spurious vec ${svr & 0xff}`,
    `ICR\t 0x${hex(low, 8)} ${low & 0x800 ? 'logical' : 'physical'} ${low & 0x8000 ? 'level' : 'edge'} ${low & 0x4000 ? 'assert' : 'de-assert'} ${SHORTHANDS[(low >>> 18) & 3]}`,
    `ICR2\t 0x${hex(icr[1], 8)}${low & 0x800 ? '' : ` cpu ${icr[1] >>> 24} (APIC ID)`}`,
    `ESR\t 0x${hex(state.esr, 8)}`,
    vectors('ISR', state.isr),
    vectors('IRR', state.irr),
    '',
    `APR 0x00 TPR 0x${hex(state.tpr, 2)} DFR 0x${hex(state.dfr, 2)} LDR 0x${hex(state.ldr, 2)} PPR 0x${hex(ppr, 2)}`,
  ].join('\n');
}

export function describeLapics({ devices }: MachineBoard): string {
  const apics = devices.filter((device): device is LocalApic => device instanceof LocalApic);
  return apics.length === 0 ? 'there is no local APIC' : apics.map(describeLapic).join('\n\n');
}

const ISA_INTERRUPTS = 16;
/** How often each interrupt's wire rose. What is in the kernel and makes interrupts there is not counted. */
export function describeIrq(board: MachineBoard): string {
  const { chipset } = board as { chipset?: PcChipset };
  if (!chipset) return 'there is no interrupt controller of a PC';
  const counted = chipset.rises.flatMap((count, gsi) => (count > 0 ? [`${`${gsi}`.padStart(2)}: ${count}`] : []));
  const isa = counted.filter((line) => Number.parseInt(line, 10) < ISA_INTERRUPTS);
  const ioApic = chipset.ioApic ? ['IRQ statistics for ioapic:', ...counted] : [];
  return [...ioApic, ...(chipset.pic ? ['IRQ statistics for isa-i8259:', ...isa] : [])].join('\n');
}
