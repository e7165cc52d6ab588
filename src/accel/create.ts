/**
 * Builds a machine's accelerators by name: all on one space and one set of CPU
 * states, so that a running machine can be handed over. Only what is used is
 * loaded.
 */
import type { Isa } from '../isa/isa.ts';
import type { AcceleratorOptions, SpaceAccelerator, StateVcpu } from './accelerator.ts';
import type { CpuState } from './cpu-state.ts';
import type { Ground } from './jit/ground.ts';
import type { KvmArch, KvmArchOptions, KvmEvents, KvmIrqchip } from './kvm/arch.ts';
import { KvmError, type KvmPort } from './kvm/port.ts';
import { type AcceleratorName, type Fallback, SwitchingAccelerator } from './switching.ts';

/** The accelerator that is asked for alone. The instruction set comes from `loadIsa`. */
export async function createAccelerator(
  kind: 'reference' | 'jit',
  options: AcceleratorOptions,
): Promise<SpaceAccelerator> {
  if (kind === 'reference') {
    const { ReferenceAccelerator } = await import('./reference/reference-accelerator.ts');
    return ReferenceAccelerator.create(options);
  }
  const { JitAccelerator } = await import('./jit/jit.ts');
  return new JitAccelerator(options);
}

export interface SwitchingOptions extends AcceleratorOptions {
  /** Tried in order. */
  readonly names: readonly AcceleratorName[];
  /** Opens /dev/kvm; throws KvmError. Undefined: this host knows no KVM. */
  readonly kvm?: (() => KvmPort) | undefined;
  readonly stay?: boolean | undefined;
  /** Under KVM: vCPUs have threads of their own. */
  readonly threaded?: boolean | undefined;
  /** Under KVM: interrupt controllers in the kernel. */
  readonly irqchip?: KvmIrqchip | undefined;
  /** Why KVM cannot run this machine, whatever the host has; undefined: it can. */
  readonly noKvm?: string | undefined;
  readonly counterHz?: KvmArchOptions['counterHz'];
  /** As `KvmArchOptions` has it, with the state of the CPU. */
  identify?(state: CpuState, leaf: number, subleaf: number): readonly [number, number, number, number];
  /** Says why a name was passed over. */
  refused(name: AcceleratorName, error: Error): void;
  onMoved?(message: string): void;
}

/** All of a machine's accelerators behind one face. Throws ConfigError, KvmError. */
export async function createSwitching(options: SwitchingOptions): Promise<SwitchingAccelerator> {
  const { jitGround } = await import('./jit/ground.ts');
  const ground = jitGround(options);
  const switching: { made?: SwitchingAccelerator } = {};
  const onWritten = (address: number, length: number) => switching.made?.written(address, length);
  const reference = once(async () => {
    const { ReferenceAccelerator } = await import('./reference/reference-accelerator.ts');
    return new ReferenceAccelerator({ ...ground, board: options.board, onWritten });
  });
  const made = await SwitchingAccelerator.create(
    {
      ...ground,
      board: options.board,
      stay: options.stay,
      onMoved: options.onMoved,
      async open(name, fallback) {
        if (name === 'reference') return reference();
        if (name === 'kvm')
          return openKvm(options, ground, await reference(), fallback, (rate) => switching.made?.slow(rate));
        const { JitAccelerator } = await import('./jit/jit.ts');
        return new JitAccelerator({ ...options, ground });
      },
    },
    options.names,
    options.refused,
  );
  switching.made = made;
  return made;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

async function openKvm(
  options: SwitchingOptions,
  ground: Ground,
  reference: { readonly vcpus: readonly StateVcpu[] },
  fallback: Fallback,
  slow: (rate: number) => void,
): Promise<SpaceAccelerator> {
  if (options.noKvm !== undefined) throw new KvmError('kvm-machine', options.noKvm, 'use -accel jit');
  if (!options.kvm) throw new KvmError('kvm-host', 'this host has no way to KVM', 'use -accel jit');
  const { counterHz, identify } = options;
  const { arch, events } = await loadKvmArch(options.isa, options.irqchip);
  const { KvmAccelerator } = await import('./kvm/kvm.ts');
  const kvm = options.kvm();
  try {
    return new KvmAccelerator({
      kvm,
      ...ground,
      board: options.board,
      arch,
      events,
      counterHz,
      identify: identify && ((cpu, leaf, subleaf) => identify(ground.states[cpu], leaf, subleaf)),
      refresh: (state) => reference.vcpus[state.index].refresh(),
      translate: (state, virtual) => reference.vcpus[state.index].translate(virtual),
      emulate: fallback,
      threaded: options.threaded,
      irqchip: options.irqchip,
      slow,
    });
  } catch (error) {
    kvm.close();
    throw error;
  }
}

async function loadKvmArch(
  isa: Isa,
  irqchip: KvmIrqchip | undefined,
): Promise<{ readonly arch: KvmArch; readonly events: KvmEvents }> {
  if (isa.name !== 'x86_64')
    throw new KvmError('kvm-machine', `there is no KVM for ${isa.name} guests here yet`, 'use -accel jit');
  const [{ X86KvmArch }, { x86Interrupts }] = await Promise.all([
    import('./kvm/x86/x86-arch.ts'),
    import('./kvm/x86/interrupts.ts'),
  ]);
  const arch = new X86KvmArch();
  return { arch, events: x86Interrupts(arch, irqchip) };
}
