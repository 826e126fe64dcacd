// Jobs that a worker hands back, as others are idle: while the pool works, after `close()`, and while it is ending. The pool asks
// for them by a timer of its own (SLOW_MS); a later timer of the same process comes after it, however loaded the machine is.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { PoolOptions, ProcessPool } from 'drainpool';
import { limited } from '../support/limits.ts';
import { assertSum, poolOf } from '../support/pool.ts';
import { temporary } from '../support/folder.ts';
import { until as so } from '../support/until.ts';
import { words } from '../support/words.ts';

type Held = typeof import('../fixtures/held.ts');

/** Some times SLOW_MS: the pool has asked for the jobs behind a slow one by then. */
const ASKED_MS = 100;

interface Holding {
  pool: ProcessPool<Held>;
  until: string;
  letGo: () => void;
  /** Resolves when so many workers are busy, and the pool has asked them for the jobs behind, as all others are idle. */
  asked: (busy: number) => Promise<void>;
}

function holding(t: TestContext, options: PoolOptions): Holding {
  const folder = temporary(t);
  const { stdio, said } = words(t);
  const until = join(folder, 'let-go');
  const pool = poolOf<Held>(t, 'held', { stdio, ...options });
  const asked = async (busy: number): Promise<void> => {
    await said('started', busy);
    await so(() => pool.stats().workers.idle === Number(options.workers) - busy);
    await setTimeout(ASKED_MS);
  };
  return { pool, until, letGo: () => writeFileSync(until, ''), asked };
}

