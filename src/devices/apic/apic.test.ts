import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { setUp } from './test-apics.ts';

const EOI = 0x0b0;
const ESR = 0x280;

test('power-on values', () => {
  const { apics, probes } = setUp(2);
  const [probe, second] = probes;
  assert.equal(probe.r(0x20), 0);
  assert.equal(second.r(0x20), 0x0100_0000);
  assert.equal(probe.r(0x30), 0x0005_0014);
  assert.equal(probe.r(0xe0), 0xffff_ffff);
  assert.equal(second.r(0xf0), 0xff);
  assert.equal(probe.r(0x320), 0x1_0000);
  assert.equal(probe.r(0x350), 0x700);
  assert.equal(second.r(0x350), 0x1_0000);
  assert.equal(apics[0].apicBase, 0xfee0_0900);
  assert.equal(apics[1].apicBase, 0xfee0_0800);
  assert.deepEqual([apics[0].waiting, apics[1].waiting], [false, true]);
});

test('fixed interrupts: priorities, EOI, task priority', () => {
  const { bus, apics, cpus, probes } = setUp();
  const [apic] = apics;
  const [probe] = probes;
  bus.msi(0xfee0_0000, 0x40);
  bus.msi(0xfee0_0000, 0x52);
  bus.msi(0xfee0_0000, 0x5f);
  assert.equal(cpus[0].intr.level, true);
  assert.equal(apic.acknowledge(), 0x5f);
  assert.equal(probe.r(0x100 + 0x20), 0x8000_0000); // ISR
  assert.equal(probe.r(0xa0), 0x50);
  assert.equal(cpus[0].intr.level, false); // 0x52 is of the same class
  assert.equal(apic.acknowledge(), -1);
  probe.w(EOI, 0);
  assert.equal(apic.acknowledge(), 0x52);
  probe.w(EOI, 0);
  apic.cr8 = 4;
  assert.equal(probe.r(0x80), 0x40);
  assert.equal(cpus[0].intr.level, false);
  probe.w(0x80, 0x3f);
  assert.equal(apic.cr8, 3);
  assert.equal(apic.acknowledge(), 0x40);
  probe.w(EOI, 0);
  probe.w(EOI, 0);
  assert.equal(probe.r(0xa0), 0x3f);
});

test('a software-disabled APIC takes no vectors and masks its table', () => {
  const { bus, cpus, probes } = setUp();
  probes[0].w(0x320, 0x30);
  probes[0].w(0xf0, 0xff);
  assert.equal(probes[0].r(0x320), 0x1_0030);
  probes[0].w(0x320, 0x31);
  assert.equal(probes[0].r(0x320), 0x1_0031);
  bus.msi(0xfee0_0000, 0x40);
  assert.equal(cpus[0].intr.level, false);
});

test('the end of a level-triggered interrupt goes to the bus', () => {
  const { bus, apics, probes } = setUp();
  const ended: number[] = [];
  bus.onEndOfInterrupt((vector) => ended.push(vector));
  bus.msi(0xfee0_0000, 0xc061);
  assert.equal(probes[0].r(0x180 + 0x30), 2); // TMR
  apics[0].acknowledge();
  probes[0].w(EOI, 0);
  bus.msi(0xfee0_0000, 0x61);
  assert.equal(probes[0].r(0x180 + 0x30), 0);
  apics[0].acknowledge();
  probes[0].w(EOI, 0);
  assert.deepEqual(ended, [0x61]);
});

test('virtual wire: the 8259 through LINT0, and directly when the APIC is off', () => {
  const { apics, cpus, probes, pic } = setUp();
  const [apic] = apics;
  apic.lint0.set(true);
  assert.equal(cpus[0].intr.level, true);
  apic.tpr = 0xff;
  assert.equal(apic.acknowledge(), 0x20); // task priority does not hold ExtINT back
  assert.equal(pic.taken, 1);
  probes[0].w(0x350, 0x1_0700);
  assert.equal(cpus[0].intr.level, false);
  assert.equal(apic.setApicBase(0xfee0_0100), true);
  assert.equal(cpus[0].intr.level, true);
  assert.equal(apic.acknowledge(), 0x20);
  assert.equal(probes[0].r(0x30), 0xffff_ffff);
  apic.lint0.set(false);
  assert.equal(apic.acknowledge(), -1);
});

test('an ExtINT message waits for the 8259', () => {
  const { bus, apics, cpus, probes } = setUp();
  probes[0].w(0x350, 0x1_0700);
  apics[0].lint0.set(true);
  assert.equal(cpus[0].intr.level, false);
  bus.msi(0xfee0_0000, 0x700);
  assert.equal(cpus[0].intr.level, true);
  assert.equal(apics[0].acknowledge(), 0x20);
  assert.equal(cpus[0].intr.level, false);
});

