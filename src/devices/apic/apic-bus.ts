/**
 * The APIC bus: carries interrupt messages to the local APICs that they are
 * meant for, and ends of interrupts to the I/O APICs.
 *
 * Spec: Intel SDM volume 3, "Advanced Programmable Interrupt Controller":
 * "Determining IPI Destination", "Message Address Register Format".
 * Departure: a lowest-priority message goes to the lowest task priority, and
 * among equals to the first processor, as in QEMU.
 */
import { DELIVERY, type InterruptBus, type InterruptMessage, messageFrom } from '../../hw/interrupt-message.ts';

/** A local APIC as the bus sees it. */
export interface ApicNode {
  /** True when a message to `destination` is meant for it. */
  isDestination(destination: number, logical: boolean): boolean;
  /** Fixed and lowest-priority messages have an effect. */
  readonly acceptsVectors: boolean;
  /** Processor priority: the lowest takes a lowest-priority message. */
  readonly priority: number;
  accept(message: InterruptMessage): void;
}

/** A message in the form that travels as a write; its destination has 8 bits. */
export function messageOf(message: InterruptMessage): { readonly address: number; readonly data: number } {
  const { destination, logical, mode, vector, levelTriggered } = message;
  return {
    address: (0xfee0_0000 | ((destination & 0xff) << 12) | (logical ? 4 : 0)) >>> 0,
    data: (levelTriggered ? 0x8000 : 0) | 0x4000 | (mode << 8) | vector,
  };
}

export class ApicBus implements InterruptBus {
  private readonly nodes: ApicNode[] = [];
  /** Local APICs that are elsewhere: messages go there. */
  remote: ((address: number, data: number) => void) | undefined;
  private readonly listeners: ((vector: number) => void)[] = [];

  add(node: ApicNode): void {
    this.nodes.push(node);
  }

  /** `hear` is told the vector when a local APIC ends a level-triggered interrupt. */
  onEndOfInterrupt(hear: (vector: number) => void): void {
    this.listeners.push(hear);
  }

  endOfInterrupt(vector: number): void {
    for (const hear of this.listeners) hear(vector);
  }

  deliver(message: InterruptMessage): void {
    const { destination, logical } = message;
    if (this.remote) {
      const { address, data } = messageOf(message);
      this.remote(address, data);
      return;
    }
    const targets = this.nodes.filter((node) => node.isDestination(destination, logical));
    this.send(message, targets);
  }

  /** What the shorthands of the ICR address: everybody, or everybody but `except`. */
  deliverToAll(message: InterruptMessage, except?: ApicNode): void {
    this.send(
      message,
      this.nodes.filter((node) => node !== except),
    );
  }

  /**
   * A message-signalled interrupt: the write of `data` to 0xfeexxxxx, or a row
   * of an I/O APIC's table, which has the same fields.
   */
  msi(address: number, data: number): void {
    if (this.remote) {
      this.remote(address, data);
      return;
    }
    this.deliver(messageFrom(address, data));
  }

  private send(message: InterruptMessage, targets: readonly ApicNode[]): void {
    if (message.mode !== DELIVERY.LOWEST) {
      for (const node of targets) node.accept(message);
      return;
    }
    let lowest: ApicNode | undefined;
    for (const node of targets) if (node.acceptsVectors && (!lowest || node.priority < lowest.priority)) lowest = node;
    lowest?.accept(message);
  }
}
