// The clock and the timers, taken when the library is loaded: a test that fakes them later must not stop a pool.

export const { clearInterval, clearTimeout, queueMicrotask, setImmediate, setInterval, setTimeout } = globalThis;

/** Milliseconds, monotonic. */
export const now = performance.now.bind(performance);
