/**
 * Writes WebAssembly modules.
 *
 * Spec: WebAssembly Core Specification 2.0, "Binary Format" (with threads'
 * shared memories and tail calls); Branch Hinting for `metadata.code.branch_hint`.
 */
import type { Type } from '../../ir/op.ts';
import { Bytes } from './bytes.ts';

/** Size of the imported memory, pages of 64 KiB. */
export interface MemoryImport {
  readonly initial: number;
  readonly maximum: number;
}

export interface Signature {
  readonly params: readonly Type[];
  readonly result: Type | undefined;
}

/** A function's body as it goes into the code section, with its branch hints. */
export interface Body {
  readonly bytes: Uint8Array;
  /** Offsets of unlikely `if` and `br_if` from the start of the body. */
  readonly unlikely: readonly number[];
  /** Offsets of the numbers of functions that it calls, as they stand in `call` and `return_call`. */
  readonly calls: readonly number[];
  /** Offsets of i32 constants of five bytes that name decoded pages. */
  readonly pages: readonly number[];
}

const TYPE_CODE: Record<Type, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

export function typeCode(type: Type): number {
  return TYPE_CODE[type];
}

export class ModuleBuilder {
  private readonly types: Signature[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly imports: { readonly module: string; readonly name: string; readonly type: number }[] = [];
  private readonly functions: { readonly type: number; body: Body | undefined; readonly name: string }[] = [];
  private readonly exports: { readonly name: string; readonly index: number }[] = [];

  type(signature: Signature): number {
    const key = `${signature.params.join()}>${signature.result ?? ''}`;
    let index = this.typeIndex.get(key);
    if (index === undefined) {
      index = this.types.push(signature) - 1;
      this.typeIndex.set(key, index);
    }
    return index;
  }

  /** Imports come before any function of the module's own. */
  importFunction(module: string, name: string, signature: Signature): number {
    if (this.functions.length > 0) throw new Error('imports come first');
    return this.imports.push({ module, name, type: this.type(signature) }) - 1;
  }

  /** Reserves a function index; the body may be given later. */
  declare(name: string, signature: Signature): number {
    this.functions.push({ type: this.type(signature), body: undefined, name });
    return this.imports.length + this.functions.length - 1;
  }

  define(index: number, body: Body): void {
    this.functions[index - this.imports.length].body = body;
  }

  export(name: string, index: number): void {
    this.exports.push({ name, index });
  }

  /** The binary. `memory`, `table` and, where wanted, the mutable global `cpu` are imported from `env`. */
  finish(memory: MemoryImport, cpuGlobal: boolean): Uint8Array<ArrayBuffer> {
    const out = new Bytes(4096);
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.u8(byte);
    section(out, 1, (s) => {
      s.u32(this.types.length);
      for (const { params, result } of this.types) {
        s.u8(0x60);
        s.u32(params.length);
        for (const type of params) s.u8(TYPE_CODE[type]);
        s.u32(result ? 1 : 0);
        if (result) s.u8(TYPE_CODE[result]);
      }
    });
    section(out, 2, (s) => {
      s.u32(this.imports.length + (cpuGlobal ? 3 : 2));
      for (const { module, name, type } of this.imports) {
        s.name(module);
        s.name(name);
        s.u8(0);
        s.u32(type);
      }
      s.name('env');
      s.name('memory');
      s.u8(2);
      s.u8(3); // shared, with a maximum
      s.u32(memory.initial);
      s.u32(memory.maximum);
      s.name('env');
      s.name('table');
      s.u8(1);
      s.u8(0x70); // funcref
      s.u8(0);
      s.u32(0);
      if (cpuGlobal) {
        s.name('env');
        s.name('cpu');
        s.u8(3);
        s.u8(0x7f); // mutable i32
        s.u8(1);
      }
    });
    section(out, 3, (s) => {
      s.u32(this.functions.length);
      for (const { type } of this.functions) s.u32(type);
    });
    section(out, 7, (s) => {
      s.u32(this.exports.length);
      for (const { name, index } of this.exports) {
        s.name(name);
        s.u8(0);
        s.u32(index);
      }
    });
    const hinted = this.functions.flatMap(({ body }, n) =>
      body && body.unlikely.length > 0 ? [{ index: this.imports.length + n, offsets: body.unlikely }] : [],
    );
    if (hinted.length > 0) {
      section(out, 0, (s) => {
        s.name('metadata.code.branch_hint');
        s.u32(hinted.length);
        for (const { index, offsets } of hinted) {
          s.u32(index);
          s.u32(offsets.length);
          for (const offset of offsets) {
            s.u32(offset);
            s.u32(1);
            s.u8(0);
          }
        }
      });
    }
    section(out, 10, (s) => {
      s.u32(this.functions.length);
      for (const { body, name } of this.functions) {
        if (!body) throw new Error(`function ${name} has no body`);
        s.u32(body.bytes.length);
        s.raw(body.bytes);
      }
    });
    return out.view();
  }
}

function section(out: Bytes, id: number, write: (section: Bytes) => void): void {
  const bytes = new Bytes(1024);
  write(bytes);
  out.u8(id);
  out.u32(bytes.length);
  out.raw(bytes.view());
}
