// Turns of the event loop.

import { setImmediate } from 'node:timers/promises';

export async function turns(count = 1): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}
