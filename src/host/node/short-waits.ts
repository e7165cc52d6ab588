/**
 * Waits of the main thread, shorter than Node's timers can be, that end early
 * when its event loop has something to do: `ppoll` on the descriptor in which
 * libuv gathers all that it watches.
 *
 * Spec: libuv documentation, "uv_loop_t" (uv_backend_fd, uv_backend_timeout);
 * Linux man pages, ppoll(2).
 *
 * A guest that waits with a periodic tick wakes us hundreds of times a second,
 * and a turn of the event loop, with a timer that is made, sorted in and fired,
 * takes as long as the guest's tick. Linux with koffi only, as KVM; without it
 * there are the timers.
 */
import { isMainThread } from 'node:worker_threads';
import { openFfi } from './ffi.ts';

/** So many are asked for before the first is granted: most programs never idle, and koffi takes 5 ms to load. */
const BEFORE_LOADING = 250;
/** `struct pollfd`, and `struct timespec` of 64-bit systems. */
const POLLFD = { bytes: 8, fd: 0, events: 4 } as const;
const TIMESPEC = { bytes: 16, seconds: 0, nanoseconds: 8 } as const;
const POLLIN = 1;
const ARCHITECTURES: readonly string[] = ['x64', 'arm64'];

type Wait = (ms: number) => boolean;

let asked = 0;
let wait: Wait | undefined;

/**
 * Waits for at most `ms` (below 1000), in place. True: so long has passed. False: the event loop has something to do,
 * or there is no such way here.
 */
export function waitInPlace(ms: number): boolean {
  if (++asked < BEFORE_LOADING) return false;
  wait ??= open() ?? (() => false);
  return wait(ms);
}

function open(): Wait | undefined {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch) || !isMainThread) return undefined;
  try {
    // Not Node's own, which would print a warning.
    const ffi = openFfi('koffi');
    return ffi && waitOn(ffi);
  } catch {
    return undefined; // a Node that keeps libuv's functions to itself
  }
}

function waitOn(ffi: NonNullable<ReturnType<typeof openFfi>>): Wait | undefined {
  const loop = ffi.func('uv_default_loop', 'address', [])();
  const timeout = ffi.func('uv_backend_timeout', 'int', ['address']);
  const ppoll = ffi.func('ppoll', 'int', ['buffer', 'long', 'buffer', 'address']);
  const descriptor = ffi.func('uv_backend_fd', 'int', ['address'])(loop);
  if (descriptor < 0) return undefined;
  const watched = new DataView(new ArrayBuffer(POLLFD.bytes));
  watched.setInt32(POLLFD.fd, descriptor, true);
  watched.setInt16(POLLFD.events, POLLIN, true);
  const length = new DataView(new ArrayBuffer(TIMESPEC.bytes));
  const [watchedBytes, lengthBytes] = [watched, length].map(({ buffer }) => new Uint8Array(buffer));
  return (ms) => {
    // 0: callbacks are waiting, descriptors that the kernel has not been told of, or there is nothing but timers.
    const left = timeout(loop);
    if (left >= 0 && left <= ms) return false;
    length.setInt32(TIMESPEC.nanoseconds, Math.floor(ms * 1e6), true);
    return ppoll(watchedBytes, 1, lengthBytes, 0n) === 0;
  };
}
