// Turns signals into calls. One listener for each signal, shared by all who ask (eleven listeners would
// print a warning), that goes when the last of them goes. It knows no pool.

import { now } from './time.ts';

/** A shell and npm may deliver one Ctrl-C twice: signals closer together than this are one press. */
const SAME_PRESS_MS = 100;

interface Watch {
  listener: () => void;
  callbacks: Set<(signal: NodeJS.Signals) => void>;
}

const watches = new Map<NodeJS.Signals, Watch>();

/** Calls back at each press of one of the signals, until the function that it returns is called. */
export function onInterrupt(signals: readonly NodeJS.Signals[], callback: (signal: NodeJS.Signals) => void): () => void {
  let lastPressMs = -Infinity;
  const press = (signal: NodeJS.Signals): void => {
    const nowMs = now();
    if (nowMs - lastPressMs <= SAME_PRESS_MS) return;
    lastPressMs = nowMs;
    callback(signal);
  };
  for (const signal of signals) (watches.get(signal) ?? listen(signal)).callbacks.add(press);
  return () => {
    for (const signal of signals) {
      const watch = watches.get(signal);
      if (watch?.callbacks.delete(press) !== true || watch.callbacks.size > 0) continue;
      process.off(signal, watch.listener);
      watches.delete(signal);
    }
  };
}

function listen(signal: NodeJS.Signals): Watch {
  const callbacks: Watch['callbacks'] = new Set();
  const listener = (): void => {
    for (const callback of [...callbacks]) if (callbacks.has(callback)) callback(signal);
  };
  const watch = { listener, callbacks };
  watches.set(signal, watch);
  process.on(signal, listener);
  return watch;
}
