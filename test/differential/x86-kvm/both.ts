/** One case on the reference interpreter and on KVM: how it ends, and what differs. */
import type { Board } from '../../../src/accel/accelerator.ts';
import type { CpuState } from '../../../src/accel/cpu-state.ts';
import { KvmAccelerator } from '../../../src/accel/kvm/kvm.ts';
import { kvmCpuOffer } from '../../../src/accel/kvm/x86/cpuid.ts';
import { x86Interrupts } from '../../../src/accel/kvm/x86/interrupts.ts';
import { X86KvmArch } from '../../../src/accel/kvm/x86/x86-arch.ts';
import { ReferenceAccelerator } from '../../../src/accel/reference/reference-accelerator.ts';
import { openKvm } from '../../../src/host/node/kvm/kvm-device.ts';
import { cpuid } from '../../../src/isa/x86/cpuid/cpuid.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { HostCall } from '../../../src/isa/x86/msr.ts';
import { Eflags } from '../../../src/isa/x86/state.ts';
import { cpuidOptions, missingCr4, x86CpuModel } from '../../../src/machine/x86-cpu.ts';
import { type Difference, stateDifferences } from '../../kvm/x86-states.ts';
import { RAM } from '../x86-system/environment.ts';
import type { Case } from './cases.ts';
import { AT, enter, KERNEL_PAGE, place } from './place.ts';

const board = (): Board => ({
  mmioRead: () => undefined,
  mmioWrite: () => false,
  now: () => performance.now() * 1e6,
  portRead: (port, size) => ((port * 0x9e37) >>> 0) & (2 ** (8 * size) - 1),
  portWrite: () => {},
  acknowledge: () => -1,
  hostCall: (_, number) => (number === HostCall.readMsr || number === HostCall.writeMsr ? 1 : 0),
});

export type Verdict =
  /** Both came to the same. */
  | { readonly kind: 'same' }
  /** It does not end on the reference interpreter either. */
  | { readonly kind: 'endless' }
  /** This KVM cannot execute it. */
  | { readonly kind: 'cannot'; readonly why: string }
  | { readonly kind: 'different'; readonly lines: readonly string[]; readonly differences: readonly Difference[] };

/** Steps until the HLT behind the instruction; more is a mistake of the case. */
const STEPS = 24;
/** Milliseconds that KVM has for it. */
const TRIES = 40;
/** RF lasts until the next instruction; the reference clears it when it looks up. */
const FLAGS = ~BigInt(Eflags.rf);

export class Both {
  private readonly reference = ReferenceAccelerator.create({ isa, cpus: 1, ramBase: 0, ramSize: RAM, board: board() });
  /** The memory and the state that KVM runs on, and who derives what follows from that state. */
  private readonly ground = ReferenceAccelerator.create({ isa, cpus: 1, ramBase: 0, ramSize: RAM, board: board() });
  private readonly kvm: KvmAccelerator;
  private readonly prepare: (state: CpuState) => void;
  /** This KVM is a partial one: see known.ts. */
  readonly partial: boolean;
  private cannot: string | undefined;
  private readonly rams = new Map<string, Uint8Array>();

  constructor() {
    const { space, vcpus } = this.ground;
    const [{ state }] = vcpus;
    const port = openKvm();
    const cpu = x86CpuModel({ model: 'max', features: {} }, kvmCpuOffer(port));
    const options = cpuidOptions(cpu, 0, 1);
    this.prepare = (one) => {
      one.set64('cr4Missing', missingCr4(cpu.features));
      one.set32('physicalBits', cpu.physicalBits);
    };
    const arch = new X86KvmArch();
    this.kvm = new KvmAccelerator({
      kvm: port,
      space,
      states: [state],
      board: board(),
      arch,
      events: x86Interrupts(arch),
      identify: (_, leaf, subleaf) => cpuid(options, state, leaf, subleaf),
      refresh: () => vcpus[0].refresh(),
      translate: (_, address) => vcpus[0].translate(address),
      slow: () => {},
      emulate: (_, why) => {
        this.cannot = why;
        return { kind: 'debug' };
      },
    });
    this.partial = arch.doubtsShutdown;
  }

