// Calls back when an AbortSignal aborts.

import { sharedListener } from '../shared-listener.ts';

/** Calls back once, when the signal aborts, unless the function that it returns was called before. */
export const onAbort = sharedListener<AbortSignal>((signal, listener) => {
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}, new WeakMap());
