// Whether this process may open enough descriptors to start another one. Node would find out in the middle: on EMFILE `spawn` returns
// half a child, and loses the descriptor that it had already opened. It knows neither workers nor the pool.

import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';

/** What a start takes, most of it for a moment: a pair for the channel, and a pair by which libuv hears whether the program was found. */
export const TAKEN_BY_A_START = 4;

/** @throws EMFILE or ENFILE, as the system says it, if it may not open so many. */
export function checkDescriptors(count: number): void {
  const descriptors: number[] = [];
  try {
    while (descriptors.length < count) descriptors.push(openSync(devNull, 'r'));
  } catch (error) {
    if (isExhausted(error)) throw error; // else it may not open files at all, under Node's permission model say
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

function isExhausted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['EMFILE', 'ENFILE'].includes(String(error.code));
}
