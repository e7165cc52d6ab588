/**
 * The packet commands of a CD/DVD-ROM drive: what their bytes mean.
 *
 * Spec: MMC-6, "Command descriptions"; SPC-3 for the first few.
 */
import { readU16be, readU32be } from '../../bits/endian.ts';
import * as mmc from './mmc.ts';
import type { Medium } from './mmc.ts';
import { PACKET, SENSE, senseData } from './packet.ts';

/** What a command needs of its drive. */
export interface PacketDrive {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  /** Ends the command well, without data. */
  ok(): void;
  /** Ends it with sense data. */
  fails(sense: number): void;
  /** Answers with at most `allocation` bytes of `data`; without an answer a field of the packet was wrong. */
  reply(data: Uint8Array | undefined, allocation: number): void;
  readSectors(medium: Medium, lba: number, count: number, raw?: boolean): void;
  moveTray(open: boolean): void;
  setLock(locked: boolean): void;
  /** The media event or sense that waits; it is told once. */
  takeEvent(): number;
  takeSense(): number;
}

export interface PacketCommand {
  /** Runs even while a change of media has not been told. */
  readonly always?: boolean;
  /** Needs a medium. */
  readonly ready?: boolean;
  run(drive: PacketDrive, packet: Uint8Array, medium: Medium): void;
}

export const PACKET_COMMANDS: Readonly<Record<number, PacketCommand>> = {
  [PACKET.TEST_UNIT_READY]: { ready: true, run: (drive) => drive.ok() },
  [PACKET.REQUEST_SENSE]: {
    always: true,
    run: (drive, packet) => drive.reply(senseData(drive.takeSense()), packet[4]),
  },
  [PACKET.INQUIRY]: {
    always: true,
    run(drive, packet) {
      const allocation = readU16be(packet, 3);
      if (packet[1] & 1) {
        drive.reply(mmc.vitalProductData(packet[2], drive.serial), allocation);
        return;
      }
      if (packet[2]) {
        drive.fails(SENSE.BAD_FIELD);
        return;
      }
      drive.reply(mmc.inquiry('QEMU', drive.model, drive.firmware), allocation);
    },
  },
  [PACKET.START_STOP_UNIT]: {
    run(drive, packet) {
      const loadOrEject = packet[4] & 2 && !(packet[4] & 0xf0);
      if (loadOrEject) drive.moveTray(!(packet[4] & 1));
      else drive.ok();
    },
  },
  [PACKET.PREVENT_ALLOW]: {
    run(drive, packet) {
      drive.setLock((packet[4] & 1) === 1);
      drive.ok();
    },
  },
  [PACKET.READ_CAPACITY]: { ready: true, run: (drive, _, medium) => drive.reply(mmc.capacity(medium), 8) },
  [PACKET.READ_10]: {
    ready: true,
    run: (drive, packet, medium) => drive.readSectors(medium, readU32be(packet, 2), readU16be(packet, 7)),
  },
  [PACKET.READ_12]: {
    ready: true,
    run: (drive, packet, medium) => drive.readSectors(medium, readU32be(packet, 2), readU32be(packet, 6)),
  },
  [PACKET.SEEK_10]: {
    ready: true,
    run: (drive, packet, medium) =>
      readU32be(packet, 2) < medium.sectors ? drive.ok() : drive.fails(SENSE.OUT_OF_RANGE),
  },
  [PACKET.READ_TOC]: {
    ready: true,
    run(drive, packet, medium) {
      const format = packet[2] & 15 || packet[9] >> 6; // older drivers say it in the control byte
      const inMsf = (packet[1] & 2) !== 0;
      drive.reply(mmc.tableOfContents(medium, format, packet[6], inMsf), readU16be(packet, 7));
    },
  },
  [PACKET.GET_CONFIGURATION]: {
    always: true,
    run(drive, packet, medium) {
      if ((packet[1] & 3) === 3) {
        drive.fails(SENSE.BAD_FIELD);
        return;
      }
      drive.reply(mmc.configuration(medium, packet[1] & 3, readU16be(packet, 2)), readU16be(packet, 7));
    },
  },
  [PACKET.GET_EVENT_STATUS]: {
    always: true,
    run(drive, packet, medium) {
      if (!(packet[1] & 1)) {
        // only polled
        drive.fails(SENSE.BAD_FIELD);
        return;
      }
      const code = packet[4] & 0x10 ? drive.takeEvent() : 0;
      drive.reply(mmc.mediaEvent(medium, packet[4], code), readU16be(packet, 7));
    },
  },
  [PACKET.READ_DISC_INFORMATION]: {
    ready: true,
    run: (drive, packet) => drive.reply(packet[1] & 7 ? undefined : mmc.discInformation(), readU16be(packet, 7)),
  },
  [PACKET.MODE_SENSE_10]: {
    run(drive, packet, medium) {
      if (packet[2] >> 6 === 3) {
        drive.fails(SENSE.NOT_SAVED);
        return;
      }
      if (packet[2] >> 6) {
        // only current values
        drive.fails(SENSE.BAD_FIELD);
        return;
      }
      drive.reply(mmc.modeSense(medium, packet[2] & 0x3f), readU16be(packet, 7));
    },
  },
  [PACKET.READ_DVD_STRUCTURE]: {
    ready: true,
    run(drive, packet, medium) {
      const data = mmc.isDvd(medium) ? mmc.dvdStructure(medium, packet[7], packet[6]) : undefined;
      drive.reply(data, readU16be(packet, 8));
    },
  },
  [PACKET.SET_CD_SPEED]: { run: (drive) => drive.ok() },
  [PACKET.MECHANISM_STATUS]: {
    always: true,
    run: (drive, packet) => drive.reply(Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 0), readU16be(packet, 8)),
  },
  [PACKET.READ_CD]: {
    ready: true,
    run(drive, packet, medium) {
      const count = (packet[6] << 16) | readU16be(packet, 7);
      const parts = packet[9] & 0xf8;
      if (count === 0 || parts === 0) {
        drive.ok();
        return;
      }
      if (parts !== 0x10 && parts !== 0xf8) {
        drive.fails(SENSE.BAD_FIELD);
        return;
      }
      drive.readSectors(medium, readU32be(packet, 2), count, parts === 0xf8);
    },
  },
};