  private ram(mode: Case['mode'], user: boolean): Uint8Array {
    const key = `${mode} ${user}`;
    const known = this.rams.get(key) ?? place(mode, user);
    this.rams.set(key, known);
    return known;
  }

  private begin(c: Case, accelerator: ReferenceAccelerator): void {
    const [vcpu] = accelerator.vcpus;
    const { state } = vcpu;
    const { ram } = accelerator;
    ram.set(this.ram(c.mode, c.user));
    ram.set(c.code, AT.code);
    for (const [at, bytes] of c.memory) ram.set(bytes, at);
    state.reset();
    this.prepare(state);
    enter(state, ram, c.mode, c.user);
    // Fast system calls are on, and lead to where HLT is.
    state.set64('efer', state.get64('efer') | 1n);
    state.set64('star', (0x1bn << 48n) | (0x28n << 32n) | BigInt(AT.code + 0x180));
    state.set64('lstar', BigInt(KERNEL_PAGE + 0x1a0));
    state.set64('cstar', BigInt(AT.code + 0x1c0));
    state.set64('fmask', 0x600n);
    state.set64('sysenterCs', 0x28n);
    state.set64('sysenterEsp', BigInt(AT.innerStack));
    state.set64('sysenterEip', BigInt(AT.code + 0x1e0));
    for (const [n, value] of c.registers) state.set64('gpr', value, n);
    state.set32('eflags', Eflags.fixed | (c.flags & ~Eflags.arithmetic));
    state.set64('ccA', BigInt(c.flags & Eflags.arithmetic));
    vcpu.refresh();
  }

  run(c: Case): Verdict {
    this.begin(c, this.reference);
    this.begin(c, this.ground);
    const [right] = this.reference.vcpus;
    const [vcpu] = this.kvm.vcpus;
    let steps = 0;
    for (; !right.state.waiting && !right.state.stopped && steps < STEPS; steps++) right.step();
    if (steps === STEPS) return { kind: 'endless' };
    this.cannot = undefined;
    vcpu.refresh();
    let ended = 'budget';
    for (let n = 0; n < TRIES && ended === 'budget'; n++) ended = vcpu.run(1000, 1).kind;
    vcpu.sync();
    const { cannot } = this;
    const shutDown = right.state.get32('shutdown') !== 0;
    if (cannot === 'shutdown' && shutDown) return { kind: 'same' };
    if (cannot !== undefined) return { kind: 'cannot', why: cannot };
    if (ended === 'budget') return { kind: 'cannot', why: 'it does not come to an end' };
    if (ended !== 'halt' || shutDown)
      return shutDown && ended === 'stopped'
        ? { kind: 'same' }
        : {
            kind: 'different',
            lines: [`KVM: ${ended}, reference: ${shutDown ? 'shutdown' : 'halt'}`],
            differences: [],
          };
    return this.compare(right.state, vcpu.state);
  }

  private compare(right: CpuState, ours: CpuState): Verdict {
    const differences = stateDifferences(right, ours).filter(
      ({ field, wanted, found }) =>
        !(field === 'eflags' && (wanted & FLAGS) === (found & FLAGS)) &&
        !(field.startsWith('pdpte') && !usesPdptes(right)) &&
        field !== 'tscOffset',
    );
    const lines = differences.map(
      ({ field, wanted, found }) => `${field}: reference 0x${wanted.toString(16)}, KVM 0x${found.toString(16)}`,
    );
    const [a, b] = [this.reference.ram, this.kvm.ram];
    if (Buffer.compare(a, b) !== 0) {
      for (let at = 0, n = 0; at < a.length && n < 6; at++)
        if (a[at] !== b[at]) {
          lines.push(`RAM 0x${at.toString(16)}: reference 0x${a[at].toString(16)}, KVM 0x${b[at].toString(16)}`);
          n++;
        }
    }
    return lines.length === 0 ? { kind: 'same' } : { kind: 'different', lines, differences };
  }

  close(): void {
    this.kvm.close();
  }
}

const usesPdptes = (state: CpuState): boolean =>
  (state.get64('cr0') & 0x8000_0000n) !== 0n &&
  (state.get64('cr4') & 0x20n) !== 0n &&
  (state.get64('efer') & 0x400n) === 0n;
