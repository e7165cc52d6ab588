/**
 * The functions of a WebAssembly module as text, for golden files: what our
 * emitter writes and no more.
 *
 * Spec: WebAssembly Core Specification 2.0, "Binary Format".
 */
import * as op from '../../src/ir/op.ts';
import { storeName } from '../../src/ir/print.ts';

const TYPES: Readonly<Record<number, string>> = { 127: 'i32', 126: 'i64', 125: 'f32', 124: 'f64' };
const PLAIN: Readonly<Record<number, string>> = {
  0: 'unreachable',
  5: 'else',
  11: 'end',
  15: 'return',
  26: 'drop',
  27: 'select',
};
const BLOCKS: Readonly<Record<number, string>> = { 2: 'block', 3: 'loop', 4: 'if' };
const LOCALS: Readonly<Record<number, string>> = { 32: 'local.get', 33: 'local.set', 34: 'local.tee' };
const CALLS: Readonly<Record<number, string>> = { 16: 'call', 18: 'return_call' };

class Reader {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  u8(): number {
    if (this.at >= this.bytes.length) throw new RangeError('the module ends too early');
    return this.bytes[this.at++];
  }
  u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
  signed(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(Number(shift) + 7, value);
    }
  }
  name(): string {
    const length = this.u32();
    this.at += length;
    return new TextDecoder().decode(this.bytes.subarray(this.at - length, this.at));
  }
  part(length: number): Reader {
    this.at += length;
    return new Reader(this.bytes.subarray(this.at - length, this.at));
  }
  get done(): boolean {
    return this.at >= this.bytes.length;
  }
}

interface Signature {
  readonly params: readonly string[];
  readonly results: readonly string[];
}

/** Every function of the module, by the name of its export. */
export function listing(module: Uint8Array): string {
  const reader = new Reader(module);
  reader.part(8);
  const types: Signature[] = [];
  const names: string[] = [];
  const own: number[] = [];
  const lines: string[] = [];
  while (!reader.done) {
    const id = reader.u8();
    const section = reader.part(reader.u32());
    if (id === 0) continue;
    const count = section.u32();
    for (let n = 0; n < count; n++) {
      if (id === 1) {
        section.u8(); // func
        const list = () => Array.from({ length: section.u32() }, () => TYPES[section.u8()]);
        types.push({ params: list(), results: list() });
      } else if (id === 2) readImport(section, names);
      else if (id === 3) own.push(section.u32());
      else if (id === 7) {
        const name = section.name();
        section.u8();
        names[section.u32()] = `region ${name}`;
      } else if (id === 10) {
        const body = section.part(section.u32());
        const imported = names.length - own.length;
        code(body, names[imported + n], types[own[n]], names, lines);
      }
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

function readImport(section: Reader, names: string[]): void {
  section.name();
  const name = section.name();
  const kind = section.u8();
  if (kind === 0) {
    section.u32();
    names.push(name);
  } else if (kind === 1) section.part(1);
  if (kind === 1 || kind === 2) {
    const flags = section.u8();
    section.u32();
    if (flags & 1) section.u32();
  } else if (kind === 3) section.part(2);
}

function code(
  body: Reader,
  name: string,
  { params, results }: Signature,
  names: readonly string[],
  out: string[],
): void {
  const locals = [...params];
  for (let runs = body.u32(); runs > 0; runs--) {
    const count = body.u32();
    const type = TYPES[body.u8()];
    for (let n = 0; n < count; n++) locals.push(type);
  }
  out.push(`${name} (${params.join(' ')}) -> ${results.join(' ') || 'nothing'}`);
  const own = locals.slice(params.length).map((type, n) => `$${params.length + n} ${type}`);
  for (let at = 0; at < own.length; at += 12) out.push(`  local ${own.slice(at, at + 12).join(', ')}`);
  let depth = 1;
  const line = (text: string) => out.push('  '.repeat(depth) + text);
  while (!body.done) {
    const code = body.u8();
    if (code === 0x0b) {
      depth--;
      if (body.done) break;
      line('end');
    } else if (code === 0x05) {
      depth--;
      line('else');
      depth++;
    } else if (code in BLOCKS) {
      const type = body.u8();
      line(type === 0x40 ? BLOCKS[code] : `${BLOCKS[code]} ${TYPES[type]}`);
      depth++;
    } else line(instruction(code, body, names));
  }
}

function instruction(code: number, body: Reader, names: readonly string[]): string {
  if (code in PLAIN) return PLAIN[code];
  if (code in LOCALS) return `${LOCALS[code]} $${body.u32()}`;
  if (code in CALLS) return `${CALLS[code]} ${names[body.u32()]}`;
  if (code === 0x0c || code === 0x0d) return `${code === 0x0c ? 'br' : 'br_if'} ${body.u32()}`;
  if (code === 0x11 || code === 0x13) {
    const type = body.u32();
    body.u32();
    return `${code === 0x11 ? 'call_indirect' : 'return_call_indirect'} type ${type}`;
  }
  if (code === 0x23 || code === 0x24) return `${code === 0x23 ? 'global.get' : 'global.set'} ${body.u32()}`;
  if (code === op.CONST_I32 || code === op.CONST_I64)
    return `${code === op.CONST_I32 ? 'i32' : 'i64'}.const ${body.signed()}`;
  if (op.isLoad(code) || (code >= op.I32_STORE && code <= op.I64_STORE32)) {
    body.u32(); // alignment
    const offset = body.u32();
    const name = op.opInfo(code)?.name ?? storeName(code);
    return offset === 0 ? name : `${name} offset=0x${offset.toString(16)}`;
  }
  const whole = code === 0xfc ? 0xfc00 + body.u32() : code;
  const info = op.opInfo(whole);
  if (!info) throw new RangeError(`no name for opcode 0x${whole.toString(16)}`);
  return info.name;
}
