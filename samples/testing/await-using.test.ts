// `await using` ends a pool where its block ends, and also when an assertion throws in the middle. Change the module and
// the jobs. The syntax needs Node 24, or a compiler, as here: tsc turns it into code for Node 20.19. Without either,
// write `t.after(() => pool[Symbol.asyncDispose]())`, as in worker-module.test.ts.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessPool } from 'drainpool';
import type { PoolReport } from 'drainpool';

const WORKER = new URL(import.meta.url.endsWith('.js') ? './word-count.js' : './word-count.ts', import.meta.url);
const THIS_FILE = fileURLToPath(import.meta.url);

it('closes and joins a pool whose work is done', { timeout: 180_000 }, async () => {
  await using pool = new ProcessPool<typeof import('./word-count.ts')>(WORKER, { workers: 1 });
  assert.ok(await pool.run(THIS_FILE) > 100);
});

it('terminates a pool with work under way, when the test throws', { timeout: 180_000 }, async () => {
  let joined: Promise<PoolReport<string>> | undefined;
  await assert.rejects(async () => {
    await using pool = new ProcessPool<typeof import('./word-count.ts')>(WORKER, { workers: 1 });
    joined = pool.join();
    pool.jobs.put(THIS_FILE);
    throw new Error('what a failed assertion throws');
  }, /what a failed assertion throws/);
  assert.equal((await joined)?.outcome, 'terminated');
});
