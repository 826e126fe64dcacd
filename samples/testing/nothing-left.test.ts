// That nothing is left behind: no process of a program that has ended, and no process or listener of a pool in this one.
// Change the program, or the pool. Asking whether a pid is alive answers only for one's own children: of others, one that
// is dead and not yet waited for counts as alive. So a program is watched by its stdout, which all that it starts inherit.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ProcessPool } from 'drainpool';

const beside = (name: string): URL => new URL(`./${name}${import.meta.url.endsWith('.js') ? '.js' : '.ts'}`, import.meta.url);
const THIS_FILE = fileURLToPath(import.meta.url);

it('ends by itself, and takes all that it started with it', { timeout: 180_000 }, async t => {
  const program = fileURLToPath(beside('count-words'));
  const child = spawn(process.execPath, [program, THIS_FILE], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const group = -(child.pid ?? assert.fail('The program was not started'));
  t.after(() => {
    try {
      process.kill(group, 'SIGKILL');
    } catch {
      // it is gone, as it should be
    }
  });
  const ended = once(child, 'exit');
  assert.match(await text(child.stdout), /^\d+ .+\n$/); // to its end: here it hangs if something is left
  assert.deepEqual(await ended, [0, null]);
});

it('has no process and no listener left after `join()`', { timeout: 180_000 }, async t => {
  const listeners = process.listenerCount('SIGINT');
  const pool = new ProcessPool<typeof import('./word-count.ts')>(beside('word-count'), { workers: 2 });
  t.after(() => pool[Symbol.asyncDispose]());
  await Promise.all([pool.run(THIS_FILE), pool.run(THIS_FILE)]);
  pool.jobs.close();
  const { workers } = await pool.join();
  assert.equal(workers.length, 2);
  for (const { pid } of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  while (process.listenerCount('SIGINT') > listeners) await setImmediate(); // they stay a moment longer
});
