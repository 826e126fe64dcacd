// The manual loop: both queues in view of the worker module, as in 2010.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WorkerStartError } from 'drainpool';
import type { Result } from 'drainpool';
import type { LoopJob } from '../fixtures/loop.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { limited } from '../support/limits.ts';
import { words } from '../support/words.ts';

type Loop = typeof import('../fixtures/loop.ts');
type LateSum = typeof import('../fixtures/late-sum.ts');
type Summed = typeof import('../fixtures/sum.ts');

const valuesOf = (results: { id: number }[]): [number, unknown][] => results.map(result => [result.id, 'value' in result ? result.value : 'rejected']);

/** Each takes less than a second: after this long something hangs. */
describe('a manual loop', { concurrency: 2 }, () => {
  it('reads jobs until the sentinel, and puts any number of values for each', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 2 });
    for (const job of [{ put: 1 }, { put: 0 }, { put: 3 }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[0, '1 of 1'], [2, '1 of 3'], [2, '2 of 3'], [2, '3 of 3']]);
    assert.deepEqual([report.fulfilled, report.values, report.outcome], [3, 4, 'completed']);
  });

  it('squares 100,000 numbers as the worker of 2010 did', async t => {
    const pool = poolOf<Summed>(t, 'manual');
    const putting = pool.jobs.putAll(Array.from({ length: 100_000 }, (_, n) => n)).then(() => pool.jobs.close());
    let sum = 0;
    for await (const result of pool.results) sum += 'value' in result ? Number(result.value) - result.id * result.id : NaN;
    await putting;
    assert.equal(sum, 0);
    assertSum(await pool.join());
  });

  it('may put a sum after the sentinel: it carries the id of the last job', async t => {
    const pool = poolOf<Summed>(t, 'sum', { workers: 1, stdio: 'ignore' });
    for (const n of [1, 2, 3]) void pool.jobs.put(n);
    const { report, results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[2, 6]]);
    assert.deepEqual([report.fulfilled, report.values], [3, 1]);
  });

  it('that is interrupted puts the sum so far: its reader ends as at the sentinel', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<Summed>(t, 'sum', { workers: 1, stdio });
    for (const n of [1, 2, 3]) void pool.jobs.put(n);
    await said('asks for more', 4);
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual(valuesOf(pool.results.drain()), [[2, 6]]);
    assert.equal(report.fulfilled, 3);
  });

  it('that is shot after it put a value is charged with that job: no job of the message is put twice', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1, chunkSize: 7 });
    await pool.jobs.putAll(Array.from({ length: 14 }, (_, n): LoopJob => n === 3 ? { put: 2, thenDie: true } : { put: 1 }));
    const { report, results } = await finish(pool);
    const once = Array.from({ length: 14 }, (_, n): [number, unknown] => [n, '1 of 1']);
    assert.deepEqual(valuesOf(results), [...once.slice(0, 3), [3, '1 of 2'], [3, '2 of 2'], [3, 'rejected'], ...once.slice(4)]);
    assert.deepEqual([report.fulfilled, report.rejected, report.values, report.workers.length], [13, 1, 15, 2]);
  });

  for (const chunkSize of [1, 3]) for (const askTwice of ['at once', 'busy'] as const) it(`that asks for two jobs at once is done with the first when it gets the second, or would have to wait for it, with chunkSize ${chunkSize}, ${askTwice}`, limited, async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1, chunkSize });
    for (const job of [{ askTwice }, { put: 1 }, { put: 1 }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.equal(report.fulfilled, 3);
    assert.deepEqual(valuesOf(results), [[2, 'read ahead']]);
  });

  it('whose job has timed out is given no other: those behind it have their time in another worker', limited, async t => {
    const pool = poolOf<LateSum>(t, 'late-sum', { workers: 1, timeoutMs: 1000, stdio: 'ignore' });
    for (const job of [{ n: 0, untilAborted: true as const }, { n: 1 }, { n: 2 }]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(results.filter(({ status }) => status === 'rejected').map(({ id }) => id), [0]);
    assert.deepEqual([report.fulfilled, report.rejected, report.workers.length], [2, 1, 2]);
    assert.ok(valuesOf(results).some(([, value]) => value === '2 in all'));
  });

  it('that asks for two jobs at once, of two messages, may have started all of the second: nothing of that is pending at the end', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LateSum>(t, 'late-sum', { workers: 1, chunkSize: 2, stdio });
    await pool.jobs.putAll(Array.from({ length: 6 }, (_, n) => ({ n: n + 10 })));
    await said('started 15');
    await pool.jobs.putAll([{ n: 0, asksTwice: true }, { n: 1 }, { n: 2 }, { n: 3 }]);
    await said('started 1 and 2');
    const report = await pool.terminate({ graceMs: 100 });
    assert.deepEqual([report.lost.map(({ n }) => n), report.pending.map(({ n }) => n)], [[2, 3], []]);
  });

  it('that throws has its current job rejected, and another worker gets the rest', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    for (const job of [{ put: 1 }, { throw: 'broken' }, { put: 1 }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[0, '1 of 1'], [1, 'rejected'], [2, '1 of 1']]);
    assert.match(String(results[1] && 'reason' in results[1] && results[1].reason), /RangeError: broken/);
    assert.deepEqual([report.outcome, report.workers.length], ['completed', 2]);
  });

  it('that returns early is done with its current job, and another worker gets the rest', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    for (const job of [{ put: 1 }, { leave: true }, { put: 1 }, { put: 1 }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[0, '1 of 1'], [2, '1 of 1'], [3, '1 of 1']]);
    assert.deepEqual([report.fulfilled, report.workers.length], [4, 2]);
  });

  it('that exits with values under way has the small ones delivered and its job rejected', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    for (const job of [{ exit: 'small' }, { exit: 'large' }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[0, 'small'], [0, 'rejected'], [1, 'rejected']]);
    assert.deepEqual([report.rejected, report.values], [2, 1]);
  });

  for (const closed of [false, true]) it(`that leaves three times in a row without a finished job fails the pool, ${closed ? 'closed' : 'open'}`, async t => {
    const pool = poolOf<Loop>(t, 'leaves', { workers: 1 });
    void pool.jobs.put({ put: 1 });
    if (closed) pool.jobs.close();
    const error = await pool.join().then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError);
    assert.match(error.message, /3 workers in a row left without having finished a job/);
    assert.match(String(error.cause), /no use/);
    assert.deepEqual([error.report?.pending.length, error.report?.workers.length], [1, 3]);
    assert.match(String(error.report?.workers[0]?.error), /no use/);
    assert.equal(error.report?.workers[0]?.exitCode, 1);
  });

  it('cannot put before its first job, nor what cannot be cloned', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1, workerData: 'put first' });
    for (const job of [{ putFunction: true }, { put: 1 }] satisfies LoopJob[]) void pool.jobs.put(job);
    const { results } = await finish(pool);
    assert.deepEqual(valuesOf(results).slice(0, 2), [[0, 'Cannot put a result as there is no job yet: ask for the first one before'], [0, 'DataCloneError']]);
  });

  it('keeps the order of what it puts without waiting, large and small', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    void pool.jobs.put({ putLarge: 3_000_000 });
    const { results } = await finish(pool);
    assert.deepEqual(results.map(result => 'value' in result && (Buffer.isBuffer(result.value) ? result.value.length : result.value)), [3_000_000, 'small', 3_000_000]);
  });

  it('knows its job from its context', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    void pool.jobs.put({ put: 0 });
    void pool.jobs.put({ context: true });
    const { results } = await finish(pool);
    assert.deepEqual(valuesOf(results), [[1, { jobId: 1, attempt: 1, aborted: false }]]);
  });

  it('that ignores the stop cannot put any more, and its job is lost', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<Loop>(t, 'loop', { workers: 1, stdio });
    void pool.jobs.put({ late: true });
    await said('late');
    const report = await pool.interrupt();
    assert.deepEqual([report.lost.length, pool.results.size], [1, 0]);
    await said('Cannot put a result as the worker is leaving');
  });

  it('that does not look at its puts is not ended by one that comes too late: it cleans up', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<Loop>(t, 'loop', { workers: 1, stdio });
    void pool.jobs.put({ late: true, unseen: true });
    await said('late');
    const report = await pool.interrupt();
    assert.deepEqual([report.workers[0]?.exitCode, report.lost.length], [0, 1]);
    await said('put after the end');
  });

  it('rejects `run`, whose value would belong to no call', async t => {
    const pool = poolOf<Loop>(t, 'loop', { workers: 1 });
    await assert.rejects(pool.run({ put: 1 }), /TypeError: Cannot run a job on a module with a manual loop/);
    const { report } = await finish(pool);
    assert.equal(report.rejected, 1);
  });
});

