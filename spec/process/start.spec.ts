// Starting and leaving: setup and teardown, once in each worker, and what becomes of a pool whose workers cannot start.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { WorkerStartError } from 'drainpool';
import type { Life } from '../fixtures/life.ts';
import { Program } from '../support/program.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { turns } from '../support/turns.ts';
import { words } from '../support/words.ts';

type LifeModule = typeof import('../fixtures/life.ts');

describe('setup', { concurrency: 2 }, () => {
  it('runs once in each worker, before its first job, with `workerData`', async t => {
    const workerData: Life = { greeting: 'hello', list: [1, { deep: new Map([[1, 2]]) }] };
    const pool = poolOf<LifeModule>(t, 'life', { workers: 2, workerData });
    const replies = await Promise.all(Array.from({ length: 6 }, () => pool.run('reply')));
    for (const reply of replies) assert.deepEqual(reply, { setups: 1, workerData });
    await finish(pool);
  });

  it('gets a `workerData` of 5 MB', async t => {
    const workerData: Life = { greeting: 'x'.repeat(5_000_000) };
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, workerData });
    assert.deepEqual(await pool.run('reply'), { setups: 1, workerData });
  });

  it('that is still running when the pool ends is not waited for', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 2, stdio, workerData: { setup: 'for ever' } satisfies Life });
    void pool.jobs.put('reply');
    await said('setting up');
    const report = await pool.interrupt();
    assertSum(report);
    assert.deepEqual([report.outcome, report.pending], ['interrupted', ['reply']]);
    assert.deepEqual(report.workers.map(({ exitCode }) => exitCode), [0]);
  });

  it('that blocks when the pool ends is ended by SIGTERM', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, stdio, workerData: { setup: 'blocking' } satisfies Life });
    void pool.jobs.put('reply');
    await said('setting up');
    const report = await pool.terminate();
    assert.deepEqual(report.workers.map(({ signal }) => signal), ['SIGTERM']);
  });

  for (const setup of ['throw when stopped', 'done when stopped'] as const) it(`that is over just when the pool ends changes nothing: ${setup}`, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, stdio, workerData: { setup } satisfies Life });
    void pool.jobs.put('reply');
    await said('setting up');
    const report = await pool.terminate();
    assert.deepEqual([report.outcome, report.pending, report.workers[0]?.exitCode], ['terminated', ['reply'], 0]);
  });
});

describe('teardown', { concurrency: 2 }, () => {
  it('runs once in each worker, at the sentinel and at stop', async t => {
    for (const end of ['close', 'terminate'] as const) {
      const { stdio, said } = words(t);
      const workers = end === 'close' ? 2 : 1;
      const pool = poolOf<LifeModule>(t, 'life', { workers, stdio });
      await Promise.all([pool.run('spin'), pool.run('spin')]);
      if (end === 'close') pool.jobs.close();
      else void pool.terminate();
      const report = await pool.join();
      await said('tearing down', workers);
      assert.deepEqual(report.workers.map(({ exitCode }) => exitCode), Array.from({ length: workers }, () => 0));
    }
  });

  it('that throws is told by the report, and the worker exits with 1', async t => {
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, workerData: { teardown: 'throw' } satisfies Life, stdio: 'ignore' });
    await pool.run('reply');
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.workers[0]?.exitCode], ['completed', 1]);
    assert.match(String(report.workers[0]?.error), /RangeError: torn/);
  });

  it('has `graceMs`, also at a normal end: then SIGKILL', async t => {
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, graceMs: 50, workerData: { teardown: 'for ever' } satisfies Life, stdio: 'ignore' });
    await pool.run('reply');
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.workers[0]?.signal, report.fulfilled], ['completed', 'SIGKILL', 1]);
  });

  it('is not begun again by a stop that comes while it runs', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, workerData: { teardown: 'until stopped' } satisfies Life, stdio });
    await pool.run('reply');
    pool.jobs.close();
    await said('tearing down');
    const report = await pool.terminate();
    assert.deepEqual([report.outcome, report.workers[0]?.exitCode], ['terminated', 0]);
    assert.equal((await said('tearing down')).split('tearing down').length, 2);
  });

  it('has the grace that terminate is given', async t => {
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, workerData: { teardown: 'for ever' } satisfies Life, stdio: 'ignore' });
    await pool.run('reply');
    const report = await pool.terminate({ graceMs: 50 });
    assert.equal(report.workers[0]?.signal, 'SIGKILL');
  });

  it('does not run in a worker that is busy in a loop: it gets SIGTERM, and SIGKILL where that is an interrupt signal', async t => {
    for (const [interruptSignals, signal] of [[['SIGINT'], 'SIGTERM'], [['SIGINT', 'SIGTERM'], 'SIGKILL']] as const) {
      const { stdio, said } = words(t);
      const pool = poolOf<LifeModule>(t, 'life', { workers: 1, stdio, interruptSignals });
      void pool.jobs.put('busy');
      await said('busy');
      const report = await pool.terminate();
      assert.deepEqual([report.workers[0]?.signal, report.lost], [signal, ['busy']]);
    }
  });

  it('is not cut short by SIGKILL for a worker that survives SIGTERM until its grace is over', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, stdio, graceMs: 100 });
    void pool.jobs.put('busy, deaf to SIGTERM');
    await said('busy');
    const report = await pool.terminate();
    assert.equal(report.workers[0]?.signal, 'SIGKILL');
  });
});

