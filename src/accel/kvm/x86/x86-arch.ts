/**
 * x86 on KVM: what is fixed for a VM and a vCPU, and all registers back and
 * forth.
 *
 * Spec: "The Definitive KVM API Documentation".
 */
import type { CpuState } from '../../cpu-state.ts';
import { Cap } from '../abi.ts';
import type { KvmArch, KvmArchOptions, TimedVcpu } from '../arch.ts';
import { KvmError, type KvmVcpuPort, type KvmVmPort } from '../port.ts';
import { CapX86, KvmX86, Msr, SyncRegsBit } from './abi-x86.ts';
import {
  cpuidChanges,
  cpuidEntries,
  encodeCpuid,
  pkruPlace,
  shownCpuid,
  supportedCpuid,
  xsaveComponents,
} from './cpuid.ts';
import { cannotHold, type KvmLimits, limitsOf, NO_LIMITS } from './limits.ts';
import { enableCap, filterMsrs } from './msr-filter.ts';
import { KVM_SERVES } from './msrs.ts';
import { finishSystemCall } from './system-calls.ts';
import { loadTime, setRate, storeTime } from './time.ts';
import { type RegisterCapabilities, VcpuRegisters } from './vcpu-registers.ts';

/** Three pages that Intel's processors need for real mode, and one for a page table: below the firmware, where no RAM is. */
const IDENTITY_MAP = 0xfeff_c000;
const TSS = 0xfeff_d000;

export interface X86KvmOptions extends KvmArchOptions {
  /** Registers may go through kvm_run (the default). Off where they are looked at without an entry between. */
  readonly sync?: boolean;
}

export class X86KvmArch implements KvmArch {
  private options: X86KvmOptions | undefined;
  private capabilities: RegisterCapabilities = { sregs2: false, payload: false, sync: 0, xcrs: false };
  private pkru: number | undefined;
  private tscControl = false;
  private tscOffsets = false;
  private readonly registers = new Map<KvmVcpuPort, VcpuRegisters>();
  /** What KVM shows other than it was told; of the first vCPU, they are all alike. */
  changes: readonly string[] = [];
  /** What this KVM cannot hold. */
  limits: KvmLimits = NO_LIMITS;
  /** All model-specific registers but the state's leave to the machine. */
  filtered = false;

  setUpVm(vm: KvmVmPort, options: X86KvmOptions): void {
    this.options = options;
    const has = (capability: number): boolean => vm.checkExtension(capability) > 0;
    for (const [name, capability] of Object.entries(NEEDED))
      if (!has(capability))
        throw new KvmError('kvm-version', `KVM here lacks ${name}`, 'use a current kernel, or -accel jit');
    vm.ioctl(KvmX86.setIdentityMapAddr, new Uint8Array(new BigUint64Array([BigInt(IDENTITY_MAP)]).buffer));
    vm.ioctl(KvmX86.setTssAddr, TSS);
    if (has(CapX86.exceptionPayload)) enableCap(vm, CapX86.exceptionPayload, 1);
    // Else user code gets #UD where KVM cannot emulate an instruction, and nobody hears of it.
    if (has(CapX86.exitOnEmulationFailure)) enableCap(vm, CapX86.exitOnEmulationFailure, 1);
    const sync = options.sync === false ? 0 : vm.checkExtension(Cap.syncRegs);
    this.capabilities = {
      sregs2: has(CapX86.sregs2),
      payload: has(CapX86.exceptionPayload),
      sync: sync & (SyncRegsBit.regs | SyncRegsBit.sregs | SyncRegsBit.events),
      xcrs: has(CapX86.xcrs),
    };
    this.pkru = pkruPlace(supportedCpuid(options.kvm));
    this.limits = limitsOf(options.kvm);
    this.tscControl = has(CapX86.tscControl);
    this.tscOffsets = has(CapX86.vcpuAttributes);
    this.filtered = filterMsrs(vm, options.irqchip ? [...KVM_SERVES, Msr.apicBase, Msr.tscDeadline] : KVM_SERVES);
  }

