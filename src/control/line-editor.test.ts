import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LineEditor } from './line-editor.ts';

/** The least of a terminal: what one line shows. */
function screenOf(output: string): string {
  let line: string[] = [];
  let at = 0;
  for (const [token] of output.matchAll(/\x1b\[(\d*)([A-Z])|[\s\S]/gu)) {
    const code = /^\x1b\[(\d*)([A-Z])$/.exec(token);
    if (code?.[2] === 'D') at -= Number(code[1] || 1);
    else if (code?.[2] === 'K') line = line.slice(0, at);
    else if (token === '\n') [line, at] = [[], 0];
    else if (token !== '\r') line[at++] = token;
  }
  return line.join('');
}

function type(...keys: string[]): { lines: string[]; screen: string } {
  const lines: string[] = [];
  let output = '';
  const editor = new LineEditor('> ', {
    write: (text) => {
      output += text;
    },
    line: (line) => void lines.push(line),
    complete: (line) => ['stop', 'status', 'system'].filter((word) => word.startsWith(line)),
  });
  editor.show();
  for (const key of keys) {
    const bytes = new TextEncoder().encode(key);
    for (let at = 0; at < bytes.length; ) {
      const before = lines.length;
      at += editor.input(bytes.subarray(at));
      if (lines.length > before) editor.show();
    }
  }
  return { lines, screen: screenOf(output) };
}

const UP = '\x1b[A';
const LEFT = '\x1b[D';
const CASES: [what: string, keys: string[], lines: string[], screen: string][] = [
  ['plain typing', ['abc'], [], '> abc'],
  ['Return, either kind, once', ['a\r\nb\nc\rd'], ['a', 'b', 'c'], '> d'],
  ['inserting in the middle', ['ad', LEFT, 'bc'], [], '> abcd'],
  ['Backspace and Delete', ['abXc', LEFT, '\x7f', '\x01', '\x1b[3~'], [], '> bc'],
  ['Ctrl-U, Ctrl-K, Ctrl-W', ['one two three', '\x17', '\x01\x06\x06\x06\x0b', '!'], [], '> one!'],
  ['Ctrl-U from the middle', ['one two', LEFT + LEFT + LEFT, '\x15'], [], '> two'],
  ['history up and down, and the draft', ['a\rb\rdraft', UP + UP, '\x1b[B\x1b[B'], ['a', 'b'], '> draft'],
  ['a recalled line runs', ['first\r', UP, '\r'], ['first', 'first'], '> '],
  ['completion to the common part, then the list', ['st\t'], [], '> st'],
  ['completion of a single word', ['sto\t'], [], '> stop '],
  ['Home, End, as CSI and SS3', ['bc', '\x1bOH', 'a', '\x1b[4~', 'd'], [], '> abcd'],
  ['unknown sequences vanish', ['a', '\x1b[15~', '\x1b[1;5C', '\x1bx', 'b'], [], '> ab'],
  ['letters of several bytes', ['gr\u00fc\u00dfe', LEFT, '\x7f'], [], '> gr\u00fce'],
];
for (const [what, keys, lines, screen] of CASES) {
  test(what, () => assert.deepEqual(type(...keys), { lines, screen }));
}

test('a line has an end, and so has history', () => {
  const { lines } = type('x'.repeat(100_000), '\r');
  assert.equal(lines[0].length, 4096);
  const many = type(...Array.from({ length: 500 }, (_, i) => `line ${i}\r`), UP.repeat(500));
  assert.equal(many.screen, '> line 436');
});
