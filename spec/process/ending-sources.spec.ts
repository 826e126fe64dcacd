// A source of jobs, for `map` or `putAll`, that ends the pool in the middle of its own `next()`: it is not read on, it is closed, and
// every job that it gave has an outcome.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import { PoolClosedError, PoolInterruptedError } from 'drainpool';
import type { ProcessPool } from 'drainpool';
import { limited } from '../support/limits.ts';
import { assertSum, poolOf } from '../support/pool.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';

type Echo = ProcessPool<(job: number) => number>;

interface Taken {
  count: number;
  afterTheEnd: number;
  closed: number;
}

/** Jobs from 0 on, that end the pool when they are asked for number `at`, and go on all the same. */
type Kind = (taken: Taken, at: number, end: () => void) => Iterable<number> | AsyncIterable<number>;

const steps = (taken: Taken, at: number, end: () => void) => (): number => {
  const n = taken.count++;
  if (n > at) taken.afterTheEnd++;
  if (n === at) end();
  return n;
};

const kinds: Record<string, Kind> = {
  'a generator': function* (taken, at, end) {
    const step = steps(taken, at, end);
    try { for (;;) yield step(); } finally { taken.closed++; }
  },
  'an async generator': async function* (taken, at, end) {
    const step = steps(taken, at, end);
    try { for (;;) yield step(); } finally { taken.closed++; }
  },
  'a plain iterator': (taken, at, end) => {
    const step = steps(taken, at, end);
    return { [Symbol.iterator]: () => ({ next: () => ({ done: false, value: step() }), return: () => { taken.closed++; return { done: true, value: undefined }; } }) };
  },
  'an async iterator that answers no more': (taken, at, end) => {
    const step = steps(taken, at, end);
    const next = async (): Promise<IteratorResult<number>> => {
      const value = step();
      return value === at ? new Promise(() => {}) : { done: false, value };
    };
    return { [Symbol.asyncIterator]: () => ({ next, return: async () => { taken.closed++; return { done: true, value: undefined }; } }) };
  },
};

type End = (pool: Echo, aborter: AbortController) => void;

const ends: Record<string, End> = {
  'interrupts the pool': pool => void pool.interrupt(),
  'terminates the pool': pool => void pool.terminate(),
  'aborts the signal of the pool': (_, aborter) => aborter.abort(),
  'disposes of the pool': pool => void pool[Symbol.asyncDispose](),
};

describe('a source of map() that', { concurrency: 2 }, () => {
  for (const [kind, make] of Object.entries(kinds)) {
    for (const [how, end] of Object.entries(ends)) for (const at of kind === 'a generator' ? [1, 40] : [3]) for (const interruptPolicy of how === 'interrupts the pool' ? ['terminate', 'finish'] as const : ['terminate'] as const) {
      it(`is ${kind} and ${how} at job ${at} (${interruptPolicy}) is closed, and leaves no job without an outcome`, limited, async t => {
        const aborter = new AbortController();
        const pool: Echo = poolOf(t, 'echo', { signal: aborter.signal, interruptPolicy, chunkSize: 3, jobCapacity: 20 });
        const taken = { count: 0, afterTheEnd: 0, closed: 0 };
        const values: number[] = [];
        const reading = (async () => { for await (const value of pool.map(make(taken, at, () => end(pool, aborter)))) values.push(value); })();
        await assert.rejects(reading, PoolInterruptedError);
        const report = await pool.join();
        assertSum(report);
        assert.deepEqual(values, [...values.keys()]);
        assert.ok(report.submitted <= at, 'the job in hand was not taken any more');
        assert.deepEqual([taken.afterTheEnd, taken.closed], [0, 1]);
      });
    }
    it(`is ${kind} and closes the pool: what was taken is done, then the loop throws PoolClosedError`, limited, async t => {
      const pool: Echo = poolOf(t, 'echo');
      const taken = { count: 0, afterTheEnd: 0, closed: 0 };
      const values: number[] = [];
      const reading = (async () => { for await (const value of pool.map(make(taken, 5, () => pool.jobs.close()))) values.push(value); })();
      if (kind === 'an async iterator that answers no more') assert.equal((await pool.join()).outcome, 'completed');
      await assert.rejects(reading, PoolClosedError);
      const report = await pool.join();
      assertSum(report);
      await until(() => taken.closed > 0);
      assert.deepEqual([report.outcome, values, taken.afterTheEnd, taken.closed], ['completed', [0, 1, 2, 3, 4], 0, 1]);
    });
  }
});

