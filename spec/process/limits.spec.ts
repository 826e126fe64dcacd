// What a worker and a job may cost: time limits, further attempts, and workers that are let go, kept or replaced. Where a job
// has to outstay its limit, or a worker its idleness, a timer is the situation and no wait for something to happen.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { JobLostError, JobTimeoutError, ProcessPool, WorkerExitError } from 'drainpool';
import type { PoolOptions } from 'drainpool';
import type { Job } from '../fixtures/limits.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { temporary } from '../support/folder.ts';
import { turns } from '../support/turns.ts';
import { words } from '../support/words.ts';

type Limits = typeof import('../fixtures/limits.ts');

/** So short that nothing but a job that goes on for ever is meant; so long that no job that ends by itself takes it. */
const SHORT_MS = 30;
const LONG_MS = 30_000;
/** What a job that ends at once, after others that did not, may take. */
const AMPLE_MS = 500;

const quiet: PoolOptions = { stdio: ['ignore', 'ignore', 'inherit'] };
const limits = (t: TestContext, options: PoolOptions = {}): ProcessPool<Limits> => poolOf<Limits>(t, 'limits', { ...quiet, workers: 1, ...options });
const values = (count: number): Job[] => Array.from({ length: count }, (_, value) => ({ do: 'value', value }));
const errorOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(value => assert.fail(`fulfilled with ${String(value)}`), (reason: unknown) => reason);

function folder(t: TestContext): string {
  const path = temporary(t);
  return path;
}

