// ProcessPool: what a program sees that puts jobs, reads results, joins, and ends the pool by itself.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { JobLostError, PoolClosedError, ProcessPool } from 'drainpool';
import type { Result } from 'drainpool';
import { assertSum, finish, fixture, poolOf, workPool } from '../support/pool.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

type Echo = (job: unknown) => unknown;

describe('a pool', { concurrency: 2 }, () => {
  it('gives every job to a worker and every result to the reader, under ids that count the jobs', async t => {
    const pool = poolOf<Echo>(t, 'echo', { workers: 3 });
    for (let n = 0; n < 6; n++) void pool.jobs.put(n * 10);
    const { report, results } = await finish(pool);
    assert.deepEqual(results, [0, 1, 2, 3, 4, 5].map(id => ({ id, job: id * 10, status: 'fulfilled', value: id * 10 })));
    assert.deepEqual({ ...report, durationMs: 0, workers: [] }, {
      outcome: 'completed', signal: null, error: null, exitCode: 0, submitted: 6, fulfilled: 6, rejected: 0, lost: [], pending: [], values: 6, workers: [], durationMs: 0,
    });
    assert.equal(report.workers.reduce((sum, worker) => sum + worker.jobs, 0), 6);
  });

  it('starts as many workers as jobs need, and no more than `workers`', async t => {
    const pool = workPool(t, { workers: 3 });
    assert.equal(pool.stats().workers.starting, 0);
    void pool.run({ do: 'spin', ms: 1 });
    assert.equal(pool.stats().workers.starting, 1);
    for (let i = 0; i < 9; i++) void pool.jobs.put({ do: 'spin', ms: 1 });
    assert.equal(pool.stats().workers.starting, 1, 'one worker a turn of the event loop');
    const { report } = await finish(pool);
    assert.equal(report.workers.length, 3);
  });

  it('that gets no job starts no process', async t => {
    const { report } = await finish(poolOf<Echo>(t, 'echo'));
    assert.deepEqual([report.outcome, report.submitted, report.workers], ['completed', 0, []]);
  });

  it('keeps a second job at hand for a worker whose jobs are short, and none behind a long one', async t => {
    const pool = workPool(t, { workers: 1 });
    await warmUp(pool);
    for (let i = 0; i < 3; i++) void pool.jobs.put({ do: 'never' });
    await Promise.resolve();
    assert.equal(pool.stats().jobs.given, 2);
    await pool.terminate();

    const slow = workPool(t, { workers: 1 });
    await slow.run({ do: 'spin', ms: 20 });
    for (let i = 0; i < 3; i++) void slow.jobs.put({ do: 'never' });
    await Promise.resolve();
    assert.equal(slow.stats().jobs.given, 1);
    assert.deepEqual(slow.stats().jobs, { submitted: 4, waiting: 2, given: 1, fulfilled: 1, rejected: 0 });
    assert.deepEqual(slow.stats().workers, { starting: 0, idle: 0, busy: 1, replaced: 0 });
  });

  it('is read while it works, and the reading ends when it does', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    const source = pool.jobs.putAll([1, 2, 3, 4, 5]).then(count => {
      pool.jobs.close();
      return count;
    });
    const values: unknown[] = [];
    for await (const result of pool.results) values.push('value' in result && result.value);
    assert.equal(await source, 5);
    assert.deepEqual(values.sort(), [1, 2, 3, 4, 5]);
    assertSum(await pool.join());
  });

  it('takes jobs from inside the loop over its results, as a crawl does', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    void pool.jobs.put(1);
    let open = 1;
    const seen: unknown[] = [];
    for await (const { job } of pool.results) {
      seen.push(job);
      for (const next of [Number(job) * 2, Number(job) * 2 + 1]) {
        if (next > 15) continue;
        void pool.jobs.put(next);
        open++;
      }
      if (--open === 0) pool.jobs.close();
    }
    assert.deepEqual(seen.map(Number).sort((a, b) => a - b), Array.from({ length: 15 }, (_, i) => i + 1));
  });

  it('accepts nothing after `close()`: `put`, `putAll` and `run` reject', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    void pool.jobs.put(1);
    pool.jobs.close();
    pool.jobs.close();
    assert.equal(pool.jobs.closed, true);
    await assert.rejects(pool.jobs.put(2), PoolClosedError);
    await assert.rejects(pool.jobs.putAll([3]), PoolClosedError);
    await assert.rejects(pool.run(4), PoolClosedError);
    assert.equal((await pool.join()).submitted, 1);
  });

  it('is closed and joined by close(): what waits is done, and the report is that of join()', async t => {
    const pool = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls');
    const put = [1, 2, 3].map(n => pool.jobs.put(n));
    const report = await pool.close();
    assert.deepEqual([await Promise.all(put), report.fulfilled, report.outcome, report.exitCode], [[true, true, true], 3, 'completed', 0]);
    assert.equal(await pool.join(), report);
    await assert.rejects(pool.run(4), PoolClosedError);
  });

  it('has exit code 1 where a job that was put was rejected, and 0 where only callers were told', async t => {
    const calls = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls', { workers: 1 });
    await assert.rejects(calls.run(-1), RangeError);
    assert.deepEqual([(await calls.close()).exitCode, (await calls.join()).rejected], [0, 1]);
    const puts = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls', { workers: 1 });
    for (const job of [1, -1]) void puts.jobs.put(job);
    const { exitCode, outcome } = await puts.close();
    assert.deepEqual([exitCode, outcome], [1, 'completed']);
  });

  it('is joined as often as one likes, and gives the same report', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    void pool.jobs.put(1);
    const { report } = await finish(pool);
    assert.equal(await pool.join(), report);
    assert.equal(await pool.interrupt(), report);
    assert.equal(await pool.terminate(), report);
    assert.equal(report.outcome, 'completed');
  });

  it('refuses a `graceMs` for terminate that is none', t => {
    const pool = poolOf<Echo>(t, 'echo');
    assert.throws(() => pool.terminate({ graceMs: -1 }), RangeError);
  });
});

