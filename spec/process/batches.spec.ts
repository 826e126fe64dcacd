// How many jobs travel in one message, and that nobody can tell from outside.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { ProcessPool, WorkerExitError } from 'drainpool';
import type { PoolOptions, Result } from 'drainpool';
import { BatchSize } from '../../lib/parent/batch-size.ts';
import type { Job } from '../fixtures/chunks.ts';
import { assertSum, finish, poolOf, workPool } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { temporary } from '../support/folder.ts';
import { words } from '../support/words.ts';

type Module = typeof import('../fixtures/chunks.ts');

const TINY_MS = 0.001;
const PLENTY = 1e9;
/** How many jobs go one by one at first. */
const FIRST_JOBS = 64;

const poolOfBatchSize = (t: TestContext, options: PoolOptions = {}): ProcessPool<Module> => poolOf<Module>(t, 'chunks', { workers: 1, stdio: ['ignore', 'inherit', 'ignore'], ...options });
const jobs = (count: number, faults: Record<number, Job['do']> = {}): Job[] => Array.from({ length: count }, (_, n) => ({ n, ...faults[n] && { do: faults[n] } }));
const isFulfilled = ({ status }: Result<unknown, unknown>): boolean => status === 'fulfilled';
const rejectedIds = (results: Result<unknown, unknown>[]): number[] => results.filter(result => !isFulfilled(result)).map(({ id }) => id);

/** Has auto learned that jobs are tiny? From then on a few hundred of them travel together. */
async function warm(pool: ProcessPool<Module>): Promise<number> {
  await pool.jobs.putAll(jobs(1000));
  let count = 0;
  for await (const _ of pool.results) if (++count === 1000) break;
  return count;
}

function startsIn(t: TestContext): { file: string; counts: () => Map<number, number> } {
  const folder = temporary(t);
  const file = join(folder, 'started');
  const counts = (): Map<number, number> => {
    const starts = new Map<number, number>();
    for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) starts.set(Number(line), (starts.get(Number(line)) ?? 0) + 1);
    return starts;
  };
  return { file, counts };
}

/** The sizes of messages, one after the other, when each job takes so long. */
function sizes(chunks: BatchSize, messages: number, jobMs: number): number[] {
  return Array.from({ length: messages }, () => {
    const size = chunks.size(PLENTY, 2, false);
    chunks.observe(size, size * jobMs);
    return size;
  });
}

