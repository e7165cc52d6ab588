/** A virtual machine of one page of real-mode code and some RAM, on the port alone: no registers of ours. */
import { ExitReason, EXIT_NAMES, request, Run } from '../../src/accel/kvm/abi.ts';
import { KvmError, type KvmPort, type KvmVcpuPort, type KvmVmPort } from '../../src/accel/kvm/port.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';

/** Why tests that need KVM are skipped; false where they are not. */
export const skip: string | false = probe();

function probe(): string | false {
  try {
    const kvm = openKvm();
    kvm.createVm().close();
    kvm.close();
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return `needs KVM: ${error.message}`;
  }
  return process.arch === 'x64' ? false : 'the guests are x86 code';
}

const GET_SREGS = request.ior(0x83, 312);
const SET_SREGS = request.iow(0x84, 312);
const GET_REGS = request.ior(0x81, 144);
const SET_REGS = request.iow(0x82, 144);
const CS_BASE = 0;
const CS_SELECTOR = 12;
/** In struct kvm_regs. */
const REGS = { rax: 0, rcx: 16, rdx: 24, rsi: 32, rdi: 40, rsp: 48, rip: 128, rflags: 136 } as const;
export const CODE = 0x1000;
const RAM = 0x10000;
/** No test waits longer, ms. */
const LIMIT = 2000;

export class RealMode {
  readonly kvm: KvmPort = openKvm();
  readonly vm: KvmVmPort;
  readonly vcpu: KvmVcpuPort;
  readonly ram: Uint8Array;

  constructor(code: readonly number[], registers: Partial<Record<keyof typeof REGS, number>> = {}) {
    this.vm = this.kvm.createVm();
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
    this.ram = new Uint8Array(memory.buffer).subarray(0x10000, 0x10000 + RAM);
    this.ram.set(code, CODE);
    this.vm.setMemory(0, 0, 0, this.ram);
    this.vcpu = this.vm.createVcpu(0);
    const sregs = new Uint8Array(312);
    this.vcpu.ioctl(GET_SREGS, sregs);
    const view = new DataView(sregs.buffer);
    view.setBigUint64(CS_BASE, 0n, true);
    view.setUint16(CS_SELECTOR, 0, true);
    this.vcpu.ioctl(SET_SREGS, sregs);
    const regs = new DataView(new ArrayBuffer(144));
    for (const [name, value] of Object.entries({ rip: CODE, rflags: 2, rsp: 0x8000, ...registers }))
      regs.setBigUint64(REGS[name as keyof typeof REGS], BigInt(value), true);
    this.vcpu.ioctl(SET_REGS, new Uint8Array(regs.buffer));
  }

  get(register: keyof typeof REGS): bigint {
    const regs = new Uint8Array(144);
    this.vcpu.ioctl(GET_REGS, regs);
    return new DataView(regs.buffer).getBigUint64(REGS[register], true);
  }

  /** Runs to the next exit; its name. One that does not come in time is `intr`. */
  exit(limit = LIMIT): string {
    const { run } = this.vcpu;
    this.vcpu.alarm(limit);
    const errno = this.vcpu.enter();
    this.vcpu.alarm(Infinity);
    if (errno !== 0 && run.getUint32(Run.exitReason, true) !== ExitReason.intr) return `errno ${errno}`;
    return EXIT_NAMES[run.getUint32(Run.exitReason, true)];
  }

  close(): void {
    this.vcpu.close();
    this.vm.close();
    this.kvm.close();
  }
}
