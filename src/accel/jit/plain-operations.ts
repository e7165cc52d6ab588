/** Operations of an Isa that has no way of its own to them: through `decode` and `operation`, one by one. */
import type { Decoded, HandlerNumbers, Isa, Operation, OperationDecoder } from '../../isa/isa.ts';

const PAGE = 4096;

export class PlainOperations implements OperationDecoder {
  private readonly isa: Isa;
  private readonly numbers: HandlerNumbers;
  private decoded: Decoded | undefined;
  private operation: Operation | undefined;

  constructor(isa: Isa, numbers: HandlerNumbers) {
    this.isa = isa;
    this.numbers = numbers;
    this.preload();
  }

  private preload(): void {
    for (const [key, reach] of this.isa.common?.() ?? []) this.numbers.number(key, reach);
  }

  decode(view: DataView, at: number, left: number, mode: number): number {
    const decoded = this.isa.decode(view, at, left, mode);
    if (decoded === 'beyond') return -1;
    if (!decoded) return 0;
    this.decoded = decoded;
    this.operation = this.isa.operation(decoded, mode);
    return decoded.length;
  }

  get ends(): boolean {
    return this.decoded?.ends === true;
  }
  get spill(): number | undefined {
    return this.operation?.spill;
  }

  write(offset: number, out: DataView, at: number): void {
    const { key, low, high } = this.operation as Operation;
    const { target } = this.decoded as Decoded;
    const to = offset + (target ?? 0);
    const far = to < 0 || to >= PAGE;
    const reach = target === undefined ? 'none' : far ? 'far' : target <= 0 ? 'backward' : 'forward';
    out.setUint16(at, this.numbers.number(key, reach), true);
    out.setUint16(at + 2, low, true);
    out.setInt32(at + 4, high, true);
  }

  clear(): void {
    this.numbers.clear();
    this.preload();
  }
}
