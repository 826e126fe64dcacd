// One listener for many callbacks, of a signal of the process or an AbortSignal: eleven listeners would print a warning, and what is listened
// to may live much longer than who asks. It goes when the last of them goes.

/** @param listen Adds the one listener, and returns what removes it. */
export function sharedListener<Key>(listen: (key: Key, listener: () => void) => () => void): (key: Key, callback: () => void) => () => void {
  const watches = new Map<Key, { callbacks: Set<() => void>; stop: () => void }>();
  const watch = (key: Key): { callbacks: Set<() => void>; stop: () => void } => {
    const callbacks = new Set<() => void>();
    const stop = listen(key, () => { for (const callback of [...callbacks]) if (callbacks.has(callback)) callback(); });
    watches.set(key, { callbacks, stop });
    return { callbacks, stop };
  };
  return (key, callback) => {
    const { callbacks, stop } = watches.get(key) ?? watch(key);
    const own = (): void => callback(); // the same callback may come twice
    callbacks.add(own);
    return () => {
      if (!callbacks.delete(own) || callbacks.size > 0) return;
      stop();
      watches.delete(key);
    };
  };
}
