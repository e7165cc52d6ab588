/** Debian's kernel with its disk and its interrupts behind q35's remapping unit. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { MemoryDisk } from '../../src/storage/memory.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip } from './pc-guest.ts';

const SIZE = 8 * 2 ** 20;

for (const [properties, append, seen] of [
  [{ intremap: 'on', 'caching-mode': 'on' }, 'intel_iommu=on iommu.strict=1', /Enabled IRQ remapping in xapic mode/],
  [{ eim: 'on', 'aw-bits': '48' }, 'intel_iommu=on', /Enabled IRQ remapping in x2apic mode/],
] as const)
  test(`NVMe behind -device intel-iommu,${Object.entries(properties)
    .map((pair) => pair.join('='))
    .join()}`, { skip }, async () => {
    const data = new Uint8Array(SIZE);
    for (let i = 0; i < SIZE; i += 512) data.fill(Math.imul(i, 0x9e37_79b1) >>> 24, i, i + 512);
    const wrong: string[] = [];
    const linux = await cloudLinux();
    await using guest = await bootPc({
      ...linux,
      cpus: 2,
      append: `${linux.append} ${append}`,
      roms: await seabiosRoms(),
      drives: [{ id: 'd', interface: 'none', disk: new MemoryDisk(data) }],
      devices: [
        { driver: 'intel-iommu', properties },
        { driver: 'nvme', properties: { drive: 'd', serial: 'x' } },
      ],
      log: { items: new Set(['guest_errors']), write: (line) => line.startsWith('intel-iommu') && wrong.push(line) },
    });
    await guest.expect(/DMAR: IOMMU enabled/, PATIENCE);
    await guest.expect(/DRHD base: 0x000000fed90000/, PATIENCE);
    await guest.expect(/DMAR-IR: IOAPIC id 0 under DRHD base/, PATIENCE);
    await guest.expect(seen, PATIENCE);
    await guest.expect(/dmar0: Using Queued invalidation/, PATIENCE);
    await guest.expect(PROMPT, PATIENCE);
    guest.type('grep -c IR-PCI-MSI /proc/interrupts; md5sum </dev/nvme0n1\n');
    const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
    const [, lines] = await guest.expect(new RegExp(`\\n(\\d+)\\r\\n${md5(data)}`));
    assert.ok(Number(lines) >= 2);
    guest.type('tr "\\0" "\\125" </dev/zero | head -c 4194304 >/dev/nvme0n1; sync; echo wrote\n');
    await guest.expect(/\nwrote/);
    assert.ok(data.subarray(0, 4 * 2 ** 20).every((byte) => byte === 0x55));
    guest.type('poweroff -f\n');
    assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
    assert.deepEqual(wrong, []);
  });