const failures: [name: string, module: string, message: RegExp, cause: RegExp][] = [
  ['is missing', 'missing', /its module cannot be imported \(file:.*missing\.js\): Error.*Cannot find module/, /Cannot find module/],
  ['throws at import', 'throws', /its module cannot be imported.*RangeError: thrown at import/, /RangeError: thrown at import/],
  ['exports nothing usable', 'exports-nothing', /its module exports nothing usable.*must export a default function or a function `worker`: found answer/, /TypeError/],
  ['exports nothing at all', 'exports-none', /found no exports/, /TypeError/],
  ['exports a `setup` that is none', 'exports-setup', /its `setup` must be a function: found number/, /TypeError/],
  ['exports a `teardown` that is none', 'exports-teardown', /its `teardown` must be a function: found string/, /TypeError/],
  ['has a `setup` that throws', 'setup-throws', /its `setup` threw.*Error: no database/, /Error: no database/],
];

describe('a worker module that', { concurrency: 2 }, () => {
  for (const [name, module, message, cause] of failures) {
    it(`${name} fails the pool at once, with twenty jobs waiting and four workers`, async t => {
      const pool = poolOf<(job: number) => number>(t, module, { workers: 4 });
      for (let n = 0; n < 20; n++) void pool.jobs.put(n);
      const reading = (async () => { for await (const result of pool.results) assert.fail(JSON.stringify(result)); })();
      const running = pool.run(20);
      const error = await pool.join().then(() => undefined, (reason: unknown) => reason);
      assert.ok(error instanceof WorkerStartError);
      assert.match(error.message, message);
      assert.match(String(error.cause), cause);
      await assert.rejects(reading, error);
      await assert.rejects(running, error);
      await assert.rejects(pool.run(21), error);
      assert.ok(error.report !== null);
      assertSum(error.report);
      assert.deepEqual([error.report.outcome, error.report.error, error.report.exitCode, error.report.pending.length], ['failed', error, 1, 21]);
      assert.ok(error.report.workers.length <= 4, 'no process was started after the first failure was known');
      assert.equal(await pool.jobs.put(22), false);
    });
  }

  it('ends wordless before it is ready is tried again three times, and then fails the pool', async t => {
    const pool = poolOf<(job: number) => number>(t, 'exits', { workers: 2 });
    for (let n = 0; n < 4; n++) void pool.jobs.put(n);
    const error = await pool.join().then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError);
    assert.match(error.message, /ends before it is ready, 4 times in a row, with exit code 9/);
    const exitCodes = error.report?.workers.map(({ exitCode }) => exitCode) ?? [];
    assert.ok(exitCodes.length >= 4 && exitCodes.length <= 8, 'two workers were tried four times at most, at once or one after the other');
    assert.deepEqual(exitCodes.slice(0, 4), [9, 9, 9, 9]);
  });

  it('is killed before it is ready is replaced', async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<LifeModule>(t, 'life', { workers: 1, stdio, workerData: { setup: 'for ever' } satisfies Life });
    const running = pool.run('reply');
    const [, pid] = /setting up in (\d+);/.exec(await said('setting up')) ?? [];
    process.kill(Number(pid), 'SIGKILL');
    await said('setting up', 2);
    await pool.terminate();
    await assert.rejects(running, { fate: 'pending' });
    assert.equal(pool.stats().workers.replaced, 1);
  });

  it('can be started nowhere, as its working directory is missing, fails the pool after six tries', async t => {
    const pool = poolOf<(job: number) => number>(t, 'echo', { cwd: '/does/not/exist' });
    void pool.jobs.put(1);
    const error = await pool.join().then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError);
    assert.match(String(error.cause), /ENOENT/);
    assert.deepEqual(error.report?.workers, []);
  });

  it('cannot be started with a stream that was closed since fails the pool at once', async t => {
    const { stdin } = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
    const pool = poolOf<(job: number) => number>(t, 'echo', { stdio: ['ignore', stdin, 'inherit'] });
    stdin.destroy();
    const running = pool.run(1);
    await assert.rejects(running, /WorkerStartError: Cannot start a worker: TypeError/);
  });

  it('cannot be started at all, as its environment is too large, fails the pool after six tries', async t => {
    const pool = poolOf<(job: number) => number>(t, 'echo', { env: { LARGE: 'x'.repeat(10_000_000) } });
    void pool.jobs.put(1);
    const error = await pool.join().then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError);
    assert.match(String(error.cause), /E2BIG/);
  });

  it('fails a pool with a job under way leaves no rejection unhandled, where `run` was handled', async t => {
    const pool = poolOf<(job: number) => number>(t, 'first-only', { workers: 2, workerData: `${process.pid}-${Math.random()}` });
    const settled = await Promise.allSettled([pool.run(60_000), pool.run(60_000)]);
    assert.deepEqual(settled.map(({ status }) => status), ['rejected', 'rejected']);
    for (const each of settled) assert.ok('reason' in each && each.reason instanceof WorkerStartError);
    await turns();
  });

  it('fails a pool that nobody joins is an unhandled rejection, never silence', async () => {
    const { code, stderr } = await new Program(new URL('../fixtures/nobody-asks.js', import.meta.url)).ended;
    assert.equal(code, 1);
    assert.match(stderr, /WorkerStartError: Cannot start a worker as its module cannot be imported/);
  });

  it('fails a pool of `await using` does not make the disposal reject', async t => {
    const pool = poolOf<(job: number) => number>(t, 'throws');
    await assert.rejects(pool.run(1), WorkerStartError);
    await pool[Symbol.asyncDispose]();
  });
});
