// A press of Ctrl-C takes the next step from where the pool is, whoever took the last one: the program itself, say.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { ProcessPool } from 'drainpool';
import { limited } from '../support/limits.ts';
import { assertSum, workPool } from '../support/pool.ts';
import type { Work } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

const FOR_EVER_MS = 600_000;

const program = (...args: string[]): Program => new Program(new URL('../fixtures/presses.js', import.meta.url), args);

describe('the first press on a pool', { concurrency: 2 }, () => {
  for (const [how, outcome] of [['interrupt', 'interrupted'], ['abort', 'interrupted'], ['terminate', 'terminated'], ['dispose', 'terminated']]) {
    it(`that the program ends by ${how}, with a worker that does not leave, is SIGKILL`, limited, async () => {
      const running = program(how ?? '');
      await running.says(/busy/);
      process.kill(running.pid, 'SIGUSR2'); // to the parent alone
      await running.says(/ending/);
      await running.press();
      const { stdout, stderr } = await running.ended;
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`${outcome}, 0 fulfilled, 1 lost`));
    });
  }

  it('that is to finish what runs, by interrupt(), takes the three steps; the second is SIGKILL', limited, async () => {
    const running = program('interrupt', '', 'finish');
    await running.says(/busy/);
    process.kill(running.pid, 'SIGUSR2'); // to the parent alone
    await running.says(/ending/);
    await running.press({ times: 2, gapMs: 300 });
    assert.match((await running.ended).stdout, /interrupted, 0 fulfilled, 1 lost/);
  });

  for (const how of ['interrupt', 'abort', 'terminate']) it(`that the program ends by ${how} in its own listener is one press, not two: what was done is kept`, limited, async () => {
    const running = program(how, 'by its own listener');
    await running.says(/busy/);
    await running.press({ times: 2 }); // as under npm
    assert.match((await running.ended).stdout, /(interrupted|terminated), 1 fulfilled, 0 lost/);
  });
});

describe('a signal of which a listener of the program ends the pool', () => {
  it('by interrupt(), before there is any worker, is the signal of the report', limited, async t => {
    let pool: ProcessPool<Work> | undefined;
    const end = (): void => void pool?.interrupt();
    process.on('SIGUSR2', end);
    t.after(() => process.off('SIGUSR2', end));
    pool = workPool(t, { interruptSignals: ['SIGUSR2'] });
    const joined = pool.join();
    const holding = setInterval(() => {}, 1000); // an idle pool does not
    t.after(() => clearInterval(holding));
    process.kill(process.pid, 'SIGUSR2');
    const { outcome, signal, exitCode } = await joined;
    assert.deepEqual([outcome, signal, exitCode], ['interrupted', 'SIGUSR2', 140]);
  });

  for (const [how, signal] of [['interrupt', 'SIGUSR2'], ['terminate', null]] as const) it(`by ${how}() is one press on the pool, which hears it next`, limited, async t => {
    const { stdio, said } = words(t);
    let pool: ProcessPool<Work> | undefined;
    const end = (): void => void pool?.[how]();
    process.on('SIGUSR2', end);
    t.after(() => process.off('SIGUSR2', end));
    pool = workPool(t, { workers: 1, stdio, interruptSignals: ['SIGUSR2'] });
    void pool.jobs.put({ do: 'abort-then-fulfil' });
    await said('waits for its signal');
    process.kill(process.pid, 'SIGUSR2');
    const report = await pool.join();
    assert.deepEqual([report.fulfilled, report.signal], [1, signal]);
  });
});

describe('terminate() of a pool that is ending already', { concurrency: 2 }, () => {
  const stuck = async (t: TestContext): Promise<ProcessPool<Work>> => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 2, stdio, graceMs: FOR_EVER_MS });
    for (let i = 0; i < 2; i++) void pool.jobs.put({ do: 'deaf', word: 'deaf now' });
    await said('deaf now', 2);
    return pool;
  };
  const firsts: Record<string, (pool: ProcessPool<Work>) => Promise<unknown>> = {
    'interrupt()': pool => pool.interrupt(),
    'terminate()': pool => pool.terminate(),
    'disposal': pool => pool[Symbol.asyncDispose](),
    'close()': async pool => pool.jobs.close(),
  };
  for (const [how, first] of Object.entries(firsts)) for (const graceMs of [0, 100]) {
    it(`by ${how}: the shorter grace counts, ${graceMs} ms`, limited, async t => {
      const pool = await stuck(t);
      void first(pool);
      const report = await pool.terminate({ graceMs });
      assertSum(report);
      assert.deepEqual([report.lost.length, report.workers.map(({ signal }) => signal)], [2, ['SIGKILL', 'SIGKILL']]);
    });
  }

  it('counts for workers that have survived SIGTERM already', limited, async t => {
    const pool = await stuck(t);
    let survivors = 0;
    const hear = (event: unknown): void => { if (Object(event).pool === pool && Object(event).step === 'SIGTERM') survivors++; };
    subscribe('drainpool:pool:terminating', hear);
    t.after(() => unsubscribe('drainpool:pool:terminating', hear));
    void pool.terminate();
    await until(() => survivors === 2);
    const report = await pool.terminate({ graceMs: 100 });
    assert.deepEqual(report.workers.map(({ signal }) => signal), ['SIGKILL', 'SIGKILL']);
  });

  it('does not make a grace longer', limited, async t => {
    const pool = await stuck(t);
    void pool.terminate({ graceMs: 100 });
    const report = await pool.terminate({ graceMs: FOR_EVER_MS });
    assert.deepEqual(report.workers.map(({ signal }) => signal), ['SIGKILL', 'SIGKILL']);
  });

  it('counts from then on for a worker that says only later that it leaves', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio, graceMs: FOR_EVER_MS });
    void pool.jobs.put({ do: 'deaf', word: 'deaf now' });
    await said('deaf now');
    const reports = [pool.terminate(), pool.terminate({ graceMs: 2000 }), pool.terminate({ graceMs: 1 })];
    for (const report of await Promise.all(reports)) assert.equal(report.workers[0]?.signal, 'SIGKILL');
  });
});
