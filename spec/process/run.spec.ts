// `run()`: one job, one promise. What cancelling does to jobs that wait, that run, and that are on their way; whom it shares
// the workers with; and what its promise says when the pool ends.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { JobLostError, PoolClosedError, WorkerExitError, WorkerStartError } from 'drainpool';
import type { PoolOptions, ProcessPool, RunOptions } from 'drainpool';
import { assertSum, finish, poolOf, workPool } from '../support/pool.ts';
import { limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

type Calls = typeof import('../fixtures/calls.ts');

/** Each test takes a second or two: after this long something hangs. */
const callPool = (t: TestContext, options: PoolOptions = {}): ProcessPool<Calls> => poolOf<Calls>(t, 'calls', options);
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;
const reasonOf = (run: Promise<unknown>): Promise<unknown> => run.then(value => assert.fail(`fulfilled with ${String(value)}`), (reason: unknown) => reason);

/** The warnings that this process prints during a test. */
function warnings(t: TestContext): string[] {
  const seen: string[] = [];
  const note = ({ name }: Error): void => { seen.push(name); };
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  return seen;
}

describe('run()', () => {
  it('resolves to the value, rejects with what the work function threw, and leaves `results` alone', limited, async t => {
    const pool = callPool(t);
    assert.equal(await pool.run(3), 9);
    await assert.rejects(pool.run(-3), { name: 'RangeError', message: '-3 is negative' });
    await assert.rejects(pool.run({ do: 'exit' }), WorkerExitError);
    const { report, results } = await finish(pool);
    assert.deepEqual([report.submitted, report.fulfilled, report.rejected, report.values, results], [3, 1, 2, 1, []]);
  });

  it('rejects a job that cannot be cloned, and no other', limited, async t => {
    const pool = workPool(t);
    const runs = [1, () => {}, 3].map(value => pool.run({ do: 'echo', value }));
    const fates = await Promise.allSettled(runs);
    assert.deepEqual(fates.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
    await assert.rejects(runs[1] ?? assert.fail(), { name: 'DataCloneError', message: /job\.value.*function/ });
  });

  it('rejects after close()', limited, async t => {
    const pool = callPool(t);
    pool.jobs.close();
    await assert.rejects(pool.run(1), PoolClosedError);
    await pool.join();
    await assert.rejects(pool.run(1), PoolClosedError);
  });

  it('rejects with a TypeError or a RangeError that names the option', limited, async t => {
    const pool = callPool(t);
    const found = [
      [{ timeout: 5 }, 'TypeError', 'as there is no option `timeout`: the nearest is `timeoutMs`'],
      [{ abortSignal: null }, 'TypeError', 'as there is no option `abortSignal`: the nearest is `signal`'],
      [{ signal: {} }, 'TypeError', 'as `signal` must be an AbortSignal: received an object'],
      [{ timeoutMs: '5' }, 'TypeError', "as `timeoutMs` must be a number of milliseconds from 0 to 2147483647: received '5'"],
      [{ timeoutMs: -1 }, 'RangeError', 'as `timeoutMs` must be a number of milliseconds from 0 to 2147483647: received -1'],
      [{ timeoutMs: NaN }, 'RangeError', 'as `timeoutMs` must be a number of milliseconds from 0 to 2147483647: received NaN'],
      [null, 'TypeError', 'as the options must be an object: received null'],
      [5, 'TypeError', 'as the options must be an object: received 5'],
    ] as const;
    for (const [options, name, message] of found) {
      const run: Promise<unknown> = Reflect.apply(pool.run, pool, [1, options]);
      await assert.rejects(run, { name, message: `Cannot run the job ${message}` });
    }
    assert.equal(pool.stats().jobs.submitted, 0);
  });

  it('shares the workers with the queue: first come, first served', limited, async t => {
    for (const chunkSize of [1, 'auto'] as const) {
      const pool = callPool(t, { workers: 1, chunkSize });
      const runs: Promise<number>[] = [];
      const signals: (RunOptions | undefined)[] = [undefined, { signal: new AbortController().signal }, { timeoutMs: 60_000 }];
      for (let i = 0; i < 30; i++) {
        void pool.jobs.put({ do: 'count' });
        runs.push(pool.run({ do: 'count' }, signals[i % 3]));
      }
      assert.deepEqual(await Promise.all(runs), runs.map((_, i) => 2 * i + 1));
      const { results } = await finish(pool);
      assert.deepEqual(results.map(result => 'value' in result && result.value), runs.map((_, i) => 2 * i));
    }
  });

  it('never jams on results that nobody reads: 100,000 runs, and runs behind a reader that stands still', limited, async t => {
    const pool = callPool(t, { resultCapacity: 1 });
    for (let i = 0; i < 10; i++) void pool.jobs.put(i);
    const reader = pool.results[Symbol.asyncIterator]();
    await reader.next();
    await until(() => pool.results.size > 0);
    const values = await Promise.all(Array.from({ length: 100_000 }, (_, i) => pool.run(i)));
    assert.equal(values.reduce((sum, value) => sum + value, 0), 333_328_333_350_000);
    assert.ok(pool.stats().jobs.waiting > 0, 'the jobs of the queue were not held back, which shows nothing');
    await reader.return?.();
    assert.equal((await finish(pool)).report.fulfilled, 100_010);
  });
});

describe('cancelling a run()', () => {
  it('rejects at once with the reason and takes no job, where the signal has aborted already', limited, async t => {
    const pool = callPool(t);
    for (const reason of [new Error('no more'), 'a string', undefined]) {
      const signal = AbortSignal.abort(reason);
      assert.equal(await reasonOf(pool.run(1, { signal })), signal.reason);
    }
    assert.equal(pool.stats().jobs.submitted, 0);
  });

  it('takes a job that waits out of the queue: its worker never sees it', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const [first, second] = [new AbortController(), new AbortController()];
    const running = pool.run({ do: 'say-and-never', word: 'first' }, { signal: first.signal });
    await said('first');
    const waiting = pool.run({ do: 'say-and-never', word: 'second' }, { signal: second.signal });
    const third = pool.run({ do: 'pid' });
    assert.equal(pool.stats().jobs.waiting, 2);
    second.abort('not needed');
    assert.equal(pool.stats().jobs.waiting, 1);
    assert.equal(await reasonOf(waiting), 'not needed');
    first.abort('nor this');
    assert.equal(await reasonOf(running), 'nor this');
    await third;
    const { report } = await finish(pool);
    assert.deepEqual([report.submitted, report.fulfilled, report.rejected], [3, 1, 2]);
    assert.doesNotMatch(await said('first'), /second/);
  });

  it('aborts the signal of a job that runs, with the reason; a worker whose job then settles is kept', limited, async t => {
    const { stdio, said } = words(t);
    const pool = callPool(t, { workers: 1, stdio });
    const pid = await pool.run({ do: 'pid' });
    for (const [i, [reason, shown]] of ([[new RangeError('changed my mind'), 'RangeError: changed my mind'], [() => {}, '(DataCloneError: .*|undefined)'], ['enough', 'enough']] as const).entries()) {
      const controller = new AbortController();
      const run = pool.run({ do: 'tell why' }, { signal: controller.signal });
      await said('runs\n', i + 1);
      controller.abort(reason);
      assert.equal(await reasonOf(run), reason);
      assert.equal(await pool.run({ do: 'pid' }), pid);
      assert.match(await said('aborted: ', i + 1), new RegExp(`aborted: ${shown}\n$`));
    }
    assert.equal(pool.stats().workers.replaced, 0);
  });

  it('rejects at once, and replaces a worker whose job does not settle: one that awaits for ever, and one in a busy loop', limited, async t => {
    for (const job of [{ do: 'say-and-never', word: 'busy' }, { do: 'busy' }] as const) {
      const { stdio, said } = words(t);
      const pool = workPool(t, { workers: 1, stdio });
      const pid = await pool.run({ do: 'pid' });
      const controller = new AbortController();
      const run = pool.run(job, { signal: controller.signal });
      const behind = pool.run({ do: 'pid' });
      await said('busy');
      controller.abort('now');
      assert.equal(await reasonOf(run), 'now');
      assert.deepEqual(pool.stats().workers, { starting: 0, idle: 0, busy: 1, replaced: 0 }); // nobody waited for it
      assert.notEqual(await behind, pid);
      assert.equal(pool.stats().workers.replaced, 1);
      const { report } = await finish(pool);
      assert.deepEqual([report.outcome, report.fulfilled, report.rejected, report.workers.map(worker => worker.pid === pid)], ['completed', 2, 1, [true, false]]);
    }
  });

  it('keeps one listener on a signal, for 10,000 runs that wait on it, and none when they are cancelled', limited, async t => {
    const seen = warnings(t);
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const blocking = reasonOf(pool.run({ do: 'say-and-never', word: 'blocks' }));
    await said('blocks');
    const controller = new AbortController();
    const runs = Array.from({ length: 10_000 }, () => reasonOf(pool.run({ do: 'pid' }, { signal: controller.signal })));
    assert.equal(listeners(controller.signal), 1);
    controller.abort('all of you');
    assert.equal(pool.stats().jobs.waiting, 0);
    assert.deepEqual(new Set(await Promise.all(runs)), new Set(['all of you']));
    assert.equal(listeners(controller.signal), 0);
    const report = await pool.terminate();
    assert.ok(await blocking instanceof JobLostError);
    assertSum(report);
    assert.deepEqual([report.rejected, report.lost.length, seen], [10_000, 1, []]);
  });

  it('leaves no listener on a signal that lives longer than its runs, whatever became of them', limited, async t => {
    const { signal } = new AbortController();
    const pool = workPool(t);
    const runs = [{ do: 'pid' }, { do: 'throw', what: 'x' }, { do: 'exit', code: 1 }, { do: 'echo', value: () => {} }] as const;
    await Promise.allSettled(runs.map(job => pool.run(job, { signal })));
    await assert.rejects(pool.run({ do: 'never' }, { signal, timeoutMs: 1 }), { name: 'JobTimeoutError' });
    assert.equal(listeners(signal), 0);
    const lost = pool.run({ do: 'never' }, { signal });
    await pool.interrupt();
    await assert.rejects(lost, JobLostError);
    await assert.rejects(pool.run({ do: 'pid' }, { signal }), JobLostError);
    assert.equal(listeners(signal), 0);
  });

  it('prints no warning for 50 pools with one `signal`', limited, async t => {
    const seen = warnings(t);
    const controller = new AbortController();
    const pools = Array.from({ length: 50 }, () => callPool(t, { signal: controller.signal }));
    assert.equal(listeners(controller.signal), 1);
    controller.abort();
    const reports = await Promise.all(pools.map(pool => pool.join()));
    assert.deepEqual([new Set(reports.map(({ outcome }) => outcome)), listeners(controller.signal), seen], [new Set(['interrupted']), 0, []]);
  });

  it('lets go of jobs that were cancelled while they waited, though no worker has room', limited, async t => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    void pool.run({ do: 'say-and-never', word: 'blocks' });
    await said('blocks');
    const live = pool.run({ do: 'pid' });
    const controller = new AbortController();
    const jobs = Array.from({ length: 100 }, () => {
      const job = { do: 'pid' } as const;
      void reasonOf(pool.run(job, { signal: controller.signal }));
      return new WeakRef(job);
    });
    controller.abort();
    await turns();
    collect();
    assert.ok(jobs.filter(job => job.deref() !== undefined).length <= 2);
    assert.equal(pool.stats().jobs.waiting, 1);
    await pool.terminate();
    await assert.rejects(live, { name: 'JobLostError', fate: 'pending' });
  });

  it('cancels a large job that crosses in pieces when its worker has it: the worker is free again, and what comes next is whole', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    await pool.run({ do: 'pid' });
    for (const job of [{ do: 'echo', value: new Uint8Array(50e6) }, { do: 'never', word: 'x'.repeat(50e6) }] as const) {
      const controller = new AbortController();
      const run = pool.run(job, { signal: controller.signal });
      await until(() => pool.stats().jobs.given === 1);
      controller.abort('too large');
      assert.equal(await reasonOf(run), 'too large');
      const bytes = await pool.run({ do: 'echo', value: new Uint8Array(5e6).fill(7) });
      assert.ok(bytes instanceof Uint8Array && bytes.length === 5e6 && bytes.every(byte => byte === 7));
    }
    const { report } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.rejected], [3, 2]);
  });

  it('counts a job once whose own getter aborts it while it is packed', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    const controller = new AbortController();
    const job = { do: 'echo' as const, get value() { controller.abort('caught in a getter'); return 1; } };
    assert.equal(await reasonOf(pool.run(job, { signal: controller.signal })), 'caught in a getter');
    await pool.run({ do: 'pid' });
    assert.deepEqual(pool.stats().jobs, { submitted: 2, waiting: 0, given: 0, fulfilled: 1, rejected: 1 });
    await finish(pool);
  });
});

