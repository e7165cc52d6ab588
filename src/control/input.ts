/**
 * Keys and pointer events as QMP and the monitor write them.
 *
 * Spec: QEMU 7.2, QAPI `KeyValue`, `InputEvent`; messages as QEMU words them.
 */
import type { KeyValue, MachineInput } from '../machine/api.ts';
import { isQKeyCode, keyOfNumber } from '../machine/input-router.ts';
import { type Control, ControlError } from './hub.ts';
import { isObject, type Json } from './json-values.ts';
import { integer } from './qmp-arguments.ts';
import { NO_DISPLAY } from './screendump.ts';

type InputEvent = Parameters<MachineInput['send']>[0][number];

export const HOLD_MS = 100;
/** Nobody holds a key longer. */
const MAX_HOLD_MS = 3_600_000;
const BUTTONS = ['left', 'middle', 'right', 'wheel-up', 'wheel-down', 'side', 'extra', 'wheel-left', 'wheel-right'];
/** Bits of the monitor's mouse_button. */
const BUTTON_BITS = [
  ['left', 1],
  ['middle', 2],
  ['right', 4],
] as const;

export function inputOf(control: Control): MachineInput {
  const { input } = control.machine;
  if (!input) throw new ControlError(NO_DISPLAY);
  return input;
}

/** Types a chord; a machine that does not run has nobody who would notice. */
export function sendKeys(control: Control, keys: readonly KeyValue[], hold: bigint | undefined): void {
  const input = inputOf(control);
  const milliseconds = hold === undefined || hold <= 0n ? HOLD_MS : Math.min(Number(hold), MAX_HOLD_MS);
  if (control.machine.state === 'running') input.sendKeys(keys, milliseconds);
}

export function sendEvents(control: Control, events: readonly InputEvent[]): void {
  const input = inputOf(control);
  if (control.machine.state !== 'running') throw new ControlError('VM not running');
  const missing = input.send(events);
  if (missing) throw new ControlError(`Input handler not found for event type ${missing}`);
}

/** `ctrl-alt-f1`, `0x1e`, `shift-<`; or the word that is no key. */
export function parseChord(text: string): { keys: KeyValue[] } | { wrong: string } {
  const keys: KeyValue[] = [];
  for (const word of text.split('-')) {
    const name = word === '<' ? 'less' : word;
    if (/^0x[0-9a-f]{1,8}$/i.test(name)) keys.push({ type: 'number', data: Number(name) });
    else if (isQKeyCode(name)) keys.push({ type: 'qcode', data: name });
    else return { wrong: word };
  }
  return { keys };
}

/** The monitor's mouse_move. */
export function moveMouse(control: Control, dx: number, dy: number, dz: number): void {
  const events: InputEvent[] = [
    { type: 'rel', axis: 'x', value: dx },
    { type: 'rel', axis: 'y', value: dy },
  ];
  sendEvents(control, events);
  if (dz === 0) return;
  const button = dz > 0 ? 'wheel-up' : 'wheel-down';
  for (const down of [true, false]) sendEvents(control, [{ type: 'btn', button, down }]);
}

/** The monitor's mouse_button: the buttons that are down from now on. */
export function setMouseButtons(control: Control, state: number): void {
  sendEvents(
    control,
    BUTTON_BITS.map(([button, bit]) => ({ type: 'btn', button, down: (state & bit) !== 0 })),
  );
}

/** The argument `keys` of send-key. Throws ControlError. */
export function readKeys(keys: readonly Json[]): KeyValue[] {
  return keys.map((key, i) => readKey(key, `keys[${i}]`));
}

/** The argument `events` of input-send-event. Throws ControlError. */
export function readEvents(events: readonly Json[]): InputEvent[] {
  return events.map((event, i) => {
    const path = `events[${i}]`;
    const { type, data } = members(event, path, ['type', 'data']);
    const kind = oneOf(type, `${path}.type`, 'type', ['key', 'btn', 'rel', 'abs']);
    const inside = `${path}.data`;
    if (kind === 'key') {
      const { key, down } = members(data, inside, ['key', 'down']);
      const value = readKey(key, `${inside}.key`);
      return keyEvent(value, flag(down, `${inside}.down`));
    }
    if (kind === 'btn') {
      const { button, down } = members(data, inside, ['button', 'down']);
      const name = oneOf(button, `${inside}.button`, 'button', BUTTONS);
      return {
        type: 'btn',
        button: name as (InputEvent & { type: 'btn' })['button'],
        down: flag(down, `${inside}.down`),
      };
    }
    const { axis, value } = members(data, inside, ['axis', 'value']);
    const direction = oneOf(axis, `${inside}.axis`, 'axis', ['x', 'y']) as 'x' | 'y';
    const most = 0x7fff_ffff;
    const counts = Math.max(-most, Math.min(most, Number(whole(value, `${inside}.value`))));
    return { type: kind as 'rel' | 'abs', axis: direction, value: counts };
  });
}

function keyEvent(key: KeyValue, down: boolean): InputEvent {
  const name = key.type === 'qcode' ? key.data : (keyOfNumber(key.data) ?? 'unmapped');
  return { type: 'key', key: name, down };
}

function readKey(key: Json | undefined, path: string): KeyValue {
  const { type, data } = members(key, path, ['type', 'data']);
  const kind = oneOf(type, `${path}.type`, 'type', ['qcode', 'number']);
  if (kind === 'number') return { type: 'number', data: Number(BigInt.asUintN(32, whole(data, `${path}.data`))) };
  if (typeof data !== 'string') throw wrongType(`${path}.data`, 'string');
  if (!isQKeyCode(data)) throw new ControlError(`Parameter 'data' does not accept value '${data}'`);
  return { type: 'qcode', data };
}

/** An object's members, all of which must be there and no others. */
function members<K extends string>(value: Json | undefined, path: string, names: readonly K[]): Record<K, Json> {
  if (!isObject(value)) throw wrongType(path, 'object');
  for (const name of names)
    if (!Object.hasOwn(value, name)) throw new ControlError(`Parameter '${path}.${name}' is missing`);
  for (const name of Object.keys(value))
    if (!(names as readonly string[]).includes(name))
      throw new ControlError(`Parameter '${path}.${name}' is unexpected`);
  return value as Record<K, Json>;
}

function oneOf(value: Json, path: string, name: string, words: readonly string[]): string {
  if (typeof value !== 'string') throw wrongType(path, 'string');
  if (!words.includes(value)) throw new ControlError(`Parameter '${name}' does not accept value '${value}'`);
  return value;
}

function flag(value: Json, path: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(path, 'boolean');
  return value;
}

function whole(value: Json, path: string): bigint {
  if (typeof value !== 'bigint' && !Number.isInteger(value)) throw wrongType(path, 'integer');
  return integer(value);
}

const wrongType = (path: string, wanted: string) =>
  new ControlError(`Invalid parameter type for '${path}', expected: ${wanted}`);
