// Workers that hear nothing, or never get ready: a pool ends all the same, within `graceMs`.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { PoolOptions, ProcessPool } from 'drainpool';
import { limited } from '../support/limits.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { turns } from '../support/turns.ts';
import { words } from '../support/words.ts';

type StuckLoops = typeof import('../fixtures/stuck-loops.ts');
type Spins = ProcessPool<(job: 'reply' | 'go deaf' | 'wait') => string>;

const graceMs = 300;

const pidIn = (text: string, word: string): number => Number(new RegExp(`${word} in (\\d+);`).exec(text)?.[1]);

/** A file that is not there yet, and will be gone after the test. */
function freshFile(t: TestContext): string {
  const file = join(tmpdir(), `drainpool-${randomUUID()}`);
  t.after(() => rmSync(file, { force: true }));
  return file;
}


const spins = (t: TestContext, query: string, options: PoolOptions): Spins => poolOf(t, `spins.js${query}`, { graceMs, ...options });

describe('a worker that never gets ready', { concurrency: 2 }, () => {
  for (const query of ['', '?blocks']) for (const others of [1, 3]) {
    it(`does not keep a pool that is to finish what runs: ${others} of them${query === '' ? '' : ', in a busy loop'}`, limited, async t => {
      const { stdio, said } = words(t);
      const pool = spins(t, query, { workers: 1 + others, stdio, interruptPolicy: 'finish', workerData: freshFile(t), chunkSize: 1 });
      for (let n = 0; n < 10; n++) void pool.jobs.put('wait');
      const text = await said('stuck', others);
      await said('waiting');
      const interrupted = pool.interrupt();
      process.kill(pidIn(await said('waiting'), 'waiting'), 'SIGWINCH');
      const report = await interrupted;
      assertSum(report);
      assert.deepEqual([report.outcome, report.fulfilled, report.pending.length], ['interrupted', 1, 9], text);
    });
  }

  it('does not keep a program at a real Ctrl-C', async () => {
    const program = new Program(new URL('../fixtures/stuck-start.js', import.meta.url));
    await program.says(/stuck/);
    await program.press();
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([code, stderr], [130, '']);
    assert.match(stdout, /interrupted, 3 pending/);
  });
});

describe('a worker that goes deaf after its job', { concurrency: 2 }, () => {
  for (const query of ['', '?loop']) {
    const what = query === '' ? 'a work function' : 'a manual loop';
    it(`is ended within \`graceMs\` of its sentinel: ${what}`, limited, async t => {
      const { stdio, said, nobodyIsLeft } = words(t);
      const pool = spins(t, query, { workers: 1, stdio });
      void pool.jobs.put('go deaf');
      await said('deaf');
      const { report } = await finish(pool);
      assert.deepEqual([report.outcome, report.fulfilled, report.workers[0]?.signal], ['completed', 1, 'SIGKILL']);
      await nobodyIsLeft();
    });

    it(`that is told to leave as it is idle makes room for another one: ${what}`, limited, async t => {
      const { stdio, said } = words(t);
      const pool = spins(t, query, { workers: 1, stdio, idleTimeoutMs: 200 });
      void pool.jobs.put('go deaf');
      await said('deaf');
      await setTimeout(400); // the pool's own timer was set before: it was told to leave
      void pool.jobs.put('reply');
      const { report } = await finish(pool);
      assert.deepEqual([report.outcome, report.fulfilled], ['completed', 2]);
    });
  }

  it('costs a call its own timeout, and no more, where it looked idle', limited, async t => {
    const { stdio, said } = words(t);
    const pool = spins(t, '', { workers: 1, stdio });
    assert.equal(await pool.run('go deaf'), 'go deaf');
    await said('deaf');
    await assert.rejects(pool.run('reply', { timeoutMs: 50 }), { code: 'ERR_JOB_TIMEOUT' });
    assert.equal(await pool.run('reply'), 'reply');
    await finish(pool);
  });

  it('is ended also where it was told to leave before it was ready', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<typeof import('../fixtures/second-late.ts')>(t, 'second-late', { workers: 2, minWorkers: 2, stdio, graceMs, workerData: freshFile(t) });
    void pool.jobs.put('wait');
    const text = await said('second').then(() => said('wait in'));
    pool.jobs.close();
    await turns(2); // both have been sent their sentinels
    process.kill(pidIn(text, 'second'), 'SIGWINCH');
    await said('deaf');
    process.kill(pidIn(text, 'wait'), 'SIGWINCH');
    const report = await pool.join();
    assert.deepEqual([report.outcome, report.fulfilled, report.workers.map(({ signal }) => signal).sort()], ['completed', 1, ['SIGKILL', null]]);
  });

  it('is ended when it does not read a large job that it is sent: another one does it', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<(job: unknown) => unknown>(t, 'spins', { workers: 1, stdio, timeoutMs: 60_000 });
    await pool.run('go deaf');
    await said('deaf');
    const bytes = new Uint8Array(3_000_000).fill(7);
    const running = pool.run(bytes);
    pool.jobs.close();
    assert.deepEqual(await running, bytes);
    assertSum(await pool.join());
  });

  it('is not confused with a manual loop that prepares itself before it asks for a job', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<StuckLoops>(t, 'stuck-loops', { workers: 1, minWorkers: 1, stdio, workerData: 'prepares' });
    await said('preparing');
    pool.jobs.close();
    assert.deepEqual((await pool.join()).workers.map(({ exitCode }) => exitCode), [0]);
    await said('came to its end');
  });

  for (const crossing of [0, 1, 2, 3]) it(`is ended by a terminate() that crosses its word that it has read the sentinel, ${crossing} turns after close()`, limited, async t => {
    const { stdio } = words(t);
    const pool = poolOf<StuckLoops>(t, 'stuck-loops', { workers: 2, stdio, graceMs, workerData: 'spins behind the sentinel' });
    for (let n = 0; n < 4; n++) void pool.jobs.put(n);
    for await (const { id } of pool.results) if (id === 3) break;
    pool.jobs.close();
    await turns(crossing);
    const report = await pool.terminate();
    assertSum(report);
    assert.equal(report.outcome, 'terminated');
  });

  it('is ended by a terminate() that a blocked parent sends before it hears that', limited, async t => {
    const { stdio, said } = words(t);
    const pool = poolOf<StuckLoops>(t, 'stuck-loops', { workers: 1, stdio, graceMs, workerData: 'spins behind the sentinel' });
    void pool.jobs.put(1);
    pool.jobs.close();
    const behind = said('behind');
    for await (const { id } of pool.results) if (id === 0) break;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500); // meanwhile the loop is behind its sentinel, and has said so
    const ended = pool.terminate();
    await behind;
    assert.equal((await ended).outcome, 'terminated');
  });

  it('is not confused with a manual loop that takes its time after that takes its time after the sentinel', limited, async t => {
    const { stdio, said } = words(t);
    const pool = spins(t, '?loop&sums', { workers: 1, stdio, graceMs: 1000 });
    void pool.jobs.put('reply');
    pool.jobs.close();
    const pid = pidIn(await said('summing'), 'summing');
    await setTimeout(1200); // the pool's own timer of `graceMs` was set before
    process.kill(pid, 'SIGWINCH');
    await pool.join().then(assertSum);
    assert.deepEqual(pool.results.drain().map(result => 'value' in result && result.value), ['reply', 'sum']);
  });
});
