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
import { limited } from './support/faults.ts';
import { assertSum, finish, poolOf } from './support/pool.ts';
import { Program } from './support/program.ts';
import { words } from './support/words.ts';

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
    const program = new Program(new URL('./fixtures/stuck-start.js', import.meta.url));
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

  it('is not confused with a manual loop that takes its time after the sentinel', limited, async t => {
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
