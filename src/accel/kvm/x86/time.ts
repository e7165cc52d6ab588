/**
 * The time-stamp counters of a VM's vCPUs: one that goes on from the emulated
 * one, and back.
 *
 * Spec: Linux documentation, "Generic vcpu interface", KVM_VCPU_TSC_CTRL; "The
 * Definitive KVM API Documentation", KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ.
 *
 * The emulated counter is the machine's clock times a rate, and what software
 * added (IA32_TSC_ADJUST), and a skew. KVM's is the host's counter and an
 * offset. The two clocks do not tick alike to the last part in a million; what
 * they come apart is put into the skew when a machine leaves KVM, so that no
 * counter ever goes back. All processors get the same, or they would see each
 * other in the past.
 */
import { rateOf, timeStamp } from '../../../isa/x86/time-stamp.ts';
import { Kvm } from '../abi.ts';
import type { TimedVcpu } from '../arch.ts';
import type { KvmVcpuPort } from '../port.ts';
import { DeviceAttr, KvmX86, Msr, TSC_CTRL_GROUP, TSC_CTRL_OFFSET } from './abi-x86.ts';
import { readTsc, writeMsr } from './vcpu-registers.ts';

const M64 = (1n << 64n) - 1n;

/** Bytes long enough to have a place of their own in memory. */
const cell = new BigUint64Array(16);
const cellBytes = new Uint8Array(cell.buffer);

function offsetRequest(vcpu: KvmVcpuPort, request: number): void {
  const attribute = new DataView(new ArrayBuffer(DeviceAttr.size));
  attribute.setUint32(DeviceAttr.group, TSC_CTRL_GROUP, true);
  attribute.setBigUint64(DeviceAttr.attr, BigInt(TSC_CTRL_OFFSET), true);
  vcpu.ioctl(request, new Uint8Array(attribute.buffer), [{ at: DeviceAttr.addr, bytes: cellBytes }]);
}
function getOffset(vcpu: KvmVcpuPort): bigint {
  offsetRequest(vcpu, Kvm.getDeviceAttr);
  return cell[0];
}
function setOffset(vcpu: KvmVcpuPort, value: bigint): void {
  cell[0] = value & M64;
  offsetRequest(vcpu, KvmX86.setDeviceAttr);
}

/** Counters that are further apart than this, in nanoseconds, were not set. */
const APART = 20e6;

/**
 * Lets KVM's counters go on where the machine's are. `now`: nanoseconds of the machine's clock. False where KVM's are
 * the host's and nothing else (kvm_pvm): then the machine's jump to them, once, and stay beside them.
 */
export function loadTime(vcpus: readonly TimedVcpu[], now: () => number, offsets: boolean): boolean {
  if (vcpus.length === 0) return true;
  const [first] = vcpus;
  if (offsets) {
    const host = (readTsc(first.vcpu) - getOffset(first.vcpu)) & M64;
    // Looked at later, so that what the guest reads is never behind what it has read.
    const at = now();
    for (const { vcpu, state } of vcpus) setOffset(vcpu, timeStamp(state, at) - host);
  } else {
    // KVM takes counters that are written within a second of each other as meant to be equal.
    const at = now();
    for (const { vcpu, state } of vcpus) writeMsr(vcpu, Msr.tsc, timeStamp(state, at));
  }
  const found = readTsc(first.vcpu);
  const gap = BigInt.asIntN(64, found - timeStamp(first.state, now()));
  if ((gap < 0n ? -gap : gap) <= BigInt(Math.round(rateOf(first.state) * APART))) return true;
  storeTime(vcpus, now);
  return false;
}

/** Lets the machine's counters go on where KVM's are. */
export function storeTime(vcpus: readonly TimedVcpu[], now: () => number): void {
  if (vcpus.length === 0) return;
  const [{ vcpu, state }] = vcpus;
  const at = now();
  const skew = (state.get64('tscSkew') + readTsc(vcpu) - timeStamp(state, at)) & M64;
  for (const one of vcpus) one.state.set64('tscSkew', skew);
}

/** Asks for a rate, in kHz; what it is then. */
export function setRate(vcpu: KvmVcpuPort, khz: number, control: boolean): number {
  const has = vcpu.ioctl(KvmX86.getTscKhz);
  if (has === khz || !control) return has;
  vcpu.ioctl(KvmX86.setTscKhz, khz);
  return vcpu.ioctl(KvmX86.getTscKhz);
}
