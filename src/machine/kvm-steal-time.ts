/**
 * Steal time: how long the host had no processor for one of the guest's that
 * wanted to run, which the guest's scheduler and its `top` take into account.
 *
 * Spec: Linux documentation, "KVM-specific MSRs", MSR_KVM_STEAL_TIME.
 *
 * What the host says is how long a thread waited for a processor: the vCPU's
 * own, or the machine's where all vCPUs take turns in it. So it is the same
 * under every accelerator, and goes on where another one takes over.
 */
import type { Dma } from '../hw/device.ts';

const ENABLED = 1n;
const RESERVED = 0x3en;
const BYTES = 64;
const AT = { steal: 0, version: 8, preempted: 16 } as const;
/** The page is brought up to date this often at most, ns: looking takes a system call, and guests count in ticks. */
const RENEW_NS = 20e6;

/** What the host knows: nanoseconds that the thread has waited so far, and whose thread it is. */
export interface WaitedTime {
  /** The host's number of the thread that runs a vCPU; undefined: this one, with others. */
  thread(cpu: number): number | undefined;
  waited(thread: number | undefined): number | undefined;
  /** Whether the vCPU wants to run. */
  wants(cpu: number): boolean;
}

interface Cpu {
  /** As last written. */
  value: bigint;
  steal: number;
  /** Of which thread `last` is, and when it was looked up. */
  thread: number | undefined;
  last: number | undefined;
  at: number;
}

export class KvmStealTime {
  private readonly dma: Dma;
  private readonly host: WaitedTime;
  private readonly cpus: Cpu[];
  /** Whether any processor wants it. */
  private used = false;
  /** The processor that ran last in this thread. */
  private ran = -1;

  constructor(dma: Dma, host: WaitedTime, cpus: number) {
    this.dma = dma;
    this.host = host;
    this.cpus = Array.from({ length: cpus }, fresh);
  }

  reset(): void {
    this.used = false;
    this.ran = -1;
    for (const cpu of this.cpus) Object.assign(cpu, fresh());
  }

  value(cpu: number): bigint {
    return this.cpus[cpu].value;
  }

  /** False: not a value that it takes. */
  set(cpu: number, value: bigint): boolean {
    if (value & RESERVED) return false;
    const one = this.cpus[cpu];
    one.value = value;
    one.last = undefined;
    one.at = -Infinity;
    this.used = this.cpus.some((each) => each.value & ENABLED);
    return true;
  }

  /** The vCPU is going to run. `now`: nanoseconds. */
  entering(cpu: number, now: number): void {
    if (!this.used) return;
    const { ran } = this;
    if (ran !== cpu) {
      // Who takes turns with others does not run now: nobody should spin waiting for it.
      if (ran >= 0 && this.host.thread(ran) === undefined && this.host.wants(ran)) this.preempted(ran, 1);
      this.preempted(cpu, 0);
      this.ran = cpu;
    }
    const one = this.cpus[cpu];
    if (one.value & ENABLED && now - one.at >= RENEW_NS) this.renew(cpu, now);
  }

  private renew(cpu: number, now: number): void {
    const one = this.cpus[cpu];
    const { host } = this;
    const thread = host.thread(cpu);
    const waited = host.waited(thread);
    one.at = now;
    const { last } = one;
    const same = thread === one.thread;
    one.thread = thread;
    one.last = waited;
    if (!same || waited === undefined || last === undefined || waited <= last) return;
    one.steal += waited - last;
    const view = this.page(cpu);
    if (!view) return;
    const version = (view.getUint32(AT.version, true) | 1) + 1;
    view.setUint32(AT.version, version - 1, true);
    view.setBigUint64(AT.steal, BigInt(Math.floor(one.steal)), true);
    view.setUint32(AT.version, version, true);
  }

  private preempted(cpu: number, value: number): void {
    if (!(this.cpus[cpu].value & ENABLED)) return;
    this.page(cpu)?.setUint8(AT.preempted, value);
  }

  private page(cpu: number): DataView | undefined {
    const bytes = this.dma.writable(Number(this.cpus[cpu].value & ~(ENABLED | RESERVED)), BYTES);
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

const fresh = (): Cpu => ({ value: 0n, steal: 0, thread: undefined, last: undefined, at: -Infinity });
