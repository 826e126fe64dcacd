// Workers that die in vain: before they are ready, or ready and without a job. They are tried again with growing pauses, and no more often
// than starts.ts says: no storm of processes, and no healthy pool that fails for it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { WorkerStartError } from 'drainpool';
import { node } from '../../lib/node.ts';
import { Starts } from '../../lib/parent/starts.ts';
import type { Death } from '../fixtures/dies-in-vain.ts';
import { limited } from '../support/limits.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { words } from '../support/words.ts';

type Dying = typeof import('../fixtures/dies-in-vain.ts');

const started = (text: string): number => text.split('started;').length - 1;

describe('a pool whose workers die before they are ready', { concurrency: 2 }, () => {
  for (const [signal, most] of [['SIGSEGV', 4], ['SIGKILL', 7]] as const) { // what other signals count as, the unit below shows
    for (const [where, module] of [['at import', 'dies-at-import'], ['in `setup`', 'dies-in-vain']] as const) {
      it(`by ${signal} ${where} fails after ${most} tries, and names the signal`, limited, async t => {
        const { stdio: [, stdout], nobodyIsLeft } = words(t);
        const pool = poolOf<Dying>(t, module, { workers: 4, stdio: ['ignore', stdout, 'ignore'], env: { ...process.env, DIES_BY: signal }, workerData: { when: 'setup', how: signal } });
        const error = await pool.run(1).catch((reason: unknown) => reason);
        assert.ok(error instanceof WorkerStartError);
        assert.match(error.message, new RegExp(`before it is ready, ${most} times in a row, by ${signal}`));
        const report = await pool.join().catch(() => error.report);
        assert.ok(report !== null);
        assertSum(report);
        assert.equal(report.workers.length, most, 'a single job: one worker at a time');
        assert.equal(started(await nobodyIsLeft()), most);
      });
    }
  }

  it('starts all of them once, and then one by one', limited, async t => {
    const { stdio: [, stdout], nobodyIsLeft } = words(t);
    const pool = poolOf<Dying>(t, 'dies-in-vain', { workers: 8, stdio: ['ignore', stdout, 'ignore'], workerData: { when: 'setup', how: 'SIGKILL' } });
    for (let n = 0; n < 50; n++) void pool.jobs.put(n);
    await assert.rejects(pool.join(), WorkerStartError);
    assert.ok(started(await nobodyIsLeft()) <= 8 + 6, 'eight of the first round, and six more');
  });
});

describe('a pool whose workers die ready, without a job,', { concurrency: 2 }, () => {
  for (const [how, most] of [['exit', 3], ['SIGSEGV', 3], ['SIGKILL', 7]] as const) {
    it(`by ${how} fails after ${most} rounds, where nothing is done meanwhile`, limited, async t => {
      const { stdio: [, stdout], nobodyIsLeft } = words(t);
      const pool = poolOf<Dying>(t, 'dies-in-vain', { workers: 3, minWorkers: 1, stdio: ['ignore', stdout, 'ignore'], workerData: { when: 'ready', how } });
      const error = await pool.join().catch((reason: unknown) => reason);
      assert.ok(error instanceof WorkerStartError, String(error));
      assert.match(error.message, new RegExp(`${most} workers in a row left without having finished a job, the last one ${how === 'exit' ? 'with exit code 7' : `by ${how}`}`));
      assert.equal(started(await nobodyIsLeft()), most);
    });
  }

  it('goes on where jobs are done meanwhile: eight warm workers that leave idle, and a job now and then', limited, async t => {
    const pool = poolOf<Dying>(t, 'dies-in-vain', { workers: 8, minWorkers: 8, stdio: 'ignore', workerData: { when: 'ready', how: 'exit', afterMs: 100 } satisfies Death });
    let done = 0;
    for (let n = 0; n < 40; n++) {
      done += await pool.run(n).then(() => 1, (reason: unknown) => { assert.equal(Object(reason).code, 'ERR_WORKER_EXIT'); return 0; });
      await setTimeout(50);
    }
    assert.ok(done > 0);
    const report = await pool.terminate();
    assertSum(report);
    assert.equal(report.outcome, 'terminated');
  });
});

