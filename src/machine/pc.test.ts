import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32 } from '../bits/endian.ts';
import { latin1, utf8 } from '../bits/text.ts';
import { TestBench } from '../hw/test-bench.ts';
import { load, save } from '../state/codec.ts';
import { MemoryDisk } from '../storage/memory.ts';
import type { MachineConfig } from './config.ts';
import { buildMicrovm, microvmMemory } from './microvm.ts';
import { buildPc, type PcBoard } from './pc.ts';
import { describePci, describePic } from './pc-describe.ts';
import { pcAreas } from './pc-firmware.ts';
import { PC_NAMES } from './pc-names.ts';
import type { GuestMemory, PcParts } from './pc-parts.ts';

const MIB = 0x10_0000;

/** Guest memory as a map from pages to bytes. */
class TestMemory implements GuestMemory {
  readonly ram: Uint8Array;
  private readonly pages = new Map<number, { bytes: Uint8Array; offset: number; readOnly: boolean }>();
  private readonly areas = new Map<string, Uint8Array>();

  constructor(size: number, areas: readonly { name: string; size: number }[]) {
    this.ram = new Uint8Array(size);
    for (const area of areas) this.areas.set(area.name, new Uint8Array(area.size));
  }
  private show(bytes: Uint8Array, address: number, length: number, offset: number, readOnly: boolean): void {
    for (let at = 0; at < length; at += 4096)
      this.pages.set((address + at) / 4096, { bytes, offset: offset + at, readOnly });
  }
  mapRam(address: number, length: number, offset: number, readOnly = false): void {
    this.show(this.ram, address, length, offset, readOnly);
  }
  mapArea(name: string, address: number, length: number, offset: number, readOnly: boolean): void {
    this.show(this.areas.get(name) as Uint8Array, address, length, offset, readOnly);
  }
  unmap(address: number, length: number): void {
    for (let at = 0; at < length; at += 4096) this.pages.delete((address + at) / 4096);
  }
  writeRam(offset: number, data: Uint8Array, size = data.length): void {
    this.ram.set(data, offset);
    this.ram.fill(0, offset + data.length, offset + size);
  }
  area(name: string) {
    const bytes = this.areas.get(name) as Uint8Array;
    let now: number | undefined;
    return {
      bytes,
      readOnly: false,
      place: (at: number | undefined) => {
        if (now !== undefined) this.unmap(now, bytes.length);
        now = at;
        if (at !== undefined) this.mapArea(name, at, bytes.length, 0, false);
      },
    };
  }
  /** A byte as the processor would read it, or what lies there. */
  at(address: number): { byte: number; readOnly: boolean } | undefined {
    const page = this.pages.get(Math.floor(address / 4096));
    return page && { byte: page.bytes[page.offset + (address % 4096)], readOnly: page.readOnly };
  }
}

const config = (machine: string, more: Partial<MachineConfig> = {}): MachineConfig => ({
  machine,
  accel: 'reference',
  cpu: { model: 'qemu64', features: {} },
  cpus: 2,
  memory: 64 * MIB,
  bios: new Uint8Array(0x4_0000).fill(0xb1),
  serials: [{ write() {} }],
  chardevs: [],
  drives: [],
  devices: [],
  noReboot: false,
  noShutdown: false,
  ...more,
});

async function build(options: MachineConfig, more: Partial<PcParts> = {}) {
  const { kind } = PC_NAMES[options.machine];
  const bench = new TestBench(0, 4096);
  const memory = new TestMemory(options.memory, pcAreas(options, kind));
  const cpus = Array.from({ length: options.cpus }, () => ({
    intr: { set() {} },
    nmi() {},
    smi() {},
    init() {},
    startup() {},
  }));
  const given = { wiring: bench, memory, cpus, current: () => 0, apics: true, ...more };
  const parts: PcParts = { ...given, random: (into) => into.fill(4) };
  const board = await (kind === 'microvm' ? buildMicrovm : buildPc)(options, parts);
  board.resetAll();
  return { board, memory, bench };
}

