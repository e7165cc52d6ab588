/** Draws the ratios of a benchmark run as an SVG bar chart: `node bench/plot.ts [results-ARCH.json] > bench.svg`. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Results } from './results.ts';

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 70;
const ROW = 24;
const TOP = 48;

const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** A logarithmic axis: half the speed is as far from 1 as twice the speed. */
export function plot(results: Results): string {
  const bars = results.kernels.flatMap(({ title, ratio }) => (ratio ? [{ title, ratio, bold: false }] : []));
  if (bars.length === 0) throw new Error('there are no ratios to draw');
  if (results.mean) bars.push({ title: 'geometric mean', ratio: results.mean, bold: true });
  const exponents = bars.map(({ ratio }) => Math.log2(ratio));
  const low = Math.min(-1, Math.floor(Math.min(...exponents)));
  const high = Math.max(1, Math.ceil(Math.max(...exponents)));
  const x = (ratio: number): number => LEFT + ((Math.log2(ratio) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const height = TOP + bars.length * ROW + 30;
  const bottom = height - 26;
  const parts: string[] = [];
  for (let e = low; e <= high; e++) {
    const at = x(2 ** e).toFixed(1);
    const label = e < 0 ? `1/${2 ** -e}` : `${2 ** e}`;
    parts.push(`<line class="${e === 0 ? 'one' : 'grid'}" x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${bottom}"/>`);
    parts.push(`<text class="small" x="${at}" y="${bottom + 15}" text-anchor="middle">${label}</text>`);
  }
  bars.forEach(({ title, ratio, bold }, index) => {
    const y = TOP + index * ROW;
    const left = Math.min(x(1), x(ratio));
    const width = Math.abs(x(ratio) - x(1));
    const name = bold ? 'mean' : ratio >= 1 ? 'faster' : 'slower';
    const weight = bold ? ' font-weight="bold"' : '';
    parts.push(`<text x="${LEFT - 8}" y="${y + 14}" text-anchor="end"${weight}>${escapeXml(title)}</text>`);
    parts.push(
      `<rect class="${name}" x="${left.toFixed(1)}" y="${y + 3}" width="${Math.max(width, 1).toFixed(1)}" height="${ROW - 8}"/>`,
    );
    const end = (Math.max(x(ratio), x(1)) + 6).toFixed(1);
    parts.push(`<text class="small" x="${end}" y="${y + 14}"${weight}>${ratio.toFixed(2)}</text>`);
  });
  const subtitle = `${results.versions['qemu'] ?? ''}; ${results.host}; ${results.date.slice(0, 10)}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>Trapframe's speed divided by QEMU's (TCG)</title>
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f; } .small { font-size: 11px; }
.grid { stroke: #d0d7de; } .one { stroke: #24292f; stroke-width: 1.5; }
.faster { fill: #2da44e; } .slower { fill: #cf222e; } .mean { fill: #0969da; }
</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="8" y="18" font-weight="bold">Trapframe's speed divided by QEMU's (TCG), ${results.architecture} guest; right is faster</text>
<text class="small" x="8" y="34">${escapeXml(subtitle)}</text>
${parts.join('\n')}
</svg>
`;
}

if (import.meta.main) {
  const file = process.argv[2] ?? resolve(import.meta.dirname, 'out', 'results-x86_64.json');
  process.stdout.write(plot(JSON.parse(readFileSync(file, 'utf8')) as Results));
}
