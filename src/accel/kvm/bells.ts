/**
 * Device registers that only say that there is something to look at (virtio's
 * notifications): KVM writes to a file descriptor, and the processor goes on.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_IOEVENTFD.
 */
import type { Doorbells } from '../../hw/bus.ts';
import type { Board } from '../accelerator.ts';
import { Cap, IOEVENTFD_DEASSIGN, IoEventFd, Kvm } from './abi.ts';
import { type KvmBell, KvmError, type KvmVmPort } from './port.ts';

const WIDTH = 2;

interface Hung {
  readonly bell: KvmBell;
  addresses: readonly number[];
  ring: () => void;
}

export class Bells {
  /** How often one rang. */
  rings = 0;
  private readonly vm: KvmVmPort;
  private readonly board: Board;
  private readonly hung = new Map<object, Hung>();
  private version = -1;
  private closed = false;

  /** Undefined where KVM or the host cannot. */
  static on(vm: KvmVmPort, board: Board): Bells | undefined {
    const able = vm.bell && board.doorbells && board.mapVersion && vm.checkExtension(Cap.ioeventfd) > 0;
    return able ? new Bells(vm, board) : undefined;
  }

  private constructor(vm: KvmVmPort, board: Board) {
    this.vm = vm;
    this.board = board;
  }

  /** Before an entry: they may have moved. */
  look(): void {
    const version = this.board.mapVersion?.() ?? 0;
    if (version === this.version) return;
    this.version = version;
    const wanted = new Map((this.board.doorbells?.() ?? []).map((one) => [one.owner, one]));
    for (const [owner, hung] of this.hung) if (!wanted.has(owner)) this.take(owner, hung);
    for (const one of wanted.values()) this.hang(one);
  }

  private hang({ owner, addresses, ring }: Doorbells): void {
    const known = this.hung.get(owner);
    if (known) {
      known.ring = ring;
      if (String(known.addresses) === String(addresses)) return;
      for (const address of known.addresses) this.assign(known.bell, address, false);
      known.addresses = addresses.filter((address) => this.assign(known.bell, address, true));
      return;
    }
    const hung: Hung = {
      bell: (this.vm as Required<KvmVmPort>).bell(() => this.rang(hung)),
      addresses: [],
      ring,
    };
    hung.addresses = addresses.filter((address) => this.assign(hung.bell, address, true));
    this.hung.set(owner, hung);
  }

  private take(owner: object, hung: Hung): void {
    this.hung.delete(owner);
    for (const address of hung.addresses) this.assign(hung.bell, address, false);
    if (hung.bell.take()) this.rang(hung);
    hung.bell.close();
  }

  private rang(hung: Hung): void {
    if (this.closed) return;
    this.rings++;
    hung.ring();
  }

  /** False where KVM has no room for another: then the access leaves. */
  private assign(bell: KvmBell, address: number, on: boolean): boolean {
    const request = new DataView(new ArrayBuffer(IoEventFd.size));
    request.setBigUint64(IoEventFd.addr, BigInt(address), true);
    request.setUint32(IoEventFd.len, WIDTH, true);
    request.setInt32(IoEventFd.fd, bell.fd, true);
    request.setUint32(IoEventFd.flags, on ? 0 : IOEVENTFD_DEASSIGN, true);
    try {
      this.vm.ioctl(Kvm.ioeventfd, new Uint8Array(request.buffer));
      return true;
    } catch (error) {
      if (on && error instanceof KvmError) return false;
      throw error;
    }
  }

  /** What has rung is heard at once: nobody runs any more. */
  drain(): void {
    for (const hung of this.hung.values()) if (hung.bell.take()) this.rang(hung);
  }

  close(): void {
    this.closed = true;
    for (const [owner, hung] of this.hung) {
      this.hung.delete(owner);
      hung.bell.close();
    }
  }
}