describe('a source of putAll() that', { concurrency: 2 }, () => {
  for (const [kind, make] of Object.entries(kinds)) {
    for (const [how, end] of Object.entries<End>({ ...ends, 'closes the pool': pool => pool.jobs.close() })) {
      it(`is ${kind} and ${how} is closed, and leaves no job without an outcome`, limited, async t => {
        const aborter = new AbortController();
        const pool: Echo = poolOf(t, 'echo', { signal: aborter.signal });
        const taken = { count: 0, afterTheEnd: 0, closed: 0 };
        const putting = pool.jobs.putAll(make(taken, 3, () => end(pool, aborter)));
        if (how === 'closes the pool') await assert.rejects(putting, PoolClosedError);
        else assert.equal(await putting, 3);
        const report = await pool.join();
        assertSum(report);
        assert.deepEqual([report.submitted, taken.afterTheEnd, taken.closed], [3, 0, 1]);
      });
    }
  }
  for (const waits of [false, true]) it(`is an async generator and closes the pool as its last act${waits ? ', after a wait,' : ''} has all its jobs counted`, limited, async t => {
    const pool: Echo = poolOf(t, 'echo');
    const putting = pool.jobs.putAll((async function* () { yield 1; yield 2; if (waits) await pool.run(0); pool.jobs.close(); })());
    assert.equal(await putting, 2);
    assert.equal((await pool.join()).fulfilled, waits ? 3 : 2);
  });

  for (const [kind, make] of Object.entries<(pool: Echo) => Iterable<number> | AsyncIterable<number>>({
    'a generator': function* (pool) { yield 1; pool.jobs.close(); throw new RangeError('broken'); },
    'an async generator': async function* (pool) { yield 1; pool.jobs.close(); throw new RangeError('broken'); },
  })) {
    it(`is ${kind}, closes the pool and throws has its error told`, limited, async t => {
      const pool: Echo = poolOf(t, 'echo');
      await assert.rejects(pool.jobs.putAll(make(pool)), /broken/);
      assert.equal((await pool.join()).fulfilled, 1);
    });
  }
});

describe('a source that ends the pool when it is closed', { concurrency: 2 }, () => {
  for (const how of ['interrupt', 'terminate'] as const) for (const first of ['interrupt', 'terminate', 'close'] as const) it(`by ${how}(), in the middle of ${first}(), with no worker there, leaves no job without an outcome`, limited, async t => {
    const pool: Echo = poolOf(t, 'echo', { cwd: '/does/not/exist' });
    const running = pool.run(0).then(() => 'fulfilled', (error: unknown) => String(Object(error).code));
    const putting = pool.jobs.putAll((async function* () {
      try { for (let n = 1; ; n++) { yield n; if (n === 3) await turns(); } } finally { void pool[how](); }
    })());
    await until(() => pool.jobs.size === 3);
    const ended = first === 'close' ? pool.join() : pool[first]();
    if (first === 'close') pool.jobs.close();
    const report = await ended;
    assertSum(report);
    assert.deepEqual([report.submitted, report.pending.length], [4, 4]);
    assert.equal(await running, 'ERR_JOB_LOST');
    await putting.catch((error: unknown) => assert.ok(error instanceof PoolClosedError));
  });
});

describe('a map() that is taking a job when a subscriber', { concurrency: 2 }, () => {
  const told: Record<string, { act: (pool: Echo, map: AsyncIterableIterator<number>) => unknown; next: RegExp | undefined }> = {
    'leaves it': { act: (_, map) => map.return?.(), next: undefined },
    'terminates the pool': { act: pool => pool.terminate(), next: /PoolInterruptedError/ },
  };
  for (const [how, { act, next }] of Object.entries(told)) it(`${how} is at its end, and the job has its outcome`, limited, async t => {
    const pool: Echo = poolOf(t, 'echo', { workers: 1 });
    const map = pool.map([1, 2, 3]);
    const hear = (event: unknown): void => { if (Object(event).pool === pool) void act(pool, map); };
    subscribe('drainpool:worker:started', hear);
    t.after(() => unsubscribe('drainpool:worker:started', hear));
    const step = map.next();
    if (next === undefined) assert.deepEqual(await step, { done: true, value: undefined });
    else await assert.rejects(step, next);
    assert.deepEqual(await map.next(), { done: true, value: undefined });
    pool.jobs.close();
    const report = await pool.join();
    assertSum(report);
    assert.deepEqual([report.submitted, report.fulfilled], [1, 0]);
  });
});
