/**
 * Shows transfers: a bar with size, rate and time left on a terminal, one line
 * a file anywhere else.
 */

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Milliseconds between two pictures of a bar. */
const REDRAW = 100;
/** Milliseconds over which the rate is averaged. */
const WINDOW = 3000;

export interface TransferView {
  advance(bytes: number): void;
  end(outcome: string): void;
}

export class ProgressView {
  readonly #output: Output;
  readonly #now: () => number;

  constructor(output: Output = process.stderr, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  note(line: string): void {
    this.#output.write(`${line}\n`);
  }

  begin(name: string, total: number | undefined): TransferView {
    const start = this.#now();
    const samples: [number, number][] = [[start, 0]];
    let done = 0;
    let drawn = -REDRAW;
    const isTerminal = this.#output.isTTY === true;
    const draw = (now: number): void => {
      while (samples.length > 2 && samples[0][0] < now - WINDOW) samples.shift();
      const [since, before] = samples[0];
      const rate = now > since ? ((done - before) / (now - since)) * 1000 : 0;
      this.#output.write(`\r${bar(name, done, total, rate, this.#output.columns ?? 80)}\x1b[K`);
    };
    return {
      advance: (bytes) => {
        done += bytes;
        if (!isTerminal) return;
        const now = this.#now();
        if (now - drawn < REDRAW) return;
        drawn = now;
        samples.push([now, done]);
        draw(now);
      },
      end: (outcome) => {
        const seconds = Math.max(this.#now() - start, 1) / 1000;
        const line = `${name}: ${size(done)} in ${seconds.toFixed(1)} s, ${outcome}`;
        this.#output.write(isTerminal ? `\r${line}\x1b[K\n` : `${line}\n`);
      },
    };
  }
}

/** One picture of a bar, at most `columns - 1` characters. */
export function bar(name: string, done: number, total: number | undefined, rate: number, columns: number): string {
  const amount = total === undefined ? size(done) : `${size(done)} of ${size(total)}`;
  const isRunning = total !== undefined && rate > 0 && done < total;
  const left = isRunning ? `, ${duration((total - done) / rate)} left` : '';
  const tail = ` ${amount}, ${size(rate)}/s${left}`;
  const width = Math.min(30, columns - 1 - name.length - tail.length - 3);
  if (total === undefined || width < 5) return `${name}${tail}`.slice(0, Math.max(0, columns - 1));
  const filled = Math.round(width * Math.min(1, total === 0 ? 1 : done / total));
  return `${name} [${'#'.repeat(filled)}${'.'.repeat(width - filled)}]${tail}`;
}

/** `52.4 MB` (powers of ten, as archives and disks count). */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
