/**
 * Fetches files over HTTP: retries, resumes where a connection broke, gives up
 * on silence. Proxies are taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
 */
import { HostError } from '../../bits/errors.ts';

export interface FetchOptions {
  /** Attempts without any progress in between. */
  readonly attempts?: number;
  /** Milliseconds without a byte before a connection is given up. */
  readonly silence?: number;
  /** Milliseconds before the second attempt; doubles from then on. */
  readonly pause?: number;
}

export interface Fetched {
  /** Bytes of the whole body, when the server says so. */
  readonly length: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Worth another attempt: the server is busy or between two states. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** undefined when the server has no such file; throws `fetch-failed` when it cannot be asked. */
export async function openUrl(url: string, options: FetchOptions = {}): Promise<Fetched | undefined> {
  const attempts = options.attempts ?? 3;
  const connection = new Connection(url, options.silence ?? 30_000);
  await useProxies();
  let first: globalThis.Response | undefined;
  for (let attempt = 1; first === undefined; attempt++) {
    try {
      first = await connection.request(0);
    } catch (error) {
      if (attempt >= attempts || !isPassing(error)) throw failed(url, error);
      await sleep((options.pause ?? 500) * 2 ** (attempt - 1));
    }
  }
  if (first.status === 404 || first.status === 410) {
    await first.body?.cancel();
    return undefined;
  }
  const response = first;
  const announced = response.headers.get('content-length');
  const isEncoded = response.headers.has('content-encoding');
  const length = announced === null || isEncoded ? undefined : Number(announced);
  return { length, body: connection.body(response, length, attempts, options.pause ?? 500) };
}

class Connection {
  readonly #url: string;
  readonly #silence: number;
  #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(url: string, silence: number) {
    this.#url = url;
    this.#silence = silence;
  }

  async request(from: number): Promise<globalThis.Response> {
    this.#abort = new AbortController();
    this.#watch();
    try {
      const headers: Record<string, string> = { 'accept-encoding': 'identity', 'user-agent': 'trapframe' };
      if (from > 0) headers['range'] = `bytes=${from}-`;
      const response = await fetch(this.#url, { headers, signal: this.#abort.signal });
      if (response.ok || response.status === 404 || response.status === 410) return response;
      await response.body?.cancel();
      throw new StatusError(response.status);
    } finally {
      this.#unwatch();
    }
  }

  async *body(
    first: globalThis.Response,
    length: number | undefined,
    attempts: number,
    pause: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let response: globalThis.Response | undefined = first;
    let at = 0;
    let fruitless = 0;
    try {
      for (;;) {
        try {
          response ??= await this.request(at);
          if (response.status === 404 || response.status === 410) throw new StatusError(response.status);
          // A server that ignores the range sends everything again.
          let skip = at > 0 && response.status !== 206 ? at : 0;
          for await (const chunk of this.#chunks(response)) {
            const fresh = chunk.subarray(Math.min(skip, chunk.length));
            skip -= chunk.length - fresh.length;
            if (fresh.length === 0) continue;
            at += fresh.length;
            fruitless = 0;
            yield fresh;
          }
          if (length === undefined || at >= length) return;
          throw new Error(`the connection ended after ${at} of ${length} bytes`);
        } catch (error) {
          fruitless++;
          if (fruitless >= attempts || !isPassing(error)) throw failed(this.#url, error);
          response = undefined;
          await sleep(pause * 2 ** (fruitless - 1));
        }
      }
    } finally {
      this.#unwatch();
      this.#abort.abort(); // lets the connection go when the reader stops early
    }
  }

  async *#chunks(response: globalThis.Response): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        this.#watch();
        const { done, value } = await reader.read();
        this.#unwatch();
        if (done) return;
        yield value;
      }
    } finally {
      this.#unwatch();
      await reader.cancel().catch(() => {});
    }
  }

  #watch(): void {
    const abort = this.#abort;
    const seconds = this.#silence / 1000;
    this.#timer = setTimeout(() => abort.abort(new Error(`no answer for ${seconds} s`)), this.#silence);
  }

  #unwatch(): void {
    clearTimeout(this.#timer);
  }
}

class StatusError extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`HTTP status ${status}`);
    this.status = status;
  }
}

function isPassing(error: unknown): boolean {
  return !(error instanceof StatusError) || PASSING.has(error.status);
}

function failed(url: string, error: unknown): HostError {
  const reason = error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : String(error);
  return new HostError(
    'fetch-failed',
    `cannot fetch ${url}: ${reason}`,
    'check the network, or name a mirror that can be reached in TRAPFRAME_MIRROR',
    error,
  );
}

let proxiesDone = false;

/** Node's fetch ignores the proxy variables unless told not to (Node 24.14, 25.4 and newer). */
async function useProxies(): Promise<void> {
  if (proxiesDone) return;
  proxiesDone = true;
  const isSet = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'].some((name) => process.env[name]);
  if (!isSet) return;
  const http: { setGlobalProxyFromEnv?: () => unknown } = await import('node:http');
  http.setGlobalProxyFromEnv?.();
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