describe('run', { concurrency: 2 }, () => {
  it('resolves to the value, and leaves nothing in `results`', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    assert.deepEqual(await Promise.all([1, 2, 3].map(job => pool.run(job))), [1, 2, 3]);
    const { report, results } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.values, results], [3, 3, []]);
  });

  it('shares the workers with the queue, first come, first served', async t => {
    const pool = workPool(t, { workers: 1 });
    const order: unknown[] = [];
    void pool.jobs.put({ do: 'echo', value: 'first' });
    const call = pool.run({ do: 'echo', value: 'second' }).then(value => { order.push(value); });
    void pool.jobs.put({ do: 'echo', value: 'third' });
    pool.jobs.close();
    for await (const result of pool.results) order.push('value' in result && result.value);
    await call;
    assert.deepEqual(order, ['first', 'second', 'third']);
  });

  it('never waits for a reader of the results', async t => {
    const pool = poolOf<Echo>(t, 'echo', { workers: 1, resultCapacity: 1 });
    const reader = pool.results[Symbol.asyncIterator]();
    for (let n = 0; n < 10; n++) void pool.jobs.put(n);
    await reader.next();
    assert.equal(await pool.run('unhindered'), 'unhindered');
    assert.ok(pool.jobs.size > 0);
    await pool.terminate();
  });

  it('rejects with JobLostError after an interrupt, which nobody has to handle', async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const started = pool.run({ do: 'say-and-never', word: 'started' });
    const waiting = pool.run({ do: 'never' });
    void pool.run({ do: 'never' }); // nobody looks at this one
    await said('started');
    const report = await pool.interrupt();
    assertSum(report);
    await assert.rejects(started, { name: 'JobLostError', fate: 'lost' });
    await assert.rejects(waiting, { name: 'JobLostError', fate: 'pending' });
    await assert.rejects(pool.run({ do: 'never' }), JobLostError);
    assert.deepEqual([report.lost.length, report.pending.length], [1, 2]);
  });
});

