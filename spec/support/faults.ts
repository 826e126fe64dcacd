// How a table of faults is run: the fault alone and amid others, good jobs before, between and after it. After each the
// sum holds, every good job has its value, the pool still works, and nobody is left who holds the workers' stdout.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { TestContext } from 'node:test';
import { WorkerExitError } from 'drainpool';
import type { PoolOptions, PoolReport, Result } from 'drainpool';
import type { Job } from '../fixtures/faults.ts';
import { assertSum, poolOf } from './pool.ts';
import { words } from './words.ts';
import { limited } from './limits.ts';

export type Faults = typeof import('../fixtures/faults.ts');

/** What becomes of the job that is at fault, and of its worker. No other job ever notices. */
export type Expected =
  | { fate: 'fulfilled'; worker: 'stays' | 'leaves' | 'is replaced' }
  | { fate: 'rejected'; reason: RegExp }
  | { fate: 'worker died'; exitCode?: number; signal?: NodeJS.Signals; cause?: RegExp };

export interface Row {
  fault: string;
  job: Job;
  expected: Expected;
  options?: PoolOptions;
}

export const stays: Expected = { fate: 'fulfilled', worker: 'stays' };
export const leaves: Expected = { fate: 'fulfilled', worker: 'leaves' };
export const isReplaced: Expected = { fate: 'fulfilled', worker: 'is replaced' };
export const exits = (exitCode: number, cause?: RegExp): Expected => ({ fate: 'worker died', exitCode, ...(cause === undefined ? {} : { cause }) });
export const dies = (signal: NodeJS.Signals, cause?: RegExp): Expected => ({ fate: 'worker died', signal, ...(cause === undefined ? {} : { cause }) });

const outcome = (expected: Expected): string => {
  switch (expected.fate) {
    case 'fulfilled':
      return `is fulfilled, and its worker ${expected.worker}`;
    case 'rejected':
      return 'is rejected, and its worker stays';
    case 'worker died':
      return `is rejected, as its worker ended ${expected.signal === undefined ? `with ${expected.exitCode}` : `by ${expected.signal}`}`;
  }
};

const good = (from: number, count: number): Job[] => Array.from({ length: count }, (_, i) => ({ good: from + i }));

/** Two tests for each row. */
export function table(rows: Row[]): void {
  for (const row of rows) {
    const name = `${row.fault}: that job ${outcome(row.expected)}`;
    it(`${name}, with a single worker`, limited, t => check(t, row, 1, [...good(0, 1), row.job, ...good(2, 1)]));
    it(`${name}, with several under way`, limited, t => check(t, row, 2, [...good(0, 6), row.job, ...good(7, 4), row.job, ...good(12, 6)]));
  }
}

async function check(t: TestContext, { job: fault, expected, options }: Row, workers: number, jobs: Job[]): Promise<void> {
  const { stdio: [stdin, stdout], nobodyIsLeft } = words(t);
  const pool = poolOf<Faults>(t, 'faults', { workers, stdio: [stdin, stdout, 'ignore'], ...options });
  for (const job of jobs) void pool.jobs.put(job);
  const results = new Map<number, Result<Job, unknown>>();
  for await (const result of pool.results) {
    results.set(result.id, result);
    if (results.size === jobs.length) break;
  }
  assert.equal(await pool.run({ good: -1 }), -1, 'the pool still works');
  pool.jobs.close();
  const report = await pool.join();
  await nobodyIsLeft();

  assertSum(report);
  assert.equal(report.outcome, 'completed');
  assert.equal(pool.results.size, 0);
  for (const [id, job] of jobs.entries()) {
    const result = results.get(id);
    assert.ok(result !== undefined);
    if (job !== fault) assert.deepEqual(result, { id, job, status: 'fulfilled', value: id }, 'no other job is touched');
    else assertFate(result, report, expected);
  }
  const died = expected.fate === 'worker died' || (expected.fate === 'fulfilled' && expected.worker === 'is replaced');
  const faultCount = jobs.filter(job => job === fault).length;
  const { replaced } = pool.stats().workers;
  if (expected.fate === 'fulfilled' && expected.worker === 'leaves') return; // after the jobs that it has: perhaps all
  if (!died || workers === 1) assert.equal(replaced, died ? faultCount : 0);
  else assert.ok(replaced <= faultCount, 'with several workers the one that is left may do without');
}

function assertFate(result: Result<Job, unknown>, { workers }: PoolReport<unknown>, expected: Expected): void {
  if (expected.fate === 'fulfilled') return assert.equal(result.status, 'fulfilled', String('reason' in result && result.reason));
  assert.ok(result.status === 'rejected');
  const { reason } = result;
  if (expected.fate === 'rejected') return assert.match(String(reason), expected.reason);
  assert.ok(reason instanceof WorkerExitError, String(reason));
  assert.deepEqual([reason.exitCode, reason.signal], [expected.exitCode ?? null, expected.signal ?? null]);
  const dead = workers.find(({ pid }) => pid === reason.pid);
  assert.deepEqual([dead?.exitCode, dead?.signal], [reason.exitCode, reason.signal]);
  if (expected.cause === undefined) assert.equal(reason.cause, undefined);
  else assert.match(String(reason.cause), expected.cause);
}
