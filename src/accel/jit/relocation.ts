/** What of a region's code depends on where it stands: the numbers of functions, and the decoded pages next to its own. */
import { Bytes } from './bytes.ts';
import type { Step } from './cfg.ts';
import type { KeptRegion, NamedSignature } from './kept-regions.ts';
import type { Body } from './module.ts';
import type { Neighbour } from './region-plan.ts';

const PAGE = 4096;

/** Bytes of guest code from the start of the entry's page; within one page. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

/** The bytes of some instructions, in order, those that touch in one range. */
export function rangesOf(steps: readonly Step[]): Range[] {
  const places = steps.map(({ offset, decoded }) => ({ start: offset, end: offset + decoded.length }));
  places.sort((a, b) => a.start - b.start);
  const runs: { start: number; end: number }[] = [];
  for (const { start, end } of places) {
    const last = runs[runs.length - 1];
    if (last && start <= last.end) last.end = Math.max(last.end, end);
    else runs.push({ start, end });
  }
  return runs.flatMap(({ start, end }) => {
    const pieces: Range[] = [];
    for (let at = start; at < end; ) {
      const next = Math.min(end, (Math.floor(at / PAGE) + 1) * PAGE);
      pieces.push({ start: at, length: next - at });
      at = next;
    }
    return pieces;
  });
}

interface Beside {
  readonly before: { readonly page: number } | undefined;
  readonly behind: { readonly page: number } | undefined;
}

/** The pages beside the entry's that code lies in, in the order in which a region looks at them. */
export function neighboursOf({ before, behind }: Beside, code: readonly { readonly start: number }[]): Neighbour[] {
  const neighbours: Neighbour[] = [];
  if (before && code.some(({ start }) => start < 0)) neighbours.push({ distance: -PAGE, page: before.page });
  if (behind && code.some(({ start }) => start >= PAGE)) neighbours.push({ distance: PAGE, page: behind.page });
  return neighbours;
}

/** The body of a kept region for a module in which functions have other numbers, and pages beside it their places now. */
export function taken(
  { body, callees }: KeptRegion,
  numberOf: (callee: NamedSignature) => number,
  neighbours: readonly Neighbour[],
): Body {
  const bytes = body.bytes.slice();
  for (const at of body.calls) bytes[at] = numberOf(callees[bytes[at]]);
  body.pages.forEach((at, n) => {
    const page = new Bytes(8);
    page.long(neighbours[n].page);
    bytes.set(page.view(), at);
  });
  return { ...body, bytes };
}

/** A body with the functions that it calls, numbered by themselves; `all` are those of its module. */
export function named(
  body: Body,
  all: readonly NamedSignature[],
): { readonly body: Body; readonly callees: readonly NamedSignature[] } {
  const bytes = body.bytes.slice();
  const callees: NamedSignature[] = [];
  for (const at of body.calls) {
    const callee = all[bytes[at]];
    let number = callees.indexOf(callee);
    if (number < 0) number = callees.push(callee) - 1;
    bytes[at] = number;
  }
  return { body: { ...body, bytes }, callees };
}