describe('putAll', { concurrency: 2 }, () => {
  it('keeps a fast source no further ahead of a slow reader than the capacities allow', async t => {
    const [workers, jobCapacity, resultCapacity] = [2, 10, 5];
    const pool = poolOf<Echo>(t, 'echo', { workers, jobCapacity, resultCapacity });
    let taken = 0;
    let read = 0;
    let furthest = 0;
    async function* source(): AsyncGenerator<number> {
      for (; taken < 500; taken++) {
        furthest = Math.max(furthest, taken - read);
        yield taken;
      }
    }
    const putting = pool.jobs.putAll(source()).then(() => pool.jobs.close());
    for await (const result of pool.results) {
      assert.ok(result.id >= 0);
      read++;
      await turns();
    }
    await putting;
    assert.equal(read, 500);
    // waiting jobs, one over; given ones, two messages a worker; waiting results, and those that came meanwhile
    const allowed = jobCapacity + 1 + workers * 2 + resultCapacity + workers * 2;
    assert.ok(furthest <= allowed, `${furthest} ahead, ${allowed} allowed`);
  });

  it('rejects with what its source throws, and what was put is worked off', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    const putting = pool.jobs.putAll((function* () { yield 1; yield 2; throw new RangeError('no more'); })());
    await assert.rejects(putting, RangeError);
    const { results } = await finish(pool);
    assert.deepEqual(results.map(({ job }) => job), [1, 2]);
  });

  it('lets go of a source that never gives, and closes it, when the pool is interrupted', async t => {
    const pool = poolOf<Echo>(t, 'echo');
    let isClosed = false;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<number>>(() => {}),
        return: () => { isClosed = true; return new Promise<IteratorResult<number>>(() => {}); },
      }),
    };
    const putting = pool.jobs.putAll(source);
    const report = await pool.interrupt();
    assert.equal(await putting, 0);
    assert.equal(isClosed, true);
    assert.equal(report.outcome, 'interrupted');
  });

  it('stops in the middle of a source without end when the pool is interrupted, and says how many it took', async t => {
    const pool = poolOf<Echo>(t, 'echo', { jobCapacity: 10 });
    let isClosed = false;
    const putting = pool.jobs.putAll((function* () { try { for (let n = 0; ; n++) yield n; } finally { isClosed = true; } })());
    await pool.run('running');
    const report = await pool.interrupt();
    assertSum(report);
    assert.equal(await putting, report.submitted - 1);
    assert.equal(isClosed, true);
    assert.equal(await pool.jobs.put(1), false);
    assert.equal(await pool.jobs.putAll([1, 2]), 0);
  });
});

describe('the result queue', () => {
  for (const order of ['read first', 'join first']) {
    it(`gives all of 500,000 results, ${order}`, async t => {
      const pool = poolOf<Echo>(t, 'echo');
      let sum = 0;
      let count = 0;
      const add = (result: Result<unknown, unknown>): void => {
        count++;
        if ('value' in result) sum += Number(result.value);
      };
      for (let n = 0; n < 500_000; n++) void pool.jobs.put(n);
      pool.jobs.close();
      if (order === 'read first') for await (const result of pool.results) add(result);
      assertSum(await pool.join());
      for (const result of pool.results.drain()) add(result);
      assert.deepEqual([count, sum], [500_000, 499_999 * 250_000]);
    });
  }

  it('holds nothing back from whoever awaits a `put()` in the loop over it', async t => {
    const pool = poolOf<Echo>(t, 'echo', { jobCapacity: 2, resultCapacity: 2 });
    for (let n = 0; n < 50; n++) void pool.jobs.put(n);
    let read = 0;
    for await (const { job } of pool.results) {
      if (Number(job) < 50) await pool.jobs.put(Number(job) + 50);
      if (++read === 100) break;
    }
    assert.equal(read, 100);
  });

  for (const readers of [1, 2]) it(`holds nothing back from ${readers === 1 ? 'whoever awaits' : 'one of two readers that awaits'} a \`putAll()\` in the loop over it`, async t => {
    const pool = poolOf<Echo>(t, 'echo', { jobCapacity: 2, resultCapacity: 2 });
    for (let n = 0; n < 5; n++) void pool.jobs.put(n);
    let read = 0;
    const reading = async (): Promise<void> => {
      for await (const { job } of pool.results) {
        if (Number(job) < 5) await pool.jobs.putAll((function* () { for (let i = 1; i <= 100; i++) yield i * 10 + Number(job); })());
        if (++read === 505) pool.jobs.close();
      }
    };
    await Promise.all(Array.from({ length: readers }, reading));
    assert.equal(read, 505);
  });

  it('holds back again what a reader put in its loop, as soon as it asks for the next result without waiting for it', async t => {
    const [jobCapacity, resultCapacity] = [5, 5];
    const pool = poolOf<Echo>(t, 'echo', { workers: 1, jobCapacity, resultCapacity, chunkSize: 1 });
    void pool.jobs.put(0);
    let taken = 0;
    let read = 0;
    let furthest = 0;
    for await (const { id } of pool.results) {
      if (id === 0) void pool.jobs.putAll((function* () { for (; taken < 300; taken++) yield taken; })()).then(() => pool.jobs.close());
      furthest = Math.max(furthest, taken - read++);
      await turns();
    }
    assert.equal(read, 301);
    assert.ok(furthest <= jobCapacity + resultCapacity + 10, `${furthest} ahead`);
  });

  it('holds nothing back from a join, though a reader stopped in the middle', async t => {
    const pool = poolOf<Echo>(t, 'echo', { resultCapacity: 2 });
    for (let n = 0; n < 50; n++) void pool.jobs.put(n);
    pool.jobs.close();
    const reader = pool.results[Symbol.asyncIterator]();
    await reader.next();
    assert.equal((await pool.join()).fulfilled, 50);
    assert.equal(pool.results.drain().length, 49);
    assert.equal((await reader.next()).done, true);
  });
});