const pciRead = ({ ports }: PcBoard, slot: number, fn: number, at: number): number => {
  ports?.write(0xcf8, 4, (0x8000_0000 | (slot << 11) | (fn << 8) | at) >>> 0);
  return ports?.read(0xcfc, 4) ?? 0;
};
const pciWrite = ({ ports }: PcBoard, slot: number, at: number, value: number): void => {
  ports?.write(0xcf8, 4, (0x8000_0000 | (slot << 11) | (at & 0xfc)) >>> 0);
  ports?.write(0xcfc + (at & 3), 1, value);
};

test("pc and q35 have QEMU's devices in QEMU's slots", async () => {
  const { board: pc } = await build(config('pc', { devices: [{ driver: 'virtio-rng-pci', properties: {} }] }));
  const ids = [0, 1].map((slot) => pciRead(pc, slot, 0, 0));
  assert.deepEqual(ids, [0x1237_8086, 0x7000_8086]);
  assert.deepEqual([pciRead(pc, 1, 1, 0), pciRead(pc, 1, 3, 0)], [0x7010_8086, 0x7113_8086]);
  assert.deepEqual([pciRead(pc, 2, 0, 0), pciRead(pc, 3, 0, 0)], [0x1111_1234, 0x1005_1af4]);
  const { board: q35 } = await build(config('q35'));
  assert.deepEqual(
    [pciRead(q35, 0, 0, 0), pciRead(q35, 1, 0, 0), ...[0, 2, 3].map((fn) => pciRead(q35, 31, fn, 0))],
    [0x29c0_8086, 0x1111_1234, 0x2918_8086, 0x2922_8086, 0x2930_8086],
  );
});

test('info pic and info pci, as QEMU prints them', async () => {
  const { board } = await build(config('pc', { devices: [{ driver: 'virtio-rng-pci', properties: {} }] }));
  board.bus.write(0xfec0_0000, 1, 0x14);
  board.bus.write(0xfec0_0010, 4, 0x1_b130 | 0x800);
  board.ports?.write(0x21, 1, 0xb8);
  const pic = describePic(board).split('\n');
  assert.equal(pic[0], 'ioapic0: ver=0x20 id=0x00 sel=0x14 (redir[2])');
  assert.equal(pic[1], '  pin 0  0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical');
  assert.equal(pic[3], '  pin 2  0x000000000001a930 dest=0 vec=48  active-lo level masked lowest logical');
  assert.equal(pic[26], '  Remote IRR (none)');
  assert.match(pic[28], /^pic0: irr=[0-9a-f]{2} imr=b8 isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0$/);
  pciWrite(board, 2, 0x13, 0xfd);
  pciWrite(board, 2, 4, 2);
  const pci = describePci(board.pci, new Set());
  const lines = [
    '  Bus  0, device   2, function 0:',
    '    VGA controller: PCI device 1234:1111',
    '      PCI subsystem 1af4:1100',
    '      BAR0: 32 bit prefetchable memory at 0xfd000000 [0xfdffffff].',
    '      BAR2: 32 bit memory at 0xffffffffffffffff [0x00000ffe].',
  ];
  assert.ok(pci.includes(lines.join('\n')), pci);
  assert.match(pci, /^ {4}Class 0255: PCI device 1af4:1005\n {6}PCI subsystem 1af4:0004\n {6}IRQ 0, pin A$/m);
});

test('network cards sit where -device puts them', async () => {
  const cards = ['e1000', 'rtl8139', 'ne2k_pci', 'virtio-net-pci', 'ne2k_isa'];
  const devices = cards.map((driver) => ({ driver, properties: {} }));
  for (const machine of ['pc', 'q35']) {
    const { board } = await build(config(machine, { devices }));
    const first = machine === 'pc' ? 3 : 2;
    const ids = [0, 1, 2, 3].map((slot) => pciRead(board, first + slot, 0, 0));
    assert.deepEqual(ids, [0x100e_8086, 0x8139_10ec, 0x8029_10ec, 0x1000_1af4]);
    assert.equal(board.ports?.read(0x307, 1), 0x80); // the NE2000 says that it was reset
  }
});