describe('a manual loop whose job has timed out', { concurrency: 2 }, () => {
  type Late = typeof import('../fixtures/late-loop.ts');

  const outcomes = (results: Result<unknown, unknown>[]): string[] => results.map(result => `${result.id} ${result.status} ${String(result.status === 'fulfilled' ? result.value : result.reason)}`);

  it('adds nothing to its rejection: a value that it puts then is dropped', { timeout: 180_000 }, async t => {
    const pool = poolOf<Late>(t, 'late-loop', { workers: 1, timeoutMs: 1000 });
    for (const [n, what] of (['put', 'put at abort', 'put before and at abort', 'put'] as const).entries()) void pool.jobs.put({ n, do: what });
    const { report, results } = await finish(pool);
    assert.deepEqual(outcomes(results), [
      '0 fulfilled 0, attempt 1',
      '0 fulfilled sum of 0 1', // put under the id of job 1, which has its outcome
      '1 rejected JobTimeoutError: Cannot finish job 1 as it took longer than 1000 ms',
      '2 fulfilled 2, attempt 1, before',
      '2 rejected JobTimeoutError: Cannot finish job 2 as it took longer than 1000 ms',
      '3 fulfilled 3, attempt 1',
      '3 fulfilled sum of 3',
    ]);
    assert.equal(report.values, 5);
  });

  it('has time for its sum once it has let go of that job, though SIGTERM came meanwhile', { timeout: 180_000 }, async t => {
    const pool = poolOf<typeof import('../fixtures/survives-term.ts')>(t, 'survives-term', { workers: 1, timeoutMs: 300, graceMs: 1500 });
    void pool.jobs.put(1500);
    void pool.jobs.put(0);
    pool.jobs.close();
    const report = await pool.join();
    const values = pool.results.drain().map(result => result.status === 'fulfilled' ? result.value : result.status);
    assert.deepEqual([values.filter(value => value === 'rejected').length, report.workers[0]?.signal], [1, null]);
    assert.ok(values.includes('1 in all'), values.join());
  });

  it('has its values from the next attempt alone, where it is tried again', { timeout: 180_000 }, async t => {
    const pool = poolOf<Late>(t, 'late-loop', { workers: 1, timeoutMs: 1000, retries: 1 });
    void pool.jobs.put({ n: 0, do: 'put at abort' });
    const { report, results } = await finish(pool);
    assert.deepEqual([outcomes(results), report.fulfilled, report.values], [['0 fulfilled 0, attempt 2', '0 fulfilled sum of 0'], 1, 2]);
  });

  it('times out also while it sends large values, one after the other', { timeout: 180_000 }, async t => {
    const pool = poolOf<Late>(t, 'late-loop', { workers: 1, timeoutMs: 1000 });
    void pool.jobs.put({ n: 0, do: 'put large ones without end' });
    void pool.jobs.put({ n: 1, do: 'put' });
    const { report, results } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.rejected], [1, 1]);
    assert.deepEqual(outcomes(results).slice(-2), ['1 fulfilled 1, attempt 1', '1 fulfilled sum of 1']);
    assert.match(outcomes(results).at(-3) ?? '', /^0 rejected JobTimeoutError/);
  });
});
