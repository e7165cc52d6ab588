/**
 * The guests that Trapframe can fetch: which file, out of which package, pinned
 * by version and SHA-256.
 *
 * A file has several sources, smallest first: not every mirror carries the
 * installer's udebs, and some carry no netboot packages. The kernel is the same
 * in all of them, byte for byte.
 *
 * To move to a new point release: take version, path, size and hash from the
 * suite's signed Packages index.
 */
import type { PackageRecord } from './debian-index.ts';
import type { PackageSet } from './debian-archive.ts';

export interface ImageSource {
  readonly pinned: PackageRecord;
  /** Where to look when the pinned version is gone from the mirror. */
  readonly set: PackageSet;
  /** The file's path inside the package. */
  readonly file: RegExp;
}

export interface CatalogueFile {
  /** `kernel`, `busybox` */
  readonly name: string;
  /** What the pinned packages hold, e.g. `Linux 6.12.107-1`. */
  readonly title: string;
  /** Bytes; more than this is not the expected file. */
  readonly limit: number;
  readonly sources: readonly ImageSource[];
}

export interface CatalogueGuest {
  readonly arch: string;
  readonly title: string;
  readonly files: readonly CatalogueFile[];
}

const MiB = 1 << 20;

const BUSYBOX = /^(usr\/)?bin\/busybox$/;

