/**
 * The one shared WebAssembly memory: CPU states, the accelerator's tables and
 * guest RAM. Every accelerator of a machine runs on the same space.
 *
 * Invariant: guest RAM is the last thing in the memory, and no table of ours
 * is reachable through an address that was checked to be RAM.
 */
const PAGE = 65536;

export class Space {
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Guest-physical base, size and place of RAM. */
  readonly ram: { readonly base: number; readonly size: number; readonly host: number };

  /** `below` is how many bytes the tables below RAM take. */
  constructor(below: number, ramBase: number, ramSize: number) {
    const host = Math.ceil(below / PAGE) * PAGE;
    const pages = Math.ceil((host + ramSize) / PAGE);
    // The last 64 KiB of the address space stay unused, so that no end of a range overflows 32 bits.
    if (pages > 65535) throw new RangeError(`RAM of ${ramSize} bytes does not fit a 32-bit WebAssembly memory`);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.ram = { base: ramBase, size: ramSize, host };
  }

  get pages(): number {
    return this.memory.buffer.byteLength / PAGE;
  }

  /** The bytes of guest RAM. */
  ramBytes(): Uint8Array {
    return this.bytes.subarray(this.ram.host, this.ram.host + this.ram.size);
  }
}