describe('ending', () => {
  it('by interrupt, five times, is one interrupt; the job that ran is lost, those that waited are pending', async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    for (let i = 0; i < 4; i++) void pool.jobs.put({ do: 'say-and-never', word: `job ${i}` });
    await said('job 0');
    const reports = await Promise.all(Array.from({ length: 5 }, () => pool.interrupt()));
    const [report] = reports;
    assert.ok(report !== undefined && reports.every(each => each === report));
    assertSum(report);
    assert.deepEqual([report.outcome, report.signal, report.exitCode], ['interrupted', null, 1]);
    assert.deepEqual(report.lost, [{ do: 'say-and-never', word: 'job 0' }]);
    assert.deepEqual(report.pending.map(job => 'word' in job && job.word), ['job 1', 'job 2', 'job 3']);
  });

  it('with 500,000 jobs waiting has them all pending', async t => {
    const pool = workPool(t, { workers: 1 });
    for (let i = 0; i < 500_000; i++) void pool.jobs.put({ do: 'never' });
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual([report.outcome, report.fulfilled, report.lost.length + report.pending.length], ['interrupted', 0, 500_000]);
  });

  it('by an AbortSignal is an interrupt, also by one that was aborted before', async t => {
    const controller = new AbortController();
    const pool = workPool(t, { signal: controller.signal });
    void pool.jobs.put({ do: 'never' });
    controller.abort();
    assert.equal((await pool.join()).outcome, 'interrupted');
    const late = workPool(t, { signal: controller.signal });
    assert.equal(await late.jobs.put({ do: 'never' }), false);
    assert.equal((await late.join()).outcome, 'interrupted');
  });

  it('by terminate and then interrupt stays terminated: the first word counts', async t => {
    const pool = workPool(t);
    void pool.jobs.put({ do: 'never' });
    const terminated = pool.terminate();
    const report = await pool.interrupt();
    assert.equal(await terminated, report);
    assert.deepEqual([report.outcome, report.exitCode], ['terminated', 1]);
  });

  it('lets a job that fulfils at once when its signal aborts be fulfilled, and loses one that rejects', async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 2, stdio });
    void pool.jobs.put({ do: 'abort-then-fulfil' });
    void pool.jobs.put({ do: 'abort-aware' });
    await said('waits for its signal', 2);
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual(report.lost, [{ do: 'abort-aware' }]);
    assert.deepEqual(pool.results.drain().map(result => 'value' in result && result.value), ['just in time']);
  });

  it('by policy `finish` lets given jobs run to their end and starts no other', async t => {
    const pool = workPool(t, { workers: 1, interruptPolicy: 'finish' });
    await pool.run({ do: 'spin', ms: 10 });
    for (let i = 0; i < 3; i++) void pool.jobs.put({ do: 'spin', ms: 100 });
    await Promise.resolve();
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual([report.outcome, report.fulfilled, report.lost.length, report.pending.length], ['interrupted', 2, 0, 2]);
  });

  it('by a signal: the first press finishes or stops, the next one stops or kills; presses within 100 ms are one', async t => {
    for (const interruptPolicy of ['terminate', 'finish'] as const) {
      const { stdio, said } = words(t);
      const pool = workPool(t, { workers: 1, interruptPolicy, interruptSignals: ['SIGURG'], stdio, graceMs: 600_000 });
      void pool.jobs.put({ do: 'deaf', word: 'cannot be terminated' });
      await said('cannot be terminated');
      for (let press = 0; press < (interruptPolicy === 'finish' ? 3 : 2); press++) {
        const heard = once(process, 'SIGURG');
        for (let again = 0; again < 10; again++) process.kill(process.pid, 'SIGURG');
        await heard;
        await setTimeout(150); // a press apart
      }
      const report = await pool.join();
      assert.deepEqual([report.outcome, report.signal, report.exitCode, report.workers[0]?.signal], ['interrupted', 'SIGURG', 151, 'SIGKILL']);
    }
  });

  it('leaves a late Ctrl-C to the pool once, where nobody reads what it left, and then gives it back', async t => {
    const pool = poolOf<Echo>(t, 'echo', { interruptSignals: ['SIGURG'] });
    void pool.jobs.put('unread');
    const { outcome } = await (pool.jobs.close(), pool.join());
    let heard = 0;
    const own = (): void => { heard++; };
    process.on('SIGURG', own);
    t.after(() => process.off('SIGURG', own));
    const listeners: number[] = [];
    for (let press = 0; press < 2; press++) {
      process.kill(process.pid, 'SIGURG');
      await until(() => heard > press);
      await setTimeout(150); // a press apart
      listeners.push(process.listenerCount('SIGURG') - 1);
    }
    assert.deepEqual([outcome, listeners, pool.results.size], ['completed', [1, 0], 1]);
  });

  it('by policy `finish` and then terminate loses what runs', async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, interruptPolicy: 'finish', stdio });
    void pool.jobs.put({ do: 'say-and-never', word: 'started' });
    await said('started');
    void pool.interrupt();
    const report = await pool.terminate();
    assert.deepEqual([report.outcome, report.lost.length], ['interrupted', 1]);
  });

  it('by policy `finish` rejects the job of a worker that dies meanwhile, and leaves what it had not started pending', async t => {
    const pool = workPool(t, { workers: 1, interruptPolicy: 'finish' });
    await warmUp(pool);
    void pool.jobs.put({ do: 'exit', code: 4 });
    void pool.jobs.put({ do: 'echo', value: 'behind it' });
    await Promise.resolve();
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual([report.rejected, report.pending.length], [1, 1]);
  });

  it('with `await using` joins an idle pool and terminates one whose work nobody waited for', async () => {
    const kept: ProcessPool<Echo>[] = [];
    {
      await using idle = new ProcessPool<Echo>(fixture('echo'), { workers: 1 });
      kept.push(idle);
      await idle.run(1);
    }
    {
      await using busy = new ProcessPool<Echo>(fixture('echo'), { workers: 1 });
      kept.push(busy);
      void busy.jobs.put(1);
    }
    const outcomes = await Promise.all(kept.map(async pool => (await pool.join()).outcome));
    assert.deepEqual(outcomes, ['completed', 'terminated']);
  });

  it('by a getter of a job that is being packed leaves those behind it pending, each once', async t => {
    const pool = workPool(t, { workers: 1, chunkSize: 7 });
    await pool.run({ do: 'echo', value: 'ready' });
    void pool.jobs.put({ do: 'echo', get value() { void pool.terminate(); return 1; } });
    for (let i = 0; i < 3; i++) void pool.jobs.put({ do: 'echo', value: i });
    const report = await pool.join();
    assertSum(report);
    assert.deepEqual([report.submitted, report.fulfilled, report.lost.length + report.pending.length, new Set([...report.lost, ...report.pending]).size], [5, 1, 4, 4]);
  });

  for (const [manner, bytes] of [['as a whole', 50_000_000], ['in pieces', 100_000_000]] as const) {
    it(`while a large job is still crossing ${manner} leaves it pending`, async t => {
      const pool = workPool(t, { workers: 1, graceMs: 120_000 });
      await pool.run({ do: 'echo', value: 'ready' });
      void pool.jobs.put({ do: 'echo', value: Buffer.alloc(bytes) });
      await Promise.resolve();
      const report = await pool.terminate();
      assertSum(report);
      assert.deepEqual([report.lost.length, report.pending.length], [0, 1]);
      assert.deepEqual(report.workers.map(({ exitCode }) => exitCode), [0], 'it was not taken for deaf');
    });
  }
});

/** Enough short jobs for their mean to be short, also on a machine under load. */
async function warmUp(pool: ReturnType<typeof workPool>): Promise<void> {
  for (let i = 0; i < 30; i++) await pool.run({ do: 'echo', value: 'short' });
}