test('LINT pins: NMI on an edge, fixed levels until the wire falls', () => {
  const { apics, cpus, probes } = setUp();
  const [apic] = apics;
  probes[0].w(0x360, 0x400);
  apic.lint1.set(true);
  apic.lint1.set(true);
  assert.deepEqual(cpus[0].events, ['nmi']);
  probes[0].w(0x350, 0x8045);
  apic.lint0.set(true);
  assert.equal(apic.acknowledge(), 0x45);
  probes[0].w(EOI, 0);
  assert.equal(cpus[0].intr.level, true);
  apic.lint0.set(false);
  assert.equal(cpus[0].intr.level, false);
});

test('starting processors: INIT, then SIPI, once', () => {
  const { apics, cpus, probes } = setUp(3);
  const [probe] = probes;
  probe.w(0x300, 0x000c_4500); // INIT to all others
  probe.w(0x300, 0x000c_8500); // its de-assertion does nothing
  assert.deepEqual(cpus[1].events, ['init']);
  probe.w(0x310, 0x0200_0000);
  probe.w(0x300, 0x4608);
  probe.w(0x300, 0x4609);
  assert.deepEqual(
    cpus.map(({ events }) => events),
    [[], ['init'], ['init', 'sipi 8']],
  );
  assert.deepEqual(
    apics.map(({ waiting }) => waiting),
    [false, true, false],
  );
  probe.w(0x300, 0x4_4500); // INIT to itself: the bootstrap processor starts anew
  assert.deepEqual([cpus[0].events, apics[0].waiting], [['init'], false]);
  assert.equal(probe.r(0xf0), 0xff);
});

test('shorthands and delivery modes of the ICR', () => {
  const { apics, cpus, probes } = setUp(3);
  for (const probe of probes) probe.w(0xf0, 0x1ff);
  probes[1].w(0x300, 0x4_0041); // self
  probes[1].w(0x300, 0x8_0042); // all
  probes[1].w(0x300, 0xc_0043); // others
  probes[1].w(0x310, 0xff00_0000);
  probes[1].w(0x300, 0x0044); // physical broadcast
  const taken = apics.map((apic, index) => {
    const vectors: number[] = [];
    for (let vector = apic.acknowledge(); vector >= 0; vector = apic.acknowledge()) {
      vectors.push(vector);
      probes[index].w(EOI, 0);
    }
    return vectors;
  });
  assert.deepEqual(taken, [
    [0x44, 0x43, 0x42],
    [0x44, 0x42, 0x41],
    [0x44, 0x43, 0x42],
  ]);
  probes[0].w(0x310, 0x0200_0000);
  probes[0].w(0x300, 0x400);
  probes[0].w(0x300, 0x200);
  assert.deepEqual(cpus[2].events, ['nmi', 'smi']);
});

test('logical destinations: flat, cluster, lowest priority', () => {
  const { bus, apics, cpus, probes } = setUp(4);
  probes.forEach((probe, index) => {
    probe.w(0xf0, 0x1ff);
    probe.w(0xd0, 1 << (24 + index));
  });
  const waiting = () => cpus.map(({ intr }) => (intr.level ? 1 : 0)).join('');
  const clear = () => {
    apics.forEach((apic, index) => {
      while (apic.acknowledge() >= 0) probes[index].w(EOI, 0);
    });
  };
  bus.msi(0xfee0_5004, 0x50);
  assert.equal(waiting(), '1010');
  clear();
  apics[0].tpr = 0x20;
  bus.msi(0xfee0_f004, 0x150); // lowest priority
  assert.equal(waiting(), '0100');
  clear();
  probes.forEach((probe, index) => {
    probe.w(0xe0, 0x0fff_ffff);
    probe.w(0xd0, ((index >> 1) << 28) | (1 << (24 + (index & 1))));
  });
  bus.msi(0xfee1_2004, 0x50); // cluster 1, second of it
  assert.equal(waiting(), '0001');
  clear();
  bus.msi(0xfeef_f004, 0x50);
  assert.equal(waiting(), '1111');
});

test('errors: illegal vectors and registers show after a write to ESR', () => {
  const { bus, cpus, probes } = setUp();
  const [probe] = probes;
  probe.w(0x370, 0x33);
  probe.w(0x300, 0x4_0005);
  assert.equal(cpus[0].intr.level, true);
  bus.msi(0xfee0_0000, 0x0f);
  probe.r(0x3f0);
  assert.equal(probe.r(ESR), 0);
  probe.w(ESR, 0);
  assert.equal(probe.r(ESR), 0xe0);
  probe.w(ESR, 0);
  assert.equal(probe.r(ESR), 0);
});

