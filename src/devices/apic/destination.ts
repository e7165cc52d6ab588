/**
 * Whom a message's destination names: physical ids, logical ones in the flat and the cluster model, x2APIC clusters.
 *
 * Spec: Intel SDM volume 3, "Determining IPI Destination", "Logical Destination Mode in x2APIC Mode".
 */
import { BROADCAST } from '../../hw/interrupt-message.ts';
import type { ApicState } from './apic-state.ts';

/** LDR: the logical id that the mode gives. */
export function logicalId({ x2apic, id, ldr }: ApicState): number {
  return x2apic ? (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0 : (ldr << 24) >>> 0;
}

export function isAddressed(state: ApicState, destination: number, logical: boolean): boolean {
  const { enabled, x2apic, id, ldr, dfr } = state;
  if (!enabled) return false;
  if (destination === BROADCAST) return true;
  if (!logical) return destination === id;
  const own = logicalId(state);
  if (x2apic) return destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0;
  if (destination > 0xff) return false;
  if (destination === 0xff) return true;
  if (dfr === 0xf) return (destination & ldr) !== 0;
  // Cluster model; other formats are reserved.
  return dfr === 0 && destination >> 4 === ldr >> 4 && (destination & ldr & 15) !== 0;
}
