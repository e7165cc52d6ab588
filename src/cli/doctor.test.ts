import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../bits/errors.ts';
import { type HostFacts, hostFacts } from '../host/node/host-facts.ts';
import { diagnose } from './doctor-checks.ts';
import { doctorMain } from './doctor.ts';

const GOOD: HostFacts = {
  system: {
    platform: 'linux',
    release: '6.12',
    arch: 'x64',
    processors: 8,
    processor: 'A processor',
    virtualization: 'vmx',
    hypervisor: false,
  },
  node: {
    version: '26.1.0',
    v8: '14.0-node',
    path: '/usr/bin/node',
    webassembly: { threads: true, simd: true, 'tail-calls': true },
    koffi: true,
    nodeFfi: true,
  },
  memory: { total: 16 * 2 ** 30, available: 8 * 2 ** 30, limit: undefined },
  tun: { exists: true, accessible: true, netAdmin: true },
  kvm: {
    device: '/dev/kvm',
    exists: true,
    owner: { mode: 'rw-rw----', user: 0, group: 'kvm' },
    accessible: true,
    modules: { kvm: {}, kvm_intel: { nested: 'Y' } },
    failure: undefined,
    capabilities: {
      KVM_CAP_IRQCHIP: 1,
      KVM_CAP_SPLIT_IRQCHIP: 1,
      KVM_CAP_IRQFD: 1,
      KVM_CAP_IOEVENTFD: 1,
      KVM_CAP_READONLY_MEM: 1,
    },
    processor: {
      features: ['sse2', 'avx'],
      forced: [],
      beyond: [],
      physicalBits: 46,
      tscKhz: 3_000_000,
      tscControl: true,
      paging: false,
      virtual8086: false,
    },
  },
  root: false,
};
const withKvm = (kvm: Partial<HostFacts['kvm']>, system: Partial<HostFacts['system']> = {}): HostFacts => ({
  ...GOOD,
  system: { ...GOOD.system, ...system },
  kvm: { ...GOOD.kvm, ...kvm },
});
const kvmOf = (facts: HostFacts) => {
  const { checks, accelerator } = diagnose(facts);
  const check = checks.find(({ name }) => name === 'kvm');
  assert.ok(check);
  return { ...check, accelerator: accelerator.name };
};

test('with everything there nothing is lost', () => {
  const { checks, accelerator } = diagnose(GOOD);
  assert.equal(accelerator.name, 'kvm');
  for (const check of checks) assert.deepEqual([check.status, check.lost], ['good', undefined], check.name);
});

test('no /dev/kvm: what mends it depends on what is there', () => {
  const none = { exists: false, accessible: false, owner: undefined, capabilities: {}, processor: undefined };
  const bare = kvmOf(withKvm({ ...none, modules: {} }));
  assert.deepEqual([bare.status, bare.accelerator], ['missing', 'jit']);
  assert.match(bare.mend ?? '', /modprobe kvm_intel/);
  assert.match(kvmOf(withKvm({ ...none, modules: {} }, { virtualization: 'svm' })).mend ?? '', /modprobe kvm_amd/);
  assert.match(kvmOf(withKvm(none)).mend ?? '', /container/);
  const inside = { virtualization: undefined, hypervisor: true };
  assert.match(kvmOf(withKvm({ ...none, modules: {} }, inside)).mend ?? '', /nested/);
  assert.match(kvmOf(withKvm({ ...none, modules: {} }, { virtualization: undefined })).mend ?? '', /firmware/);
  assert.equal(kvmOf(withKvm({ ...none, modules: {} }, { platform: 'darwin' })).accelerator, 'jit');
});

test('no permission: the group that has it, or one that is made', () => {
  const locked = kvmOf(withKvm({ accessible: false }));
  assert.deepEqual([locked.status, locked.accelerator], ['missing', 'jit']);
  assert.match(locked.mend ?? '', /usermod -aG kvm \$USER/);
  const root = kvmOf(withKvm({ accessible: false, owner: { mode: 'rw-------', user: 0, group: 'root' } }));
  assert.match(root.mend ?? '', /chgrp kvm/);
});

test('a KVM that does not answer, and one that nobody can call', () => {
  const failed = kvmOf(withKvm({ failure: { what: 'KVM is version 11', mend: 'use a current kernel' } }));
  assert.deepEqual([failed.status, failed.what, failed.mend], ['missing', 'KVM is version 11', 'use a current kernel']);
  const mute = { ...GOOD, node: { ...GOOD.node, koffi: false, nodeFfi: false } };
  assert.equal(kvmOf(mute).status, 'missing');
  assert.equal(diagnose(mute).checks.find(({ name }) => name === 'ffi')?.status, 'missing');
});

test('a partial KVM works, and the JIT is used', () => {
  const { processor } = GOOD.kvm;
  assert.ok(processor);
  const partial = withKvm({
    modules: { kvm: {}, kvm_pvm: {} },
    processor: { ...processor, paging: true, virtual8086: true, forced: ['avx'], beyond: ['vaes'] },
  });
  const check = kvmOf(partial);
  assert.deepEqual([check.status, check.accelerator], ['limited', 'jit']);
  assert.match(check.lost ?? '', /paging outside long mode.*virtual-8086/);
  assert.match(diagnose(partial).checks.find(({ name }) => name === 'kvm-processor')?.lost ?? '', /vaes/);
});

