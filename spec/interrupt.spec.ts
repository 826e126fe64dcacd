// Signals as calls: one listener for each signal, however many ask, and none when nobody does. The signals
// here are real ones, which this process sends itself; SIGUSR2 stands for Ctrl-C.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { onInterrupt } from '../lib/interrupt.ts';

/** Nobody waits longer than this for a signal: a guard against hangs. */
const HEARD_MS = 10_000;

/** Sends signals, and resolves when this process has heard all of them. */
async function send(...signals: NodeJS.Signals[]): Promise<void> {
  const hold = setTimeout(() => {}, HEARD_MS); // a signal that is awaited does not hold the event loop
  const fence = once(process, 'SIGWINCH');
  for (const signal of signals) process.kill(process.pid, signal);
  process.kill(process.pid, 'SIGWINCH'); // signals are heard in the order in which they were sent
  await fence;
  clearTimeout(hold);
}

describe('onInterrupt()', () => {
  it('calls back with the signal', async () => {
    const calls: NodeJS.Signals[] = [];
    const remove = onInterrupt(['SIGUSR2'], signal => calls.push(signal));
    await send('SIGUSR2');
    remove();
    assert.deepEqual(calls, ['SIGUSR2']);
  });

  it('takes twenty signals in a burst for one press', async () => {
    let calls = 0;
    let heard = 0;
    const hear = (): void => { heard++; };
    const remove = onInterrupt(['SIGUSR2'], () => { calls++; });
    process.on('SIGUSR2', hear);
    await send(...new Array<NodeJS.Signals>(20).fill('SIGUSR2'));
    process.off('SIGUSR2', hear);
    remove();
    assert.ok(heard > 1, 'the burst came as one signal, which shows nothing');
    assert.equal(calls, 1);
  });

  it('counts a press again when the one before is over, however close together the signals are', { timeout: HEARD_MS }, async () => {
    let calls = 0;
    const remove = onInterrupt(['SIGUSR2'], () => { calls++; });
    while (calls < 2) await send('SIGUSR2');
    remove();
    assert.equal(calls, 2);
  });

  it('takes different signals in a burst for one press', async () => {
    const calls: NodeJS.Signals[] = [];
    const remove = onInterrupt(['SIGHUP', 'SIGUSR2'], signal => calls.push(signal));
    await send('SIGUSR2', 'SIGHUP', 'SIGUSR2');
    remove();
    assert.deepEqual(calls, ['SIGUSR2']);
  });

  it('calls every one who asked', async () => {
    const calls: string[] = [];
    const removals = ['first', 'second', 'third'].map(name => onInterrupt(['SIGUSR2'], () => calls.push(name)));
    await send('SIGUSR2');
    for (const remove of removals) remove();
    assert.deepEqual(calls, ['first', 'second', 'third']);
  });

  it('counts presses for each who asked: one who came late hears the next signal', async () => {
    const calls: string[] = [];
    const removeEarly = onInterrupt(['SIGUSR2'], () => calls.push('early'));
    await send('SIGUSR2');
    const removeLate = onInterrupt(['SIGUSR2'], () => calls.push('late'));
    await send('SIGUSR2');
    removeEarly();
    removeLate();
    assert.equal(calls[0], 'early');
    assert.ok(calls.includes('late'));
  });

  it('has one listener for each signal, for fifty who ask, and none when the last of them has gone', () => {
    const signals: NodeJS.Signals[] = ['SIGUSR2', 'SIGHUP'];
    const counts = (): number[] => signals.map(signal => process.listenerCount(signal));
    const before = counts();
    const removals = Array.from({ length: 50 }, () => onInterrupt(signals, () => {}));
    assert.deepEqual(counts(), before.map(count => count + 1));
    for (const remove of removals.slice(1)) remove();
    assert.deepEqual(counts(), before.map(count => count + 1));
    removals[0]?.();
    assert.deepEqual(counts(), before);
  });

  it('leaves alone the signals that nobody asked for', () => {
    const before = process.listenerCount('SIGHUP');
    const remove = onInterrupt(['SIGUSR2'], () => {});
    assert.equal(process.listenerCount('SIGHUP'), before);
    remove();
    const listeners = process.listenerCount('SIGUSR2');
    onInterrupt([], () => {})();
    assert.equal(process.listenerCount('SIGUSR2'), listeners);
  });

  it('does not call back any more when it was removed', async () => {
    const calls: string[] = [];
    const removeFirst = onInterrupt(['SIGUSR2'], () => calls.push('first'));
    const removeSecond = onInterrupt(['SIGUSR2'], () => calls.push('second'));
    removeFirst();
    await send('SIGUSR2');
    removeSecond();
    assert.deepEqual(calls, ['second']);
  });

  it('may be removed from inside the call, and the others are still called', async () => {
    const before = process.listenerCount('SIGUSR2');
    const calls: string[] = [];
    const removals = ['first', 'second'].map((name, i) => onInterrupt(['SIGUSR2'], () => {
      calls.push(name);
      removals[i]?.();
    }));
    await send('SIGUSR2');
    assert.deepEqual(calls, ['first', 'second']);
    assert.equal(process.listenerCount('SIGUSR2'), before);
  });

  it('may be removed twice, which takes nobody else away', () => {
    const before = process.listenerCount('SIGUSR2');
    const removeFirst = onInterrupt(['SIGUSR2'], () => {});
    const removeSecond = onInterrupt(['SIGUSR2'], () => {});
    removeFirst();
    removeFirst();
    assert.equal(process.listenerCount('SIGUSR2'), before + 1);
    removeSecond();
    removeSecond();
    assert.equal(process.listenerCount('SIGUSR2'), before);
  });

  it('has a listener for a signal that is named twice, and removes it', () => {
    const before = process.listenerCount('SIGUSR2');
    const remove = onInterrupt(['SIGUSR2', 'SIGUSR2'], () => {});
    assert.equal(process.listenerCount('SIGUSR2'), before + 1);
    remove();
    assert.equal(process.listenerCount('SIGUSR2'), before);
  });
});