describe('timeoutMs', { concurrency: 2, timeout: 240_000 }, () => {
  it('of the pool rejects a job that takes longer, by name and code', async t => {
    const pool = limits(t, { timeoutMs: SHORT_MS });
    void pool.jobs.put({ do: 'never' });
    const { report, results } = await finish(pool);
    const reason = results[0]?.status === 'rejected' ? results[0].reason : undefined;
    assert.ok(reason instanceof JobTimeoutError);
    assert.deepEqual([reason.timeoutMs, reason.code, reason.cause], [SHORT_MS, 'ERR_JOB_TIMEOUT', undefined]);
    assert.match(reason.message, /took longer than 30 ms/);
    assert.deepEqual([report.rejected, report.outcome], [1, 'completed']);
  });

  it('of a run takes the place of the pool\'s, shorter or longer', async t => {
    const pool = limits(t, { workers: 2, timeoutMs: LONG_MS });
    const error = await errorOf(pool.run({ do: 'never' }, { timeoutMs: SHORT_MS }));
    assert.ok(error instanceof JobTimeoutError);
    assert.equal(error.timeoutMs, SHORT_MS);
    const strict = limits(t, { timeoutMs: SHORT_MS });
    assert.equal(await strict.run({ do: 'wait', ms: 4 * SHORT_MS }, { timeoutMs: LONG_MS }), undefined);
  });

  it('counts from the start of a job, not from `put`', async t => {
    const pool = limits(t, { timeoutMs: 1000 });
    for (let n = 0; n < 4; n++) void pool.jobs.put({ do: 'wait', ms: 400 });
    const { report } = await finish(pool);
    assert.equal(report.fulfilled, 4);
  });

  it('aborts the signal of the job with the error as its reason; the worker of one that settles then is kept', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { stdio });
    const pid = await pool.run({ do: 'pid' });
    assert.ok(await errorOf(pool.run({ do: 'let go' }, { timeoutMs: 10 * SHORT_MS })) instanceof JobTimeoutError);
    await said(`aborted by JobTimeoutError ERR_JOB_TIMEOUT ${10 * SHORT_MS}`);
    assert.equal(await pool.run({ do: 'pid' }), pid);
    assert.equal(pool.stats().workers.replaced, 0);
  });

  for (const [how, job] of [['awaits for ever', { do: 'never' }], ['is busy in a loop', { do: 'busy' }]] as const) {
    it(`has the worker replaced whose job ${how}`, async t => {
      const pool = limits(t);
      const pid = await pool.run({ do: 'pid' });
      // Not as short as that: a worker that has not heard of the job when its time is up lets go of it, and stays.
      assert.ok(await errorOf(pool.run(job, { timeoutMs: 10 * SHORT_MS })) instanceof JobTimeoutError);
      assert.notEqual(await pool.run({ do: 'pid' }), pid);
      assert.equal(pool.stats().workers.replaced, 1);
    });
  }

  it('has the worker leave in order whose job survives SIGTERM and ends after all: the next one does not wait for SIGKILL', async t => {
    const pool = limits(t, { graceMs: 600_000 });
    const pid = await pool.run({ do: 'pid' });
    assert.ok(await errorOf(pool.run({ do: 'until SIGTERM and longer', ms: 4 * AMPLE_MS }, { timeoutMs: 10 * SHORT_MS })) instanceof JobTimeoutError);
    assert.notEqual(await pool.run({ do: 'pid' }), pid);
    const { report } = await finish(pool);
    assert.deepEqual(report.workers.map(({ exitCode }) => exitCode), [0, 0]);
  });

  it('is met by jobs of their own: none is given behind another one, and nothing behind them', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { stdio });
    await pool.jobs.putAll(values(200)); // from now on the pool sends a second message to a busy worker
    for await (const { id } of pool.results) if (id === 199) break;
    void pool.jobs.put({ do: 'wait', ms: 2 * AMPLE_MS });
    assert.equal(await pool.run({ do: 'value', value: 1 }, { timeoutMs: AMPLE_MS }), 1);
    const never = errorOf(pool.run({ do: 'never' }, { timeoutMs: 2 * AMPLE_MS }));
    const behind = pool.run({ do: 'value', value: 2 });
    await said('never');
    assert.deepEqual([pool.stats().jobs.given, pool.stats().jobs.waiting], [1, 1]);
    await never;
    assert.equal(await behind, 2);
  });

  it('is not undone by a job that fulfils when its worker has given it up: that one leaves in order', async t => {
    const pool = poolOf<typeof import('../fixtures/late.ts')>(t, 'late', { workers: 1, timeoutMs: SHORT_MS });
    assert.ok(await errorOf(pool.run(1)) instanceof JobTimeoutError);
    const { report } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.rejected, report.workers.length], [0, 1, 1]);
    const [worker] = report.workers;
    assert.ok(worker?.exitCode === 0 || worker?.signal === 'SIGTERM', 'in order, unless the machine was so loaded that its word came late');
  });

  it('of 0 is over at once', async t => {
    assert.ok(await errorOf(limits(t).run({ do: 'never' }, { timeoutMs: 0 })) instanceof JobTimeoutError);
  });

  it('is judged after what had come: a job that was done while the event loop stood still is fulfilled', async t => {
    const file = join(folder(t), 'finished');
    const pool = limits(t, { timeoutMs: LONG_MS });
    await pool.run({ do: 'pid' });
    const running = pool.run({ do: 'finish', file }, { timeoutMs: SHORT_MS });
    await turns();
    const untilMs = performance.now() + 10 * SHORT_MS;
    while (!existsSync(file) || performance.now() < untilMs);
    assert.equal(await running, 'finished');
  });

  for (const all of [false, true]) {
    it(`is not used up while ${all ? 'parent and worker were' : 'the parent was'} stopped`, async () => {
      const timeoutMs = 2000;
      const program = new Program(new URL('../fixtures/stopped.js', import.meta.url), [String(timeoutMs)]);
      await program.says(/started in \d+;/);
      const worker = Number(/started in (\d+);/.exec(program.stdout)?.[1]);
      const stop = (signal: NodeJS.Signals): unknown => all ? program.kill(signal) : process.kill(program.pid, signal);
      stop('SIGSTOP');
      process.kill(worker, 'SIGURG');
      if (!all) await program.says(/signalled/);
      await setTimeout(timeoutMs + 500);
      stop('SIGCONT');
      const { stdout, stderr } = await program.ended;
      assert.match(stdout, /result: finished/, stderr);
    });
  }

  it('holds for a manual loop: a job that ends at its signal is no reason to end others, one that does not costs the worker', async t => {
    const pool = poolOf<typeof import('../fixtures/limits-loop.ts')>(t, 'limits-loop', { workers: 1, timeoutMs: AMPLE_MS });
    for (const job of [1, 'let go', 2, 'never', 3, 'never', 'never', 'never', 4] as const) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(results.filter(({ status }) => status === 'fulfilled').map(({ job }) => job), [1, 2, 3, 4]);
    assert.deepEqual(results.filter(({ status }) => status === 'rejected').map(({ id }) => id), [1, 3, 5, 6, 7]);
    for (const result of results) assert.ok(result.status === 'fulfilled' || result.reason instanceof JobTimeoutError);
    assert.equal(report.outcome, 'completed');
  });

  it('of a job that came too late for its worker leaves the next one in peace', async t => {
    const pool = limits(t, { timeoutMs: AMPLE_MS });
    const jobs: Job[] = [{ do: 'hang', before: 2 }, { do: 'value', value: 1 }, { do: 'busy' }, { do: 'value', value: 2 }, { do: 'never' }, { do: 'value', value: 3 }];
    const settled = await Promise.allSettled(jobs.map(job => pool.run(job)));
    assert.deepEqual(settled.map(each => each.status === 'fulfilled' ? each.value : each.reason.name), ['JobTimeoutError', 1, 'JobTimeoutError', 2, 'JobTimeoutError', 3]);
  });
});