describe('jobs that a worker hands back', { concurrency: 2 }, () => {
  it('go to a new worker where the idle one has died: they are not sent back behind the slow job for ever', limited, async t => {
    const ready: number[] = [];
    const heard = (message: unknown): void => {
      const { pool: other, pid } = Object(message);
      if (other === pool && ready.push(pid) === 2) process.kill(pid, 'SIGKILL'); // the first one has all jobs by then
    };
    subscribe('drainpool:worker:ready', heard);
    t.after(() => unsubscribe('drainpool:worker:ready', heard));
    const pool = poolOf<typeof import('../fixtures/chunks.ts')>(t, 'chunks', { workers: 2, chunkSize: 10, stdio: 'ignore' });
    for (const job of [{ n: 0 }, { n: 1, do: 'never' as const }, { n: 2 }, { n: 3 }]) void pool.jobs.put(job);
    const done: number[] = [];
    for await (const { id } of pool.results) if (done.push(id) === 3) break;
    assert.deepEqual(done.sort(), [0, 2, 3]);
    assert.equal(ready.length, 3);
  });

  for (const [chunkSize, workers, count] of [[10, 4, 20], [5, 3, 9], [50, 6, 50]] as const) {
    it(`when the pool was interrupted meanwhile, to finish what runs, are pending: ${count} calls in messages of ${chunkSize}`, limited, async t => {
      const { pool, until, letGo, asked } = holding(t, { workers, chunkSize, interruptPolicy: 'finish' });
      const calls = Array.from({ length: count }, (_, n) => pool.run({ n, until }));
      const settled = Promise.allSettled(calls);
      const busy = Math.ceil(count / chunkSize);
      await asked(busy);
      const ended = pool.interrupt();
      letGo();
      const report = await ended;
      assertSum(report);
      const states = await settled;
      assert.equal(states.filter(({ status }) => status === 'fulfilled').length, report.fulfilled);
      assert.equal(report.fulfilled, busy, 'the job that ran in each worker');
      assert.equal(report.pending.length, count - busy);
      for (const state of states) if (state.status === 'rejected') assert.equal(state.reason.fate, 'pending');
    });
  }

  it('when the pool was terminated meanwhile are pending, those that were put as well', limited, async t => {
    const { pool, until, letGo, asked } = holding(t, { workers: 4, chunkSize: 3 });
    for (let n = 0; n < 9; n++) void pool.jobs.put({ n, until });
    await asked(3);
    const ended = pool.terminate();
    letGo();
    const report = await ended;
    assertSum(report);
    // A worker that a loaded machine kept from answering in time got SIGTERM: all three of its jobs may have started.
    const killed = report.workers.filter(({ signal }) => signal !== null).length;
    assert.equal(report.fulfilled + report.lost.length, 3 + 2 * killed);
    assert.equal(report.pending.length, 6 - 2 * killed);
  });

  for (const isClosed of [false, true]) for (const others of [1, 4]) it(`go to others that are idle, ${others} of them, when the queue is ${isClosed ? 'closed' : 'open'}`, limited, async t => {
    const file = join(mkdtempSync(join(tmpdir(), 'drainpool-')), 'let-go');
    t.after(() => rmSync(dirname(file), { recursive: true }));
    const pool = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls', { workers: 1 + others, chunkSize: 9, stdio: 'ignore' });
    const waiting = pool.run({ do: 'wait for', file });
    const behind = Array.from({ length: 8 }, (_, n) => pool.run(n));
    if (isClosed) pool.jobs.close();
    assert.deepEqual(await Promise.all(behind), [0, 1, 4, 9, 16, 25, 36, 49]);
    writeFileSync(file, '');
    assert.equal(await waiting, -1);
    pool.jobs.close();
    const report = await pool.join();
    assertSum(report);
    assert.equal(report.workers.length, 1 + others, 'those that were there, and none that was started for it');
  });

  it('go to a worker that is started for them, where the other one has died', limited, async t => {
    const file = join(mkdtempSync(join(tmpdir(), 'drainpool-')), 'let-go');
    t.after(() => rmSync(dirname(file), { recursive: true }));
    const pool = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls', { workers: 2, chunkSize: 2, stdio: 'ignore' });
    const waiting = pool.run({ do: 'wait for', file });
    const behind = pool.run(3);
    await assert.rejects(pool.run({ do: 'exit' }), { code: 'ERR_WORKER_EXIT' });
    assert.equal(await behind, 9);
    writeFileSync(file, '');
    assert.equal(await waiting, -1);
  });

  it('or wait, are not sent behind a job that keeps its worker busy, where one that is still starting could have them', limited, async t => {
    const folder = temporary(t);
    const pool = poolOf<typeof import('../fixtures/third-waits.ts')>(t, 'third-waits', { workers: 3, minWorkers: 3, stdio: 'ignore', workerData: folder });
    await so(() => pool.stats().workers.idle === 2);
    for (let n = 0; n < 200; n++) await pool.run(n); // quick jobs: from here on a second message goes behind the first
    const until = join(folder, 'let-go');
    const busy = [pool.run(until), pool.run(until)];
    await so(() => pool.stats().workers.busy === 2);
    const quick = [pool.run(1), pool.run(2)];
    await so(() => pool.stats().jobs.given >= 3); // where two wait for one worker, one may go behind another job
    assert.equal(pool.stats().jobs.waiting, 1);
    writeFileSync(join(folder, 'ready'), '');
    await Promise.race(quick);
    writeFileSync(until, '');
    assert.deepEqual(await Promise.all([...quick, ...busy]), [1, 2, until, until]);
  });

  it('of run() are spread over idle workers also while jobs that were put wait for a reader', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/calls.ts')>(t, 'calls', { workers: 2, minWorkers: 2, resultCapacity: 1, stdio: 'ignore' });
    for (let n = 0; n < 200; n++) await pool.run(n); // quick jobs: from here on many would travel in one message
    const reader = pool.results[Symbol.asyncIterator]();
    const first = reader.next();
    for (let n = 0; n < 50; n++) void pool.jobs.put(n);
    await first;
    await so(() => pool.results.size >= 1 && pool.stats().jobs.given === 0);
    assert.ok(pool.jobs.size > 0, 'some are held back');
    const file = join(temporary(t), 'let-go');
    const slow = pool.run({ do: 'wait for', file });
    assert.equal(await pool.run(3), 9); // it would wait behind the other one for ever
    writeFileSync(file, '');
    assert.equal(await slow, -1);
    await reader.return?.();
  });
});
