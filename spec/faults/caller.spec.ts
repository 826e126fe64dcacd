// What a caller can do wrong, too late, twice or all at once: every promise settles, the sum holds, nobody is left.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { JobLostError, WorkerStartError } from 'drainpool';
import type { ProcessPool } from 'drainpool';
import { limited } from '../support/limits.ts';
import type { Faults } from '../support/faults.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { words } from '../support/words.ts';

type Pool = ProcessPool<Faults>;

const never = { fault: 'say and never' };

/** A pool with both workers in a job that never ends, and three good ones waiting. */
async function busy(t: TestContext): Promise<{ pool: Pool; nobodyIsLeft: () => Promise<string> }> {
  const { stdio, said, nobodyIsLeft } = words(t);
  const pool = poolOf<Faults>(t, 'faults', { workers: 2, stdio });
  for (let i = 0; i < 2; i++) void pool.jobs.put(never);
  for (let i = 0; i < 3; i++) void pool.jobs.put({ good: i });
  await said('started', 2);
  return { pool, nobodyIsLeft };
}

interface Ended {
  how: string;
  end: (t: TestContext) => Promise<ProcessPool<(job: number) => number>>;
  /** What `put` resolves to, or what it rejects with; what `run` rejects with. */
  put: boolean | RegExp;
  run: RegExp;
}

const echo = (t: TestContext, module = 'echo'): ProcessPool<(job: number) => number> => poolOf<(job: number) => number>(t, module, { workers: 2 });

const ended: Ended[] = [
  { how: 'was closed', put: /PoolClosedError/, run: /PoolClosedError/, end: async t => { const pool = echo(t); await pool.run(1); pool.jobs.close(); return pool; } },
  { how: 'was closed and joined', put: /PoolClosedError/, run: /PoolClosedError/, end: async t => { const pool = echo(t); await pool.run(1); await finish(pool); return pool; } },
  { how: 'was interrupted', put: false, run: /JobLostError.*interrupted/, end: async t => { const pool = echo(t); await pool.run(1); void pool.interrupt(); return pool; } },
  { how: 'was interrupted and is gone', put: false, run: /JobLostError.*interrupted/, end: async t => { const pool = echo(t); await pool.run(1); await pool.interrupt(); return pool; } },
  { how: 'was terminated', put: false, run: /JobLostError.*terminated/, end: async t => { const pool = echo(t); await pool.run(1); await pool.terminate(); return pool; } },
  { how: 'was interrupted before it had a job', put: false, run: /JobLostError.*interrupted/, end: async t => { const pool = echo(t); await pool.interrupt(); return pool; } },
  { how: 'was interrupted and closed', put: /PoolClosedError/, run: /JobLostError.*interrupted/, end: async t => { const pool = echo(t); void pool.interrupt(); pool.jobs.close(); return pool; } },
  { how: 'has failed', put: false, run: /WorkerStartError/, end: async t => { const pool = echo(t, 'throws'); await assert.rejects(pool.run(1), WorkerStartError); return pool; } },
];

describe('a pool that', { concurrency: 2 }, () => {
  for (const { how, end, put, run } of ended) {
    it(`${how} takes no job, says so, and starts nobody`, limited, async t => {
      const pool = await end(t);
      const before = pool.stats();
      for (const putting of [pool.jobs.put(7), pool.jobs.putAll([7, 8])]) {
        if (typeof put === 'boolean') assert.equal(Boolean(await putting), put);
        else await assert.rejects(putting, put);
      }
      for (let i = 0; i < 2; i++) await assert.rejects(pool.run(7), run);
      assert.deepEqual(pool.stats().jobs.submitted, before.jobs.submitted);
      const report = await pool.join().catch((error: unknown) => error instanceof WorkerStartError ? error.report : null).finally(() => pool.jobs.close());
      assert.ok(report !== null);
      assertSum(report);
    });
  }

  it('is closed, joined, interrupted and terminated at the same time ends once: all get one report, the first word counts', limited, async t => {
    const { pool, nobodyIsLeft } = await busy(t);
    const asked = [pool.join(), pool.interrupt(), pool.terminate({ graceMs: 100 }), pool.interrupt(), pool.terminate(), pool.join(), pool[Symbol.asyncDispose]().then(() => pool.join())];
    pool.jobs.close();
    const [report, ...others] = await Promise.all(asked);
    assert.ok(report !== undefined && others.every(other => other === report));
    assertSum(report);
    assert.deepEqual([report.outcome, report.lost.length, report.pending.length], ['interrupted', 2, 3]);
    await nobodyIsLeft();
  });

  it('is ended by a getter of the options of `run`, which is read once, rejects that call', limited, async t => {
    const { pool, nobodyIsLeft } = await busy(t);
    let reads = 0;
    await assert.rejects(pool.run({ good: 1 }, { get timeoutMs() { reads++; void pool.terminate(); return 1000; } }), JobLostError);
    assert.equal(reads, 1);
    assertSum(await pool.join());
    await nobodyIsLeft();
  });

  it('runs jobs when it is ended leaves no promise pending, of hundreds', limited, async t => {
    const { pool, nobodyIsLeft } = await busy(t);
    const calls = Array.from({ length: 300 }, (_, n) => pool.run({ good: n }));
    const puts = [pool.jobs.put({ good: 1 }), pool.jobs.putAll((function* () { for (let n = 0; ; n++) yield { good: n }; })())];
    await pool.interrupt();
    for (const call of calls) await assert.rejects(call, (error: unknown) => error instanceof JobLostError && error.fate === 'pending');
    await Promise.all(puts);
    await nobodyIsLeft();
  });
});

