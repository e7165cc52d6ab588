/** screendump, send-key, input-send-event and their kin, through QMP and the monitor. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValue, MachineInput } from '../machine/api.ts';
import { Hmp } from './hmp.ts';
import { parseJson } from './json-values.ts';
import { QMP_COMMANDS } from './qmp-commands.ts';
import { bind } from './qmp-arguments.ts';
import { testControl } from './test-stream.ts';

function setUp() {
  const { machine, control, saved } = testControl();
  const log: string[] = [];
  const nameOf = (key: KeyValue) => (key.type === 'qcode' ? key.data : `#${key.data}`);
  const input: MachineInput = {
    sendKeys: (keys, hold) => void log.push(`${keys.map(nameOf).join('-')} ${hold}`),
    send(events) {
      if (events.some(({ type }) => type === 'abs')) return 'abs';
      log.push(JSON.stringify(events));
      return undefined;
    },
    pointers: () => [{ name: 'QEMU PS/2 Mouse', absolute: false }],
  };
  machine.input = input;
  machine.display = {
    size: () => ({ width: 2, height: 1 }),
    render: (into) => {
      into.set([1, 2, 3, 255, 4, 5, 6, 255]);
      return { first: 0, end: 1 };
    },
  };
  machine.start();
  const hmp = new Hmp(control);
  const qmp = async (execute: string, text: string): Promise<unknown> => {
    const command = QMP_COMMANDS[execute];
    try {
      return (await command.run(control, bind(command.takes ?? {}, parseJson(text) as never))) ?? {};
    } catch (error) {
      return (error as Error).message;
    }
  };
  return { machine, saved, log, hmp, qmp };
}

test('screendump writes PPM or PNG', async () => {
  const { saved, hmp, qmp, machine } = setUp();
  assert.deepEqual(await qmp('screendump', '{"filename": "a"}'), {});
  assert.equal(Buffer.from(saved.get('a') ?? []).toString('latin1'), 'P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06');
  assert.deepEqual(await qmp('screendump', '{"filename": "b", "format": "png"}'), {});
  assert.equal(
    Buffer.from(saved.get('b') ?? [])
      .subarray(1, 4)
      .toString(),
    'PNG',
  );
  assert.equal(await hmp.execute('screendump c'), '');
  assert.deepEqual(saved.get('c'), saved.get('a'));
  assert.equal(await hmp.execute('screendump "d e" -f png'), '');
  assert.deepEqual(saved.get('d e'), saved.get('b'));
  assert.equal(
    await hmp.execute('screendump'),
    'screendump: filename expected\nTry "help screendump" for more information\n',
  );
  assert.equal(await hmp.execute('screendump d -f gif'), 'Error: invalid parameter value: gif\n');
  assert.match(await hmp.execute('screendump /no/x'), /^Error: .*No such file or directory/);
  assert.match(await hmp.execute('screendump d -f png x'), /extraneous characters/);
  assert.equal(
    await qmp('screendump', '{"filename":"x","format":"jpg"}'),
    "Parameter 'format' does not accept value 'jpg'",
  );
  assert.equal(await qmp('screendump', '{"filename":"x","device":"zz"}'), "Device 'zz' not found");
  assert.equal(await qmp('screendump', '{"filename":"x","head":1}'), "'head' must be specified together with 'device'");
  machine.display = undefined;
  assert.equal(await qmp('screendump', '{"filename":"x"}'), 'There is no display on this machine');
});

test('send-key and sendkey', async () => {
  const { log, hmp, qmp, machine } = setUp();
  await qmp('send-key', '{"keys":[{"type":"qcode","data":"shift"},{"type":"number","data":30}],"hold-time":60}');
  await qmp('send-key', '{"keys":[{"type":"qcode","data":"ret"}]}');
  assert.equal(await hmp.execute('sendkey ctrl-alt-f1'), '');
  assert.equal(await hmp.execute('sendkey shift-< 20'), '');
  assert.equal(await hmp.execute('sendkey 0x1e'), '');
  assert.deepEqual(log.splice(0), ['shift-#30 60', 'ret 100', 'ctrl-alt-f1 100', 'shift-less 20', '#30 100']);
  assert.equal(await hmp.execute('sendkey ctrl-foo'), 'invalid parameter: foo\n');
  assert.equal(await hmp.execute('sendkey ctrl- 5'), 'invalid parameter: \n');
  assert.match(await hmp.execute('sendkey'), /^sendkey: string expected\nTry/);
  machine.state = 'paused';
  assert.deepEqual(await qmp('send-key', '{"keys":[{"type":"qcode","data":"a"}]}'), {});
  assert.deepEqual(log, []);
});

test('input-send-event, mouse_move, mouse_button, mice', async () => {
  const { log, hmp, qmp, machine } = setUp();
  const events = '{"type":"btn","data":{"down":true,"button":"left"}},{"type":"rel","data":{"axis":"x","value":-5}}';
  const key = '{"type":"key","data":{"down":false,"key":{"type":"number","data":30}}}';
  assert.deepEqual(await qmp('input-send-event', `{"events":[${events},${key}]}`), {});
  assert.deepEqual(JSON.parse(log.pop() ?? ''), [
    { type: 'btn', button: 'left', down: true },
    { type: 'rel', axis: 'x', value: -5 },
    { type: 'key', key: 'a', down: false },
  ]);
  assert.equal(
    await qmp('input-send-event', '{"events":[{"type":"abs","data":{"axis":"x","value":1}}]}'),
    'Input handler not found for event type abs',
  );
  await hmp.execute('mouse_move 5 -7 1');
  assert.match(log.join('\n'), /"value":5.*"value":-7.*wheel-up/s);
  await hmp.execute('mouse_button 5');
  assert.match(log.pop() ?? '', /"left","down":true.*"middle","down":false.*"right","down":true/);
  assert.equal(await hmp.execute('info mice'), '* Mouse #0: QEMU PS/2 Mouse\n');
  assert.deepEqual(await qmp('query-mice', '{}'), [
    { name: 'QEMU PS/2 Mouse', index: 0, current: true, absolute: false },
  ]);
  machine.state = 'paused';
  assert.equal(await qmp('input-send-event', `{"events":[${events}]}`), 'VM not running');
});

// As QEMU 7.2 words them.
const WRONG: [command: string, argument: string, message: string][] = [
  ['send-key', '[{"type":"qcode","data":"foo"}]', "Parameter 'data' does not accept value 'foo'"],
  ['send-key', '[{"type":"qcode"}]', "Parameter 'keys[0].data' is missing"],
  ['send-key', '[{"type":"zz","data":"a"}]', "Parameter 'type' does not accept value 'zz'"],
  ['send-key', '[{"data":"a"}]', "Parameter 'keys[0].type' is missing"],
  ['send-key', '["a"]', "Invalid parameter type for 'keys[0]', expected: object"],
  ['send-key', '[{"type":"number","data":"a"}]', "Invalid parameter type for 'keys[0].data', expected: integer"],
  ['send-key', '[{"type":"qcode","data":"a","x":1}]', "Parameter 'keys[0].x' is unexpected"],
  ['input-send-event', '[{"type":"key"}]', "Parameter 'events[0].data' is missing"],
  ['input-send-event', '[{"type":"key","data":{"down":true}}]', "Parameter 'events[0].data.key' is missing"],
  [
    'input-send-event',
    '[{"type":"btn","data":{"down":true,"button":"foo"}}]',
    "Parameter 'button' does not accept value 'foo'",
  ],
  ['input-send-event', '[{"type":"rel","data":{"axis":"z","value":1}}]', "Parameter 'axis' does not accept value 'z'"],
];
test('mistakes have QEMU’s words', async () => {
  const { qmp, log } = setUp();
  for (const [command, argument, message] of WRONG) {
    const name = command === 'send-key' ? 'keys' : 'events';
    assert.equal(await qmp(command, `{"${name}": ${argument}}`), message);
  }
  assert.deepEqual(log, []);
});