test('memory, tap, an old Node, a WebAssembly without parts', () => {
  const status = (facts: Partial<HostFacts>, name: string) =>
    diagnose({ ...GOOD, ...facts }).checks.find((check) => check.name === name)?.status;
  const memory = (available: number, limit?: number) => ({ memory: { total: 2 ** 34, available, limit } });
  assert.equal(status(memory(2 ** 31), 'memory'), 'limited');
  assert.equal(status(memory(2 ** 33, 2 ** 29), 'memory'), 'missing');
  assert.equal(status({ tun: { exists: true, accessible: true, netAdmin: false } }, 'network'), 'limited');
  assert.equal(status({ tun: { exists: false, accessible: false, netAdmin: false } }, 'network'), 'missing');
  assert.equal(status({ node: { ...GOOD.node, version: '22.1.0' } }, 'node'), 'missing');
  const poor = { node: { ...GOOD.node, webassembly: { threads: true, simd: true, 'tail-calls': false } } };
  assert.equal(status(poor, 'jit'), 'missing');
  assert.equal(diagnose({ ...GOOD, ...poor }).accelerator.name, 'reference');
});

function doctor(
  argv: readonly string[],
  facts: HostFacts,
  colour = false,
): { readonly text: string; readonly code: number } {
  let text = '';
  const code = doctorMain(argv, { facts: () => facts, colour, print: (more) => (text += more) });
  return { text, code };
}

test('the report: lines, colours only for terminals, JSON, exit status', () => {
  const plain = doctor([], withKvm({ accessible: false }));
  assert.equal(plain.code, 0);
  assert.ok(!plain.text.includes('\x1b'));
  assert.match(plain.text, /^✗ kvm .*\n +lost: .*\n +mend: sudo usermod/m);
  assert.match(plain.text, /machines use jit: KVM is there, but may not be used\n$/);
  assert.ok(doctor([], GOOD, true).text.includes('\x1b[32m✓\x1b[0m'));
  assert.ok(doctor(['-v'], GOOD).text.includes('features: sse2 avx'));
  const { accelerator, checks, facts } = JSON.parse(doctor(['--json'], GOOD, true).text);
  assert.deepEqual([accelerator.name, facts.kvm.modules.kvm_intel.nested], ['kvm', 'Y']);
  assert.ok(
    checks.some(({ name, status }: { name: string; status: string }) => name === 'memory' && status === 'good'),
  );
  const slow = { ...GOOD, node: { ...GOOD.node, webassembly: { ...GOOD.node.webassembly, simd: false } } };
  assert.equal(doctor([], slow).code, 1);
  assert.throws(() => doctor(['--frob'], GOOD), ConfigError);
  assert.match(doctor(['--help'], GOOD).text, /^Usage: trapframe doctor/);
});

test('facts are read from the system’s files', () => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'trapframe-doctor-'));
  const write = (name: string, text: string) => {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  };
  try {
    write('proc/cpuinfo', 'model name\t: Test Processor\nflags\t\t: fpu svm hypervisor\n');
    write('proc/meminfo', 'MemTotal:       4096 kB\nMemAvailable:   2048 kB\n');
    write('proc/self/status', 'Name:\tx\nCapEff:\t0000000000001000\n');
    write('sys/fs/cgroup/memory.max', 'max\n');
    write('sys/module/kvm/parameters/halt_poll_ns', '200000\n');
    write('sys/module/kvm_amd/parameters/nested', '1\n');
    write('sys/module/kvmgt_other/parameters/x', '1\n');
    write('etc/group', `root:x:0:\nours:x:${process.getgid?.() ?? 0}:\n`);
    write('dev/kvm', 'no device');
    const facts = hostFacts(root);
    assert.deepEqual(
      [facts.system.processor, facts.system.virtualization, facts.system.hypervisor],
      ['Test Processor', 'svm', true],
    );
    assert.deepEqual(facts.memory, { total: 4096 * 1024, available: 2048 * 1024, limit: undefined });
    assert.deepEqual(facts.tun, { exists: false, accessible: false, netAdmin: true });
    assert.deepEqual(facts.kvm.modules, { kvm: { halt_poll_ns: '200000' }, kvm_amd: { nested: '1' } });
    assert.equal(facts.kvm.exists && facts.kvm.accessible, true);
    assert.ok(facts.kvm.failure, 'a file is no KVM');
    // This Node runs the JIT: all of WebAssembly that it needs is there.
    assert.deepEqual(facts.node.webassembly, { threads: true, simd: true, 'tail-calls': true });
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('this host', () => {
  const facts = hostFacts();
  const { checks, accelerator } = diagnose(facts);
  assert.ok(checks.length >= 7);
  assert.ok(facts.memory.available > 0 && facts.memory.available <= facts.memory.total);
  if (facts.kvm.accessible && !facts.kvm.failure) assert.ok((facts.kvm.capabilities['KVM_CAP_NR_VCPUS'] ?? 0) > 0);
  else assert.equal(accelerator.name, 'jit');
});