describe('retries', { concurrency: 2, timeout: 240_000 }, () => {
  it('tries a job again whose worker died, by `run`, from the queue and in a map', async t => {
    const pool = limits(t, { workers: 2, retries: 2 });
    const job: Job = { do: 'die', before: 3 };
    void pool.jobs.put(job);
    const mapped: unknown[] = [];
    for await (const value of pool.map([{ do: 'context' }, job, { do: 'context' }])) mapped.push(value);
    assert.deepEqual(mapped, [1, 3, 1]);
    assert.equal(await pool.run(job), 3);
    const { report, results } = await finish(pool);
    assert.deepEqual(results.map(result => 'value' in result && result.value), [3]);
    assert.deepEqual([report.fulfilled, report.rejected, report.workers.filter(({ signal }) => signal === 'SIGKILL').length], [5, 0, 6]);
  });

  it('tries a job again that timed out, when its worker has let go of it', async t => {
    const pool = limits(t, { retries: 2, timeoutMs: AMPLE_MS });
    const pid = await pool.run({ do: 'pid' });
    assert.equal(await pool.run({ do: 'hang', before: 3 }), 3);
    assert.equal(await pool.run({ do: 'pid' }), pid);
  });

  it('does not try a job again that threw', async t => {
    const pool = limits(t, { retries: 5 });
    await assert.rejects(pool.run({ do: 'throw', before: 3 }), { name: 'RangeError', message: 'attempt 1' });
  });

  it('gives the errors of the earlier attempts as the chain of causes', async t => {
    const pool = limits(t, { retries: 2, timeoutMs: SHORT_MS });
    const causes: unknown[] = [];
    for (let error = await errorOf(pool.run({ do: 'busy' })); error instanceof JobTimeoutError; error = error.cause) causes.push(error);
    assert.equal(causes.length, 3);

    const pids = new Set<number>();
    let error = await errorOf(limits(t, { retries: 2 }).run({ do: 'exit' }));
    for (; error instanceof WorkerExitError; error = error.cause) pids.add(error.pid);
    assert.equal(pids.size, 3);

    const late = await errorOf(limits(t, { stdio: 'ignore', retries: 1 }).run({ do: 'throw late' }));
    assert.ok(late instanceof WorkerExitError && late.cause instanceof WorkerExitError);
    assert.match(String(late.cause.cause), /RangeError: too late/);
  });

  it('holds nobody up: the jobs behind one that dies are done', async t => {
    const pool = limits(t, { retries: 1 });
    void pool.jobs.put({ do: 'die', before: 9 });
    await pool.jobs.putAll(values(100));
    const { report } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.rejected, report.workers.length], [100, 1, 3]);
  });

  for (const how of ['put', 'run'] as const) {
    it(`has a job of \`${how}\` that was tried once and waits again lost, not pending, when the pool ends`, async t => {
      const { stdio, said } = words(t);
      const pool = limits(t, { stdio, retries: 1, workerData: join(folder(t), 'first') });
      const running = how === 'put' ? pool.jobs.put({ do: 'die', before: 2 }) : errorOf(pool.run({ do: 'die', before: 2 }));
      void pool.jobs.put({ do: 'pid' });
      await said('set up', 2);
      const report = await pool.interrupt();
      assertSum(report);
      assert.deepEqual([report.lost, report.pending], [[{ do: 'die', before: 2 }], [{ do: 'pid' }]]);
      const settled = await running;
      if (how === 'run') assert.ok(settled instanceof JobLostError && settled.fate === 'lost');
    });
  }
});

