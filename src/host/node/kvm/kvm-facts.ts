/**
 * What KVM on this host is and has: for `trapframe doctor`. Asks, and changes
 * nothing.
 *
 * Spec: Linux documentation, "The Definitive KVM API Documentation".
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { arch } from 'node:process';
import path from 'node:path';
import { Cap } from '../../../accel/kvm/abi.ts';
import { KvmError, type KvmPort } from '../../../accel/kvm/port.ts';
import { CapX86 } from '../../../accel/kvm/x86/abi-x86.ts';
import { kvmCpuOffer } from '../../../accel/kvm/x86/cpuid.ts';
import { limitsOf } from '../../../accel/kvm/x86/limits.ts';
import { openKvm } from './kvm-device.ts';

export interface KvmFacts {
  readonly device: string;
  readonly exists: boolean;
  /** `crw-rw---- root kvm`: undefined where there is no device. */
  readonly owner: { readonly mode: string; readonly user: number; readonly group: string } | undefined;
  readonly accessible: boolean;
  /** Kernel modules that are loaded, e.g. kvm_intel; their parameters. */
  readonly modules: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Why it could not be opened or asked, though it is accessible. */
  readonly failure: { readonly what: string; readonly mend: string } | undefined;
  /** By the kernel's names; 0 where it is not there. */
  readonly capabilities: Readonly<Record<string, number>>;
  /** Of x86. */
  readonly processor: KvmProcessorFacts | undefined;
}

export interface KvmProcessorFacts {
  readonly features: readonly string[];
  readonly forced: readonly string[];
  readonly beyond: readonly string[];
  readonly physicalBits: number;
  readonly tscKhz: number;
  readonly tscControl: boolean;
  /** States that this KVM cannot hold. */
  readonly paging: boolean;
  readonly virtual8086: boolean;
}

/** Those that say what a machine gets. */
const CAPABILITIES: Readonly<Record<string, number>> = {
  KVM_CAP_NR_VCPUS: Cap.nrVcpus,
  KVM_CAP_MAX_VCPUS: Cap.maxVcpus,
  KVM_CAP_NR_MEMSLOTS: Cap.nrMemslots,
  KVM_CAP_IRQCHIP: Cap.irqchip,
  KVM_CAP_SPLIT_IRQCHIP: CapX86.splitIrqchip,
  KVM_CAP_IOEVENTFD: Cap.ioeventfd,
  KVM_CAP_IRQFD: Cap.irqfd,
  KVM_CAP_READONLY_MEM: Cap.readonlyMem,
  KVM_CAP_SYNC_REGS: Cap.syncRegs,
  KVM_CAP_IMMEDIATE_EXIT: Cap.immediateExit,
  KVM_CAP_SREGS2: CapX86.sregs2,
  KVM_CAP_XSAVE: CapX86.xsave,
  KVM_CAP_TSC_CONTROL: CapX86.tscControl,
  KVM_CAP_X86_MSR_FILTER: CapX86.msrFilter,
  KVM_CAP_EXIT_ON_EMULATION_FAILURE: CapX86.exitOnEmulationFailure,
};

/** `root` stands before the paths of files, for tests. */
export function kvmFacts(root = '/', open: (path: string) => KvmPort = openKvm): KvmFacts {
  const device = path.join(root, 'dev/kvm');
  const exists = existsSync(device);
  const accessible = exists && canReadAndWrite(device);
  const facts = { device: '/dev/kvm', exists, owner: exists ? ownerOf(device, root) : undefined, accessible };
  const modules = modulesOf(path.join(root, 'sys/module'));
  const nothing = { ...facts, modules, capabilities: {}, processor: undefined };
  if (!accessible) return { ...nothing, failure: undefined };
  let kvm: KvmPort | undefined;
  try {
    kvm = open(device);
    const port = kvm;
    const capabilities = Object.fromEntries(
      Object.entries(CAPABILITIES).map(([name, number]) => [name, port.checkExtension(number)]),
    );
    const processor = arch === 'x64' ? processorOf(port) : undefined;
    return { ...facts, modules, capabilities, processor, failure: undefined };
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return { ...nothing, failure: { what: error.message.split('; ')[0], mend: error.mend } };
  } finally {
    kvm?.close();
  }
}

function processorOf(kvm: KvmPort): KvmProcessorFacts {
  const { features, forced, beyond, physicalBits, tscKhz, tscControl } = kvmCpuOffer(kvm);
  return {
    features: [...features],
    forced: [...forced],
    beyond,
    physicalBits,
    tscKhz,
    tscControl,
    ...limitsOf(kvm),
  };
}

export function canReadAndWrite(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function ownerOf(file: string, root: string): KvmFacts['owner'] {
  const { mode, uid, gid } = statSync(file);
  const letters = [...'rwxrwxrwx'].map((letter, n) => (mode & (0o400 >> n) ? letter : '-')).join('');
  return { mode: letters, user: uid, group: groupName(gid, root) };
}

function groupName(gid: number, root: string): string {
  const line = lines(path.join(root, 'etc/group')).find((text) => text.split(':')[2] === String(gid));
  return line?.split(':')[0] ?? String(gid);
}

/** Modules of KVM and their parameters. */
function modulesOf(folder: string): KvmFacts['modules'] {
  const modules: Record<string, Record<string, string>> = {};
  for (const name of list(folder)) {
    if (!/^kvm(_\w+)?$/.test(name)) continue;
    const parameters: Record<string, string> = {};
    for (const parameter of list(path.join(folder, name, 'parameters'))) {
      const [value] = lines(path.join(folder, name, 'parameters', parameter));
      if (value !== undefined) parameters[parameter] = value;
    }
    modules[name] = parameters;
  }
  return modules;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** A text file's lines; none where it cannot be read. */
export function lines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n');
  } catch {
    return [];
  }
}
