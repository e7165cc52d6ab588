/** What this host has that matters to Trapframe: for `trapframe doctor`. Asks, and changes nothing. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openFfi } from './ffi.ts';
import { canReadAndWrite, type KvmFacts, kvmFacts, lines } from './kvm/kvm-facts.ts';

export interface HostFacts {
  readonly system: {
    readonly platform: string;
    readonly release: string;
    readonly arch: string;
    readonly processors: number;
    readonly processor: string;
    /** The processor's own virtualization, and whether this is a virtual machine itself. */
    readonly virtualization: 'vmx' | 'svm' | undefined;
    readonly hypervisor: boolean;
  };
  readonly node: {
    readonly version: string;
    readonly v8: string;
    readonly path: string;
    /** What the JIT needs of WebAssembly, and whether it is there. */
    readonly webassembly: Readonly<Record<'threads' | 'simd' | 'tail-calls', boolean>>;
    /** Ways to call the kernel. */
    readonly koffi: boolean;
    readonly nodeFfi: boolean;
  };
  /** Bytes. */
  readonly memory: {
    readonly total: number;
    readonly available: number;
    /** Of the control group, where one limits it. */
    readonly limit: number | undefined;
  };
  readonly tun: { readonly exists: boolean; readonly accessible: boolean; readonly netAdmin: boolean };
  readonly kvm: KvmFacts;
  readonly root: boolean;
}

/** `root` stands before the paths of files, for tests. */
export function hostFacts(root = '/'): HostFacts {
  const info = lines(path.join(root, 'proc/cpuinfo'));
  const value = (name: string) =>
    info
      .find((line) => line.startsWith(name))
      ?.replace(/^[^:]*:/, '')
      .trim();
  const flags = new Set((value('flags') ?? '').split(' '));
  const tun = path.join(root, 'dev/net/tun');
  const koffi = openFfi('koffi') !== undefined;
  return {
    system: {
      platform: process.platform,
      release: os.release(),
      arch: process.arch,
      processors: os.availableParallelism(),
      processor: value('model name') ?? os.cpus()[0]?.model ?? 'unknown',
      virtualization: flags.has('vmx') ? 'vmx' : flags.has('svm') ? 'svm' : undefined,
      hypervisor: flags.has('hypervisor'),
    },
    node: {
      version: process.versions.node,
      v8: process.versions.v8,
      path: process.execPath,
      webassembly: webassemblyFacts(),
      koffi,
      // Node warns about its own when it is opened: not without need.
      nodeFfi: koffi ? process.versions.libffi !== undefined : openFfi('node:ffi') !== undefined,
    },
    memory: memoryFacts(root),
    tun: { exists: existsSync(tun), accessible: canReadAndWrite(tun), netAdmin: hasNetAdmin(root) },
    kvm: kvmFacts(root),
    root: process.getuid?.() === 0,
  };
}

function memoryFacts(root: string): HostFacts['memory'] {
  const info = lines(path.join(root, 'proc/meminfo'));
  const kilobytes = (name: string): number | undefined => {
    const found = info.find((line) => line.startsWith(`${name}:`));
    const number = found && /\d+/.exec(found.slice(name.length));
    return number ? Number(number[0]) * 1024 : undefined;
  };
  const [max] = lines(path.join(root, 'sys/fs/cgroup/memory.max'));
  return {
    total: kilobytes('MemTotal') ?? os.totalmem(),
    available: kilobytes('MemAvailable') ?? os.freemem(),
    limit: max !== undefined && /^\d+$/.test(max) ? Number(max) : undefined,
  };
}

const CAP_NET_ADMIN = 12n;
function hasNetAdmin(root: string): boolean {
  const line = lines(path.join(root, 'proc/self/status')).find((text) => text.startsWith('CapEff:'));
  const bits = line && /[0-9a-f]{16}/.exec(line);
  return bits ? ((BigInt(`0x${bits[0]}`) >> CAP_NET_ADMIN) & 1n) === 1n : false;
}

/** Small modules that are valid only where a part of WebAssembly is there. */
function webassemblyFacts(): HostFacts['node']['webassembly'] {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const valid = (...sections: number[]) => WebAssembly.validate(new Uint8Array([...header, ...sections]));
  return {
    // A shared memory of one page.
    threads: valid(5, 4, 1, 3, 1, 1),
    // A function with v128.const 0; drop.
    simd: valid(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 23, 1, 21, 0, 0xfd, 12, ...new Array(16).fill(0), 0x1a, 0x0b),
    // A function that calls itself by return_call.
    'tail-calls': valid(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 0x12, 0, 0x0b),
  };
}
