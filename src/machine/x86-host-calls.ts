/**
 * What an x86 processor asks of its machine: CPUID, the model-specific
 * registers that are no fields of its state, the task priority, random numbers.
 *
 * Spec: SDM volume 4, "Architectural MSRs"; Linux documentation, "KVM-specific
 * MSRs".
 */
import type { Isa, StateAccess } from '../isa/isa.ts';
import { cpuid, type CpuidOptions, signature } from '../isa/x86/cpuid/cpuid.ts';
import { HostCall } from '../isa/x86/msr.ts';
import { isStackAccess } from '../isa/x86/stack-access.ts';
import type { LocalApic } from '../devices/apic/local-apic.ts';
import type { DeviceLog } from '../hw/device.ts';
import { KVM_MSR, type KvmClock } from './kvm-clock.ts';
import type { KvmStealTime } from './kvm-steal-time.ts';
import type { Hypercalls } from './x86-hypercalls.ts';
import type { X86EventLog } from './x86-event-log.ts';

const MSR = {
  apicBase: 0x1b,
  featureControl: 0x3a,
  microcode: 0x8b,
  smbase: 0x9e,
  mtrrCapability: 0xfe,
  miscFeatures: 0x140,
  mcgCapability: 0x179,
  mcgStatus: 0x17a,
  debugControl: 0x1d9,
  platformInfo: 0xce,
  tscDeadline: 0x6e0,
  x2apicFirst: 0x800,
  x2apicLast: 0x8ff,
} as const;

/** CPUID 1 EDX, and IA32_APIC_BASE. */
const APIC = 1 << 9;
const APIC_ENABLED = 0x800;
const X2APIC_ENABLED = 0x400;
/** Eight variable ranges, fixed ranges, write combining. */
const MTRR_CAPABILITY = 0x508n;
const LOCKED = 1n;
/** -KVM_ENOSYS. */
const NO_HYPERCALL = -1000n;

/** Registers that read as zero and take anything: processors have them, and guests look without asking. */
const IGNORED = new Set<number>([
  0x17, // IA32_PLATFORM_ID
  0x2a, // EBL_CR_POWERON
  0x34, // SMI_COUNT
  0x79, // IA32_BIOS_UPDT_TRIG
  MSR.microcode,
  MSR.miscFeatures,
  MSR.mcgCapability,
  MSR.mcgStatus,
  MSR.debugControl,
  MSR.platformInfo,
  0x1db,
  0x1dc,
  0x1dd,
  0x1de,
  0x198, // IA32_PERF_STATUS
  0x199,
  0x19a,
  0x19b,
  0x19c,
  0x1b1,
  0x1c9, // LBR
  0x606, // RAPL units
  0xc000_0104, // TSC ratio
  0xc001_0010, // SYSCFG
  0xc001_0015, // HWCR
  0xc001_0055,
  0xc001_0140,
  0xc001_0141,
  0xc001_1022, // DC_CFG
  0xc001_1023,
  0xc001_1029, // DE_CFG
]);

export interface X86HostCallsParts {
  readonly isa: Isa;
  readonly cpuid: CpuidOptions;
  readonly state: StateAccess;
  readonly apic: LocalApic | undefined;
  /** Before `apic` is looked at: it may be in the kernel. */
  reach?(): void;
  readonly kvmClock: KvmClock | undefined;
  readonly stealTime: KvmStealTime | undefined;
  /** Absent where the guest is not told of KVM. */
  readonly hypercalls: Hypercalls | undefined;
  /** Brings the state up to date, with what software added to the time-stamp counter. */
  sync?(): void;
  readonly index: number;
  readonly log: DeviceLog;
  /** System management mode: saves and restores the state, and shows what of memory belongs to the mode. */
  readonly smm: { enter(): void; leave(): boolean } | undefined;
  random(into: Uint8Array): void;
  readonly events: X86EventLog | undefined;
}

export class X86HostCalls {
  private readonly parts: X86HostCallsParts;
  private readonly bytes = new Uint8Array(8);

  constructor(parts: X86HostCallsParts) {
    this.parts = parts;
  }

  /** See `HostCall`. Everything is a value: 1 says that the guest gets a fault. */
  call(number: number, a: number, b: number): number {
    const { state, apic } = this.parts;
    switch (number) {
      case HostCall.readMsr: {
        const value = this.readMsr(a >>> 0);
        if (value === undefined) return 1;
        state.set64('result', value);
        return 0;
      }
      case HostCall.writeMsr:
        return this.writeMsr(a >>> 0, state.get64('result')) ? 0 : 1;
      case HostCall.cpuid: {
        if (a === 1) this.parts.reach?.();
        const [eax, ebx, ecx, edx] = cpuid(this.parts.cpuid, state, a >>> 0, b >>> 0);
        // A local APIC that is switched off is not there.
        const withoutApic = a === 1 && apic && !(apic.apicBase & APIC_ENABLED) ? ~APIC : -1;
        state.set64('result', pair(eax, ebx));
        state.set64('result2', pair(ecx, edx & withoutApic));
        return 0;
      }
      case HostCall.readCr8:
        this.parts.reach?.();
        return apic?.cr8 ?? 0;
      case HostCall.writeCr8:
        this.parts.reach?.();
        if (apic) apic.cr8 = a & 15;
        return 0;
      case HostCall.hypercallTarget:
        this.parts.hypercalls?.setTarget(a, b);
        return 0;
      case HostCall.hypercall:
        this.hypercall(a >>> 0, b !== 0);
        return 0;
      case HostCall.isStackAccess:
        return isStackAccess(this.parts.isa, state) ? 1 : 0;
      case HostCall.enterSmm:
        this.parts.smm?.enter();
        return 0;
      case HostCall.leaveSmm:
        return this.parts.smm?.leave() ? 0 : 1;
      case HostCall.random:
        this.parts.random(this.bytes);
        state.set64('result', new DataView(this.bytes.buffer).getBigUint64(0, true));
        return 0;
      case HostCall.logInterrupt:
        this.parts.events?.interrupt(a, b);
        return 0;
      case HostCall.logException:
        this.parts.events?.exception(a, b);
        return 0;
      default:
        return 1;
    }
  }

