import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPTIONS } from './options-table.ts';
import type { SystemPlan } from './options-plan.ts';
import { keyValues, OptionError } from './options-values.ts';
import { parseSystem } from './qemu-system.ts';

const files: Record<string, string> = {
  'vm.cfg':
    '# a comment\n[drive "d0"]\n  file = "a,b.img"\n  if = "none"\n\n[device]\n  driver = "virtio-blk-device"\n  drive = "d0"\n[memory]\n  size = "1G"\n',
  'bad.cfg': '[drive "d0"]\n file = x\n',
};
const context = {
  readText(path: string) {
    if (!(path in files)) throw new Error('No such file or directory');
    return files[path];
  },
};
/** Words, split at spaces; `~` stands for a space inside a word. */
const words = (line: string) => (line === '' ? [] : line.split(' ').map((word) => word.replaceAll('~', ' ')));

function plan(line: string): SystemPlan {
  const parsed = parseSystem(words(line), context);
  assert.ok('plan' in parsed, 'a plan, not a request');
  return parsed.plan;
}
function failure(line: string): OptionError {
  try {
    parseSystem(words(line), context);
  } catch (error) {
    assert.ok(error instanceof OptionError, String(error));
    return error;
  }
  return assert.fail(`${line} was accepted`);
}

test('key=value lists: implied key, doubled commas, switches', () => {
  assert.deepEqual(keyValues('a,,b,c=d=e,nowait,server', 'path', ['wait']), [
    ['path', 'a,b'],
    ['c', 'd=e'],
    ['wait', 'off'],
    ['server', 'on'],
  ]);
  assert.deepEqual(keyValues('file=x,,y'), [['file', 'x,y']]);
});

/** A command line and the part of its plan that it decides. */
const PLANS: [line: string, part: object][] = [
  ['', { machine: 'virt', accel: 'jit', cpus: 1, memory: 2 ** 27, bios: 'default', noReboot: false, paused: false }],
  ['-M virt -m 512', { memory: 2 ** 29 }],
  ['--machine type=virt,aclint=off --m size=1.5G', { memory: 1.5 * 2 ** 30, machineProperties: { aclint: 'off' } }],
  ['-m 64M -m 0x200M', { memory: 2 ** 29 }],
  ['-smp 4', { cpus: 4 }],
  ['-smp cores=2,sockets=2,threads=1', { cpus: 4 }],
  ['-smp 2,maxcpus=2', { cpus: 2 }],
  [
    '-cpu rv64,sv57=off,+zba,-zbb,zbc=true,vlen=128',
    { cpu: { model: 'rv64', features: { sv57: false, zba: true, zbb: false, zbc: true, vlen: '128' } } },
  ],
  ['-cpu max', { cpu: { model: 'max', features: {} } }],
  ['-accel reference', { accel: 'reference' }],
  ['-accel tcg,thread=multi', { accel: 'jit', notes: ['-accel tcg,thread=multi: tcg is called jit here'] }],
  ['-M virt,accel=kvm:tcg', { accel: ['kvm', 'jit'] }],
  ['-accel xen:jit', { accel: 'jit' }],
  ['-accel kvm:jit', { accel: ['kvm', 'jit'] }],
  ['-enable-kvm', { accel: 'kvm' }],
  ['-accel auto', { accel: 'auto' }],
  [
    '-accel kvm,kernel-irqchip=split,x-trapframe-halt-poll-ns=20000',
    { accel: 'kvm', kernelIrqchip: 'split', haltPollNs: 20000 },
  ],
  ['-accel kvm,thread=single,x-trapframe-move=off', { accel: 'kvm', accelThreads: false, accelStay: true }],
  ['-accel kvm -accel jit -accel kvm', { accel: ['kvm', 'jit'] }],
  [
    '-kernel Image -initrd rd -append console=ttyS0~quiet -dtb x',
    { kernel: 'Image', initrd: 'rd', append: 'console=ttyS0 quiet', dtb: 'x' },
  ],
  ['-bios none', { bios: 'none' }],
  ['-bios fw.bin -L /a -L /b', { bios: { file: 'fw.bin' }, firmwarePaths: ['/a', '/b'] }],
  ['-M virt,firmware=fw.bin', { bios: { file: 'fw.bin' } }],
  [
    '-rtc base=2020-01-02T03:04:05,clock=vm -icount shift=5,sleep=off',
    { rtc: { base: Date.UTC(2020, 0, 2, 3, 4, 5), clock: 'vm' }, icount: { shift: 5, sleep: false } },
  ],
  ['-rtc base=localtime', { rtc: { base: 'localtime', clock: 'host' } }],
  ['-icount 7', { icount: { shift: 7, sleep: true } }],
  ['-icount auto', { icount: { shift: 3, sleep: true } }],
  ['-no-reboot -no-shutdown -S', { noReboot: true, noShutdown: true, paused: true }],
  ['-action reboot=shutdown,shutdown=pause', { noReboot: true, noShutdown: true }],
  [
    '-name guest=x,debug-threads=on -uuid 550E8400-e29b-41d4-a716-446655440000',
    { name: 'x', uuid: '550e8400-e29b-41d4-a716-446655440000' },
  ],
  ['-d guest_errors,unimp -D log', { log: ['guest_errors', 'unimp'], logFile: 'log' }],
  ['-global virtio-mmio.force-legacy=false', { machineProperties: { 'force-legacy': 'false' }, notes: [] }],
  [
    '-nodefaults -no-user-config -boot order=c,menu=off -k de -vga none -parallel none -net none -audiodev none,id=a -sandbox off',
    { devices: [] },
  ],
  ['-echr 0x1d', { escape: 0x1d }],
  [
    '-fw_cfg opt/a,string=x,,y',
    { fwCfg: [{ where: '-fw_cfg opt/a,string=x,,y', name: 'opt/a', file: undefined, text: 'x,y' }] },
  ],
];
for (const [line, part] of PLANS) {
  test(`plan of "${line}"`, () => {
    const whole = plan(line) as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(part)) assert.deepEqual(whole[key], value, key);
  });
}