describe('run() and the end of the pool', () => {
  it('rejects with JobLostError, which is no unhandled rejection: lost what ran, pending what waited', limited, async t => {
    const { stdio, said } = words(t);
    const pool = callPool(t, { workers: 1, stdio });
    const runs = [pool.run({ do: 'never' }), pool.run(2), pool.run(3, { signal: new AbortController().signal })];
    await said('started');
    const report = await pool.interrupt();
    runs.push(pool.run(4));
    await turns(); // a turn in which nobody handles them
    const fates = await Promise.all(runs.map(run => reasonOf(run)));
    assert.deepEqual(fates.map(error => error instanceof JobLostError && [error.fate, error.code]), ['lost', 'pending', 'pending', 'pending'].map(fate => [fate, 'ERR_JOB_LOST']));
    assertSum(report);
    assert.deepEqual([report.submitted, report.lost, report.pending], [3, [{ do: 'never' }], [2, 3]]);
  });

  it('counts a job that was cancelled too late, when its worker was gone but another one still cleaned up, as lost, once', limited, async t => {
    const { stdio, said } = words(t);
    const pool = callPool(t, { stdio });
    const controller = new AbortController();
    const runs = [pool.run({ do: 'never' }, { signal: controller.signal }), pool.run({ do: 'never', cleanupMs: 1000 })];
    await said('started', 2);
    const ending = pool.interrupt();
    await until(() => pool.stats().workers.busy === 1);
    controller.abort();
    await assert.rejects(runs[0] ?? assert.fail(), { name: 'JobLostError', fate: 'lost' });
    await assert.rejects(runs[1] ?? assert.fail(), { name: 'JobLostError', fate: 'lost' });
    const report = await ending;
    assertSum(report);
    assert.deepEqual([report.rejected, report.lost.length], [0, 2]);
  });

  it('takes the word of a signal that aborts while the pool is ending and its job has not gone', limited, async t => {
    const { stdio, said } = words(t);
    const pool = callPool(t, { workers: 1, stdio });
    const controller = new AbortController();
    const run = pool.run({ do: 'never' }, { signal: controller.signal });
    await said('started');
    const ending = pool.interrupt();
    controller.abort('first');
    assert.equal(await reasonOf(run), 'first');
    const report = await ending;
    assertSum(report);
    assert.deepEqual([report.rejected, report.lost], [1, []]);
  });

  it('rejects with WorkerStartError on a pool that failed', limited, async t => {
    const pool = poolOf<Calls>(t, 'exports-nothing', {});
    await assert.rejects(pool.run(1), WorkerStartError);
    await assert.rejects(pool.run(2), WorkerStartError);
    await assert.rejects(pool.join(), WorkerStartError);
  });

  it('rejects with a TypeError on a module with a manual loop, which goes on with the queue', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/manual.ts')>(t, 'manual');
    void pool.jobs.put(3);
    await assert.rejects(pool.run(2), { name: 'TypeError', message: /^Cannot run a job on a module with a manual loop/ });
    const { report, results } = await finish(pool);
    assert.deepEqual([report.submitted, report.rejected, results.map(result => 'value' in result && result.value)], [2, 1, [9]]);
  });
});