describe('a pool with a worker that works', { concurrency: 2 }, () => {
  it('starts others although one that was tried again is stuck in its start', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<typeof import('../fixtures/nth-start.ts')>(t, 'nth-start', { workers: 3, stdio, graceMs: 300, workerData: `${process.pid}-${Math.random()}` });
    assert.deepEqual(await Promise.all([pool.run('a'), pool.run('b'), pool.run('c')]), ['a', 'b', 'c'], 'the first died, the second is stuck');
    await said('stuck');
    assert.equal((await finish(pool)).report.outcome, 'completed');
  });

  it('does not fail for others that cannot start, though it has nothing to do itself', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<typeof import('../fixtures/first-starts.ts')>(t, 'first-starts', { workers: 2, minWorkers: 2, stdio, workerData: `${process.pid}-${Math.random()}` });
    await said('failing', 5); // more than would fail a pool
    assert.equal(await pool.run('reply'), 'reply');
    assert.equal((await finish(pool)).report.outcome, 'completed');
  });

  it('does not fail for others that cannot start', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<typeof import('../fixtures/first-starts.ts')>(t, 'first-starts', { workers: 3, stdio, workerData: `${process.pid}-${Math.random()}` });
    const long = pool.run('wait');
    const others = ['reply', 'reply'].map(job => pool.run(job));
    const text = await said('failing', 6); // more than would fail a pool
    process.kill(Number(/waiting in (\d+);/.exec(text)?.[1]), 'SIGWINCH');
    assert.deepEqual(await Promise.all([long, ...others]), ['wait', 'reply', 'reply']);
    assert.equal((await finish(pool)).report.outcome, 'completed');
  });
});

describe('a pool whose workers die ready, and that has a long job at last,', { concurrency: 2 }, () => {
  it('goes on with the worker that has it, though others of the same round die', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<typeof import('../fixtures/dies-idle.ts')>(t, 'dies-idle', { workers: 2, minWorkers: 2, stdio });
    await said('died', 3); // a round of two, and one of the next: with two more rounds the pool would fail
    const long = pool.run('long');
    await said('died', 9);
    process.kill(Number(/long in (\d+);/.exec(await said('long'))?.[1]), 'SIGWINCH');
    assert.equal(await long, 'long');
  });
});

describe('Starts', () => {
  const death = (round: number, livedMs = 0): { round: number; wasReady: boolean; livedMs: number } => ({ round, wasReady: false, livedMs });

  it('begins anew with a worker that had lived for a minute', () => {
    const starts = new Starts(node, [], () => {});
    for (let nth = 0; nth < 20; nth++) {
      assert.equal(starts.died(death(starts.round, 60_001), 'SIGKILL'), false);
      assert.equal(starts.crashStreak, 1);
    }
    starts.end();
  });

  it('counts refusals of the machine anew where a worker came or went', () => {
    const starts = new Starts(node, [], () => {});
    for (let nth = 0; nth < 4; nth++) {
      for (let tries = 0; tries < 5; tries++) assert.equal(starts.refused(false), true);
      starts.resetRefusals();
      assert.deepEqual([starts.refusals, starts.arePaused], [0, false]);
    }
    for (const isTried of [true, true, true, true, true, false]) assert.equal(starts.refused(false), isTried);
    starts.end();
  });

  for (const [signals, most] of [[[null, 'SIGSEGV', 'SIGABRT', 'SIGILL', 'SIGBUS', 'SIGFPE', 'SIGSYS', 'SIGTRAP'], 4], [['SIGKILL', 'SIGTERM', 'SIGHUP'], 7]] as const) {
    for (const signal of signals) it(`has ${most} rounds in a row as too many, where workers die ${signal === null ? 'by themselves' : `by ${signal}`}`, () => {
      const starts = new Starts(node, ['SIGINT'], () => {});
      for (let nth = 1; nth <= most; nth++) assert.equal(starts.died(death(starts.round), signal), nth === most);
      starts.end();
    });
  }

  it('tries again at once after an interrupt signal, and twenty times in a row', () => {
    const starts = new Starts(node, ['SIGINT', 'SIGUSR2'], () => {});
    for (let nth = 1; nth < 20; nth++) {
      assert.equal(starts.died(death(starts.round), 'SIGUSR2'), false);
      assert.equal(starts.arePaused, false);
    }
    assert.equal(starts.died(death(starts.round), 'SIGINT'), true);
  });

  it('counts those of one round once, and begins anew after progress', async () => {
    let resume = (): void => {};
    const resumed = new Promise<void>(resolve => { resume = resolve; });
    const starts = new Starts(node, [], resume);
    for (let nth = 0; nth < 10; nth++) assert.equal(starts.died(death(0), null), false);
    assert.deepEqual([starts.round, starts.crashStreak, starts.arePaused], [1, 1, true]);
    const hold = globalThis.setTimeout(() => {}, 60_000); // its own timer holds no event loop
    await resumed;
    clearTimeout(hold);
    assert.equal(starts.arePaused, false);
    starts.progressed();
    for (const isLast of [false, false, false, true]) assert.equal(starts.died(death(starts.round), 'SIGBUS'), isLast);
    starts.end();
  });
});
