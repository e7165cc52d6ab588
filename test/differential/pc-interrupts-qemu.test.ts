/**
 * The PC's interrupt and time devices against QEMU's: the same random accesses on both, through qtest, with
 * time standing still; every read must give the same.
 *
 * TRAPFRAME_SEED repeats a run; FUZZ_ROUNDS makes it longer.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { Hpet } from '../../src/devices/hpet/hpet.ts';
import { I8254 } from '../../src/devices/i8254/i8254.ts';
import { I8259 } from '../../src/devices/i8259/i8259.ts';
import { IoApic } from '../../src/devices/ioapic/ioapic.ts';
import { Mc146818Rtc } from '../../src/devices/mc146818rtc/mc146818rtc.ts';
import { PcSpeaker } from '../../src/devices/pcspk/pcspk.ts';
import { Bus } from '../../src/hw/bus.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { FuzzRandom } from '../../src/hw/test-fuzz.ts';

const QEMU = 'qemu-system-x86_64';
const skip = spawnSync(QEMU, ['--version']).status === 0 ? false : `${QEMU} is not installed`;
const seed = testSeed(process.env);
const rounds = Number(process.env.FUZZ_ROUNDS ?? 1);
const BASE = '2024-02-28T12:34:56';
// Where QEMU's `pc` keeps its controllers: the first 8259 is the master.
const IOAPIC = '/machine/i440fx/ioapic';
const [MASTER, SLAVE] = [6, 7].map((n) => `/machine/unattached/device[${n}]`);

/** One access: QEMU's words for it, and the same here. `mask` is what must agree of a read. */
interface Step {
  readonly command: string;
  readonly run: () => number | undefined;
  readonly mask?: number;
}

function machine() {
  const bench = new TestBench();
  bench.epochBase = Date.parse(`${BASE}Z`);
  const line = () => new TestLine();
  const pic = new I8259('pic', bench.log, line());
  const pit = new I8254('pit', bench, line());
  const speaker = new PcSpeaker('pcspk', bench, pit);
  const rtc = new Mc146818Rtc('rtc', bench, line());
  const hpet = new Hpet('hpet', bench, Array.from({ length: 24 }, line), 4);
  const ioapic = new IoApic('ioapic', bench.log, { deliver() {} });
  for (const device of [pic, pit, speaker, rtc, hpet, ioapic]) device.reset();
  const ports = new PortBus();
  ports.add('pic', 0x20, 2, pic.master);
  ports.add('pic', 0xa0, 2, pic.slave);
  ports.add('elcr', 0x4d0, 2, pic.elcr);
  ports.add('pit', 0x40, 4, pit.mmio);
  ports.add('pcspk', 0x61, 1, speaker.mmio);
  ports.add('rtc', 0x70, 2, rtc.mmio);
  const bus = new Bus();
  bus.add('ioapic', 0xfec0_0000, 0x1000, ioapic.mmio);
  bus.add('hpet', 0xfed0_0000, 0x400, hpet.mmio);

  const steps: Step[] = [];
  const hex = (value: number) => `0x${value.toString(16)}`;
  return {
    steps,
    outb(port: number, value: number) {
      steps.push({ command: `outb ${hex(port)} ${hex(value)}`, run: () => void ports.write(port, 1, value) });
    },
    inb(port: number, mask = 0xff) {
      steps.push({ command: `inb ${hex(port)}`, run: () => ports.read(port, 1), mask });
    },
    writel(address: number, value: number) {
      const command = `writel ${hex(address)} ${hex(value >>> 0)}`;
      steps.push({ command, run: () => void bus.write(address, 4, value >>> 0) });
    },
    readl(address: number, mask = -1) {
      steps.push({ command: `readl ${hex(address)}`, run: () => bus.read(address, 4), mask });
    },
    picWire(irq: number, level: boolean) {
      const command = `set_irq_in ${irq < 8 ? MASTER : SLAVE} unnamed-gpio-in ${irq & 7} ${level ? 1 : 0}`;
      steps.push({ command, run: () => void pic.wire(irq, level) });
    },
    ioapicWire(pin: number, level: boolean) {
      const command = `set_irq_in ${IOAPIC} unnamed-gpio-in ${pin} ${level ? 1 : 0}`;
      steps.push({ command, run: () => void ioapic.wire(pin, level) });
    },
  };
}
type Machine = ReturnType<typeof machine>;

