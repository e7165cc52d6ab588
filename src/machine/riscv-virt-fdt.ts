/**
 * The device tree of the `virt` board, as QEMU 7.2 generates it.
 *
 * Departures: no PCI host yet; `aliases`, and `riscv,isa-base` with
 * `riscv,isa-extensions`, are those of later versions; no `pmu` node (our SBI
 * needs none); the platform bus, which nothing can be put on, is left out.
 */
import { cells64, type FdtNode, node } from './fdt.ts';
import {
  type Area,
  MIP,
  PLIC_SOURCES,
  TIMEBASE_HZ,
  UART_CLOCK_HZ,
  VIRT_IRQ,
  VIRT_MAP,
  VIRTIO_SLOTS,
} from './riscv-virt-map.ts';

/** What the tree says about the harts, which are all alike. */
export interface VirtCpu {
  /** `riscv,isa`, e.g. `rv64imafdc_zicsr_zifencei_zba`. */
  readonly isa: string;
  /** e.g. `rv64i` */
  readonly isaBase?: string;
  /** One name an extension, e.g. `i`, `m`, `zicsr`. */
  readonly isaExtensions?: readonly string[];
  /** `riscv,sv39`, `riscv,sv48`, `riscv,sv57` or `riscv,none`. */
  readonly mmuType: string;
  /** Bytes; given when Zicbom or Zicboz is there. */
  readonly cbomBlockSize?: number;
  readonly cbozBlockSize?: number;
}

