// A pool over fixtures/work.ts for one test, and the sum that must hold for every report.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { ProcessPool } from 'drainpool';
import type { PoolOptions, PoolReport, Result } from 'drainpool';

export type Work = typeof import('../fixtures/work.ts');

/** The compiled fixture of that name. */
export const fixture = (name: string): URL => new URL(`../fixtures/${name.includes('.') ? name : `${name}.js`}`, import.meta.url);

/** A pool that is terminated after the test, whatever becomes of it. */
export function workPool(t: TestContext, options: PoolOptions = {}): ProcessPool<Work> {
  return poolOf<Work>(t, 'work', options);
}

export function poolOf<Module>(t: TestContext, name: string, options: PoolOptions = {}): ProcessPool<Module> {
  const pool = new ProcessPool<Module>(fixture(name), { workers: 2, ...options });
  t.after(() => pool[Symbol.asyncDispose]());
  return pool;
}

/** G1: every job in exactly one fate. */
export function assertSum(report: PoolReport<unknown>): void {
  assert.equal(report.submitted, report.fulfilled + report.rejected + report.lost.length + report.pending.length);
}

/** Closes, reads all results in the order of their jobs, joins, and checks the sum. */
export async function finish<Module>(pool: ProcessPool<Module>): Promise<{ report: PoolReport<unknown>; results: Result<unknown, unknown>[] }> {
  pool.jobs.close();
  const report = await pool.join();
  assertSum(report);
  return { report, results: pool.results.drain().sort((a, b) => a.id - b.id) };
}
