// Waits until something is so that nobody tells of: by looking once a turn of the event loop.

import { setImmediate } from 'node:timers/promises';

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}
