/**
 * Character devices: `-chardev kind,id=...`, and the short forms that -serial,
 * -monitor and -qmp take (`stdio`, `mon:stdio`, `tcp:host:port,server`, ...).
 */
import type { ChardevPlan, SocketPlan } from './options-plan.ts';
import { OptionError, Params, refuse } from './options-values.ts';

const SWITCHES = ['wait', 'server', 'telnet', 'delay', 'mux', 'append', 'signal'];

/** Kinds that QEMU has and this emulator does not, with the nearest thing. */
const REFUSED: Readonly<Record<string, readonly [string, string]>> = {
  pty: [
    'pseudo-terminals need native code',
    'use unix:PATH,server=on,wait=off and `socat -,raw,echo=0 UNIX-CONNECT:PATH`',
  ],
  vc: ['there are no virtual consoles', 'use stdio'],
  udp: ['datagrams are not there', 'use tcp:HOST:PORT,server=on,wait=off'],
  msmouse: ['there is no mouse', 'use null'],
  braille: ['there is no braille display', 'use stdio'],
  serial: ['a host serial port needs native code', 'use stdio and a terminal program'],
  tty: ['a host serial port needs native code', 'use stdio and a terminal program'],
  parallel: ['there is no parallel port', 'use null'],
  parport: ['there is no parallel port', 'use null'],
  spicevmc: ['there is no SPICE', 'use unix:PATH,server=on,wait=off'],
  spiceport: ['there is no SPICE', 'use unix:PATH,server=on,wait=off'],
  'qemu-vdagent': ['there is no SPICE', 'use unix:PATH,server=on,wait=off'],
  dbus: ['there is no D-Bus', 'use unix:PATH,server=on,wait=off'],
  testdev: ['is for the tests of QEMU', 'use the test finisher'],
  websocket: ['WebSockets are not there yet', 'use tcp:HOST:PORT,server=on,wait=off'],
  con: ['is for Windows', 'use stdio'],
  COM: ['is for Windows', 'use stdio'],
};

/** One `-chardev`. */
export function parseChardev(where: string, text: string): ChardevPlan {
  const params = Params.parse(where, text, 'backend', SWITCHES);
  const kind = params.text('backend') ?? '';
  const id = params.text('id');
  if (!id) throw new OptionError(where, 'chardev: no id specified');
  return build(where, kind, id, params, {});
}

/** What a short form came to: an existing chardev, nothing at all, or a chardev to make. */
export type ShortForm = { readonly existing: string } | { readonly none: true } | { readonly make: ChardevPlan };

/** The argument of -serial, -monitor or -qmp; a chardev made for it is called `label`. */
export function parseShortForm(where: string, text: string, label: string): ShortForm {
  if (text === 'none') return { none: true };
  if (text.startsWith('chardev:')) return { existing: text.slice('chardev:'.length) };
  let form = text;
  const extra: Record<string, string> = {};
  if (form.startsWith('mon:')) {
    form = form.slice('mon:'.length);
    extra.mux = 'on';
    // Ctrl-C belongs to the guest when the escape key can end the machine.
    if (form === 'stdio') extra.signal = 'off';
  }
  if (form === 'null' || form === 'stdio') return { make: build(where, form, label, new Params(where, []), extra) };
  const colon = form.indexOf(':');
  const kind = colon < 0 ? form : form.slice(0, colon);
  const rest = colon < 0 ? '' : form.slice(colon + 1);
  if (kind === 'ringbuf') return { make: build(where, 'ringbuf', label, Params.parse(where, rest, 'size'), extra) };
  if (colon >= 0 && (kind === 'file' || kind === 'pipe' || kind === 'unix')) {
    // Short forms of files take the rest as it is; those of sockets take parameters behind the path.
    if (kind !== 'unix') return { make: build(where, kind, label, new Params(where, [['path', rest]]), extra) };
    return { make: build(where, 'socket', label, Params.parse(where, rest, 'path', SWITCHES), extra) };
  }
  if (colon >= 0 && (kind === 'tcp' || kind === 'telnet')) {
    if (kind === 'telnet') extra.telnet = 'on';
    const params = Params.parse(where, rest, 'address', SWITCHES);
    const { host, port } = hostPort(where, params.text('address') ?? '');
    return { make: build(where, 'socket', label, params, { ...extra, host, port }) };
  }
  if (kind.startsWith('/dev/')) refuse(where, ...REFUSED.serial);
  const known = /^COM[0-9]/.test(kind) ? 'COM' : kind;
  if (Object.hasOwn(REFUSED, known)) refuse(where, ...REFUSED[known]);
  throw new OptionError(where, `'${form}' is not a valid char driver`, '-chardev help lists them');
}

