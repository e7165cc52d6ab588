/** Puts the parts of a RISC-V machine together and wires them. */
import type { Board } from '../accel/accelerator.ts';
import { createSwitching } from '../accel/create.ts';
import { loadIsa } from '../accel/isas.ts';
import type { IrqLine } from '../hw/device.ts';
import { raiseInterrupt } from '../isa/riscv/cpu.ts';
import type { MachineConfig } from './config.ts';
import type { MachineHost } from './machine-host.ts';
import { deviceLog } from './machine-log.ts';
import { clockOf, dmaOf, type MachineParts, switchingOptions } from './machine-parts.ts';
import { virtCpu } from './riscv-cpu.ts';
import { buildVirt, MIP, TIMEBASE_HZ, VIRT_MAP, type VirtBoard } from './riscv-virt.ts';
import { RunLoop } from './run-loop.ts';
import { Sbi, type SbiMachine } from './sbi.ts';
import { startHart } from './sbi-harts.ts';

const TICK_NS = 1e9 / TIMEBASE_HZ;

/** Throws ConfigError. */
export async function assembleVirt(config: MachineConfig, host: MachineHost): Promise<MachineParts> {
  const log = deviceLog(config.log);
  const cpu = virtCpu(config.cpu);
  // What the accelerator asks of the board, which is built on the accelerator.
  const late: { bus?: VirtBoard['bus']; clint?: VirtBoard['clint']; sbi?: Sbi } = {};
  const ahead = () => (late.clint ? Number(BigInt.asIntN(64, late.clint.offset)) * TICK_NS : 0);
  const hooks: Board = {
    mmioRead(address, size) {
      const value = late.bus?.read(address, size);
      if (value === undefined) log.guestError('bus', `invalid read of ${size} bytes at 0x${address.toString(16)}`);
      return value;
    },
    mmioWrite(address, size, value) {
      const done = late.bus?.write(address, size, value) === true;
      if (!done) log.guestError('bus', `invalid write of ${size} bytes at 0x${address.toString(16)}`);
      return done;
    },
    // The harts' time is the CLINT's counter.
    now: () => clock.now() + ahead(),
    firmwareCall: (cpu) => late.sbi?.call(cpu),
  };
  const accel = await createSwitching({
    isa: await loadIsa('riscv64'),
    cpus: config.cpus,
    ramBase: VIRT_MAP.dram.base,
    ramSize: config.memory,
    board: hooks,
    ...switchingOptions(config, host),
  });
  const { vcpus } = accel;
  const harts = vcpus.map(({ state }) => state);
  const clock = clockOf(config, host, vcpus);
  const loop = new RunLoop({
    host,
    clock,
    vcpus,
    deterministic: config.icount !== undefined,
    ownDeadline(index) {
      const ticks = Math.floor(hooks.now() / TICK_NS);
      const deadline = harts[index].compareTime(ticks);
      return deadline <= ticks ? Infinity : deadline * TICK_NS - ahead();
    },
    isWoken(index) {
      const hart = harts[index];
      return hart.get32('stopped') === 0 && ((hart.get32('lines') | hart.get32('mip')) & hart.get32('mie')) !== 0;
    },
  });
  clock.onEarlier = () => loop.wake();

  const dma = dmaOf(accel);
  const irq = (index: number, bit: number): IrqLine => ({
    set(level) {
      if (bit !== MIP.SSIP) harts[index].setLine(bit, level);
      else if (level) raiseInterrupt(harts[index], bit);
      if (level) loop.attend(index);
    },
  });
  const random = (into: Uint8Array) => host.random(into);
  const board = await buildVirt(config, cpu, { wiring: { clock, dma, log }, irq, random });
  late.bus = board.bus;
  late.clint = board.clint;
  const outcome: MachineParts['outcome'] = {
    ...{ poweroff() {}, reset() {}, suspend() {}, wake() {} },
    ...{ panic() {}, watchdog() {} },
  };
  board.onPoweroff = (code) => outcome.poweroff(code);
  board.onReset = () => outcome.reset();
  if (board.boot.mode === 'supervisor') {
    const machine: SbiMachine = {
      harts,
      attend: (hart) => loop.attend(hart),
      ticks: () => Math.floor(hooks.now() / TICK_NS),
      flushTranslations: (hart) => vcpus[hart].flushTranslations?.(),
      ...dma,
      console: {
        write: (bytes) => config.serials[0]?.write(bytes),
        read() {
          const { serial } = board;
          return serial.readLineStatus() & 1 ? serial.mmio.read(0, 1) : -1;
        },
      },
      poweroff: (code) => outcome.poweroff(code),
      reset: () => outcome.reset(),
    };
    late.sbi = new Sbi(machine);
  }
  const resetCpus = () => {
    const { boot } = board;
    for (const vcpu of vcpus) {
      const { state } = vcpu;
      vcpu.reset();
      if (boot.mode === 'machine') state.set64('pc', BigInt(boot.pc));
      else {
        startHart(state, BigInt(boot.pc), BigInt(boot.fdt));
        state.stopped = state.index !== 0;
      }
    }
  };
  return { accel, hooks, clock, loop, board, log, outcome, resetCpus };
}
