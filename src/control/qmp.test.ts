import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QmpServer } from './qmp.ts';
import { TestStream, testControl } from './test-stream.ts';

interface Message {
  readonly QMP?: { capabilities: string[] };
  readonly return?: unknown;
  readonly error?: { class: string; desc: string };
  readonly event?: string;
  readonly data?: { guest: boolean; reason: string };
  readonly timestamp?: { seconds: number; microseconds: number };
  readonly id?: unknown;
}

function start(pretty = false) {
  const { machine, control, saved } = testControl(2);
  const stream = new TestStream();
  const server = new QmpServer(stream, control, pretty);
  const messages = async () =>
    (await stream.read())
      .split('\r\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Message);
  const ask = async (request: object | string) => {
    stream.send(typeof request === 'string' ? request : JSON.stringify(request));
    return messages();
  };
  const negotiated = async () => {
    await ask({ execute: 'qmp_capabilities' });
  };
  return { machine, saved, stream, server, messages, ask, negotiated };
}

test('greeting, negotiation, id', async () => {
  const { messages, ask } = start();
  const [greeting] = await messages();
  assert.deepEqual(greeting.QMP?.capabilities, []);
  assert.deepEqual(await ask({ execute: 'query-status' }), [
    { error: { class: 'CommandNotFound', desc: "Expecting capabilities negotiation with 'qmp_capabilities'" } },
  ]);
  assert.deepEqual(await ask({ execute: 'qmp_capabilities', id: { a: [1] } }), [{ return: {}, id: { a: [1] } }]);
  const [again] = await ask({ execute: 'qmp_capabilities' });
  assert.match(again.error?.desc ?? '', /already complete/);
  assert.deepEqual(await ask({ execute: 'query-status', id: null }), [
    { return: { status: 'prelaunch', singlestep: false, running: false }, id: null },
  ]);
});

test('life: cont, stop, reset, powerdown, quit, with their events', async () => {
  const { machine, ask, negotiated } = start();
  await negotiated();
  const shape = (messages: Message[]) =>
    messages.map(({ event, data, error }) => event ?? error?.desc ?? data ?? 'return');
  assert.deepEqual(shape(await ask({ execute: 'cont' })), ['RESUME', 'return']);
  assert.deepEqual(shape(await ask({ execute: 'cont' })), ['return']);
  const [stop, answer] = await ask({ execute: 'stop', id: 1 });
  assert.deepEqual(stop.timestamp, { seconds: 1700000000, microseconds: 123456 });
  assert.deepEqual([stop.event, answer], ['STOP', { return: {}, id: 1 }]);
  assert.deepEqual(shape(await ask({ execute: 'stop' })), ['return']);
  const [reset] = await ask({ execute: 'system_reset' });
  assert.deepEqual([reset.event, reset.data], ['RESET', { guest: false, reason: 'host-qmp-system-reset' }]);
  machine.reset(); // the guest's own
  const [own] = await ask('');
  assert.deepEqual(own.data, { guest: true, reason: 'guest-reset' });
  assert.deepEqual(shape(await ask({ execute: 'system_powerdown' })), ['POWERDOWN', 'return']);
  const [down] = await ask({ execute: 'quit' });
  assert.deepEqual([down.event, down.data], ['SHUTDOWN', { guest: false, reason: 'host-qmp-quit' }]);
  assert.deepEqual(shape(await ask({ execute: 'cont' })), ['Resetting the Virtual Machine is required']);
});

test('a guest that suspends its machine: events, and what wakes it', async () => {
  const { machine, ask, messages, negotiated } = start();
  await negotiated();
  machine.canSuspend = true;
  const wake = { execute: 'system_wakeup' };
  await ask({ execute: 'cont' });
  assert.equal((await ask(wake))[0].error?.desc, 'Unable to wake up: guest is not in suspended state');
  machine.suspend();
  assert.deepEqual(
    (await messages()).map(({ event }) => event),
    ['SUSPEND'],
  );
  const status = { return: { status: 'suspended', singlestep: false, running: false } };
  assert.deepEqual(await ask({ execute: 'query-status' }), [status]);
  assert.deepEqual(await ask({ execute: 'cont' }), [{ return: {} }]);
  assert.deepEqual(await ask({ execute: 'query-status' }), [status]);
  const [event, answer] = await ask(wake);
  assert.deepEqual([event.event, answer], ['WAKEUP', { return: {} }]);
  machine.canSuspend = false;
  assert.equal((await ask(wake))[0].error?.desc, 'wake-up from suspend is not supported by this guest');
});

test('memory goes to files, holes as zeros; mistakes are errors', async () => {
  const { machine, saved, ask, negotiated } = start();
  await negotiated();
  machine.ram.set([1, 2, 3, 4]);
  await ask({ execute: 'pmemsave', arguments: { val: 0x7fff_fffe, size: 4, filename: 'p' } });
  assert.deepEqual([...(saved.get('p') ?? [])], [0, 0, 0, 0]);
  await ask({ execute: 'pmemsave', arguments: { val: 0x8000_0000, size: 3, filename: 'q' } });
  assert.deepEqual([...(saved.get('q') ?? [])], [1, 2, 3]);
  await ask({ execute: 'memsave', arguments: { val: 0x8000_0001, size: 2, filename: 'r', 'cpu-index': 1 } });
  assert.deepEqual([...(saved.get('r') ?? [])], [2, 3]);
  const errorOf = async (request: object) => (await ask(request))[0].error?.desc;
  const save = (args: object) => ({ execute: 'pmemsave', arguments: args });
  assert.equal(await errorOf(save({ val: 0, size: 1 })), "Parameter 'filename' is missing");
  assert.equal(
    await errorOf(save({ val: '0', size: 1, filename: 'x' })),
    "Invalid parameter type for 'val', expected: integer",
  );
  assert.match((await errorOf(save({ val: 0, size: 1, filename: '/no/x' }))) ?? '', /Could not open '\/no\/x'/);
  assert.match(
    (await errorOf(
      '{"execute":"pmemsave","arguments":{"val":0,"size":99999999999999999999,"filename":"x"}}' as never,
    )) ?? '',
    /out of range/,
  );
  assert.match((await errorOf(save({ val: -1, size: 1, filename: 'x' }))) ?? '', /out of range/);
  const bad = { val: 0, size: 16, filename: 'x' };
  assert.equal(
    await errorOf({ execute: 'memsave', arguments: bad }),
    'Invalid addr 0x0000000000000000/size 16 specified',
  );
  assert.match(
    (await errorOf({ execute: 'memsave', arguments: { ...bad, 'cpu-index': 9 } })) ?? '',
    /expects a CPU number/,
  );
});

const WRONG: [request: string, desc: RegExp][] = [
  ['{}', /lacks member 'execute'/],
  ['[]', /must be a JSON object/],
  ['{"execute": 1}', /'execute' must be a string/],
  ['{"execute": "stop", "foo": 1}', /member 'foo' is unexpected/],
  ['{"execute": "stop", "arguments": []}', /'arguments' must be an object/],
  ['{"execute": "stop", "arguments": {"x": 1}}', /Parameter 'x' is unexpected/],
  ['{"execute": "toString"}', /The command toString has not been found/],
  ['{"exec-oob": "stop"}', /member 'exec-oob' is unexpected/],
  ['{"execute": "screendump", "arguments": {"filename": "x"}}', /no display/],
  ['{"execute": "send-key", "arguments": {"keys": []}}', /no display/],
  ['{"execute": "inject-nmi"}', /not currently supported/],
];
for (const [request, desc] of WRONG) {
  test(`${request} is answered with an error`, async () => {
    const { ask, negotiated } = start();
    await negotiated();
    const answers = await ask(request);
    assert.equal(answers.length, 1);
    assert.match(answers[0].error?.desc ?? '', desc);
  });
}

test('every query answers', async () => {
  const { ask, negotiated } = start();
  await negotiated();
  const [{ return: list }] = await ask({ execute: 'query-commands' });
  const names = (list as { name: string }[]).map(({ name }) => name).filter((name) => name.startsWith('query-'));
  assert.ok(names.length > 15);
  for (const execute of names) {
    const [answer] = await ask({ execute, arguments: execute === 'query-stats' ? { target: 'vm' } : {} });
    if (execute === 'query-balloon') assert.equal(answer.error?.class, 'DeviceNotActive');
    else assert.ok(answer.return !== undefined, execute);
  }
});

test('a client that leaves in the middle leaves nothing for the next', async () => {
  const { stream, messages, negotiated } = start();
  await messages();
  await negotiated();
  stream.send('{"execute": "query-st');
  stream.connected = false;
  stream.onConnection?.(false);
  stream.connected = true;
  stream.onConnection?.(true);
  assert.deepEqual(Object.keys((await messages())[0]), ['QMP']);
  stream.send('{"execute": "query-status"}');
  assert.match((await messages())[0].error?.desc ?? '', /Expecting capabilities/);
});

test('a client that does not read is not listened to', async () => {
  const { stream, negotiated } = start();
  await negotiated();
  await stream.read();
  stream.congested = true;
  stream.send('{"execute":"query-status"}'.repeat(20_000));
  const output = await stream.read();
  assert.ok(output.length < 1000, `${output.length} bytes of answers to somebody who does not read`);
  assert.ok(stream.unsent > 400_000, `${stream.unsent} bytes held by the client`);
  stream.congested = false;
  stream.onDrain?.();
  assert.ok((await stream.read()).length > 1000);
});

test('pretty output is the same JSON on several lines', async () => {
  const { stream } = start(true);
  const text = await stream.read();
  assert.ok(text.startsWith('{\r\n    "QMP": {'), text);
  assert.ok('QMP' in JSON.parse(text));
});

test('human-monitor-command runs a line of the monitor', async () => {
  const { stream, negotiated } = start();
  await negotiated();
  await stream.read();
  stream.send('{"execute": "human-monitor-command", "arguments": {"command-line": "info status"}, "id": 5}');
  while (!stream.output.endsWith('\r\n')) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(JSON.parse(stream.output), { return: 'VM status: paused (prelaunch)\r\n', id: 5 });
});

test('query-stats and its schemas: the kernel’s counters of each vCPU', async () => {
  const { ask, negotiated } = start();
  await negotiated();
  const answer = async (request: object) => {
    const [message] = await ask(request);
    return message.return ?? message.error?.desc;
  };
  const stats = (providers?: object[], vcpus?: string[]) => ({
    execute: 'query-stats',
    arguments: { target: 'vcpu', ...(providers && { providers }), ...(vcpus && { vcpus }) },
  });
  assert.deepEqual(await answer(stats([{ provider: 'kvm', names: ['exits'] }])), [
    { provider: 'kvm', 'qom-path': '/machine/soc0/harts[0]', stats: [{ name: 'exits', value: 7 }] },
    { provider: 'kvm', 'qom-path': '/machine/soc0/harts[1]', stats: [{ name: 'exits', value: 8 }] },
  ]);
  assert.deepEqual(await answer(stats(undefined, ['/machine/soc0/harts[1]'])), [
    {
      provider: 'kvm',
      'qom-path': '/machine/soc0/harts[1]',
      stats: [
        { name: 'exits', value: 8 },
        { name: 'blocking', value: true },
        { name: 'halt_hist', value: [1, 2] },
      ],
    },
  ]);
  assert.deepEqual(await answer(stats([{ provider: 'cryptodev' }])), []);
  assert.deepEqual(await answer(stats([{ provider: 'xen' }])), "Parameter 'provider' does not accept value 'xen'");
  assert.deepEqual(await answer({ execute: 'query-stats', arguments: { target: 'vm' } }), []);
  assert.match(
    String(await answer({ execute: 'query-stats', arguments: { target: 'x' } })),
    /does not accept value 'x'/,
  );
  assert.deepEqual(await answer({ execute: 'query-stats-schemas' }), [
    {
      provider: 'kvm',
      target: 'vcpu',
      stats: [
        { name: 'exits', type: 'cumulative', exponent: 0 },
        { name: 'blocking', type: 'instant', unit: 'boolean', exponent: 0 },
        { name: 'halt_hist', type: 'log2-histogram', unit: 'seconds', base: 10, exponent: -9 },
      ],
    },
  ]);
});

test('accelerators: what runs, a change, and why not', async () => {
  const { machine, ask, negotiated } = start();
  await negotiated();
  const set = (accelerator: string) => ({ execute: 'x-trapframe-set-accelerator', arguments: { accelerator } });
  assert.deepEqual(await ask(set('jit')), [{ return: {} }]);
  assert.equal(machine.accelerator, 'jit');
  assert.deepEqual(await ask({ execute: 'x-trapframe-query-accelerator' }), [
    { return: { accelerator: 'jit', kvm: [] } },
  ]);
  assert.match((await ask(set('kvm')))[0].error?.desc ?? '', /there is no KVM here; use -accel jit/);
  assert.deepEqual(await ask({ execute: 'query-kvm' }), [{ return: { enabled: false, present: false } }]);
});