test('firmware shows at the top of 4 GiB and below 1 MiB, and RAM replaces it as the guest says', async () => {
  const { board, memory } = await build(config('pc'));
  const rom = { byte: 0xb1, readOnly: true };
  for (const at of [0xffff_fff0, 0xfffc_0000, 0xe_0000, 0xf_ffff])
    assert.deepEqual(memory.at(at), rom, at.toString(16));
  assert.equal(memory.at(0xc_0000), undefined);
  assert.equal(memory.at(0xa_0000), undefined);
  assert.deepEqual(memory.at(0x10_0000), { byte: 0, readOnly: false });
  pciWrite(board, 0, 0x59, 0x20); // the last 64 KiB: writes to RAM, reads from the ROM
  board.bus.write(0xf_0000, 4, 0x1234_5678);
  assert.deepEqual(memory.at(0xf_0000), rom);
  assert.equal(readU32(memory.ram, 0xf_0000), 0x1234_5678);
  pciWrite(board, 0, 0x59, 0x10);
  assert.deepEqual(memory.at(0xf_0000), { byte: 0x78, readOnly: true });
  pciWrite(board, 0, 0x59, 0x30);
  assert.deepEqual(memory.at(0xf_0000), { byte: 0x78, readOnly: false });
  board.resetAll();
  assert.deepEqual(memory.at(0xf_0000), rom);
});

test('fw_cfg has what SeaBIOS and OVMF look for', async () => {
  const { board } = await build(config('pc', { fwCfg: { 'opt/x': utf8('y') }, boot: { rebootTimeout: 5000 } }));
  board.ports?.write(0x510, 2, 0x19);
  const byte = () => board.ports?.read(0x511, 1) ?? 0;
  const count = (byte() << 24) | (byte() << 16) | (byte() << 8) | byte();
  const names = Array.from({ length: count }, () =>
    latin1(Uint8Array.from({ length: 64 }, byte).subarray(8)).replace(/\0.*/s, ''),
  );
  assert.deepEqual(names, [
    'etc/acpi/rsdp',
    'etc/acpi/tables',
    'etc/boot-fail-wait',
    'etc/e820',
    'etc/smbios/smbios-anchor',
    'etc/smbios/smbios-tables',
    'etc/system-states',
    'etc/table-loader',
    'opt/x',
  ]);
});

test('CMOS memory tells firmware of RAM, processors and boot order', async () => {
  const { board } = await build(config('pc', { boot: { order: 'dc' } }));
  const cmos = (at: number) => {
    board.ports?.write(0x70, 1, at);
    return board.ports?.read(0x71, 1);
  };
  assert.deepEqual([cmos(0x34), cmos(0x35)], [0, 3]); // 48 MiB in units of 64 KiB
  assert.equal(cmos(0x5f), 1);
  assert.equal(cmos(0x3d), 0x23);
});

test('a disk, a CD-ROM and virtio disks are where the command line puts them; what does not fit is refused', async () => {
  const drive = (type: string, id: string, more = {}) => ({
    id,
    interface: type,
    disk: new MemoryDisk(new Uint8Array(MIB)),
    ...more,
  });
  const drives = [drive('ide', 'd0'), drive('ide', 'cd', { index: 2, cdrom: true }), drive('virtio', 'v')];
  const { board } = await build(config('pc', { drives }));
  assert.equal(pciRead(board, 3, 0, 0), 0x1001_1af4);
  const names = board.devices.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, 'names are unique');
  assert.ok(names.includes('ide0-0') && names.includes('ide1-0'));
  const nvme = { driver: 'nvme', properties: { drive: 'n', serial: 'x', addr: '7' } };
  const { board: other } = await build(config('q35', { drives: [drive('none', 'n')], devices: [nvme] }));
  assert.equal(pciRead(other, 7, 0, 8) >>> 8, 0x01_0802);
  await assert.rejects(build(config('pc', { drives: [drive('scsi', 's')] })), { code: 'drive-interface' });
  await assert.rejects(build(config('pc', { drives: [drive('ide', 'a', { index: 9 })] })), { code: 'ide-full' });
  await assert.rejects(build(config('pc', { devices: [{ driver: 'nonesuch', properties: {} }] })), {
    code: 'device-unknown',
  });
  for (const driver of ['e1000', 'virtio-rng-pci', 'VGA', 'edu', 'virtserialport'])
    await assert.rejects(build(config('isapc', { devices: [{ driver, properties: {} }] })), { code: 'no-bus' });
  await assert.rejects(build(config('pc', { bios: 'default' })), { code: 'firmware-missing' });
});

