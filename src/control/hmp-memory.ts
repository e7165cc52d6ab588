/**
 * The monitor's commands about memory, expressions and ports: `x`, `xp`, `print`, `sum`, `i`, `o`, ...
 *
 * Spec: QEMU 7.2, "QEMU Monitor".
 */
import { type Command, type Session, text } from './hmp-command.ts';
import { dump, dumpCode, type Format, parseFormat, printed, remembered } from './hmp-dump.ts';
import type { Scanner } from './hmp-expression.ts';
import { type Control, ControlError } from './hub.ts';

function memory(help: string, read: (hmp: Session, at: bigint, length: number) => Uint8Array | undefined): Command {
  return {
    parameters: '/fmt addr',
    help,
    run(hmp, scanner) {
      const format = parseFormat(scanner, hmp.format, true);
      const address = scanner.expression();
      if (!scanner.done) return '';
      hmp.format = remembered(hmp.format, format);
      if (format.letter === 'i') {
        const { text: processor } = hmp.control.machine.vcpus[hmp.cpu] ?? {};
        if (!processor) throw new ControlError("there is no disassembler for this processor; use format 'x'");
        return dumpCode(format.count, BigInt.asUintN(64, address), processor, (at, length) => read(hmp, at, length));
      }
      return dump(format, address, (at, length) => read(hmp, at, length));
    },
  };
}

/** A format for this command; what it leaves for later ones is kept. */
function takeFormat(hmp: Session, scanner: Scanner): Format {
  const format = parseFormat(scanner, hmp.format, true);
  hmp.format = remembered(hmp.format, format);
  return format;
}

export const MEMORY_COMMANDS: Readonly<Record<string, Command>> = {
  gva2gpa: {
    parameters: 'addr',
    help: 'print the guest physical address of a guest virtual address',
    run(hmp, scanner) {
      const physical = hmp.control.machine.vcpus[hmp.cpu]?.translate(BigInt.asUintN(64, scanner.expression()));
      return physical === undefined ? 'Unmapped\n' : `gpa: 0x${physical.toString(16)}\n`;
    },
  },
  i: {
    parameters: '/fmt addr[.index]',
    help: 'I/O port read',
    run(hmp, scanner) {
      const format = takeFormat(hmp, scanner);
      let port = Number(BigInt.asUintN(16, scanner.expression()));
      let index: bigint | undefined;
      if (scanner.peek() === '.') {
        scanner.at++;
        index = scanner.expression();
      }
      if (!scanner.done) return '';
      const ports = portsOf(hmp);
      if (index !== undefined) {
        ports.write(port, 1, Number(BigInt.asUintN(8, index)));
        port = (port + 1) & 0xffff;
      }
      const { size, letter } = PORT_SIZES[format.size];
      const value = ports.read(port, size).toString(16);
      return `port${letter}[0x${port.toString(16).padStart(4, '0')}] = 0x${value.padStart(2 * format.size, '0')}\n`;
    },
  },
  memsave: {
    parameters: 'addr size file',
    help: "save to disk virtual memory dump starting at 'addr' of size 'size'",
    run: (hmp, scanner) =>
      save(scanner, 'memsave', (at, size, file) => hmp.control.saveVirtual(at, size, file, hmp.cpu)),
  },
  o: {
    parameters: '/fmt addr value',
    help: 'I/O port write',
    run(hmp, scanner) {
      const format = takeFormat(hmp, scanner);
      const port = Number(BigInt.asUintN(16, scanner.expression()));
      const value = Number(BigInt.asUintN(32, scanner.expression()));
      if (scanner.done) portsOf(hmp).write(port, PORT_SIZES[format.size].size, value);
      return '';
    },
  },
  pmemsave: {
    parameters: 'addr size file',
    help: "save to disk physical memory dump starting at 'addr' of size 'size'",
    run: (hmp, scanner) => save(scanner, 'pmemsave', (at, size, file) => hmp.control.savePhysical(at, size, file)),
  },
  print: {
    also: 'p',
    parameters: '/fmt expr',
    help: 'print expression value (use $reg for CPU register access)',
    run(hmp, scanner) {
      const format = parseFormat(scanner, hmp.format, false);
      const value = scanner.expression();
      if (!scanner.done) return '';
      hmp.format = { ...hmp.format, letter: format.letter };
      return printed(format.letter, value) + '\n';
    },
  },
  sum: {
    parameters: 'addr size',
    help: 'compute the checksum of a memory region',
    run(hmp, scanner) {
      const address = Number(BigInt.asUintN(64, scanner.expression()));
      const length = Number(scanner.expression());
      if (length < 0 || length > 2 ** 26) throw new ControlError('the size is out of range');
      const bytes = hmp.control.machine.readMemory(address, length);
      if (!bytes) throw new ControlError('there is no RAM');
      let sum = 0;
      for (const byte of bytes) sum = (((sum >> 1) | (sum << 15)) + byte) & 0xffff;
      return sum.toString().padStart(5, '0') + '\n';
    },
  },
  x: memory("virtual memory dump starting at 'addr'", (hmp, at, length) =>
    hmp.control.readVirtual(hmp.cpu, at, length),
  ),
  xp: memory("physical memory dump starting at 'addr'", (hmp, at, length) =>
    at <= Number.MAX_SAFE_INTEGER ? hmp.control.machine.readMemory(Number(at), length) : undefined,
  ),
};

/** Accesses by the size of a format; ports have no more than 32 bits, and what is wider is taken for a byte. */
const PORT_SIZES = {
  1: { size: 1, letter: 'b' },
  2: { size: 2, letter: 'w' },
  4: { size: 4, letter: 'l' },
  8: { size: 1, letter: 'b' },
} as const;

function portsOf({ control: { machine } }: Session): NonNullable<Control['machine']['ports']> {
  if (!machine.ports) throw new ControlError('this machine has no I/O ports');
  return machine.ports;
}

async function save(
  scanner: Scanner,
  name: string,
  act: (at: bigint, size: bigint, file: string) => Promise<void>,
): Promise<string> {
  const address = BigInt.asUintN(64, scanner.expression());
  const size = scanner.expression();
  const file = text(name, scanner);
  if (scanner.done) await act(address, size, file);
  return '';
}