/** Serial ports and monitors as `[serials, monitors, chardevs]`, each chardev as `id=kind` with + for mux, ! for signal. */
function streams(line: string): string {
  const { serials, monitors, chardevs } = plan(line);
  const devices = chardevs.map(
    ({ id, kind, mux, signal }) => `${id}=${kind}${mux ? '+' : ''}${kind === 'stdio' && signal ? '!' : ''}`,
  );
  return `${serials.map((id) => id ?? '-')}|${monitors.map(({ chardev, mode }) => `${chardev}:${mode[0]}`)}|${devices}`;
}
const STREAMS: [line: string, expected: string][] = [
  ['-nographic', 'serial0|serial0:r|serial0=stdio+'],
  ['', 'serial0|serial0:r|serial0=stdio+'],
  ['-display none', '||'],
  ['-nodefaults -nographic', '||'],
  ['-display none -serial stdio -monitor none', 'serial0||serial0=stdio!'],
  ['-display none -serial mon:stdio', 'serial0|serial0:r|serial0=stdio+'],
  ['-nographic -serial mon:stdio', 'serial0|serial0:r|serial0=stdio+'],
  ['-nographic -monitor none', 'serial0||serial0=stdio!'],
  ['-nographic -serial null', 'serial0|compat_monitor0:r|serial0=null,compat_monitor0=stdio!'],
  ['-nographic -qmp unix:/q,server,nowait', 'serial0|compat_monitor0:c|compat_monitor0=socket,serial0=stdio!'],
  ['-serial stdio', 'serial0||serial0=stdio!'],
  ['-display none -serial none -serial file:x', '-,serial1||serial1=file'],
  ['-chardev stdio,id=c,mux=on,signal=off -serial chardev:c -mon chardev=c', 'c|c:r|c=stdio+'],
  [
    '-chardev socket,id=m,path=/q,server=on,wait=off -mon chardev=m,mode=control,pretty=on -display none',
    '|m:c|m=socket',
  ],
];
for (const [line, expected] of STREAMS) test(`streams of "${line}"`, () => assert.equal(streams(line), expected));

test('sockets in their short forms', () => {
  const socket = (text: string) => plan(`-display none -serial ${text}`).chardevs[0].socket;
  const base = { server: false, wait: false, telnet: false, nodelay: false, reconnect: 0 };
  assert.deepEqual(socket('unix:/a,,b,server,nowait'), { ...base, kind: 'unix', path: '/a,b', server: true });
  assert.deepEqual(socket('unix:/a,server=on'), { ...base, kind: 'unix', path: '/a', server: true, wait: true });
  assert.deepEqual(socket('tcp:localhost:4444'), { ...base, kind: 'tcp', host: 'localhost', port: 4444 });
  assert.deepEqual(socket('tcp::4444,server=on,wait=off,nodelay'), {
    ...base,
    kind: 'tcp',
    host: undefined,
    port: 4444,
    server: true,
    nodelay: true,
  });
  assert.deepEqual(socket('telnet:[::1]:23,server,nowait'), {
    ...base,
    kind: 'tcp',
    host: '::1',
    port: 23,
    server: true,
    telnet: true,
  });
  assert.deepEqual(socket('tcp:h:1,reconnect=5'), { ...base, kind: 'tcp', host: 'h', port: 1, reconnect: 5 });
});

