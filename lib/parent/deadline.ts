// A timeout that forgives a blocked event loop: it fires only after what had come was read, and waits longer if this process stood still.

import type { Clock } from '../host.ts';

/** A timer that is later than this was held up: the event loop was blocked, or the process was stopped (Ctrl-Z). */
const HELD_UP_MS = 100;
/** What is granted again to those who were waited for, since they may have been stopped as well. */
const GRANTED_MS = 1000;

/**
 * Calls back once, after `ms` milliseconds and when the event loop has read what had come by then. Where the
 * process itself stood still over that moment, it grants a second more, once. It does not hold the event loop: pending work does.
 * Returns what calls it off.
 */
export function deadline(clock: Clock, ms: number, judge: () => void): () => void {
  let calledOff = false;
  const dueMs = clock.now() + ms;
  const judgeSoon = (): void => clock.setImmediate(() => { if (!calledOff) judge(); });
  let timer = clock.setTimeout(() => {
    if (clock.now() - dueMs > HELD_UP_MS) timer = clock.setTimeout(judgeSoon, Math.min(ms, GRANTED_MS)).unref();
    else judgeSoon();
  }, ms).unref();
  return () => {
    calledOff = true;
    clock.clearTimeout(timer);
  };
}