test('q35 with a remapping unit: its registers, and what they say with an I/O APIC that is the kernel’s', async () => {
  const unit = (properties: Record<string, string>) => [{ driver: 'intel-iommu', properties }];
  const { board } = await build(
    config('q35', { devices: [...unit({}), { driver: 'edu', properties: { addr: '4' } }] }),
  );
  assert.equal(board.bus.read(0xfed9_0010, 4), 0xf0_0f4a);
  assert.equal(pciRead(board, 4, 0, 0), 0x11e8_1234);
  assert.equal(await build(config('q35')).then((other) => other.board.bus.read(0xfed9_0010, 4)), undefined);
  const kernel = { kernelIoApic: true };
  const { board: without } = await build(config('q35', { devices: unit({}) }), kernel);
  assert.equal(without.bus.read(0xfed9_0010, 4), 0xf0_0f42);
  await assert.rejects(build(config('q35', { devices: unit({ intremap: 'on' }) }), kernel), { code: 'iommu-intremap' });
  await assert.rejects(build(config('pc', { devices: unit({}) })), { code: 'iommu-board' });
});

test('flash holds firmware: read directly, programmed through commands', async () => {
  const flash = (id: string, index: number, size: number) => ({
    id,
    interface: 'pflash',
    index,
    disk: new MemoryDisk(new Uint8Array(size)),
  });
  const drives = [flash('code', 0, 0x2_0000), flash('vars', 1, 0x1_0000)];
  await drives[1].disk.write(0, new Uint8Array(512).fill(0xff));
  const { board, memory } = await build(config('q35', { drives }));
  const vars = 0xffff_ffff + 1 - 0x3_0000;
  assert.deepEqual(memory.at(vars), { byte: 0xff, readOnly: false });
  board.bus.write(vars, 1, 0x10);
  assert.equal(memory.at(vars), undefined); // no longer memory
  board.bus.write(vars, 1, 0x5a);
  assert.equal(board.bus.read(vars, 1), 0x80);
  board.bus.write(vars, 1, 0xff);
  assert.equal(memory.at(vars)?.byte, 0x5a);
});

for (const machine of ['pc', 'q35', 'isapc', 'microvm']) {
  test(`every device of ${machine} resets, saves and loads its state`, async () => {
    const options = config(machine, {
      ...(machine === 'microvm' ? { bios: new Uint8Array(0x1_0000) } : {}),
      ...(machine === 'q35' ? { devices: ['intel-iommu', 'edu'].map((driver) => ({ driver, properties: {} })) } : {}),
    });
    const [{ board }, { board: other }] = [await build(options), await build(options)];
    const names = board.devices.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, `names are unique: ${names.join(' ')}`);
    board.ports?.write(0x3ff, 1, 0x5a); // the serial port's scratch register
    for (const device of board.devices) {
      const twin = other.devices.find(({ name }) => name === device.name);
      assert.ok(twin, device.name);
      load(twin.layout, twin.state, save(device.layout, device.state));
      twin.resumed?.();
      assert.deepEqual(twin.state, device.state, device.name);
    }
    assert.equal(other.ports?.read(0x3ff, 1), 0x5a);
  });
}

test('microvm enters a kernel by itself', async () => {
  const kernel = new Uint8Array(2048);
  kernel[0x1f1] = 1;
  kernel.set(utf8('HdrS'), 0x202);
  kernel.set([0x0f, 0x02], 0x206);
  kernel[0x211] = 1;
  const { memory } = await build(config('microvm', { bios: 'default', kernel, append: 'quiet' }));
  assert.equal(memory.at(0xffff_fff0)?.byte, 0xe9);
  assert.equal(latin1(memory.ram.subarray(0x2_0000, 0x2_0006)), 'quiet\0');
  assert.equal(latin1(memory.ram.subarray(0xe_0000, 0xe_0008)), 'RSD PTR ');
  assert.deepEqual(microvmMemory(config('microvm')), { below: 64 * MIB, above: 0 });
});
