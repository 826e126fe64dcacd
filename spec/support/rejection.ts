// What a promise is rejected with, for tests that look at more of it than `assert.rejects` does.

import assert from 'node:assert/strict';

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (reason) {
    return reason;
  }
  throw new assert.AssertionError({ message: 'Missing expected rejection' });
}
