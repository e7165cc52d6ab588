/**
 * What the facts about a host mean: what will be used and why, what is lost
 * without the rest, and what mends it.
 */
import type { HostFacts } from '../host/node/host-facts.ts';
import type { KvmFacts } from '../host/node/kvm/kvm-facts.ts';

/** `limited`: works, but not as it could. `missing`: something is lost, and `lost` says what. */
export type Status = 'good' | 'limited' | 'missing';

export interface Check {
  readonly name: string;
  readonly status: Status;
  readonly what: string;
  readonly lost?: string;
  readonly mend?: string;
  /** More to know, a line each. */
  readonly details?: readonly string[];
}

export interface Diagnosis {
  readonly checks: readonly Check[];
  /** What `-accel auto` takes for guests of the host's architecture, and why. */
  readonly accelerator: { readonly name: 'kvm' | 'jit' | 'reference'; readonly why: string };
}

/** RAM of a machine with the largest memory there is, and room for the rest. */
const LARGEST_GUEST = 3 * 2 ** 30;
const OWN_NEEDS = 350 * 2 ** 20;
const gib = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.floor(bytes / 2 ** 20)} MiB`;

const isPartial = ({ processor }: KvmFacts): boolean =>
  processor !== undefined && (processor.paging || processor.virtual8086);
const isUsable = ({ kvm }: HostFacts): boolean => kvm.accessible && kvm.failure === undefined;
/** The module that does the work: kvm_intel, kvm_amd, kvm_pvm. */
export const flavourOf = ({ modules }: KvmFacts): string | undefined =>
  Object.keys(modules).find((name) => name !== 'kvm');

export function diagnose(facts: HostFacts): Diagnosis {
  const checks = [system(facts), node(facts), compiler(facts), functions(facts), kvm(facts)];
  if (isUsable(facts)) checks.push(kvmProcessor(facts), kvmInterrupts(facts));
  checks.push(memory(facts), network(facts));
  return { checks, accelerator: accelerator(facts) };
}

function accelerator(facts: HostFacts): Diagnosis['accelerator'] {
  if (!jitWorks(facts))
    return { name: 'reference', why: 'this Node lacks parts of WebAssembly that the JIT is made of; it is slow' };
  const { kvm: found, system: here } = facts;
  if (here.platform !== 'linux') return { name: 'jit', why: 'KVM is Linux’s' };
  if (here.arch !== 'x64') return { name: 'jit', why: 'KVM runs x86 guests on x86-64 hosts only, so far' };
  if (!found.exists) return { name: 'jit', why: 'there is no KVM here' };
  if (!found.accessible) return { name: 'jit', why: 'KVM is there, but may not be used' };
  if (found.failure) return { name: 'jit', why: found.failure.what };
  if (isPartial(found) || flavourOf(found) === 'kvm_pvm')
    return {
      name: 'jit',
      why: 'KVM works, but without the processor’s help: it emulates the guest’s kernel, slower than the JIT (-accel kvm:jit uses it all the same)',
    };
  return { name: 'kvm', why: 'KVM works, and runs guests on the processor itself' };
}

const jitWorks = ({ node: { webassembly } }: HostFacts): boolean => Object.values(webassembly).every(Boolean);

function system({ system: { platform, release, arch, processors, processor, hypervisor } }: HostFacts): Check {
  const machine = hypervisor ? ', a virtual machine' : '';
  const what = `${platform} ${release} on ${arch}, ${processors} × ${processor}${machine}`;
  if (processors === 1)
    return {
      name: 'system',
      status: 'limited',
      what,
      lost: 'the compiler has no processor of its own: guests stand still while their code is compiled',
    };
  return { name: 'system', status: 'good', what };
}

function node({ node: { version, v8, path } }: HostFacts): Check {
  const [major] = version.split('.').map(Number);
  const what = `Node ${version} (V8 ${v8.split('-')[0]})`;
  if (major < 24)
    return {
      name: 'node',
      status: 'missing',
      what,
      lost: 'everything',
      mend: 'install Node 24 or newer',
      details: [path],
    };
  return { name: 'node', status: 'good', what, details: [path] };
}

function compiler(facts: HostFacts): Check {
  const lacking = Object.entries(facts.node.webassembly).flatMap(([name, has]) => (has ? [] : [name]));
  if (lacking.length === 0) return { name: 'jit', status: 'good', what: 'WebAssembly has all that the compiler needs' };
  return {
    name: 'jit',
    status: 'missing',
    what: `WebAssembly here has no ${lacking.join(', ')}`,
    lost: 'the JIT: only the reference interpreter is left, hundreds of times slower',
    mend: 'use a current Node, without flags that switch parts of WebAssembly off',
  };
}

function functions({ node: { koffi, nodeFfi }, system: { platform } }: HostFacts): Check {
  const found = [...(koffi ? ['koffi'] : []), ...(nodeFfi ? ['node:ffi'] : [])];
  if (found.length > 0) return { name: 'ffi', status: 'good', what: `the kernel is called by ${found.join(' or ')}` };
  return {
    name: 'ffi',
    status: platform === 'linux' ? 'missing' : 'limited',
    what: 'there is no way to call the C library',
    lost: 'KVM and network interfaces of the host',
    mend: 'npm install koffi, or use Node 26 or newer',
  };
}

function kvm(facts: HostFacts): Check {
  const { kvm: found, system: here, node: with_ } = facts;
  const lost = 'guests of the host’s own architecture at the processor’s speed; the JIT runs them instead';
  const name = 'kvm';
  if (here.platform !== 'linux') return { name, status: 'missing', what: 'KVM is Linux’s', lost };
  if (!found.exists)
    return { name, status: 'missing', what: `there is no ${found.device}`, lost, mend: mendMissing(facts) };
  const owner = found.owner ? `${found.owner.mode}, group ${found.owner.group}` : '';
  if (!found.accessible)
    return {
      name,
      status: 'missing',
      what: `${found.device} may not be opened (${owner})`,
      lost,
      mend: mendPermission(found),
    };
  if (!with_.koffi && !with_.nodeFfi)
    return { name, status: 'missing', what: `${found.device} is there, but cannot be called`, lost, mend: 'see ffi' };
  if (found.failure) return { name, status: 'missing', what: found.failure.what, lost, mend: found.failure.mend };
  const flavour = flavourOf(found) ?? 'built into the kernel';
  const details = capabilityLines(found);
  if (!isPartial(found)) return { name, status: 'good', what: `KVM works (${flavour})`, details };
  const holes = [
    ...(found.processor?.paging ? ['no paging outside long mode'] : []),
    ...(found.processor?.virtual8086 ? ['no virtual-8086 mode'] : []),
  ];
  return {
    name,
    status: 'limited',
    what: `KVM works (${flavour}) without the processor’s virtualization`,
    lost: `speed: guests’ kernels run in an emulator of instructions; ${holes.join(', ')}: our interpreter steps in`,
    mend: 'use a host, or an outer virtual machine, with VT-x or AMD-V',
    details,
  };
}

function mendMissing({ system: { virtualization, hypervisor }, kvm: { modules } }: HostFacts): string {
  if (Object.keys(modules).length > 0) return 'in a container: give it the device (docker run --device /dev/kvm)';
  if (virtualization === 'vmx') return 'sudo modprobe kvm_intel; in a container: --device /dev/kvm';
  if (virtualization === 'svm') return 'sudo modprobe kvm_amd; in a container: --device /dev/kvm';
  if (hypervisor) return 'this is a virtual machine: switch nested virtualization on in what runs it';
  return 'switch virtualization (VT-x, AMD-V) on in the firmware';
}

function mendPermission({ owner }: KvmFacts): string {
  const groupMay = owner !== undefined && owner.mode.slice(3, 5) === 'rw' && owner.group !== 'root';
  if (groupMay) return `sudo usermod -aG ${owner.group} $USER, then log in again`;
  return 'sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm, then sudo usermod -aG kvm $USER, and log in again';
}

function capabilityLines({ capabilities: has, modules }: KvmFacts): string[] {
  const yes = (name: string) => (has[`KVM_CAP_${name}`] ?? 0) > 0;
  const nested = Object.values(modules).find((parameters) => 'nested' in parameters)?.['nested'];
  return [
    `processors of a machine: up to ${has['KVM_CAP_MAX_VCPUS']} (${has['KVM_CAP_NR_VCPUS']} advised), memory slots: ${has['KVM_CAP_NR_MEMSLOTS']}`,
    `registers through kvm_run: ${yes('SYNC_REGS') ? 'yes' : 'no'}, filter of model-specific registers: ${yes('X86_MSR_FILTER') ? 'yes' : 'no'}`,
    ...(nested === undefined ? [] : [`nested virtualization: ${nested}`]),
  ];
}

function kvmProcessor({ kvm: { processor } }: HostFacts): Check {
  const name = 'kvm-processor';
  if (!processor) return { name, status: 'missing', what: 'not asked on this architecture', lost: 'guests under KVM' };
  const { features, forced, beyond, physicalBits, tscKhz, tscControl } = processor;
  const rate = `time-stamp counter at ${(tscKhz / 1e6).toFixed(3)} GHz${tscControl ? ', or at any other rate' : ''}`;
  const what = `${features.length} features that we emulate too, ${physicalBits} address bits, ${rate}`;
  const details = [`features: ${features.join(' ')}`];
  if (forced.length === 0) return { name, status: 'good', what, details };
  const more = beyond.length > 0 ? `; ${beyond.join(', ')} we cannot execute outside KVM` : '';
  return {
    name,
    status: 'limited',
    what,
    lost: `-cpu cannot take features away: KVM shows ${forced.length} of the host’s whatever is asked${more}`,
    details: [...details, `shown always: ${[...forced, ...beyond].join(' ')}`],
  };
}

function kvmInterrupts({ kvm: { capabilities: has } }: HostFacts): Check {
  const name = 'kvm-devices';
  const parts: Readonly<Record<string, string>> = {
    IRQCHIP: 'interrupt controllers',
    SPLIT_IRQCHIP: 'split interrupt controllers',
    IRQFD: 'irqfd',
    IOEVENTFD: 'ioeventfd',
    READONLY_MEM: 'read-only memory',
  };
  const [there, lacking] = [true, false].map((want) =>
    Object.entries(parts).flatMap(([cap, text]) => ((has[`KVM_CAP_${cap}`] ?? 0) > 0 === want ? [text] : [])),
  );
  const what = `in the kernel: ${there.join(', ') || 'nothing'}`;
  if (lacking.length === 0) return { name, status: 'good', what };
  return {
    name,
    status: 'limited',
    what,
    lost: `speed of devices: no ${lacking.join(', ')}`,
    mend: 'use a current kernel',
  };
}

function memory({ memory: { total, available, limit } }: HostFacts): Check {
  const ceiling = Math.min(available, limit ?? Infinity);
  const guest = Math.max(0, Math.min(LARGEST_GUEST, ceiling - OWN_NEEDS));
  const what = `${gib(total)}, ${gib(available)} available${limit === undefined ? '' : `, limited to ${gib(limit)}`}`;
  if (guest >= LARGEST_GUEST) return { name: 'memory', status: 'good', what };
  return {
    name: 'memory',
    status: guest < 2 ** 29 ? 'missing' : 'limited',
    what,
    lost: `machines with more than ${gib(guest)} of RAM (-m; ${gib(LARGEST_GUEST)} is the most there is)`,
    mend: 'free some, or raise the control group’s limit',
  };
}

function network({ tun: { exists, accessible, netAdmin }, system: { platform } }: HostFacts): Check {
  const name = 'network';
  const lost = 'bridged networks (tap)';
  if (platform !== 'linux') return { name, status: 'missing', what: 'tun and tap are Linux’s', lost };
  if (!exists) return { name, status: 'missing', what: 'there is no /dev/net/tun', lost, mend: 'sudo modprobe tun' };
  if (!accessible)
    return {
      name,
      status: 'missing',
      what: '/dev/net/tun may not be opened',
      lost,
      mend: 'sudo chmod 666 /dev/net/tun',
    };
  if (!netAdmin)
    return {
      name,
      status: 'limited',
      what: '/dev/net/tun can be opened',
      lost: 'making interfaces: only those that root made for this user can be used',
      mend: 'sudo ip tuntap add dev tap0 mode tap user $USER',
    };
  return { name, status: 'good', what: 'tun and tap interfaces can be made' };
}