/** The guests that `trapframe start` boots, by QEMU's names of architectures; the first is the default. */
export const catalogue: readonly CatalogueGuest[] = [
  {
    arch: 'x86_64',
    title: 'Debian 12 cloud kernel and busybox',
    files: [
      {
        name: 'kernel',
        title: 'Linux 6.1.176-1 cloud-amd64',
        limit: 64 * MiB,
        sources: [
          {
            pinned: {
              name: 'linux-image-6.1.0-50-cloud-amd64',
              version: '6.1.176-1',
              filename: 'pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb',
              size: 26484304,
              sha256: 'efe19f605b6f54a8352e68d85a629abb2d30b72a085faef603a9152590baa791',
            },
            set: {
              suite: 'bookworm',
              index: 'main/binary-amd64',
              pattern: /^linux-image-6\.1\.0-\d+-cloud-amd64$/,
            },
            file: /^boot\/vmlinuz[^/]*$/,
          },
        ],
      },
      {
        name: 'busybox',
        title: 'busybox 1:1.35.0-4+deb12u1+b1',
        limit: 16 * MiB,
        sources: [
          {
            pinned: {
              name: 'busybox-static',
              version: '1:1.35.0-4+deb12u1+b1',
              filename: 'pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_amd64.deb',
              size: 928188,
              sha256: '3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744',
            },
            set: { suite: 'bookworm', index: 'main/binary-amd64', pattern: /^busybox-static$/ },
            file: BUSYBOX,
          },
        ],
      },
    ],
  },
  {
    arch: 'i386',
    title: 'Debian 12 686 kernel and busybox',
    files: [
      {
        name: 'kernel',
        title: 'Linux 6.1.176-1 686',
        limit: 64 * MiB,
        sources: [
          {
            // The installer's own kernel package: no modules, 6 MB.
            pinned: {
              name: 'kernel-image-6.1.0-50-686-di',
              version: '6.1.176-1',
              filename: 'pool/main/l/linux-signed-i386/kernel-image-6.1.0-50-686-di_6.1.176-1_i386.udeb',
              size: 5922576,
              sha256: '83b87436c1a3c1a52ce80c22235a744496148ff50f58a4d815ba5b448259d07e',
            },
            set: {
              suite: 'bookworm',
              index: 'main/debian-installer/binary-i386',
              pattern: /^kernel-image-6\.1\.0-\d+-686-di$/,
            },
            file: /^boot\/vmlinuz[^/]*$/,
          },
          {
            // The same kernel with all its modules: 52 MB.
            pinned: {
              name: 'linux-image-6.1.0-50-686',
              version: '6.1.176-1',
              filename: 'pool/main/l/linux-signed-i386/linux-image-6.1.0-50-686_6.1.176-1_i386.deb',
              size: 51921880,
              sha256: '526c469c5148a2b61c4241c3f6575427096575e0ffef9541b6729351c600b3e4',
            },
            set: {
              suite: 'bookworm',
              index: 'main/binary-i386',
              pattern: /^linux-image-6\.1\.0-\d+-686$/,
            },
            file: /^boot\/vmlinuz[^/]*$/,
          },
        ],
      },
      {
        name: 'busybox',
        title: 'busybox 1:1.35.0-4+deb12u1+b1',
        limit: 16 * MiB,
        sources: [
          {
            pinned: {
              name: 'busybox-static',
              version: '1:1.35.0-4+deb12u1+b1',
              filename: 'pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_i386.deb',
              size: 958344,
              sha256: '725ef9e6fbac4ab79b353165b05005e8c140d6e42177ebbc202ff1e13ded8b7c',
            },
            set: { suite: 'bookworm', index: 'main/binary-i386', pattern: /^busybox-static$/ },
            file: BUSYBOX,
          },
        ],
      },
    ],
  },
  {
    arch: 'riscv64',
    title: 'Debian 13 kernel and busybox',
    files: [
      {
        name: 'kernel',
        title: 'Linux 6.12.107-1',
        limit: 256 * MiB,
        sources: [
          {
            // The installer's own kernel package: no modules, 9 MB.
            pinned: {
              name: 'kernel-image-6.12.107+deb13-riscv64-di',
              version: '6.12.107-1',
              filename: 'pool/main/l/linux/kernel-image-6.12.107+deb13-riscv64-di_6.12.107-1_riscv64.udeb',
              size: 8815680,
              sha256: 'cf00a4b5e7a23807d6d3695d69675e09425677dd015ad6fec5a0f00ab8c823d8',
            },
            set: {
              suite: 'trixie',
              index: 'main/debian-installer/binary-riscv64',
              pattern: /^kernel-image-6[.0-9]*\+deb13-riscv64-di$/,
            },
            file: /^boot\/vmlinu[xz][^/]*$/,
          },
          {
            // The same kernel beside the installer's initial ramdisk: 52 MB.
            pinned: {
              name: 'debian-installer-13-netboot-riscv64',
              version: '20250803+deb13u7',
              filename:
                'pool/main/d/debian-installer-netboot-images/debian-installer-13-netboot-riscv64_20250803+deb13u7_all.deb',
              size: 52381500,
              sha256: '4112d2f09eff16ffaa21e78e5d5863f4baab328a77787bfe17555aa230b20dcc',
            },
            set: {
              suite: 'trixie',
              index: 'main/binary-all',
              pattern: /^debian-installer-13-netboot-riscv64$/,
            },
            file: /\/text\/debian-installer\/riscv64\/linux$/,
          },
          {
            // The same kernel with all its modules: 112 MB.
            pinned: {
              name: 'linux-image-6.12.107+deb13-riscv64',
              version: '6.12.107-1',
              filename: 'pool/main/l/linux/linux-image-6.12.107+deb13-riscv64_6.12.107-1_riscv64.deb',
              size: 112012420,
              sha256: 'abe9f65d74b434692149482b031db7a2aaf832921e09f69f775293c0e0c5799c',
            },
            set: {
              suite: 'trixie',
              index: 'main/binary-riscv64',
              pattern: /^linux-image-6[.0-9]*\+deb13-riscv64$/,
            },
            file: /^boot\/vmlinu[xz][^/]*$/,
          },
        ],
      },
      {
        name: 'busybox',
        title: 'busybox 1:1.37.0-6+b9',
        limit: 16 * MiB,
        sources: [
          {
            pinned: {
              name: 'busybox-static',
              version: '1:1.37.0-6+b9',
              filename: 'pool/main/b/busybox/busybox-static_1.37.0-6+b9_riscv64.deb',
              size: 941532,
              sha256: '4add476d2b185c5b487c285b38d790f0881a7e4a8e2ddde835f917e770eb8633',
            },
            set: { suite: 'trixie', index: 'main/binary-riscv64', pattern: /^busybox-static$/ },
            file: BUSYBOX,
          },
        ],
      },
    ],
  },
];