const inside: [how: string, act: (pool: Pool) => Promise<unknown> | void, outcome: string][] = [
  ['interrupts', pool => void pool.interrupt(), 'interrupted'],
  ['interrupts, and waits for,', pool => pool.interrupt(), 'interrupted'],
  ['terminates, and waits for,', pool => pool.terminate(), 'terminated'],
  ['disposes of', pool => pool[Symbol.asyncDispose](), 'terminated'],
  ['closes and joins', pool => { pool.jobs.close(); void pool.join(); return pool.terminate(); }, 'terminated'],
];

describe('a loop over the results that', { concurrency: 2 }, () => {
  for (const [how, act, outcome] of inside) {
    it(`${how} the pool from within gets a report, and ends by itself`, limited, async t => {
      const { stdio, said, nobodyIsLeft } = words(t);
      const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio });
      for (const job of [{ good: 0 }, { good: 1 }, never, { good: 3 }]) void pool.jobs.put(job);
      let read = 0;
      for await (const result of pool.results) {
        assert.equal(result.status, 'fulfilled');
        if (++read === 2) {
          await said('started');
          await act(pool);
        }
      }
      const report = await pool.join();
      assertSum(report);
      assert.deepEqual([report.outcome, read, report.lost.length, report.pending.length], [outcome, 2, 1, 1]);
      await nobodyIsLeft();
    });
  }

  it('throws leaves the rest of the results to whoever asks next', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', {});
    for (let n = 0; n < 10; n++) void pool.jobs.put({ good: n });
    const reading = (async () => { for await (const { id } of pool.results) throw new RangeError(`thrown at ${id}`); })();
    await assert.rejects(reading, RangeError);
    const { report, results } = await finish(pool);
    assert.deepEqual([report.fulfilled, results.length], [10, 9]);
  });

  it('throws in a program that has busy workers ends it with that error, and nobody is left', limited, async t => {
    const program = start(t, 'throws-in-the-loop', 'busy');
    await program.says(/^started/m, 2);
    process.kill(program.pid, 'SIGURG');
    const { code, stderr } = await program.ended;
    assert.equal(code, 1);
    assert.match(stderr, /Error: not echo/);
  });

  it('is one of two gets what the other does not, and both end', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', {});
    for (let n = 0; n < 100; n++) void pool.jobs.put({ good: n });
    pool.jobs.close();
    const read = async (): Promise<number[]> => {
      const ids: number[] = [];
      for await (const { id } of pool.results) ids.push(id);
      return ids;
    };
    const ids = await Promise.all([read(), read()]);
    assert.deepEqual(ids.flat().sort((a, b) => a - b), Array.from({ length: 100 }, (_, n) => n));
    assertSum(await pool.join());
  });

  it('puts what it finds, with jobs among it that fail, ends when the count of open jobs is zero', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', { workers: 2, resultCapacity: 2, jobCapacity: 2 });
    let open = 1;
    let rejected = 0;
    void pool.jobs.put({ good: 1 });
    for await (const { job, status } of pool.results) {
      if (status === 'rejected') rejected++;
      const n = 'good' in job ? job.good : 0;
      const found = [2 * n, 2 * n + 1].filter(next => next > 1 && next < 64);
      for (const good of found) await pool.jobs.put({ good });
      if (n % 16 === 1) await pool.jobs.put({ exit: 7 });
      open += found.length + (n % 16 === 1 ? 1 : 0) - 1;
      if (open === 0) pool.jobs.close();
    }
    const report = await pool.join();
    assertSum(report);
    assert.deepEqual([report.fulfilled, report.rejected, rejected], [63, 4, 4]);
  });
});

