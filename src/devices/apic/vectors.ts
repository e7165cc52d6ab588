/** The 256-bit registers IRR, ISR and TMR: eight words of 32 bits, one bit a vector. */

export function setVector(row: number[], vector: number, value: boolean): void {
  const bit = 1 << (vector & 31);
  row[vector >> 5] = (value ? row[vector >> 5] | bit : row[vector >> 5] & ~bit) >>> 0;
}

export function hasVector(row: readonly number[], vector: number): boolean {
  return ((row[vector >> 5] >>> (vector & 31)) & 1) === 1;
}

/** The highest vector, or -1. */
export function highestVector(row: readonly number[]): number {
  for (let word = 7; word >= 0; word--) if (row[word]) return word * 32 + 31 - Math.clz32(row[word]);
  return -1;
}