  setUpVcpu(vcpu: KvmVcpuPort, state: CpuState): void {
    const { options } = this;
    if (!options) throw new Error('setUpVm comes first');
    const { identify, counterHz } = options;
    if (identify) {
      const entries = cpuidEntries((leaf, subleaf) => identify(state.index, leaf, subleaf));
      vcpu.ioctl(KvmX86.setCpuid2, encodeCpuid(entries));
      this.changes = cpuidChanges(entries, shownCpuid(vcpu));
    }
    if (counterHz !== undefined)
      this.checkRate(setRate(vcpu, Math.round(counterHz / 1000), this.tscControl), counterHz);
    const components = xsaveComponents(shownCpuid(vcpu));
    this.registers.set(vcpu, new VcpuRegisters(vcpu, this.capabilities, { components, pkru: this.pkru }));
  }

  private checkRate(khz: number, hz: number): void {
    // KVM itself takes rates as equal within 250 parts in a million.
    if (Math.abs(khz * 1000 - hz) <= hz * 250e-6) return;
    throw new KvmError(
      'kvm-host',
      `KVM's time-stamp counter runs at ${khz} kHz, the machine's at ${hz / 1000} kHz`,
      'start the machine on this host, for KVM; or use -accel jit',
    );
  }

  setLocalController(vcpu: KvmVcpuPort, state: CpuState, base: bigint, priority: number): void {
    this.of(vcpu).setLocal(state, base, priority);
  }

  load(vcpu: KvmVcpuPort, state: CpuState): void {
    this.of(vcpu).load(state);
  }
  store(vcpu: KvmVcpuPort, state: CpuState): void {
    this.of(vcpu).store(state);
    if (this.halfSystemCalls) finishSystemCall(state);
  }
  forget(vcpu: KvmVcpuPort): void {
    this.of(vcpu).forget();
  }
  loadTime(vcpus: readonly TimedVcpu[], now: () => number): boolean {
    return loadTime(vcpus, now, this.tscOffsets);
  }
  storeTime(vcpus: readonly TimedVcpu[], now: () => number): void {
    storeTime(vcpus, now);
  }
  cannotRun(state: CpuState): string | undefined {
    return cannotHold(state, this.limits);
  }
  /** A KVM that cannot hold a state shuts the processor down when the guest gets there. */
  get doubtsShutdown(): boolean {
    return this.limits.paging || this.limits.virtual8086;
  }
  /** Without the processor's help there is no other way. (kvm_intel and kvm_amd have one where EPT or NPT is off.) */
  get shadowPaging(): boolean {
    return this.limits.paging;
  }
  /** SYSCALL of native user code needs help; registers come back through kvm_run for it. */
  get halfSystemCalls(): boolean {
    const needed = SyncRegsBit.regs | SyncRegsBit.sregs;
    return this.limits.paging && (this.capabilities.sync & needed) === needed;
  }
  release(vcpu: KvmVcpuPort): void {
    this.registers.delete(vcpu);
  }

  /** The model-specific registers that go back and forth, and those whose values KVM did not take. */
  msrs(vcpu: KvmVcpuPort): { readonly exchanged: readonly number[]; readonly refused: ReadonlySet<number> } {
    const registers = this.of(vcpu);
    return { exchanged: registers.msrIndices, refused: registers.refused };
  }

  private of(vcpu: KvmVcpuPort): VcpuRegisters {
    const registers = this.registers.get(vcpu);
    if (!registers) throw new Error('setUpVcpu comes first');
    return registers;
  }
}

const NEEDED = {
  KVM_CAP_EXT_CPUID: CapX86.extCpuid,
  KVM_CAP_VCPU_EVENTS: CapX86.vcpuEvents,
  KVM_CAP_DEBUGREGS: CapX86.debugregs,
  KVM_CAP_XSAVE: CapX86.xsave,
} as const;
