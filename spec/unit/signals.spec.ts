// Signals as calls: one listener for each signal, however many ask, and none when nobody does. The signals
// here are real ones, which this process sends itself; SIGURG stands for Ctrl-C.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { onInterrupt } from '../../lib/parent/signals.ts';
import { node } from '../../lib/node.ts';

/** Nobody waits longer than this for a signal: a guard against hangs. */
const HEARD_MS = 10_000;

/** Two signals so far apart are one press; of three the last is another one. */
const MOST_OF_A_PRESS_MS = 60;

/** Keeps the event loop busy: the next signal comes so much later. */
function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

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
    const remove = onInterrupt(node, ['SIGURG'], signal => calls.push(signal));
    await send('SIGURG');
    remove();
    assert.deepEqual(calls, ['SIGURG']);
  });

  it('takes twenty signals in a burst for one press', async () => {
    let calls = 0;
    let heard = 0;
    const hear = (): void => { heard++; };
    const remove = onInterrupt(node, ['SIGURG'], () => { calls++; });
    process.on('SIGURG', hear);
    await send(...new Array<NodeJS.Signals>(20).fill('SIGURG'));
    process.off('SIGURG', hear);
    remove();
    assert.ok(heard > 1, 'the burst came as one signal, which shows nothing');
    assert.equal(calls, 1);
  });

  it('counts from the last press that counted: signals that go on and on do not become one endless press', async () => {
    let calls = 0;
    const remove = onInterrupt(node, ['SIGURG'], () => { calls++; });
    for (let signal = 0; signal < 3; signal++) {
      await send('SIGURG');
      block(MOST_OF_A_PRESS_MS);
    }
    remove();
    assert.ok(calls >= 2, `${calls} presses`);
  });

  it('takes different signals in a burst for one press', async () => {
    const calls: NodeJS.Signals[] = [];
    const remove = onInterrupt(node, ['SIGCONT', 'SIGURG'], signal => calls.push(signal));
    await send('SIGURG', 'SIGCONT', 'SIGURG');
    remove();
    assert.deepEqual(calls, ['SIGURG']);
  });

  it('calls every one who asked', async () => {
    const calls: string[] = [];
    const removals = ['first', 'second', 'third'].map(name => onInterrupt(node, ['SIGURG'], () => calls.push(name)));
    await send('SIGURG');
    for (const remove of removals) remove();
    assert.deepEqual(calls, ['first', 'second', 'third']);
  });

  it('calls nobody any more whom another one removed in the same press', async () => {
    const calls: string[] = [];
    const removals: (() => void)[] = [];
    for (const name of ['first', 'second']) {
      removals.push(onInterrupt(node, ['SIGURG'], () => {
        calls.push(name);
        for (const remove of removals) remove();
      }));
    }
    await send('SIGURG');
    assert.deepEqual(calls, ['first']);
  });

  it('counts presses for each who asked: one who came late hears the next signal', async () => {
    const calls: string[] = [];
    const removeEarly = onInterrupt(node, ['SIGURG'], () => calls.push('early'));
    await send('SIGURG');
    const removeLate = onInterrupt(node, ['SIGURG'], () => calls.push('late'));
    await send('SIGURG');
    removeEarly();
    removeLate();
    assert.equal(calls[0], 'early');
    assert.ok(calls.includes('late'));
  });

  it('has one listener for each signal, for fifty who ask, and none when the last of them has gone', () => {
    const signals: NodeJS.Signals[] = ['SIGURG', 'SIGCONT'];
    const counts = (): number[] => signals.map(signal => process.listenerCount(signal));
    const before = counts();
    const removals = Array.from({ length: 50 }, () => onInterrupt(node, signals, () => {}));
    assert.deepEqual(counts(), before.map(count => count + 1));
    for (const remove of removals.slice(1)) remove();
    assert.deepEqual(counts(), before.map(count => count + 1));
    removals[0]?.();
    assert.deepEqual(counts(), before);
  });

  it('leaves alone the signals that nobody asked for', () => {
    const before = process.listenerCount('SIGCONT');
    const remove = onInterrupt(node, ['SIGURG'], () => {});
    assert.equal(process.listenerCount('SIGCONT'), before);
    remove();
    const listeners = process.listenerCount('SIGURG');
    onInterrupt(node, [], () => {})();
    assert.equal(process.listenerCount('SIGURG'), listeners);
  });

  it('does not call back any more when it was removed', async () => {
    const calls: string[] = [];
    const removeFirst = onInterrupt(node, ['SIGURG'], () => calls.push('first'));
    const removeSecond = onInterrupt(node, ['SIGURG'], () => calls.push('second'));
    removeFirst();
    await send('SIGURG');
    removeSecond();
    assert.deepEqual(calls, ['second']);
  });

  it('may be removed from inside the call, and the others are still called', async () => {
    const before = process.listenerCount('SIGURG');
    const calls: string[] = [];
    const removals = ['first', 'second'].map((name, i) => onInterrupt(node, ['SIGURG'], () => {
      calls.push(name);
      removals[i]?.();
    }));
    await send('SIGURG');
    assert.deepEqual(calls, ['first', 'second']);
    assert.equal(process.listenerCount('SIGURG'), before);
  });

  it('may be removed twice, which takes nobody else away', () => {
    const before = process.listenerCount('SIGURG');
    const removeFirst = onInterrupt(node, ['SIGURG'], () => {});
    const removeSecond = onInterrupt(node, ['SIGURG'], () => {});
    removeFirst();
    removeFirst();
    assert.equal(process.listenerCount('SIGURG'), before + 1);
    removeSecond();
    removeSecond();
    assert.equal(process.listenerCount('SIGURG'), before);
  });

  it('has a listener for a signal that is named twice, and removes it', () => {
    const before = process.listenerCount('SIGURG');
    const remove = onInterrupt(node, ['SIGURG', 'SIGURG'], () => {});
    assert.equal(process.listenerCount('SIGURG'), before + 1);
    remove();
    assert.equal(process.listenerCount('SIGURG'), before);
  });
});