test('drives and devices', () => {
  const { drives, devices } = plan(
    '-drive file=a,,b.img,if=none,id=hd,format=raw,readonly=on -device virtio-blk,drive=hd,serial=S -pflash code.fd -drive if=pflash,file=vars.fd,format=raw -drive file=c,if=virtio,snapshot=on,cache=unsafe -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-device,rng=r',
  );
  assert.deepEqual(
    drives.map(({ id, file, interface: type, index, readOnly, snapshot, noFlush }) => [
      id,
      file,
      type,
      index,
      readOnly,
      snapshot,
      noFlush,
    ]),
    [
      ['hd', 'a,b.img', 'none', undefined, true, false, false],
      ['pflash0', 'code.fd', 'pflash', 0, false, false, false],
      ['pflash1', 'vars.fd', 'pflash', 1, false, false, false],
      ['virtio0', 'c', 'virtio', undefined, false, true, true],
    ],
  );
  assert.deepEqual(
    devices.map(({ driver, properties }) => [driver, properties]),
    [
      ['virtio-blk-device', { drive: 'hd', serial: 'S' }],
      ['virtio-rng-device', { rng: 'r' }],
    ],
  );
});

test('-snapshot counts for drives before and after it', () => {
  const { drives } = plan('-drive file=a,id=a -snapshot -drive file=b,id=b -drive file=c,id=c,snapshot=off');
  assert.deepEqual(
    drives.map(({ snapshot }) => snapshot),
    [true, true, false],
  );
});

test('-readconfig', () => {
  const { drives, devices, memory } = plan('-readconfig vm.cfg');
  assert.deepEqual(
    [drives[0].id, drives[0].file, devices[0].properties.drive, memory],
    ['d0', 'a,b.img', 'd0', 2 ** 30],
  );
});