test('IA32_APIC_BASE: transitions, reserved bits, moves', () => {
  const { apics, probes } = setUp();
  const [apic] = apics;
  let moves = 0;
  apic.onBase = () => moves++;
  assert.equal(apic.setApicBase(0xfee0_0901), false);
  assert.equal(apic.setApicBase(0xfee0_0500), false); // EXTD without EN
  assert.equal(apic.setApicBase(2 ** 40 + 0x900), false);
  assert.equal(apic.setApicBase(0x1_fee1_0900), true);
  assert.deepEqual([apic.base, apic.windowed, moves], [0x1_fee1_0000, true, 1]);
  assert.equal(apic.setApicBase(0xfee0_0d00), true);
  assert.deepEqual([apic.windowed, apic.apicBase], [false, 0xfee0_0d00]);
  assert.equal(probes[0].r(0x20), 0xffff_ffff);
  assert.equal(apic.setApicBase(0xfee0_0900), false);
  assert.equal(apic.setApicBase(0xfee0_0100), true);
  assert.equal(apic.setApicBase(0xfee0_0d00), false);
  assert.equal(apic.setApicBase(0xfee0_0900), true);
  assert.equal(probes[0].r(0xf0), 0xff);
});

test('x2APIC: registers are MSRs, ids have 32 bits', () => {
  const { apics, cpus, probes } = setUp(18);
  assert.equal(apics[0].readMsr(0x802), undefined);
  for (const apic of apics) {
    assert.equal(apic.setApicBase(apic.apicBase | 0x400 | 0), false); // sign: not an address
    assert.equal(apic.setApicBase(apic.apicBase + 0x400), true);
    assert.equal(apic.writeMsr(0x80f, 0x1ff, 0), true);
  }
  assert.deepEqual(apics[17].readMsr(0x802), [17, 0]);
  assert.deepEqual(apics[17].readMsr(0x80d), [0x1_0002, 0]);
  assert.equal(apics[0].readMsr(0x80e), undefined);
  assert.equal(apics[0].readMsr(0x80b), undefined);
  assert.equal(apics[0].writeMsr(0x80b, 1, 0), false);
  assert.equal(apics[0].writeMsr(0x802, 1, 0), false);
  assert.equal(apics[0].writeMsr(0x808, 0x100, 0), false);
  assert.equal(apics[0].writeMsr(0x838, 1, 1), false);
  assert.equal(apics[0].writeMsr(0x835, 0x1_5700, 0), true); // delivery status and remote IRR are read-only
  assert.deepEqual(apics[0].readMsr(0x835), [0x1_0700, 0]);
  assert.equal(apics[0].writeMsr(0x835, 0x2_0700, 0), false);
  assert.equal(apics[0].writeMsr(0x830, 0x40, 17), true);
  assert.deepEqual(apics[0].readMsr(0x830), [0x40, 17]);
  assert.equal(apics[17].acknowledge(), 0x40);
  assert.equal(apics[17].writeMsr(0x80b, 0, 0), true);
  apics[0].writeMsr(0x830, 0x841, 0x1_0003); // logical: 16 and 17
  assert.deepEqual(cpus.map(({ intr }) => intr.level).slice(14), [false, false, true, true]);
  apics[3].writeMsr(0x83f, 0x42, 0);
  assert.equal(apics[3].acknowledge(), 0x42);
  assert.equal(probes[0].r(0x20), 0xffff_ffff);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, bus, apics } = setUp(2);
  const line = new TestLine();
  hammer({
    seed,
    bench,
    device: apics[0],
    windows: apics.map(({ mmio }) => ({ mmio, size: 0x400 })),
    also: (random) => {
      const apic = random.pick(apics);
      const msr = 0x800 + random.below(0x40);
      apic.readMsr(msr);
      apic.writeMsr(msr, random.value(), random.below(2) ? 0 : random.value());
      bus.msi(random.value(), random.value());
      apic.lint0.set(random.below(2) === 1);
      apic.lint1.set(random.below(2) === 1);
      if (random.below(16) === 0) apic.setApicBase(0xfee0_0000 + random.pick([0x800, 0xc00, 0, 0x900]));
      apic.setTscDeadline(random.value(), random.below(3));
      apic.cr8 = random.below(256);
      apic.pvEoi.set(random.below(4) ? random.value() : 0x8000_0001, random.below(2));
      if (random.below(4) === 0) bench.dma.writable(0x8000_0000, 4)?.fill(random.value() & 1);
      const vector = apic.acknowledge();
      assert.ok(vector >= -1 && vector < 256);
      line.set(vector >= 0);
    },
  });
  assert.ok(line.rises > 100, `${line.rises} interrupts`);
});