/** `host:port`, `:port`, `[v6]:port`. */
function hostPort(where: string, text: string): { host: string; port: string } {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]+)$/.exec(text);
  if (!match) throw new OptionError(where, `'${text}' is not HOST:PORT`);
  return { host: match[1] ?? match[2], port: match[3] };
}

function build(where: string, kind: string, id: string, params: Params, extra: Record<string, string>): ChardevPlan {
  const given = new Params(where, [...params.rest(), ...Object.entries(extra)]);
  const common = {
    id,
    where,
    mux: given.onOff('mux') ?? false,
    signal: true,
    logFile: given.text('logfile'),
    logAppend: given.onOff('logappend') ?? false,
  };
  const plan = ((): ChardevPlan => {
    switch (kind) {
      case 'null':
        return { ...common, kind };
      case 'stdio':
        return { ...common, kind, signal: given.onOff('signal') ?? true };
      case 'ringbuf':
      case 'memory': {
        const size = given.size('size') ?? 65536;
        if (size < 1 || size > 2 ** 28 || (size & (size - 1)) !== 0)
          throw new OptionError(where, 'size of ringbuf chardev must be a power of two', 'at most 256M');
        return { ...common, kind: 'ringbuf', size };
      }
      case 'file': {
        const path = given.text('path');
        if (path === undefined) throw new OptionError(where, 'chardev: file: no filename given');
        return { ...common, kind, path, append: given.onOff('append') ?? false };
      }
      case 'pipe': {
        const path = given.text('path');
        if (path === undefined) throw new OptionError(where, 'chardev: pipe: no device path given');
        return { ...common, kind, path };
      }
      case 'socket':
        return { ...common, kind, socket: socket(where, given) };
      default:
        if (Object.hasOwn(REFUSED, kind)) return refuse(where, ...REFUSED[kind]);
        throw new OptionError(where, `'${kind}' is not a valid char driver name`, '-chardev help lists them');
    }
  })();
  given.finish();
  return plan;
}

function socket(where: string, given: Params): SocketPlan {
  const path = given.text('path');
  const host = given.text('host');
  const portText = given.text('port');
  const server = given.onOff('server') ?? false;
  const nodelay = given.onOff('nodelay') ?? !(given.onOff('delay') ?? true);
  const common = {
    server,
    wait: given.onOff('wait') ?? server,
    telnet: given.onOff('telnet') ?? given.onOff('tn3270') ?? false,
    nodelay,
    reconnect: given.number('reconnect', 0, 86400) ?? 0,
  };
  if (given.onOff('websocket')) refuse(where, ...REFUSED.websocket);
  if (given.has('fd')) refuse(where, 'file descriptors cannot be passed in', 'name the socket by its path');
  if (given.has('tls-creds') || given.has('tls-authz'))
    refuse(where, 'TLS is not there', 'use a unix socket, or `stunnel` in front');
  given.ignore('ipv4', 'ipv6', 'tight', 'keep-alive', 'mptcp');
  if (given.onOff('abstract')) refuse(where, 'abstract sockets are not there', 'use a path');
  if (!server && given.has('wait'))
    throw new OptionError(where, "'wait' option is incompatible with socket in client connect mode");
  if (path !== undefined) {
    if (path === '') throw new OptionError(where, 'the path of a unix socket is empty');
    if (path.length > 107) throw new OptionError(where, `UNIX socket path '${path}' is too long`, 'at most 107 bytes');
    return { ...common, kind: 'unix', path };
  }
  if (portText === undefined) throw new OptionError(where, 'chardev: socket: no path and no port given');
  if (given.has('to')) refuse(where, 'ranges of ports are not there', 'give one port');
  const port = /^[0-9]{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (!(port <= 65535)) throw new OptionError(where, `'${portText}' is not a port`, 'a number from 0 to 65535');
  return { ...common, kind: 'tcp', host: host || undefined, port };
}