  private hypercall(number: number, long: boolean): void {
    const { hypercalls, state } = this.parts;
    if (hypercalls) this.parts.reach?.();
    const answer = hypercalls?.call(number, state.get64('result'), state.get64('result2'), long) ?? NO_HYPERCALL;
    state.set64('result', BigInt.asUintN(64, answer));
  }

  /** Where the guest is told of it. */
  private get pvEoi(): LocalApic['pvEoi'] | undefined {
    return this.parts.cpuid.paravirtual?.has('kvm-pv-eoi') ? this.parts.apic?.pvEoi : undefined;
  }

  private readMsr(msr: number): bigint | undefined {
    const { apic, kvmClock, stealTime, index, state } = this.parts;
    if (isLocalApics(msr)) this.parts.reach?.();
    if (msr >= MSR.x2apicFirst && msr <= MSR.x2apicLast) {
      const words = apic?.readMsr(msr);
      return words && pair(words[0], words[1]);
    }
    switch (msr) {
      case MSR.apicBase:
        return apic ? BigInt(apic.apicBase) : undefined;
      case MSR.tscDeadline:
        return apic && pair(apic.tscDeadline[0], apic.tscDeadline[1]);
      case MSR.featureControl:
        return LOCKED;
      case MSR.smbase:
        return state.get32('inSmm') ? state.get64('smbase') : undefined;
      case MSR.mtrrCapability:
        return MTRR_CAPABILITY;
      case KVM_MSR.systemTime:
        return kvmClock?.systemTime[index];
      case KVM_MSR.wallClock:
        return kvmClock?.wallClock;
      case KVM_MSR.stealTime:
        return stealTime?.value(index);
      case KVM_MSR.endOfInterrupt:
        return this.pvEoi && pair(this.pvEoi.value[0], this.pvEoi.value[1]);
    }
    if (IGNORED.has(msr) || isPerformance(msr)) return 0n;
    this.parts.log.unimplemented('cpu', `read of MSR 0x${msr.toString(16)}`);
    return undefined;
  }

  private writeMsr(msr: number, value: bigint): boolean {
    const { apic, kvmClock, stealTime, index } = this.parts;
    if (isLocalApics(msr)) this.parts.reach?.();
    const low = Number(value & 0xffff_ffffn);
    const high = Number(value >> 32n);
    if (msr >= MSR.x2apicFirst && msr <= MSR.x2apicLast) return apic?.writeMsr(msr, low, high) ?? false;
    switch (msr) {
      case MSR.apicBase:
        if (low & X2APIC_ENABLED && !this.parts.cpuid.features.has('x2apic')) return false;
        return apic?.setApicBase(Number(value)) ?? false;
      case MSR.tscDeadline:
        apic?.setTscDeadline(low, high);
        return apic !== undefined;
      case KVM_MSR.systemTime:
        this.parts.sync?.();
        kvmClock?.setSystemTime(index, value);
        return kvmClock !== undefined;
      case KVM_MSR.wallClock:
        kvmClock?.setWallClock(value);
        return kvmClock !== undefined;
      case KVM_MSR.stealTime:
        return stealTime?.set(index, value) ?? false;
      case KVM_MSR.endOfInterrupt:
        return this.pvEoi?.set(low, high) ?? false;
    }
    if (IGNORED.has(msr) || isPerformance(msr)) return true;
    this.parts.log.unimplemented('cpu', `write of MSR 0x${msr.toString(16)}`);
    return false;
  }
}

const isLocalApics = (msr: number): boolean =>
  (msr >= MSR.x2apicFirst && msr <= MSR.x2apicLast) || msr === MSR.apicBase || msr === MSR.tscDeadline;
const pair = (low: number, high: number): bigint => BigInt(low >>> 0) | (BigInt(high >>> 0) << 32n);
/** Performance counters: none is there, all read as zero. IA32_MCG_CAP tells of no machine-check banks. */
const isPerformance = (msr: number) =>
  (msr >= 0xc1 && msr < 0xc9) ||
  (msr >= 0x186 && msr < 0x18e) ||
  (msr >= 0x309 && msr < 0x30c) ||
  (msr >= 0x38d && msr < 0x391) ||
  (msr >= 0xc001_0000 && msr < 0xc001_0008);

/** Leaf 1 as SMBIOS shows it, and what a processor's EDX holds after reset. */
export function processorSignature(options: CpuidOptions, state: StateAccess): { eax: number; edx: number } {
  return { eax: signature(options.model), edx: cpuid(options, state, 1, 0)[3] };
}
