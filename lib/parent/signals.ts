// Turns signals into calls: which of them are one press. It knows no pool.

import type { Host } from '../host.ts';

/** A shell and npm may deliver one Ctrl-C twice: signals closer together than this are one press. */
const SAME_PRESS_MS = 100;

/** Calls back at each press of one of the signals, until the function that it returns is called. */
export function onInterrupt(host: Pick<Host, 'now' | 'onSignal'>, signals: readonly NodeJS.Signals[], callback: (signal: NodeJS.Signals) => void): () => void {
  let lastPressMs = -Infinity;
  const press = (signal: NodeJS.Signals): void => {
    const nowMs = host.now();
    if (nowMs - lastPressMs <= SAME_PRESS_MS) return;
    lastPressMs = nowMs;
    callback(signal);
  };
  const removals = signals.map(signal => host.onSignal(signal, () => press(signal)));
  return () => { for (const remove of removals) remove(); };
}