/** `aclint`: an ACLINT in place of the CLINT. */
export function virtTree(cpu: VirtCpu, harts: number, memory: number, aclint = false): FdtNode {
  // Phandles count as QEMU's do: the last hart first.
  const cpuPhandle = (hart: number) => 1 + 2 * (harts - 1 - hart);
  const intcPhandle = (hart: number) => cpuPhandle(hart) + 1;
  const plicPhandle = 2 * harts + 1;
  const testPhandle = 2 * harts + 2;
  const reg = (area: Area) => cells64(area.base, area.size);
  const named = (name: string, area: Area) => `${name}@${area.base.toString(16)}`;
  const all = Array.from({ length: harts }, (_, hart) => hart);
  const toHarts = (first: number, second: number) =>
    all.flatMap((hart) => [intcPhandle(hart), first, intcPhandle(hart), second]);
  const bank = VIRT_MAP.flash.size / 2;
  const serial = named('serial', VIRT_MAP.uart0);

  const cpus = all.map((hart) =>
    node(
      `cpu@${hart.toString(16)}`,
      {
        phandle: [cpuPhandle(hart)],
        device_type: 'cpu',
        reg: [hart],
        status: 'okay',
        compatible: 'riscv',
        'riscv,isa': cpu.isa,
        'riscv,isa-base': cpu.isaBase,
        'riscv,isa-extensions': cpu.isaExtensions,
        'riscv,cbom-block-size': cpu.cbomBlockSize === undefined ? undefined : [cpu.cbomBlockSize],
        'riscv,cboz-block-size': cpu.cbozBlockSize === undefined ? undefined : [cpu.cbozBlockSize],
        'mmu-type': cpu.mmuType,
      },
      [
        node('interrupt-controller', {
          '#interrupt-cells': [1],
          'interrupt-controller': true,
          compatible: 'riscv,cpu-intc',
          phandle: [intcPhandle(hart)],
        }),
      ],
    ),
  );
  const cores = all.map((hart) => node(`core${hart.toString(16)}`, { cpu: [cpuPhandle(hart)] }));
  const virtio = Array.from({ length: VIRTIO_SLOTS }, (_, slot) => {
    const area = { base: VIRT_MAP.virtio.base + slot * VIRT_MAP.virtio.size, size: VIRT_MAP.virtio.size };
    return node(named('virtio_mmio', area), {
      interrupts: [VIRT_IRQ.virtio + slot],
      'interrupt-parent': [plicPhandle],
      reg: reg(area),
      compatible: 'virtio,mmio',
    });
  });

  return node(
    '',
    { '#address-cells': [2], '#size-cells': [2], compatible: 'riscv-virtio', model: 'riscv-virtio,qemu' },
    [
      node(named('fw-cfg', VIRT_MAP.fwCfg), {
        'dma-coherent': true,
        reg: reg(VIRT_MAP.fwCfg),
        compatible: 'qemu,fw-cfg-mmio',
      }),
      node(named('flash', VIRT_MAP.flash), {
        'bank-width': [4],
        reg: cells64(VIRT_MAP.flash.base, bank, VIRT_MAP.flash.base + bank, bank),
        compatible: 'cfi-flash',
      }),
      node('aliases', { serial0: `/soc/${serial}` }),
      node('chosen', { 'stdout-path': `/soc/${serial}` }),
      node('poweroff', { value: [0x5555], offset: [0], regmap: [testPhandle], compatible: 'syscon-poweroff' }),
      node('reboot', { value: [0x7777], offset: [0], regmap: [testPhandle], compatible: 'syscon-reboot' }),
      node(named('memory', VIRT_MAP.dram), { device_type: 'memory', reg: cells64(VIRT_MAP.dram.base, memory) }),
      node('cpus', { '#address-cells': [1], '#size-cells': [0], 'timebase-frequency': [TIMEBASE_HZ] }, [
        ...cpus,
        node('cpu-map', {}, [node('cluster0', {}, cores)]),
      ]),
      node('soc', { '#address-cells': [2], '#size-cells': [2], compatible: 'simple-bus', ranges: true }, [
        node(named('rtc', VIRT_MAP.rtc), {
          interrupts: [VIRT_IRQ.rtc],
          'interrupt-parent': [plicPhandle],
          reg: reg(VIRT_MAP.rtc),
          compatible: 'google,goldfish-rtc',
        }),
        node(serial, {
          interrupts: [VIRT_IRQ.uart0],
          'interrupt-parent': [plicPhandle],
          'clock-frequency': [UART_CLOCK_HZ],
          reg: reg(VIRT_MAP.uart0),
          compatible: 'ns16550a',
        }),
        node(named('test', VIRT_MAP.test), {
          phandle: [testPhandle],
          reg: reg(VIRT_MAP.test),
          compatible: ['sifive,test1', 'sifive,test0', 'syscon'],
        }),
        ...virtio.reverse(),
        node(named('plic', VIRT_MAP.plic), {
          phandle: [plicPhandle],
          'riscv,ndev': [PLIC_SOURCES],
          reg: reg(VIRT_MAP.plic),
          'interrupts-extended': toHarts(MIP.MEIP, MIP.SEIP),
          'interrupt-controller': true,
          compatible: ['sifive,plic-1.0.0', 'riscv,plic0'],
          '#address-cells': [0],
          '#interrupt-cells': [1],
        }),
        ...(aclint
          ? aclintNodes((bit) => all.flatMap((hart) => [intcPhandle(hart), bit]))
          : [
              node(named('clint', VIRT_MAP.clint), {
                'interrupts-extended': toHarts(MIP.MSIP, MIP.MTIP),
                reg: reg(VIRT_MAP.clint),
                compatible: ['sifive,clint0', 'riscv,clint0'],
              }),
            ]),
      ]),
    ],
  );
}

/** Sizes and places within the CLINT's window. */
const MSWI_SIZE = 0x4000;
const MTIME = 0xbff8;

function aclintNodes(toHarts: (bit: number) => number[]): FdtNode[] {
  const { clint, aclintSswi } = VIRT_MAP;
  const software = (name: string, compatible: string, base: number, size: number, bit: number) =>
    node(`${name}@${base.toString(16)}`, {
      '#interrupt-cells': [0],
      'interrupt-controller': true,
      'interrupts-extended': toHarts(bit),
      reg: cells64(base, size),
      compatible,
    });
  const timer = clint.base + MSWI_SIZE;
  const time = clint.base + MTIME;
  return [
    software('sswi', 'riscv,aclint-sswi', aclintSswi.base, aclintSswi.size, MIP.SSIP),
    node(`mtimer@${timer.toString(16)}`, {
      'interrupts-extended': toHarts(MIP.MTIP),
      // The counter, then the comparators.
      reg: cells64(time, clint.base + clint.size - time, timer, time - timer),
      compatible: 'riscv,aclint-mtimer',
    }),
    software('mswi', 'riscv,aclint-mswi', clint.base, MSWI_SIZE, MIP.MSIP),
  ];
}