/** QEMU's answers to all steps, in order. */
async function ask(steps: readonly Step[]): Promise<string[]> {
  const args = ['-M', 'pc', '-S', '-nodefaults', '-display', 'none', '-rtc', `base=${BASE},clock=vm`];
  args.push('-qtest', 'stdio', '-qtest-log', '/dev/null');
  const qemu = spawn(QEMU, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    const answers: string[] = [];
    let text = '';
    qemu.stdin.on('error', () => {});
    qemu.stdin.write(steps.map(({ command }) => `${command}\n`).join(''));
    for await (const part of qemu.stdout.setEncoding('utf8')) {
      const lines = (text + part).split('\n');
      text = lines.pop()!;
      for (const line of lines) if (/^(OK|FAIL|ERR)/.test(line)) answers.push(line);
      if (answers.length >= steps.length) break;
    }
    return answers;
  } finally {
    qemu.kill();
  }
}

async function compare(name: string, program: (on: Machine, random: FuzzRandom) => void): Promise<void> {
  const on = machine();
  program(on, new FuzzRandom(seed));
  const answers = await ask(on.steps);
  assert.equal(answers.length, on.steps.length, `${name}: QEMU ended early, at ${on.steps[answers.length]?.command}`);
  on.steps.forEach(({ command, run, mask }, index) => {
    const ours = run();
    const theirs = /^OK(?: (0x[0-9a-f]+))?$/.exec(answers[index]);
    assert.ok(theirs, `${command}: ${answers[index]}`);
    if (mask === undefined) return;
    const before = on.steps.slice(Math.max(0, index - 12), index).map((step) => step.command);
    const where = [`${name}, TRAPFRAME_SEED=${seed}`, ...before, command].join('\n');
    assert.equal((ours! & mask) >>> 0, (Number(theirs[1]) & mask) >>> 0, where);
  });
}

test(`8259 pair (TRAPFRAME_SEED=${seed})`, { skip }, () =>
  compare('i8259', (on, random) => {
    for (let step = 0; step < 3000 * rounds; step++) {
      const chip = random.pick([0x20, 0xa0]);
      const kind = random.below(12);
      if (kind === 0) {
        on.outb(chip, 0x10 | random.pick([0x01, 0x01, 0x00, 0x03]));
        for (const value of [random.below(256), 4, random.pick([1, 3, 0x11, 0x13])]) on.outb(chip + 1, value);
      } else if (kind === 1) on.outb(0x4d0 + random.below(2), random.below(256));
      else if (kind === 2) on.outb(chip + 1, random.below(256) & random.below(256));
      else if (kind < 5) {
        const special = random.below(8) ? 0 : random.pick([0x40, 0x60]);
        // QEMU acts on the special mask mode with the next mask only: nothing may be pending in between.
        if (special) on.outb(chip + 1, 0xff);
        on.outb(chip, 0x08 | special | random.pick([2, 3, 4]));
        if (special) on.outb(chip + 1, random.below(256));
      } else if (kind < 7) on.outb(chip, random.pick([0x20, 0x20, 0x60, 0xa0, 0xc0, 0xe0, 0x80, 0]) | random.below(8));
      else if (kind < 10) {
        const irq = random.below(16);
        if (irq !== 2) on.picWire(irq, random.below(2) === 1);
      }
      for (const port of [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]) if (random.below(3) === 0) on.inb(port);
    }
  }),
);

test(`I/O APIC (TRAPFRAME_SEED=${seed})`, { skip }, () =>
  compare('ioapic', (on, random) => {
    const base = 0xfec0_0000;
    for (let step = 0; step < 4000 * rounds; step++) {
      const kind = random.below(6);
      on.writel(base, kind < 4 ? 0x11 + 2 * random.below(24) : random.below(4));
      // Pin 0 is not wired: QEMU puts it on pin 2.
      if (kind === 0) on.ioapicWire(1 + random.below(23), random.below(2) === 1);
      else if (kind === 1) {
        // QEMU sees a wire's level when it moves only, not when the pin becomes level-triggered.
        const pin = 1 + random.below(23);
        on.ioapicWire(pin, false);
        on.writel(base, 0x10 + 2 * pin);
        on.writel(base + 0x10, random.value() & (random.below(2) ? -1 : ~0x1_0700));
      } else if (kind === 2) on.writel(base + 0x40, random.below(256));
      else if (kind === 4) on.writel(base + 0x10, random.value());
      const register = random.below(0x40);
      on.writel(base, register);
      // Of the low half not what is reserved, which QEMU stores.
      on.readl(base + 0x10, register < 0x10 || register & 1 ? -1 : 0x1_efff);
    }
  }),
);