describe('a run with a signal', { concurrency: 2, timeout: 240_000 }, () => {
  it('that is cancelled while its job, a large one, is on its way is over at once, and its worker free for the next', async t => {
    const pool = poolOf<typeof import('../fixtures/work.ts')>(t, 'work', { workers: 1, retries: 3 });
    await pool.run({ do: 'pid' });
    const controller = new AbortController();
    const running = errorOf(pool.run({ do: 'never', word: 'x'.repeat(50_000_000) }, { signal: controller.signal }));
    await turns();
    controller.abort('called off');
    assert.equal(await running, 'called off');
    assert.equal(typeof await pool.run({ do: 'pid' }), 'number');
  });
});

describe('a run whose signal aborts with a reason', { timeout: 240_000 }, () => {
  it('that is large rejects with it, and spares its worker the reading', async t => {
    const pool = limits(t);
    await pool.run({ do: 'pid' });
    const controller = new AbortController();
    const running = errorOf(pool.run({ do: 'let go' }, { signal: controller.signal }));
    while (pool.stats().jobs.given === 0) await turns();
    controller.abort('x'.repeat(1_000_000));
    assert.equal(await running, 'x'.repeat(1_000_000));
    assert.equal(typeof await pool.run({ do: 'pid' }), 'number');
  });
});

describe('maxJobsPerWorker', { concurrency: 2, timeout: 240_000 }, () => {
  for (const chunkSize of ['auto', 1, 7] as const) {
    it(`lets no worker have more jobs, with chunkSize ${chunkSize}`, async t => {
      const { stdio, said } = words(t);
      const pool = limits(t, { workers: 2, maxJobsPerWorker: 500, chunkSize, stdio });
      await pool.jobs.putAll(values(4000));
      const { report, results } = await finish(pool);
      assert.deepEqual(results.map(result => 'value' in result && result.value), values(4000).map((_, i) => i));
      assert.ok(report.workers.every(({ jobs, exitCode }) => jobs <= 500 && exitCode === 0));
      assert.ok(report.workers.length >= 8);
      assert.ok(pool.stats().workers.replaced >= 6);
      await said('torn down', report.workers.length);
    });
  }

  it('of 1 gives each job a process of its own', async t => {
    const pool = limits(t, { workers: 2, maxJobsPerWorker: 1 });
    const pids = await Promise.all(values(6).map(() => pool.run({ do: 'pid' })));
    assert.equal(new Set(pids).size, 6);
  });

  it('has no worker started for jobs that are held back while results wait to be read', async t => {
    const pool = limits(t, { workers: 1, maxJobsPerWorker: 2, resultCapacity: 1 });
    const reader = pool.results[Symbol.asyncIterator]();
    const first = reader.next();
    await pool.jobs.putAll(values(6));
    assert.equal((await first).value?.id, 0);
    const { workers } = await new Promise<ReturnType<typeof pool.stats>>(resolve => {
      const look = (): void => {
        const stats = pool.stats();
        const { starting, idle, busy } = stats.workers;
        if (stats.jobs.fulfilled === 2 && starting + idle + busy === 0) resolve(stats);
        else setImmediate(look);
      };
      look();
    });
    assert.equal(workers.replaced, 0);
    for (let id = 1; id < 6; id++) assert.equal((await reader.next()).value?.id, id);
    assert.equal(pool.stats().workers.replaced, 2);
    await finish(pool);
  });
});

