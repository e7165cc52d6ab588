/**
 * The kernel's own counters of a VM or a vCPU.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_STATS_FD.
 */
import type { KvmVcpuPort } from './port.ts';

type Source = Pick<KvmVcpuPort, 'statistics'>;

const HEADER = { size: 24, nameSize: 4, numDesc: 8, descOffset: 16, dataOffset: 20 } as const;
/** struct kvm_stats_desc, before the name. */
const DESC = { size: 16, flags: 0, exponent: 4, count: 6, offset: 8, bucketSize: 12 } as const;
const NAME_LIMIT = 256;
const DESC_LIMIT = 4096;
const VALUES_LIMIT = 4096;

const TYPES = ['cumulative', 'instant', 'peak', 'linear-histogram', 'log2-histogram'] as const;
const UNITS = [undefined, 'bytes', 'seconds', 'cycles', 'boolean'] as const;

export interface StatisticKind {
  readonly name: string;
  readonly type: (typeof TYPES)[number];
  readonly unit: (typeof UNITS)[number];
  /** A value is times base ^ exponent of the unit. */
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly bucketSize: number | undefined;
  /** How many values. */
  readonly count: number;
  /** In the block of data. */
  readonly offset: number;
}

export class BinaryStatistics {
  readonly kinds: readonly StatisticKind[];
  private readonly source: Source;
  private readonly dataOffset: number;
  private readonly bytes: number;

  /** Undefined where the kernel gives none. */
  static open(source: Source): BinaryStatistics | undefined {
    const header = source.statistics(0, HEADER.size);
    return header && header.length === HEADER.size ? new BinaryStatistics(source, viewOf(header)) : undefined;
  }

  private constructor(source: Source, header: DataView) {
    this.source = source;
    this.dataOffset = header.getUint32(HEADER.dataOffset, true);
    const nameSize = Math.min(NAME_LIMIT, header.getUint32(HEADER.nameSize, true));
    const stride = DESC.size + nameSize;
    const count = Math.min(DESC_LIMIT, header.getUint32(HEADER.numDesc, true));
    const bytes = source.statistics(header.getUint32(HEADER.descOffset, true), count * stride) ?? new Uint8Array();
    const view = viewOf(bytes);
    const kinds: StatisticKind[] = [];
    for (let at = 0; at + stride <= bytes.length; at += stride) {
      const flags = view.getUint32(at + DESC.flags, true);
      const name = bytes.subarray(at + DESC.size, at + stride);
      const end = name.indexOf(0);
      kinds.push({
        name: String.fromCharCode(...name.subarray(0, end < 0 ? name.length : end)),
        type: TYPES[flags & 15] ?? 'instant',
        unit: UNITS[(flags >> 4) & 15],
        base: ((flags >> 8) & 15) === 1 ? 2 : 10,
        exponent: view.getInt16(at + DESC.exponent, true),
        bucketSize: (flags & 15) === 3 ? view.getUint32(at + DESC.bucketSize, true) : undefined,
        count: Math.min(VALUES_LIMIT, view.getUint16(at + DESC.count, true)),
        offset: view.getUint32(at + DESC.offset, true),
      });
    }
    this.kinds = kinds;
    this.bytes = Math.min(1 << 20, Math.max(0, ...kinds.map(({ offset, count: values }) => offset + values * 8)));
  }

  /** Values of all kinds, in their order. */
  read(): bigint[][] {
    const bytes = this.source.statistics(this.dataOffset, this.bytes) ?? new Uint8Array();
    const view = viewOf(bytes);
    return this.kinds.map(({ count, offset }) =>
      Array.from({ length: count }, (_, n) =>
        offset + n * 8 + 8 <= bytes.length ? view.getBigUint64(offset + n * 8, true) : 0n,
      ),
    );
  }

  /** A way to one counter; undefined where there is none of that name. */
  counter(name: string): (() => number) | undefined {
    const kind = this.kinds.find((one) => one.name === name);
    if (!kind) return undefined;
    return () => {
      const bytes = this.source.statistics(this.dataOffset + kind.offset, 8);
      return bytes?.length === 8 ? Number(viewOf(bytes).getBigUint64(0, true)) : 0;
    };
  }
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