test(`8254 and port 0x61 (TRAPFRAME_SEED=${seed})`, { skip }, () =>
  compare('i8254', (on, random) => {
    for (let step = 0; step < 2000 * rounds; step++) {
      const counter = random.below(3);
      const access = 1 + random.below(3);
      const mode = random.pick([0, 2, 3, 4]);
      const port = 0x40 + counter;
      const bytes = access === 3 ? 2 : 1;
      on.outb(0x43, (counter << 6) | (access << 4) | (mode << 1));
      for (let i = 0; i < bytes; i++) on.outb(port, random.below(256) & ~1);
      for (let i = random.below(3) * bytes; i > 0; i--) on.inb(port);
      if (random.below(2)) {
        on.outb(0x43, counter << 6);
        if (random.below(2)) on.outb(0x43, counter << 6);
        for (let i = 0; i < bytes; i++) on.inb(port);
      }
      if (random.below(2)) {
        on.outb(0x43, 0xc0 | (2 << counter));
        on.inb(port, 0x3f); // not OUT, which QEMU has the other way round in mode 2
        for (let i = 0; i < bytes; i++) on.inb(port);
      }
      if (random.below(4) === 0) on.outb(0x61, random.below(256));
      on.inb(0x61, 3);
    }
  }),
);

test(`RTC and CMOS (TRAPFRAME_SEED=${seed})`, { skip }, () =>
  compare('mc146818rtc', (on, random) => {
    const at = (index: number, value?: number, mask?: number) => {
      on.outb(0x70, index);
      if (value === undefined) on.inb(0x71, mask);
      else on.outb(0x71, value);
    };
    const bcd = (value: number) => (Math.floor(value / 10) << 4) | (value % 10);
    for (let step = 0; step < 1500 * rounds; step++) {
      const kind = random.below(8);
      if (kind === 0) at(0x0b, random.pick([0x02, 0x06, 0x00, 0x04]));
      else if (kind === 1) at(0x0a, 0x20 | random.below(16));
      else if (kind === 2) {
        // Set the clock as a driver does: in a format, with the time bytes standing still.
        const b = random.pick([0x02, 0x06, 0x00, 0x04]);
        const put = (value: number) => (b & 4 ? value : bcd(value));
        const hour = b & 2 ? put(random.below(24)) : put(1 + random.below(12)) | (random.below(2) << 7);
        at(0x0b, 0x80 | b);
        at(0, put(random.below(60)));
        at(2, put(random.below(60)));
        at(4, hour);
        at(7, put(1 + random.below(28)));
        at(8, put(1 + random.below(12)));
        at(9, put(random.below(100)));
        at(random.pick([0x32, 0x37]), put(20 + random.below(2)));
        if (random.below(2)) at(0, undefined);
        at(0x0b, b);
      } else if (kind === 3) at(random.pick([1, 3, 5]), random.below(256));
      else if (kind === 4) at(0x40 + random.below(0x40), random.below(256));
      else if (kind === 5) on.inb(0x70);
      for (const index of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x32, 0x37, 0x40, 0x7f])
        if (random.below(4) === 0) at(index);
    }
  }),
);

test(`HPET (TRAPFRAME_SEED=${seed})`, { skip }, () =>
  compare('hpet', (on, random) => {
    const base = 0xfed0_0000;
    for (let step = 0; step < 3000 * rounds; step++) {
      const timer = base + 0x100 + 0x20 * random.below(3);
      const kind = random.below(6);
      if (kind === 0) on.writel(base + 0x10, random.value());
      else if (kind === 1) {
        // QEMU lets a write to the running counter through to what a stop overwrites: stop first.
        on.writel(base + 0x10, 0);
        // QEMU counts nanoseconds in 64 bits: greater counts overflow there.
        if (random.below(2)) on.writel(base + 0xf0, random.value());
        else on.writel(base + 0xf4, random.below(0x800_0000));
      } else if (kind === 2) on.writel(timer, random.value() & ~0x4000);
      else if (kind === 3) on.writel(timer + 8 + 4 * random.below(2), random.value());
      else if (kind === 4) on.writel(base + 0x20, random.value());
      for (const offset of [0, 4, 0x10, 0x20, 0xf0, 0xf4]) if (random.below(4) === 0) on.readl(base + offset);
      // Not the high half of the comparator, which QEMU keeps in 32-bit mode too.
      for (const offset of [0, 8]) if (random.below(2)) on.readl(timer + offset);
    }
  }),
);