describe('maxWorkerMemory', { concurrency: 2, timeout: 240_000 }, () => {
  it('has a worker replaced after the job that made it hold more', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { maxWorkerMemory: 200_000_000, stdio });
    const pid = await pool.run({ do: 'pid' });
    assert.equal(await pool.run({ do: 'pid' }), pid);
    assert.equal(await pool.run({ do: 'keep', bytes: 200_000_000 }), pid);
    const next = await pool.run({ do: 'pid' });
    assert.notEqual(next, pid);
    assert.equal(await pool.run({ do: 'pid' }), next);
    assert.equal(pool.stats().workers.replaced, 1);
    await said('torn down');
  });
});

describe('minWorkers', { concurrency: 2, timeout: 240_000 }, () => {
  it('are started before there is a job, and replaced when they die', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { workers: 3, minWorkers: 2, stdio });
    const text = await said('set up', 2);
    while (pool.stats().workers.idle < 2) await turns();
    process.kill(Number(/set up (\d+)/.exec(text)?.[1]), 'SIGKILL');
    await said('set up', 3);
    assert.equal(pool.stats().workers.replaced, 1);
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.workers.length], ['completed', 3]);
  });

  it('are not let go after idling; those above them are, all at the same moment', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { workers: 3, minWorkers: 1, idleTimeoutMs: SHORT_MS, stdio });
    const running = Promise.all(values(3).map(() => pool.run({ do: 'until SIGURG' })));
    const pids = [...(await said('started in', 3)).matchAll(/started in (\d+)/g)].map(([, pid]) => Number(pid));
    for (const pid of pids) process.kill(pid, 'SIGURG');
    await running;
    await said('torn down', 2);
    assert.ok(pids.includes(Number(await pool.run({ do: 'pid' }))));
    const { report } = await finish(pool);
    assert.equal(report.workers.length, 3);
  });
});

describe('idleTimeoutMs', { concurrency: 2, timeout: 300_000 }, () => {
  it('lets a worker leave in order that has had no job, and the next job has a new one', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { idleTimeoutMs: SHORT_MS, stdio });
    const pid = await pool.run({ do: 'pid' });
    await said('torn down');
    assert.notEqual(await pool.run({ do: 'pid' }), pid);
    const { report } = await finish(pool);
    assert.deepEqual(report.workers.map(({ exitCode, jobs }) => [exitCode, jobs]), [[0, 1], [0, 1]]);
    assert.equal(pool.stats().workers.replaced, 0);
  });

  it('counts on where the job that a worker was given could not be cloned', async t => {
    const { stdio, said } = words(t);
    const pool = limits(t, { idleTimeoutMs: 500, stdio });
    await pool.run({ do: 'pid' });
    await assert.rejects(Reflect.apply(pool.run, pool, [() => {}]), { name: 'DataCloneError' });
    await said('torn down');
  });

  it('loses no job that is put at the very moment at which a worker leaves, a hundred times', async t => {
    const moments = 50;
    const pools = [0, 1].map(() => limits(t, { idleTimeoutMs: 0 }));
    const reports = await Promise.all(pools.map(async pool => {
      for (let moment = 0; moment < moments; moment++) {
        assert.equal(await pool.run({ do: 'value', value: moment }), moment);
        for (let i = 0; i < moment % 8; i++) await turns();
        if (moment % 3 === 0) await setTimeout(moment % 5);
      }
      return finish(pool);
    }));
    for (const { report } of reports) {
      assert.equal(report.fulfilled, moments);
      assert.ok(report.workers.length > 1);
    }
  });
});