/** What is refused or wrong: the message names the option, and tells what to do. */
const FAILURES: [line: string, where: string, message: RegExp][] = [
  ['-foo', '-foo', /^invalid option; -help lists/],
  ['-kernl x', '-kernl', /did you mean -kernel\?/],
  ['--nographics', '--nographics', /did you mean -nographic\?/],
  ['-- x', '--', /invalid option/],
  ['-kernel', '-kernel', /requires an argument/],
  ['disk.img', 'disk.img', /-drive file=disk.img/],
  ['-M spike', '-M spike', /not there; use -M virt/],
  ['-M pc', '-M pc', /unsupported machine type/],
  ['-M virt,foo=1', '-M virt,foo=1', /Property 'virt-machine.foo' not found/],
  ['-m abc', '-m abc', /expects a non-negative number below 2\^64/],
  ['-m 512Q', '-m 512Q', /non-negative number/],
  ['-m 4G', '-m 4G', /at most 3G/],
  ['-m 0', '-m 0', /needs memory/],
  ['-m 512M,slots=2', '-m 512M,slots=2', /slots specified but no max-size/],
  ['-m 512M,slots=2,maxmem=1G', '-m 512M,slots=2,maxmem=1G', /cannot be plugged in/],
  ['-smp 0', '-smp 0', /at least 1|between 1/],
  ['-smp foo=1', '-smp foo=1', /Invalid parameter 'foo'/],
  ['-smp 2,maxcpus=1', '-smp 2,maxcpus=1', /maxcpus must be equal to or greater than smp/],
  ['-smp 3,sockets=1,cores=2,threads=1', '-smp 3,sockets=1,cores=2,threads=1', /product of the hierarchy/],
  ['-smp 1000', '-smp 1000', /max CPUs supported by machine 'virt' is 512/],
  ['-cpu foo', '-cpu foo', /unable to find CPU model 'foo'/],
  ['-cpu sifive-u54', '-cpu sifive-u54', /use rv64/],
  ['-cpu rv64,foo=on', '-cpu rv64,foo=on', /Property 'rv64-riscv-cpu.foo' not found/],
  ['-cpu rv64,zba=maybe', '-cpu rv64,zba=maybe', /Parameter 'zba' expects 'on' or 'off'/],
  ['-accel xen', '-accel xen', /'xen' is not there; use -accel jit/],
  ['-accel foo', '-accel foo', /invalid accelerator foo/],
  ['-append x', '', /-append only allowed with -kernel/],
  ['-initrd x', '', /-initrd only allowed with -kernel/],
  ['-drive foo=bar', '-drive foo=bar', /without a medium|Invalid parameter/],
  ['-drive file=x,if=ide', '-drive file=x,if=ide', /no 'ide' drives; use if=none/],
  ['-drive file=x,format=qcow2', '-drive file=x,format=qcow2', /qemu-img convert/],
  ['-drive file=x,zap=1', '-drive file=x,zap=1', /Invalid parameter 'zap'/],
  ['-drive file=x,id=a -drive file=y,id=a', '-drive file=y,id=a', /Duplicate ID 'a' for drive/],
  ['-drive file=x,iops=9', '-drive file=x,iops=9', /throttling/],
  ['-hda x', '-hda x', /use -drive/],
  ['-device foo', '-device foo', /'foo' is not a valid device model name/],
  ['-device virtio-blk-device', '-device virtio-blk-device', /drive property not set/],
  ['-device virtio-blk-device,drive=no', '-device virtio-blk-device,drive=no', /can't find value 'no'/],
  ['-device virtio-blk-pci,drive=x', '-device virtio-blk-pci,drive=x', /use virtio-blk-device/],
  ['-device virtio-net-device,netdev=n', '-device virtio-net-device,netdev=n', /networking is not there yet/],
  ['-device virtio-rng-device,foo=1', '-device virtio-rng-device,foo=1', /Property 'virtio-rng-device.foo' not found/],
  ['-netdev user,id=n', '-netdev user,id=n', /networking is not there yet; leave it out/],
  ['-nic foo', '-nic foo', /Parameter 'type' does not accept value 'foo'/],
  ['-object foo,id=a', '-object foo,id=a', /invalid object type: foo/],
  ['-serial foo', '-serial foo', /'foo' is not a valid char driver/],
  ['-serial pty', '-serial pty', /use unix:PATH/],
  ['-serial vc', '-serial vc', /use stdio/],
  ['-serial /dev/ttyS0', '-serial /dev/ttyS0', /host serial port/],
  ['-chardev stdio', '-chardev stdio', /no id specified/],
  ['-chardev foo,id=a', '-chardev foo,id=a', /'foo' is not a valid char driver name/],
  ['-chardev null,id=a -chardev null,id=a', '-chardev null,id=a', /Duplicate ID 'a' for chardev/],
  ['-serial chardev:no', '-serial chardev:no', /chardev "no" not found/],
  ['-serial stdio -monitor stdio', '-monitor stdio', /cannot use stdio by multiple/],
  ['-display gtk', '-display gtk', /use -nographic/],
  ['-display foo', '-display foo', /does not accept value 'foo'/],
  ['-vnc :0', '-vnc :0', /there are no displays yet/],
  ['-rtc base=foo', '-rtc base=foo', /invalid datetime format/],
  ['-rtc base=2020-13-01', '-rtc base=2020-13-01', /invalid datetime format/],
  ['-icount shift=99', '-icount shift=99', /Invalid shift value/],
  ['-icount auto,sleep=off', '-icount auto,sleep=off', /incompatible/],
  ['-icount 3,rr=record,rrfile=x', '-icount 3,rr=record,rrfile=x', /come later/],
  ['-d foo', '-d foo', /no log item 'foo'/],
  ['-d exec', '-d exec', /'exec' is not logged/],
  ['-uuid xx', '-uuid xx', /wrong format/],
  ['-action foo=bar', '-action foo=bar', /Invalid parameter 'foo'/],
  ['-name a,b=c', '-name a,b=c', /Invalid parameter 'b'/],
  ['-boot foo=1', '-boot foo=1', /'boot.foo' is unexpected/],
  ['-fw_cfg name=x', '-fw_cfg name=x', /invalid argument/],
  ['-daemonize', '-daemonize', /-pidfile/],
  ['-s', '-s', /gdb stub is not there yet/],
  ['-sandbox on', '-sandbox on', /container/],
  ['-readconfig no.cfg', '-readconfig no.cfg', /Cannot read config file/],
  ['-readconfig bad.cfg', '-readconfig: bad.cfg:2', /parse error/],
];
for (const [line, where, message] of FAILURES) {
  test(`"${line}" is refused`, () => {
    const error = failure(line);
    assert.equal(error.where, where);
    assert.match(error.message, message);
  });
}

test('every option that is known either works or says what to use', () => {
  for (const [name, row] of Object.entries(OPTIONS)) {
    const argv = row.argument ? [`-${name}`, 'x'] : [`-${name}`];
    try {
      parseSystem(argv, context);
    } catch (error) {
      assert.ok(error instanceof OptionError, `-${name}: ${error}`);
      assert.doesNotMatch(error.message, /invalid option|is not there yet; -help/, `-${name}`);
      if (row.refused) assert.ok(error.mend.length > 5, `-${name} says what to use`);
    }
  }
});

test('requests for text', () => {
  const request = (line: string) => {
    const parsed = parseSystem(words(line), context);
    return 'request' in parsed ? Object.values(parsed.request).join(' ') : 'plan';
  };
  assert.equal(request('-h -foo'), 'help');
  assert.equal(request('-version'), 'version');
  assert.equal(request('-M help'), 'list machine');
  assert.equal(request('-M virt,help'), 'list machine-properties virt');
  assert.equal(request('-cpu ?'), 'list cpu');
  assert.equal(request('-device virtio-blk-device,help'), 'list device-properties virtio-blk-device');
  assert.equal(request('-d help'), 'list d');
});