const FIRMWARE_SET = { suite: 'trixie', index: 'main/binary-all' };
const OPENSBI = {
  name: 'opensbi',
  version: '1.6-1',
  filename: 'pool/main/o/opensbi/opensbi_1.6-1_all.deb',
  size: 204072,
  sha256: 'dc4a43bd21a0ca11771ed8b19ee6fa8476d1d0f4976bd0b27c0357c699d27e1e',
};
const U_BOOT = {
  name: 'u-boot-qemu',
  version: '2025.01-3+deb13u1',
  filename: 'pool/main/u/u-boot/u-boot-qemu_2025.01-3+deb13u1_all.deb',
  size: 2330704,
  sha256: 'a3751b5d36a411457b2e7a2834cdce0e5d40493e6588a65d51c5603740a0c71c',
};

const SEABIOS = {
  name: 'seabios',
  version: '1.16.2-1',
  filename: 'pool/main/s/seabios/seabios_1.16.2-1_all.deb',
  size: 162656,
  sha256: '08e5b3f761379f17a6051731cafa03e97686049e2cc1b8bdccc5a910646e2d8e',
};
const OVMF = {
  name: 'ovmf',
  version: '2022.11-6+deb12u2',
  filename: 'pool/main/e/edk2/ovmf_2022.11-6+deb12u2_all.deb',
  size: 7683456,
  sha256: 'e73d3d1a8799f7f6fc16b73501d913edcdd86237556fbff30693e747e6dc262e',
};

function firmwareFile(
  name: string,
  title: string,
  pinned: PackageRecord,
  file: RegExp,
  suite = FIRMWARE_SET.suite,
): CatalogueFile {
  const set = { ...FIRMWARE_SET, suite, pattern: new RegExp(`^${pinned.name}$`) };
  return { name, title, limit: 8 * MiB, sources: [{ pinned, set, file }] };
}

/** Firmware: for `-bios`, and what the PC boards look for by QEMU's file names. */
export const firmwareCatalogue: readonly CatalogueGuest[] = [
  {
    arch: 'riscv64-firmware',
    title: 'OpenSBI and U-Boot of Debian 13',
    files: [
      firmwareFile(
        'opensbi-jump',
        'OpenSBI 1.6-1 fw_jump',
        OPENSBI,
        /\/riscv64-linux-gnu\/opensbi\/generic\/fw_jump\.bin$/,
      ),
      firmwareFile(
        'opensbi-dynamic',
        'OpenSBI 1.6-1 fw_dynamic',
        OPENSBI,
        /\/riscv64-linux-gnu\/opensbi\/generic\/fw_dynamic\.bin$/,
      ),
      firmwareFile('u-boot', 'U-Boot 2025.01-3', U_BOOT, /\/qemu-riscv64\/u-boot\.bin$/),
      firmwareFile('u-boot-s', 'U-Boot 2025.01-3 for S-mode', U_BOOT, /\/qemu-riscv64_smode\/u-boot\.bin$/),
    ],
  },
  {
    arch: 'pc-firmware',
    title: 'SeaBIOS of Debian 12',
    files: [
      ...['bios-256k.bin', 'bios.bin', 'vgabios-stdvga.bin'].map((name) => [name, name]),
      ['vgabios.bin', 'vgabios-isavga.bin'], // a symbolic link in the package
    ].map(([name, inPackage]) =>
      firmwareFile(
        name,
        `SeaBIOS 1.16.2-1 ${name}`,
        SEABIOS,
        new RegExp(`/seabios/${inPackage.replace('.', '\\.')}$`),
        'bookworm',
      ),
    ),
  },
  {
    arch: 'pc-uefi',
    title: 'OVMF of Debian 12',
    files: ['OVMF_CODE_4M.fd', 'OVMF_CODE_4M.secboot.fd', 'OVMF_VARS_4M.fd'].map((name) =>
      firmwareFile(
        name,
        `OVMF 2022.11-6+deb12u2 ${name}`,
        OVMF,
        new RegExp(`/OVMF/${name.replaceAll('.', '\\.')}$`),
        'bookworm',
      ),
    ),
  },
];
