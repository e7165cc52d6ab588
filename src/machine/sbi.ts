/**
 * The built-in SBI: what a supervisor's `ecall` gets when there is no firmware.
 *
 * Spec: RISC-V Supervisor Binary Interface Specification 2.0, chapters "Base
 * Extension" to "Debug Console Extension". Of the legacy extensions there are
 * the timer, the console and shutdown. PMU and the others are not supported:
 * `cycle`, `time` and `instret` can be read without them.
 */
import { answer, notSupported, ok, SBI, type SbiAnswer, type SbiExtension, type SbiMachine } from './sbi-call.ts';
import { hsm, ipi, rfence } from './sbi-harts.ts';

export type { SbiMachine } from './sbi-call.ts';
export { startHart } from './sbi-harts.ts';

/** In the space for experiments; no implementation of the specification's list has it. */
const IMPLEMENTATION = 0x54n;
const IMPLEMENTATION_VERSION = 1n;
const SPEC_2_0 = 2n << 24n;
/** a0 to a7 are x10 to x17. */
const A0 = 10;
/** At most so many bytes move in one call of the debug console. */
const CONSOLE_PIECE = 4096;

export class Sbi {
  private readonly machine: SbiMachine;
  private readonly extensions = new Map<bigint, SbiExtension>();

  constructor(machine: SbiMachine) {
    this.machine = machine;
    const all = [
      base(this.extensions),
      timer(machine),
      ipi(machine),
      rfence(machine),
      hsm(machine),
      reset(machine),
      console(machine),
    ];
    for (const extension of all) for (const id of extension.ids) this.extensions.set(id, extension);
  }

  /** Answers the `ecall` of a hart: arguments and results are in its registers. */
  call(index: number): void {
    const hart = this.machine.harts[index];
    const id = hart.get64('x', A0 + 7);
    const args = [0, 1, 2, 3, 4, 5].map((n) => hart.get64('x', A0 + n));
    if (id <= LAST_LEGACY) {
      hart.set64('x', this.legacy(index, id, args), A0); // a1 stays
      return;
    }
    const extension = this.extensions.get(id);
    const { error, value } = extension
      ? extension.call({ hart: index, fid: hart.get64('x', A0 + 6), args })
      : notSupported;
    hart.set64('x', error, A0);
    hart.set64('x', value, A0 + 1);
  }

  /** Legacy extensions answer in a0 alone. */
  private legacy(index: number, id: bigint, args: readonly bigint[]): bigint {
    const { machine } = this;
    switch (id) {
      case 0n:
        setTimer(machine, index, args[0]);
        return SBI.SUCCESS;
      case 1n:
        machine.console.write(Uint8Array.of(Number(args[0] & 0xffn)));
        return SBI.SUCCESS;
      case 2n:
        return BigInt(machine.console.read());
      case 8n:
        machine.poweroff(0);
        return SBI.SUCCESS;
      default:
        return SBI.NOT_SUPPORTED;
    }
  }
}

const LAST_LEGACY = 15n;
const LEGACY = [0n, 1n, 2n, 8n];

function base(extensions: ReadonlyMap<bigint, SbiExtension>): SbiExtension {
  return {
    ids: [0x10n],
    call({ fid, args }) {
      switch (fid) {
        case 0n:
          return ok(SPEC_2_0);
        case 1n:
          return ok(IMPLEMENTATION);
        case 2n:
          return ok(IMPLEMENTATION_VERSION);
        case 3n:
          return ok(extensions.has(args[0]) || LEGACY.includes(args[0]) ? 1n : 0n);
        case 4n: // mvendorid, marchid, mimpid read as zero in M-mode too
        case 5n:
        case 6n:
          return ok();
        default:
          return notSupported;
      }
    },
  };
}

/** Programs the hart's own comparator; the interrupt goes away until then. */
function setTimer(machine: SbiMachine, index: number, ticks: bigint): void {
  const hart = machine.harts[index];
  hart.set64('stimecmp', ticks);
  hart.compareTime(machine.ticks());
}

function timer(machine: SbiMachine): SbiExtension {
  return {
    ids: [0x5449_4d45n], // "TIME"
    call({ hart, fid, args }) {
      if (fid !== 0n) return notSupported;
      setTimer(machine, hart, args[0]);
      return ok();
    },
  };
}

/** Spec: "System Reset Extension". */
function reset(machine: SbiMachine): SbiExtension {
  const SHUTDOWN = 0n;
  const WARM_REBOOT = 2n;
  const SYSTEM_FAILURE = 1n;
  return {
    ids: [0x5352_5354n], // "SRST"
    call({ fid, args }) {
      if (fid !== 0n) return notSupported;
      const [type, reason] = args.map((arg) => BigInt.asUintN(32, arg));
      if (type > WARM_REBOOT || reason > SYSTEM_FAILURE) return answer(SBI.INVALID_PARAM);
      if (type === SHUTDOWN) machine.poweroff(reason === SYSTEM_FAILURE ? 1 : 0);
      else machine.reset();
      return ok();
    },
  };
}

/** Spec: "Debug Console Extension". Addresses are physical. */
function console(machine: SbiMachine): SbiExtension {
  /** The physical range of a call, cut to what one call moves; undefined when it is not all RAM. */
  const range = (args: readonly bigint[]): { address: number; length: number } | undefined => {
    const [count, low, high] = args;
    if (high !== 0n || low >= 1n << 53n) return undefined;
    return { address: Number(low), length: Number(count < CONSOLE_PIECE ? count : BigInt(CONSOLE_PIECE)) };
  };
  const write = (args: readonly bigint[]): SbiAnswer => {
    const at = range(args);
    if (at?.length === 0) return ok();
    const bytes = at && machine.readable(at.address, at.length);
    if (!bytes) return answer(SBI.INVALID_PARAM);
    machine.console.write(bytes.slice());
    return ok(BigInt(bytes.length));
  };
  const read = (args: readonly bigint[]): SbiAnswer => {
    const at = range(args);
    if (at?.length === 0) return ok();
    const bytes = at && machine.writable(at.address, at.length);
    if (!bytes) return answer(SBI.INVALID_PARAM);
    let count = 0;
    for (; count < bytes.length; count++) {
      const byte = machine.console.read();
      if (byte < 0) break;
      bytes[count] = byte;
    }
    return ok(BigInt(count));
  };
  return {
    ids: [0x4442_434en], // "DBCN"
    call({ fid, args }) {
      if (fid === 0n) return write(args);
      if (fid === 1n) return read(args);
      if (fid !== 2n) return notSupported;
      machine.console.write(Uint8Array.of(Number(args[0] & 0xffn)));
      return ok();
    },
  };
}
