/** The keys of QEMU 7.2 (`QKeyCode` in its QAPI schema), by the names that send-key, sendkey and input-send-event take. */
const NAMES = [
  'unmapped shift shift_r alt alt_r ctrl ctrl_r menu esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab',
  'q w e r t y u i o p bracket_left bracket_right ret a s d f g h j k l semicolon apostrophe grave_accent backslash',
  'z x c v b n m comma dot slash asterisk spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock',
  'kp_divide kp_multiply kp_subtract kp_add kp_enter kp_decimal sysrq',
  'kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9 less f11 f12 print home pgup pgdn end left up down right',
  'insert delete stop again props undo front copy open paste find cut lf help meta_l meta_r compose pause ro',
  'hiragana henkan yen muhenkan katakanahiragana kp_comma kp_equals power sleep wake audionext audioprev audiostop',
  'audioplay audiomute volumeup volumedown mediaselect mail calculator computer ac_home ac_back ac_forward',
  'ac_refresh ac_bookmarks lang1 lang2',
].flatMap((line) => line.split(' '));

/** One of `QKEYCODES`; what comes from outside is checked with `isQKeyCode`. */
export type QKeyCode = string;

export const QKEYCODES: ReadonlySet<QKeyCode> = new Set(NAMES);

export function isQKeyCode(name: string): boolean {
  return QKEYCODES.has(name);
}

/**
 * A key's number: its make code in scan code set 1, plus 0x80 where 0xe0 comes first. Keys without one are on no PC
 * keyboard. `sendkey 0x1e` and `{"type": "number"}` mean these.
 */
const ROWS: readonly (readonly [first: number, keys: string])[] = [
  [0x01, 'esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab'],
  [0x10, 'q w e r t y u i o p bracket_left bracket_right ret ctrl'],
  [0x1e, 'a s d f g h j k l semicolon apostrophe grave_accent shift backslash'],
  [0x2c, 'z x c v b n m comma dot slash shift_r kp_multiply alt spc caps_lock'],
  [0x3b, 'f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock'],
  [0x47, 'kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5 kp_6 kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal sysrq'],
  [0x37, 'asterisk'],
  [0x56, 'less f11 f12 kp_equals'],
  [0x70, 'katakanahiragana'],
  [0x70, 'hiragana lang2 lang1 ro'],
  [0x79, 'henkan'],
  [0x7b, 'muhenkan'],
  [0x7d, 'yen kp_comma'],
  [0x90, 'audioprev'],
  [0x99, 'audionext'],
  [0x9c, 'kp_enter ctrl_r'],
  [0xa0, 'audiomute calculator audioplay'],
  [0xa4, 'audiostop'],
  [0xae, 'volumedown'],
  [0xb0, 'volumeup'],
  [0xb2, 'ac_home'],
  [0xb5, 'kp_divide'],
  [0xb7, 'print alt_r'],
  [0xc6, 'pause home up pgup'],
  [0xcb, 'left'],
  [0xcd, 'right'],
  [0xcf, 'end down pgdn insert delete'],
  [0xdb, 'meta_l meta_r'],
  [0xdd, 'menu'],
  [0xdd, 'compose power sleep'],
  [0xe3, 'wake'],
  [0xe5, 'find ac_bookmarks ac_refresh stop ac_forward ac_back computer mail mediaselect'],
];

const numbers = new Map<QKeyCode, number>();
const names = new Map<number, QKeyCode>();
for (const [first, keys] of ROWS) {
  keys.split(' ').forEach((key, i) => {
    numbers.set(key, first + i);
    names.set(first + i, key);
  });
}
// One number, two names: the later row's is not what a number means.
names.set(0x37, 'kp_multiply');
names.set(0x70, 'hiragana');

export function numberOfKey(key: QKeyCode): number | undefined {
  return numbers.get(key);
}

/** The key of a number; undefined where there is none. */
export function keyOfNumber(number: number): QKeyCode | undefined {
  return names.get(number);
}
