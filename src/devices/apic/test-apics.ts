/** Local APICs on a bus, each with a processor that remembers what it was told. */
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { ApicBus } from './apic-bus.ts';
import type { ApicCpu } from './apic-wiring.ts';
import { LocalApic } from './local-apic.ts';

export class TestCpu implements ApicCpu {
  readonly intr = new TestLine();
  readonly events: string[] = [];

  nmi(): void {
    this.events.push('nmi');
  }
  smi(): void {
    this.events.push('smi');
  }
  init(): void {
    this.events.push('init');
  }
  startup(vector: number): void {
    this.events.push(`sipi ${vector}`);
  }
}

/** `count` processors; the first is the bootstrap one and has its APIC switched on by software. TSC: 2 GHz. */
export function setUp(count = 1) {
  const bench = new TestBench();
  const bus = new ApicBus();
  const pic = {
    taken: 0,
    acknowledge() {
      this.taken++;
      return 0x20;
    },
  };
  const cpus = Array.from({ length: count }, () => new TestCpu());
  const tsc = { hz: 2e9, offset: 0, now: () => bench.clock.now() * 2 + tsc.offset };
  const apics = cpus.map((cpu, id) => {
    return new LocalApic(`apic${id}`, { wiring: bench, bus, cpu, id, bootstrap: id === 0, pic, tsc });
  });
  for (const apic of apics) apic.reset();
  const probes = apics.map(({ mmio }) => new Probe(mmio));
  probes[0].w(0xf0, 0x1ff);
  return { bench, bus, cpus, apics, probes, pic, tsc };
}
