// A worker module in a real pool shows what a call of its function cannot: that it loads in a process of its own, that
// jobs and values can cross to it and back, that its errors arrive as they were. Change the module and the jobs.
// `t.after` ends the pool, whatever becomes of the test: a job that never ends would hold the test runner for ever.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { TestContext } from 'node:test';
import { ProcessPool } from 'drainpool';

const WORKER = new URL(import.meta.url.endsWith('.js') ? './word-count.js' : './word-count.ts', import.meta.url);

function makePool(t: TestContext): ProcessPool<typeof import('./word-count.ts')> {
  const pool = new ProcessPool<typeof import('./word-count.ts')>(WORKER, { workers: 1 });
  t.after(() => pool[Symbol.asyncDispose]());
  return pool;
}

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'word-count-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

it('gives the number of words', { timeout: 180_000 }, async t => {
  const file = join(makeFolder(t), 'text');
  writeFileSync(file, 'three short words');
  assert.equal(await makePool(t).run(file), 3);
});

it('rejects with the error of its work function, class, code and all', { timeout: 180_000 }, async t => {
  await assert.rejects(makePool(t).run(join(makeFolder(t), 'no such file')), { name: 'Error', code: 'ENOENT', syscall: 'open' });
});

it('can be ended in the middle of a job that never ends', { timeout: 180_000 }, async t => {
  const fifo = join(makeFolder(t), 'fifo');
  execFileSync('mkfifo', [fifo]); // who opens it waits for a writer, and none comes
  const pool = makePool(t);
  pool.jobs.put(fifo);
  const { outcome, lost, pending } = await pool.terminate();
  assert.deepEqual([outcome, [...lost, ...pending]], ['terminated', [fifo]]);
});