describe('a source that', { concurrency: 2 }, () => {
  const sources: Record<string, { source: () => Iterable<{ good: number }> | AsyncIterable<{ good: number }>; rejects?: RegExp; count?: number }> = {
    'throws half way': { source: function* () { yield { good: 0 }; yield { good: 1 }; throw new RangeError('half way'); }, rejects: /half way/ },
    'rejects half way': { source: async function* () { yield { good: 0 }; yield { good: 1 }; throw new RangeError('half way'); }, rejects: /half way/ },
    'is slow': { source: async function* () { for (let n = 0; n < 20; n++) { await new Promise(resolve => { setTimeout(resolve, 1); }); yield { good: n }; } }, count: 20 },
    'is empty': { source: () => [], count: 0 },
    'throws when it is asked for an iterator': { source: () => ({ [Symbol.iterator]() { throw new RangeError('no iterator'); } }), rejects: /no iterator/ },
    'throws at its first step': { source: () => ({ [Symbol.iterator]: () => ({ next() { throw new RangeError('no step'); } }) }), rejects: /no step/ },
  };
  for (const [what, { source, rejects, count }] of Object.entries(sources)) {
    it(`${what} leaves the pool at work, and what was put is done`, limited, async t => {
      const pool = poolOf<Faults>(t, 'faults', {});
      const putting = pool.jobs.putAll(source());
      if (rejects === undefined) assert.equal(await putting, count);
      else await assert.rejects(putting, rejects);
      assert.equal(await pool.run({ good: -1 }), -1);
      const { report } = await finish(pool);
      assert.equal(report.fulfilled, report.submitted);
    });
  }

  const returns: Record<string, () => Promise<IteratorResult<{ good: number }>>> = {
    'throws': () => { throw new Error('from return'); },
    'rejects': () => Promise.reject(new Error('from return')),
    'never settles': () => new Promise(() => {}),
  };
  for (const [what, atEnd] of Object.entries(returns)) {
    it(`never ends, with a return() that ${what}, is let go of by an interrupt`, limited, async t => {
      const pool = poolOf<Faults>(t, 'faults', { jobCapacity: 4 });
      let closed = 0;
      let n = 0;
      const step = (): Promise<IteratorResult<{ good: number }>> => Promise.resolve({ done: false, value: { good: n++ } });
      const iterator = { next: step, return() { closed++; return atEnd(); } };
      const putting = pool.jobs.putAll({ [Symbol.asyncIterator]: () => iterator });
      await pool.run({ good: -1 });
      const report = await pool.interrupt();
      assertSum(report);
      assert.deepEqual([await putting, closed], [report.submitted - 1, 1]);
    });
  }
});

describe('a program', () => {
  for (const how of ['never', 'busy'] as const) {
    it(`with pools in the workers of a pool, their workers ${how === 'busy' ? 'busy' : 'waiting'}, is ended by Ctrl-C: nobody is left, and no stack trace`, limited, async t => {
      const program = start(t, 'nested', how);
      await program.says(new RegExp(`^started ${how}`, 'm'), 2);
      await program.press();
      const { code, stdout, stderr } = await program.ended;
      assert.deepEqual([code, stderr], [130, '']);
      assert.match(stdout, /^interrupted, 0 fulfilled$/m);
    });
  }

  it('with pools in the workers of a pool, which nobody closes, ends, and so do they', limited, async t => {
    const { code, stdout, stderr } = await start(t, 'nested', 'echo').ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^completed, 3 fulfilled$/m);
  });

  it('with fifty pools at work is ended by one Ctrl-C, without a warning', limited, async t => {
    const program = start(t, 'fifty');
    await program.says(/^started/m, 50);
    await program.press();
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([code, stderr], [130, '']);
    assert.match(stdout, /^50 interrupted$/m);
  });

  it('that drops pools, and results that nobody ever reads, ends', limited, async t => {
    const { code, stdout, stderr } = await start(t, 'dropped').ended;
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
  });
});

/** A program of fixtures/faults-caller.ts. When it has ended, nobody holds its streams. */
function start(t: TestContext, ...args: string[]): Program {
  const program = new Program(new URL('../fixtures/faults-caller.js', import.meta.url), args);
  t.after(() => program.kill('SIGKILL'));
  return program;
}
