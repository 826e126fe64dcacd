// One pool for a whole suite: its processes are started once, by the first job, and not for every test. Change the module
// and the tests. Jobs are given to `run()`: each test gets its own results back, and one that fails spoils no other, even
// when they run at once. `after` joins: a job that killed its worker shows there, since another one took its place.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessPool } from 'drainpool';

type WordCount = typeof import('./word-count.ts');

const WORKER = new URL(import.meta.url.endsWith('.js') ? './word-count.js' : './word-count.ts', import.meta.url);
const THIS_FILE = fileURLToPath(import.meta.url);

describe('word-count', { concurrency: true, timeout: 180_000 }, () => {
  let pool: ProcessPool<WordCount>;

  before(() => { pool = new ProcessPool<WordCount>(WORKER, { workers: 1 }); });

  after(async () => {
    pool.jobs.close();
    const { fulfilled, rejected, workers } = await pool.join();
    assert.deepEqual({ fulfilled, rejected, workers: workers.length }, { fulfilled: 1, rejected: 1, workers: 1 });
  });

  it('counts the words of a file', async () => {
    assert.ok(await pool.run(THIS_FILE) > 100);
  });

  it('rejects a folder', async () => {
    await assert.rejects(pool.run(fileURLToPath(new URL('.', import.meta.url))), { code: 'EISDIR' });
  });
});
