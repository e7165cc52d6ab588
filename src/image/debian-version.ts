/**
 * The order of Debian's version numbers.
 *
 * Spec: Debian Policy 4.7, "The Version control field".
 */

/** Negative, zero or positive as `a` is older than, as old as or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const [epochA, upstreamA, revisionA] = split(a);
  const [epochB, upstreamB, revisionB] = split(b);
  return epochA - epochB || compareParts(upstreamA, upstreamB) || compareParts(revisionA, revisionB);
}

function split(version: string): [number, string, string] {
  const colon = version.indexOf(':');
  const epoch = colon < 0 ? 0 : Number(version.slice(0, colon)) || 0;
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return dash < 0 ? [epoch, rest, ''] : [epoch, rest.slice(0, dash), rest.slice(dash + 1)];
}

/** Alternates between runs of non-digits and of digits. */
function compareParts(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a[i])) || (j < b.length && !isDigit(b[j]))) {
      const order = rank(a[i]) - rank(b[j]);
      if (order !== 0) return order;
      i++;
      j++;
    }
    const [digitsA, digitsB] = [digits(a, i), digits(b, j)];
    i += digitsA.length;
    j += digitsB.length;
    const [numberA, numberB] = [digitsA.replace(/^0+/, ''), digitsB.replace(/^0+/, '')];
    if (numberA.length !== numberB.length) return numberA.length - numberB.length;
    if (numberA !== numberB) return numberA < numberB ? -1 : 1;
  }
  return 0;
}

const isDigit = (character: string | undefined): boolean => character !== undefined && /^\d$/.test(character);

const digits = (text: string, from: number): string => /^\d*/.exec(text.slice(from))?.[0] ?? '';

/** `~` sorts before the end, the end before letters, letters before everything else. */
function rank(character: string | undefined): number {
  if (character === '~') return -1;
  if (character === undefined || isDigit(character)) return 0;
  const code = character.charCodeAt(0);
  return /^[A-Za-z]$/.test(character) ? code : code + 256;
}
