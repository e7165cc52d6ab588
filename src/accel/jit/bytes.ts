/** A growing byte buffer with WebAssembly's variable-length integers (LEB128). */
export class Bytes {
  data: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(capacity = 1024) {
    this.data = new Uint8Array(capacity);
  }

  private grow(): void {
    const bigger = new Uint8Array(this.data.length * 2);
    bigger.set(this.data);
    this.data = bigger;
  }

  u8(byte: number): void {
    if (this.length === this.data.length) this.grow();
    this.data[this.length++] = byte;
  }

  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  /** Signed LEB128 of an i32. */
  s32(value: number): void {
    let rest = value | 0;
    while (rest > 63 || rest < -64) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.u8(rest & 0x7f);
  }

  /** Signed LEB128 of an i32, in the five bytes that any takes. */
  long(value: number): void {
    for (let shift = 0; shift < 28; shift += 7) this.u8(((value >> shift) & 0x7f) | 0x80);
    this.u8((value >> 28) & 0x7f);
  }

  /** Signed LEB128 of an i64. */
  s64(value: number | bigint): void {
    if (typeof value === 'number') {
      if ((value | 0) === value) {
        this.s32(value);
        return;
      }
      value = BigInt(value);
    }
    let rest = BigInt.asIntN(64, value);
    while (rest > 63n || rest < -64n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.u8(Number(rest & 0x7fn));
  }

  f32(value: number): void {
    this.raw(new Uint8Array(new Float32Array([value]).buffer));
  }
  f64(value: number): void {
    this.raw(new Uint8Array(new Float64Array([value]).buffer));
  }

  raw(bytes: Uint8Array): void {
    while (this.length + bytes.length > this.data.length) this.grow();
    this.data.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** UTF-8 name with its length. */
  name(text: string): void {
    this.u32(text.length);
    for (let n = 0; n < text.length; n++) this.u8(text.charCodeAt(n));
  }

  view(): Uint8Array<ArrayBuffer> {
    return this.data.subarray(0, this.length);
  }
}
