// One listener for many callbacks, of a signal of the process or an AbortSignal: eleven listeners would print a warning, and what is listened
// to may live much longer than who asks. It goes when the last of them goes.

interface Watch {
  callbacks: Set<() => void>;
  stop: () => void;
}

interface Watches<Key> {
  get(key: Key): Watch | undefined;
  set(key: Key, watch: Watch): unknown;
  delete(key: Key): unknown;
}

/** @param listen Adds the one listener, and returns what removes it. @param watches Where they are kept: a WeakMap for what may be forgotten. */
export function sharedListener<Key>(listen: (key: Key, listener: () => void) => () => void, watches: Watches<Key>): (key: Key, callback: () => void) => () => void {
  const watch = (key: Key): Watch => {
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
