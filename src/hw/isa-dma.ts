/** DMA on the ISA bus as a device sees its channel (DREQ, DACK and TC of an 8237A). */
export interface IsaDmaChannel {
  /** DREQ. */
  request(level: boolean): void;
  /**
   * Moves bytes of the device to memory, as many as the guest's programming lets through; returns how many. 0 while the
   * channel is masked or programmed for the other direction.
   */
  toMemory(from: Uint8Array): number;
  /** The other direction. */
  fromMemory(into: Uint8Array): number;
  /** TC: the last move reached the end of the count. */
  readonly terminal: boolean;
  /** The device sets it: called when the guest has programmed the channel while DREQ is up. */
  ready?: () => void;
}
