/** What the long PC tests boot: the Xen hypervisor, and Debian's installer; pinned like the catalogue's. */
import type { CatalogueFile, CatalogueGuest, ImageSource } from '../../src/image/catalogue.ts';

const MIB = 2 ** 20;
const SUITE = 'bookworm';

const XEN: ImageSource = {
  pinned: {
    name: 'xen-hypervisor-4.17-amd64',
    version: '4.17.5+72-g01140da4e8-1',
    filename: 'pool/main/x/xen/xen-hypervisor-4.17-amd64_4.17.5+72-g01140da4e8-1_amd64.deb',
    size: 2380652,
    sha256: 'b602bb2aa83042bd1e3390ff66201b62da806d2ff6f2c86a2759997aa968222b',
  },
  set: { suite: SUITE, index: 'main/binary-amd64', pattern: /^xen-hypervisor-4\.17-amd64$/ },
  file: /^boot\/xen-4\.17-amd64\.gz$/,
};

/** The installer's own package of Debian's generic kernel, without modules. */
const KERNEL: ImageSource = {
  pinned: {
    name: 'kernel-image-6.1.0-50-amd64-di',
    version: '6.1.176-1',
    filename: 'pool/main/l/linux-signed-amd64/kernel-image-6.1.0-50-amd64-di_6.1.176-1_amd64.udeb',
    size: 8494892,
    sha256: '1777956421863957f8b02b4153024e3f7b9407fb5f30c71e5e46baa74708d146',
  },
  set: {
    suite: SUITE,
    index: 'main/debian-installer/binary-amd64',
    pattern: /^kernel-image-6\.1\.0-\d+-amd64-di$/,
  },
  file: /^boot\/vmlinuz[^/]*$/,
};

/** The same kernel beside the installer's initial ramdisk: 133 MB. */
const netboot = (file: RegExp): ImageSource => ({
  pinned: {
    name: 'debian-installer-12-netboot-amd64',
    version: '20230607+deb12u15',
    filename: 'pool/main/d/debian-installer-netboot-images/debian-installer-12-netboot-amd64_20230607+deb12u15_all.deb',
    size: 132886928,
    sha256: '499e4609976bfd47c1b3025382fb5dddeb023350921142b919c89c4d24bd7f9b',
  },
  set: { suite: SUITE, index: 'main/binary-all', pattern: /^debian-installer-12-netboot-amd64$/ },
  file,
});
const IN_NETBOOT = '/text/debian-installer/amd64/';

const kernel: CatalogueFile = {
  name: 'kernel',
  title: 'Linux 6.1.176-1 amd64',
  limit: 64 * MIB,
  sources: [KERNEL, netboot(new RegExp(`${IN_NETBOOT}linux$`))],
};

export const pcHeavyGuests: readonly CatalogueGuest[] = [
  {
    arch: 'pc-xen',
    title: 'Xen and the kernel of its first domain, of Debian 12',
    files: [{ name: 'xen.gz', title: 'Xen 4.17.5', limit: 16 * MIB, sources: [XEN] }, kernel],
  },
  {
    arch: 'pc-installer',
    title: 'The installer of Debian 12',
    files: [
      kernel,
      {
        name: 'initrd.gz',
        title: 'initial ramdisk of Debian 12’s installer',
        limit: 128 * MIB,
        sources: [netboot(new RegExp(`${IN_NETBOOT}initrd\\.gz$`))],
      },
    ],
  },
];
