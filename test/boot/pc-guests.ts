/** What the PC tests boot beside SeaBIOS: files of Debian's packages, pinned like the catalogue's. */
import type { CatalogueFile, CatalogueGuest } from '../../src/image/catalogue.ts';

const MIB = 2 ** 20;
const SUITE = 'bookworm';

/** A package by its pool directory, name, version, architecture, size and SHA-256. */
const deb =
  (pool: string, name: string, version: string, arch: string, size: number, sha256: string) =>
  (file: string, title: string, path: RegExp): CatalogueFile => ({
    name: file,
    title,
    limit: 8 * MIB,
    sources: [
      {
        pinned: {
          name,
          version,
          filename: `pool/main/${pool}/${name}_${version.replace(/^\d+:/, '')}_${arch}.deb`,
          size,
          sha256,
        },
        set: { suite: SUITE, index: `main/binary-${arch}`, pattern: new RegExp(`^${name.replaceAll('.', '\\.')}$`) },
        file: path,
      },
    ],
  });

const uBoot = deb(
  'u/u-boot',
  'u-boot-qemu',
  '2023.01+dfsg-2+deb12u3',
  'all',
  1830604,
  '02a14f0876b76c0d7d7934e9b83a77515c5bdbad1e00af84c445bfeb1e6b8665',
);
const gnumach = deb(
  'g/gnumach',
  'gnumach-image-1.8-486',
  '2:1.8+git20221224-2',
  'i386',
  765528,
  '165e337f9ac52a8d61af58daa729a20aee6d4063b0b3c94597057f0a0d9dbfb7',
);
const grubLegacy = deb(
  'g/grub',
  'grub-legacy',
  '0.97-80',
  'amd64',
  301896,
  '5af879553d2f20f2f8d585b85bc2b7aa0e3360d1f2744e76c8498d53967c3801',
);
const grub = deb(
  'g/grub2',
  'grub-rescue-pc',
  '2.06-13+deb12u2',
  'amd64',
  2499156,
  '12870a6cb0327446b9c86037e922510e229513085186089f60af08c162badb98',
);

export const pcGuests: readonly CatalogueGuest[] = [
  {
    arch: 'pc-test-guests',
    title: 'U-Boot, GNU Mach and GRUB of Debian 12',
    files: [
      uBoot('u-boot-x86_64', 'U-Boot 2023.01 for x86-64', /\/qemu-x86_64\/u-boot\.rom$/),
      uBoot('u-boot-x86', 'U-Boot 2023.01 for x86', /\/qemu-x86\/u-boot\.rom$/),
      gnumach('gnumach.gz', 'GNU Mach 1.8', /^boot\/gnumach-1\.8-486\.gz$/),
      grubLegacy('stage1', 'GRUB 0.97 stage1', /^usr\/lib\/grub\/x86_64-pc\/stage1$/),
      grubLegacy('stage2', 'GRUB 0.97 stage2', /^usr\/lib\/grub\/x86_64-pc\/stage2$/),
      grub('grub-floppy', 'GRUB 2.06 rescue floppy', /\/grub-rescue-floppy\.img$/),
      grub('grub-cdrom', 'GRUB 2.06 rescue CD', /\/grub-rescue-cdrom\.iso$/),
    ],
  },
];
