/** The command line under KVM, as it is started: from bundles, with threads of their own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { firmware } from './machine.ts';
import { skip } from './real-mode.ts';

const PROGRAM = new URL('../../bin/trapframe-system-x86_64', import.meta.url).pathname;
/** mov dx, 0x3f8; mov al, 'A'; out dx, al; mov dx, 0x501; mov al, 20; out dx, al */
const CODE = [0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xba, 0x01, 0x05, 0xb0, 0x14, 0xee, 0xf4];

for (const accel of ['kvm', 'kvm,thread=multi', 'kvm:jit'])
  test(`-accel ${accel}: a guest prints and ends the program`, { skip }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'trapframe-kvm-'));
    try {
      const bios = join(directory, 'bios.bin');
      writeFileSync(bios, firmware(CODE));
      const device = ['-device', 'isa-debug-exit,iobase=0x501,iosize=1'];
      const args = ['-accel', accel, '-bios', bios, '-nodefaults', '-vga', 'none', '-display', 'none', ...device];
      const { stdout, stderr, status } = spawnSync(process.execPath, [PROGRAM, ...args, '-serial', 'stdio'], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      assert.deepEqual({ stdout, stderr, status }, { stdout: 'A', stderr: '', status: 41 });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