describe('BatchSize', () => {
  it('sends the first jobs one by one, and from then on at most twice as many, up to 1,024', () => {
    const all = sizes(new BatchSize('auto'), FIRST_JOBS + 13, TINY_MS);
    assert.deepEqual(all.slice(0, FIRST_JOBS), new Array(FIRST_JOBS).fill(1));
    assert.deepEqual(all.slice(FIRST_JOBS), [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
  });

  it('holds a message to some 5 ms of work', () => {
    assert.deepEqual(sizes(new BatchSize('auto'), 200, 0.1).at(-1), 50);
    assert.deepEqual(sizes(new BatchSize('auto'), 200, 1).at(-1), 5);
  });

  it('sends long jobs alone', () => assert.deepEqual(new Set(sizes(new BatchSize('auto'), 200, 2.5)), new Set([1])));

  it('takes no more than an even share of what waits, half of it for each worker, and never less than one', () => {
    const chunks = new BatchSize('auto');
    sizes(chunks, 200, TINY_MS);
    assert.deepEqual([chunks.size(4000, 2, false), chunks.size(40, 2, false), chunks.size(3, 2, false), chunks.size(0, 2, false)], [1000, 10, 1, 1]);
  });

  it('takes larger shares for many workers while there is more than may wait', () => {
    const chunks = new BatchSize('auto');
    sizes(chunks, 200, TINY_MS);
    assert.deepEqual([chunks.size(8000, 64, true), chunks.size(8000, 64, false), chunks.size(40, 2, true)], [1000, 62, 10]);
  });

  it('is not upset by one long job: it does not travel alone for a thousand tiny ones', () => {
    const chunks = new BatchSize('auto');
    sizes(chunks, 200, TINY_MS);
    chunks.observe(1, 10_000);
    assert.ok(chunks.size(PLENTY, 2, false) > 50);
    assert.equal(sizes(chunks, 30, TINY_MS).at(-1), 1024);
  });

  it('learns within a few messages that jobs have become long', () => {
    const chunks = new BatchSize('auto');
    sizes(chunks, 200, TINY_MS);
    assert.equal(sizes(chunks, 30, 100).at(-1), 1);
  });

  it('copes with jobs that take no time at all', () => assert.equal(sizes(new BatchSize('auto'), 200, 0).at(-1), 1024));

  it('keeps to a fixed size, whatever waits and however long it takes', () => {
    const chunks = new BatchSize(7);
    assert.deepEqual(new Set(sizes(chunks, 100, 100)), new Set([7]));
    assert.equal(chunks.size(1, 8, false), 7);
  });

  it('has a second message under way to a worker while jobs take less than 4 ms, and not before it knows', () => {
    const chunks = new BatchSize('auto');
    assert.equal(chunks.window, 1);
    chunks.observe(1, 1);
    assert.equal(chunks.window, 2);
    sizes(chunks, 30, 10);
    assert.equal(chunks.window, 1);
  });
});

describe('chunkSize', { concurrency: 2, timeout: 240_000 }, () => {
  for (const chunkSize of [1, 7, 'auto'] as const) {
    it(`${chunkSize} gives the same results as any other: jobs and values are snapshots, and errors stay with their job`, async t => {
      const pool = poolOfBatchSize(t, { workers: 2, chunkSize });
      const shared = { list: [0] };
      const faults: Record<number, Job['do']> = { 501: 'return a function', 700: 'throw a function', 900: 'return a large one', 1203: 'return a large one', 1204: 'exit', 1500: 'throw late' };
      await pool.jobs.putAll(jobs(2000, faults).map(job => ({ ...job, ...job.n % 2 === 1 && { shared }, ...job.n % 400 === 2 && { bytes: new Uint8Array(300_000).fill(1) } })));
      const { report, results } = await finish(pool);
      for (const { n, do: fault } of jobs(2000, faults)) {
        const result = results[n];
        assert.equal(result?.id, n);
        if (fault === 'return a large one') assert.deepEqual(result.status === 'fulfilled' && result.value, new Uint8Array(3_000_000).fill(n));
        else if (fault !== undefined) assert.equal(result.status, 'rejected');
        else assert.deepEqual(result.status === 'fulfilled' && result.value, n % 2 === 1 ? [n, 2] : n % 400 === 2 ? 300_001 : n);
      }
      const reasons = [501, 700, 1204, 1500].map(n => results[n]).map(result => result?.status === 'rejected' ? String(result.reason) : '');
      for (const [i, pattern] of [/DataCloneError.*value\.callback/, /DataCloneError.*reason/, /WorkerExitError.*code 9/, /WorkerExitError.*code 1/].entries()) assert.match(reasons[i] ?? '', pattern);
      assert.deepEqual(shared, { list: [0] });
      // Where what it sent before has filled the pipe there is no room for its last word: then what had started is tried alone.
      const deaths = report.workers.filter(({ exitCode }) => exitCode !== 0).length;
      assert.ok(deaths === 2 || (chunkSize !== 1 && deaths <= 4), `${deaths} deaths`);
    });
  }

  it('of 1 starts no job twice, whatever kills workers', async t => {
    const { file, counts } = startsIn(t);
    const pool = poolOfBatchSize(t, { workers: 2, chunkSize: 1, workerData: file });
    await pool.jobs.putAll(jobs(400, { 100: 'kill', 101: 'exit', 150: 'kill', 151: 'kill', 399: 'throw late' }));
    const { results } = await finish(pool);
    assert.deepEqual(rejectedIds(results), [100, 101, 150, 151, 399]);
    assert.deepEqual(new Set(counts().values()), new Set([1]));
    assert.equal(counts().size, 400);
  });

  for (const fault of ['kill', 'exit', 'throw late'] as const) {
    it(`of many: a job that does \`${fault}\` in the middle of a message is the only one that is rejected, wherever it is`, async t => {
      const { file, counts } = startsIn(t);
      const pool = poolOfBatchSize(t, { chunkSize: 50, workerData: file });
      await pool.jobs.putAll(jobs(300, { 0: fault, 75: fault, 76: fault, 130: fault, 149: fault, 299: fault }));
      const { report, results } = await finish(pool);
      assert.deepEqual(rejectedIds(results), [0, 75, 76, 130, 149, 299]);
      for (const result of results) assert.ok(result.status === 'fulfilled' ? result.value === result.id : result.reason instanceof WorkerExitError);
      const twice = [...counts()].filter(([, times]) => times > 1).map(([n]) => n);
      if (fault !== 'kill') assert.deepEqual(twice, [], 'the worker could still say which it was');
      else assert.ok(twice.every(n => n < 150 || n >= 250), `those of its own message only: ${twice}`);
      assert.ok(report.workers.length >= 6);
    });
  }

  it('of many, with retries: the job that kills is tried so often and no more, the others are no worse for it', async t => {
    const pool = poolOfBatchSize(t, { chunkSize: 50, retries: 1 });
    await pool.jobs.putAll(jobs(100, { 25: 'kill' }));
    const { report, results } = await finish(pool);
    assert.deepEqual(rejectedIds(results), [25]);
    const reason = results[25]?.status === 'rejected' ? results[25].reason : undefined;
    assert.ok(reason instanceof WorkerExitError && reason.cause instanceof WorkerExitError && reason.cause.cause === undefined);
    assert.equal(report.workers.filter(({ signal }) => signal === 'SIGKILL').length, 3, 'once among the others, and twice alone');
  });

  it('auto: a job that kills its worker among hundreds of tiny ones is the only one that is rejected', async t => {
    const pool = poolOfBatchSize(t, { workers: 2 });
    const first = await warm(pool);
    await pool.jobs.putAll(jobs(5000, { 0: 'kill', 2500: 'kill', 2501: 'exit', 4999: 'kill' }));
    const { results } = await finish(pool);
    assert.deepEqual(rejectedIds(results), [0, 2500, 2501, 4999].map(n => first + n));
    assert.equal(results.length, 5000);
  });

  it('of many keeps no result back behind a job that goes on for ever', async t => {
    const pool = poolOfBatchSize(t, { chunkSize: 10 });
    await pool.jobs.putAll(jobs(10, { 2: 'never' }));
    const ids: number[] = [];
    for await (const { id } of pool.results) if (ids.push(id) === 2) break;
    assert.deepEqual(ids, [0, 1]);
    const report = await pool.terminate();
    assertSum(report);
    assert.deepEqual([report.lost.map(({ n }) => n), report.pending.map(({ n }) => n)], [[2], [3, 4, 5, 6, 7, 8, 9]]);
  });

  it('of many has a worker hand back, on `stop`, the jobs of its message that it had not started: they are pending', async t => {
    const { file, counts } = startsIn(t);
    const { stdio, said } = words(t);
    const pool = poolOfBatchSize(t, { chunkSize: 100, workerData: file, stdio });
    await pool.jobs.putAll(jobs(400, { 51: 'say and never' }));
    await said('said');
    const report = await pool.interrupt();
    assertSum(report);
    assert.equal(report.fulfilled, 51);
    assert.deepEqual(report.lost.map(({ n }) => n), [51]);
    assert.deepEqual(report.pending.map(({ n }) => n), jobs(400).map(({ n }) => n).slice(52));
    assert.deepEqual(Math.max(...counts().keys()), 51);
  });

  it('of many gives large jobs and large values their way, in order', async t => {
    const pool = poolOfBatchSize(t, { chunkSize: 20 });
    const sizesOfJobs = [300_000, 10, 2_000_000, 10, 1_048_577, 300_000, 262_144, 10];
    await pool.jobs.putAll(sizesOfJobs.map((size, n) => ({ n, bytes: new Uint8Array(size).fill(n) })));
    await pool.jobs.putAll(jobs(40, { 3: 'return a large one', 4: 'return a large one', 30: 'return a large one' }));
    const { results } = await finish(pool);
    assert.deepEqual(results.slice(0, sizesOfJobs.length).map(result => 'value' in result && result.value), sizesOfJobs.map((size, n) => size + n));
    assert.ok(results.every(isFulfilled));
  });

  it('of many: a map that fails on a job that cannot be cloned is over, and the pool goes on to its end', async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'echo', { workers: 1, chunkSize: 10 });
    const mapped = pool.map([() => {}, 1, 2, 3, 4]);
    await assert.rejects(mapped.next(), { name: 'DataCloneError' });
    assert.equal(pool.stats().jobs.waiting, 0);
    const { report } = await finish(pool);
    assert.deepEqual([report.submitted, report.outcome], [5, 'completed']);
  });

  it('of many: a map on a manual loop is refused, and the pool goes on to its end', async t => {
    const pool = poolOf<(job: unknown) => unknown>(t, 'limits-loop', { workers: 1, chunkSize: 10 });
    await assert.rejects(pool.map([1, 2, 3, 4]).next(), TypeError);
    assert.equal(pool.stats().jobs.waiting, 0);
    void pool.jobs.put(5);
    const { report } = await finish(pool);
    assert.deepEqual([report.fulfilled, report.rejected], [1, 4]);
  });

  it('auto: of a flood that a Ctrl-C comes in the middle of, each job has one fate, by name', async () => {
    const program = new Program(new URL('../fixtures/flood.js', import.meta.url));
    await program.says(/flooding/);
    await program.press();
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([stderr, code], ['', 130]);
    assert.match(stdout, /^each once, in the middle$/m);
  });

  it('is handed back behind a job that takes long, when another worker is idle and nothing waits', { timeout: 180_000 }, async t => {
    const pool = workPool(t, { workers: 2, chunkSize: 7 });
    await Promise.all([pool.run({ do: 'spin', ms: 50 }), pool.run({ do: 'spin', ms: 50 })]);
    void pool.jobs.put({ do: 'never' });
    for (let value = 1; value <= 6; value++) void pool.jobs.put({ do: 'echo', value });
    const seen: unknown[] = [];
    for await (const result of pool.results) {
      seen.push('value' in result && result.value);
      if (seen.length === 6) break;
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
    const report = await pool.terminate();
    assert.deepEqual([report.lost, report.pending], [[{ do: 'never' }], []]);
  });
});
