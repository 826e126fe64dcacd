// Aborts as calls: one listener for each signal, however many ask, and none when nobody does.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { onAbort } from '../../lib/parent/aborts.ts';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

describe('onAbort()', () => {
  it('calls back once, when the signal aborts, in the order in which they asked', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    onAbort(controller.signal, () => calls.push('first'));
    onAbort(controller.signal, () => calls.push('second'));
    assert.deepEqual(calls, []);
    controller.abort();
    controller.abort();
    assert.deepEqual(calls, ['first', 'second']);
  });

  it('does not call back whoever has gone', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    const ignore = onAbort(controller.signal, () => calls.push('gone'));
    onAbort(controller.signal, () => calls.push('here'));
    ignore();
    ignore();
    controller.abort();
    assert.deepEqual(calls, ['here']);
  });

  it('counts a callback that is given twice as two', () => {
    const controller = new AbortController();
    let calls = 0;
    const callback = (): void => { calls++; };
    const ignore = onAbort(controller.signal, callback);
    onAbort(controller.signal, callback);
    ignore();
    controller.abort();
    assert.equal(calls, 1);
  });

  it('has one listener for a signal, for ten thousand who ask, and none when the last of them has gone', () => {
    const { signal } = new AbortController();
    const removals = Array.from({ length: 10_000 }, () => onAbort(signal, () => {}));
    assert.equal(listeners(signal), 1);
    const last = removals.pop();
    for (const remove of removals) remove();
    assert.equal(listeners(signal), 1);
    last?.();
    assert.equal(listeners(signal), 0);
  });

  it('has none when the signal has aborted', () => {
    const controller = new AbortController();
    const ignore = onAbort(controller.signal, () => {});
    controller.abort();
    assert.equal(listeners(controller.signal), 0);
    ignore();
  });

  it('asks anew after the last one has gone; whoever goes twice takes nobody along', () => {
    const controller = new AbortController();
    let calls = 0;
    const ignore = onAbort(controller.signal, () => {});
    ignore();
    onAbort(controller.signal, () => { calls++; });
    ignore();
    assert.equal(listeners(controller.signal), 1);
    controller.abort();
    assert.equal(calls, 1);
  });

  it('lets callbacks go, and take others along, while they are called', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    const removals: (() => void)[] = [];
    removals.push(onAbort(controller.signal, () => {
      calls.push('first');
      for (const remove of removals) remove();
    }));
    removals.push(onAbort(controller.signal, () => calls.push('second')));
    controller.abort();
    assert.deepEqual(calls, ['first']);
    assert.equal(listeners(controller.signal), 0);
  });

  it('keeps signals apart', () => {
    const [one, other] = [new AbortController(), new AbortController()];
    const calls: string[] = [];
    onAbort(one.signal, () => calls.push('one'));
    onAbort(other.signal, () => calls.push('other'));
    one.abort();
    assert.deepEqual(calls, ['one']);
    assert.equal(listeners(other.signal), 1);
  });
});
