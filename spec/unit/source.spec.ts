// A source of jobs, beyond what queues.spec shows of it through `putAll`: who waits for what, and what is closed when.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { node } from '../../lib/node.ts';
import { Source } from '../../lib/parent/source.ts';

const never = (): Promise<never> => new Promise(() => {});

/** An async iterable that notes what is called on it. */
function noting(next: () => Promise<IteratorResult<number, unknown>>): { source: Source<number>; calls: string[] } {
  const calls: string[] = [];
  const noted = {
    next: () => { calls.push('next'); return next(); },
    return: async () => { calls.push('return'); return { done: true as const, value: undefined }; },
  };
  return { source: new Source<number>(node, { [Symbol.asyncIterator]: () => noted }, 'try', 'attempt'), calls };
}

describe('Source', () => {
  it('gives the steps of a plain iterator at once, those of an async one later', async () => {
    const plain = new Source(node, [7], 'try', 'attempt');
    assert.deepEqual([plain.next(), plain.next()], [{ done: false, value: 7 }, { done: true, value: undefined }]);
    const later = new Source(node, (async function* () { yield 7; })(), 'try', 'attempt').next();
    assert.ok(later instanceof Promise);
    assert.deepEqual(await later, { done: false, value: 7 });
  });

  it('takes nothing before it is asked', () => {
    const { calls } = noting(never);
    assert.deepEqual(calls, []);
  });

  it('says whose words a TypeError is in', () => {
    assert.throws(() => Reflect.construct(Source, [node, 5, 'try', 'attempt']), { name: 'TypeError', message: 'Cannot try as `attempt` takes an iterable or async iterable: received number' });
  });

  it('ends the wait for a value that never comes when it is closed, and closes the iterator once', async () => {
    const { source, calls } = noting(never);
    const step = source.next();
    source.close();
    source.close();
    assert.equal(await step, 'closed');
    assert.equal(source.next(), 'closed');
    assert.deepEqual(calls, ['next', 'return']);
  });

  it('drops a value, and swallows an error, that comes after it was closed', async () => {
    const lates = [() => Promise.resolve({ done: false as const, value: 1 }), () => Promise.reject(new Error('late'))];
    for (const [isThrown, late] of lates.entries()) for (const how of ['close', 'closeSoon'] as const) {
      const { source, calls } = noting(late);
      const step = source.next();
      source[how]();
      assert.equal(await step, 'closed');
      assert.deepEqual(calls, how === 'closeSoon' && isThrown === 1 ? ['next'] : ['next', 'return']);
    }
  });

  it('does not close an iterator that is at its end, or that threw', async () => {
    for (const last of [() => Promise.resolve({ done: true as const, value: 0 }), () => Promise.reject(new Error('broken'))]) {
      const { source, calls } = noting(last);
      await Promise.allSettled([source.next()]);
      source.close();
      assert.deepEqual(calls, ['next']);
    }
    let isClosed = false;
    const throws = new Source<number>(node, { [Symbol.iterator]: () => ({ next: () => { throw new Error('broken'); }, return: () => { isClosed = true; return { done: true, value: 0 }; } }) }, 'try', 'attempt');
    assert.throws(() => throws.next(), /broken/);
    throws.close();
    assert.equal(isClosed, false);
  });

  it('closes one that was never asked, and one that has nothing to close', () => {
    const { source, calls } = noting(never);
    source.close();
    assert.deepEqual(calls, ['return']);
    new Source(node, [1], 'try', 'attempt').close();
  });
});
