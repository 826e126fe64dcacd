// Calls back when an AbortSignal aborts. One listener for each signal, however many ask (eleven would print a warning), that
// goes when the last of them goes: a signal may live much longer than what it cancels.

interface Watch {
  listener: () => void;
  callbacks: Set<() => void>;
}

const watches = new WeakMap<AbortSignal, Watch>();

/** Calls back once, when the signal aborts, unless the function that it returns was called before. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const { listener, callbacks } = watches.get(signal) ?? watch(signal);
  const once = (): void => callback(); // the same callback may be given twice
  callbacks.add(once);
  return () => {
    callbacks.delete(once);
    if (callbacks.size > 0 || watches.get(signal)?.callbacks !== callbacks) return;
    signal.removeEventListener('abort', listener);
    watches.delete(signal);
  };
}

function watch(signal: AbortSignal): Watch {
  const callbacks: Watch['callbacks'] = new Set();
  const listener = (): void => {
    watches.delete(signal);
    for (const callback of callbacks) callback();
  };
  const added = { listener, callbacks };
  watches.set(signal, added);
  signal.addEventListener('abort', listener, { once: true });
  return added;
}
