// What can go wrong between the two ends: words that nobody should say, a worker that dies in the middle of one, a parent
// that stands still. A table of words, in both directions; then programs that are watched from outside.

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { WorkerExitError } from 'drainpool';
import { dies, exits, isReplaced, leaves, stays, table } from '../support/faults.ts';
import { limited } from '../support/limits.ts';
import type { Faults, Row } from '../support/faults.ts';
import { finish, poolOf } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { temporary } from '../support/folder.ts';
import { until as so } from '../support/until.ts';
import { words } from '../support/words.ts';

const noValue = Uint8Array.of(255, 15, 99);
const notOfTheProtocol = dies('SIGKILL', /ProtocolError.*sent one that is not of the protocol/);
const unreadable = dies('SIGKILL', /ProtocolError.*sent .*cannot be read/);
const outOfPlace = dies('SIGKILL', /ProtocolError.*sent '.*' when it was ready/);

const said: Row[] = [
  { fault: 'says foreign words', job: { fault: 'say foreign words' }, expected: stays },
  { fault: 'hears nonsense, malformed or without the brand', job: { fault: 'hear nonsense' }, expected: stays },
  { fault: 'hears a forged stop', job: { fault: 'hear a stop' }, expected: isReplaced },
  { fault: 'hears a forged sentinel', job: { fault: 'hear a sentinel' }, expected: leaves },
  { fault: 'forges words to the worker', job: { forge: { type: 'stop' } }, expected: notOfTheProtocol },
  { fault: 'forges a name of Object.prototype', job: { forge: { type: 'hasOwnProperty' } }, expected: notOfTheProtocol },
  { fault: 'forges an array', job: { forge: [['results']] }, expected: notOfTheProtocol },
  { fault: 'forges a count that is none', job: { forge: { type: 'stopping', started: 0.5 } }, expected: notOfTheProtocol },
  { fault: 'forges the end of its results', job: { forge: { type: 'end-of-results', failed: true, error: noValue } }, expected: outOfPlace },
  { fault: 'forges a failed start with a reason that is none', job: { forge: { type: 'failed', during: 'setup', reason: noValue } }, expected: outOfPlace },
  { fault: 'forges a last word with an error that is none', job: { forge: { type: 'exiting', started: 1, failed: true, error: noValue } }, expected: unreadable },
  { fault: 'leaves half a frame behind', job: { fault: 'half a frame' }, expected: exits(3) },
  { fault: 'is killed in the middle of a result of 100 MB', job: { fault: 'killed in the middle of its result' }, expected: dies('SIGKILL') },
];

describe('a job whose worker', { concurrency: 2 }, () => table(said));

describe('a worker that', { concurrency: 2 }, () => {
  it('disowns a job that it starts has it tried three times: no job is tried without end, and the others go on', limited, async t => {
    const { stdio, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio });
    void pool.jobs.put({ fault: 'disown and die' });
    void pool.jobs.put({ good: 1 });
    const { report, results } = await finish(pool);
    assert.deepEqual(results.map(({ id, status }) => [id, status]), [[0, 'rejected'], [1, 'fulfilled']]);
    assert.ok('reason' in results[0]! && results[0].reason instanceof WorkerExitError);
    assert.deepEqual(report.workers.map(({ signal }) => signal), ['SIGKILL', 'SIGKILL', 'SIGKILL', null]);
    await nobodyIsLeft();
  });

  it('only emits \'exit\', and lives on, is charged with the job that kills it later', limited, async t => {
    const { stdio, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, chunkSize: 1, stdio });
    for (const job of [{ fault: 'emit exit' }, { good: 1 }, { signal: 'SIGSEGV' as const }, { good: 2 }]) void pool.jobs.put(job);
    const { report, results } = await finish(pool);
    assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    assert.deepEqual(report.workers.map(({ signal }) => signal), ['SIGSEGV', null]);
    await nobodyIsLeft();
  });

  it('only emits \'exit\', and starts the next job of the same message, may have started that', limited, async t => {
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, chunkSize: 2, stdio });
    const jobs = [{ fault: 'emit exit' }, { fault: 'say and spin for ever' }];
    await pool.jobs.putAll(jobs);
    await said('spins');
    const report = await pool.terminate({ graceMs: 100 });
    assert.deepEqual([report.lost.at(-1), report.pending], [jobs[1], []]); // the first one's result may have left by then
    await nobodyIsLeft();
  });

  it('breaks the protocol may have started all that it was given: nothing of that is pending', limited, async t => {
    const folder = temporary(t);
    const until = join(folder, 'let-go');
    const mark = join(folder, 'started');
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<typeof import('../fixtures/held.ts')>(t, 'held', { workers: 1, chunkSize: 2, stdio });
    await pool.jobs.putAll(Array.from({ length: 60 }, (_, n) => ({ n: n + 100 }))); // from now on a second message goes behind the first
    await so(() => pool.results.size === 60);
    for (const job of [{ n: 2, until, breaks: true as const }, { n: 3 }, { n: 4, mark }]) void pool.jobs.put(job);
    await said('started 2');
    await so(() => pool.stats().jobs.waiting === 0);
    writeFileSync(until, '');
    while (!existsSync(mark)); // it reads nothing meanwhile
    const report = await pool.interrupt();
    assert.deepEqual([report.lost.map(({ n }) => n), report.pending], [[2, 3, 4], []]);
    await nobodyIsLeft();
  });

  it('puts a value that cannot be read costs its job, and nothing else', limited, async t => {
    const { stdio: [, stdout], nobodyIsLeft } = words(t);
    const pool = poolOf<typeof import('../fixtures/deep-loop.ts')>(t, 'deep-loop', { workers: 1, stdio: ['ignore', stdout, 'ignore'] });
    for (const depth of [1, 2, 3000, 3, 4]) void pool.jobs.put(depth);
    const { report, results: all } = await finish(pool);
    assert.deepEqual(all.map(({ id, status }) => [id, status]), [[0, 'fulfilled'], [1, 'fulfilled'], [2, 'rejected'], [3, 'fulfilled'], [4, 'fulfilled']]);
    assert.deepEqual([report.outcome, report.fulfilled, report.rejected], ['completed', 4, 1]);
    await nobodyIsLeft();
  });

  it('throws in its teardown what cannot be read is ended, and costs nothing', limited, async t => {
    const { stdio: [, stdout], nobodyIsLeft } = words(t);
    const pool = poolOf<typeof import('../fixtures/deep-teardown.ts')>(t, 'deep-teardown', { workers: 1, stdio: ['ignore', stdout, 'ignore'] });
    void pool.jobs.put(1);
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.fulfilled, report.workers.length], ['completed', 1, 1]);
    await nobodyIsLeft();
  });

  it('exits in every job is named with its own exit code, a hundred times, and says nothing of its channel', { timeout: 180_000 }, async t => {
    const program = start(t, 'exits');
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(stdout, 'completed, 100 with their exit codes, 50 good\n');
  });
});

describe('a parent that', { concurrency: 2 }, () => {
  it('stands still for two seconds while its workers finish finds every result', limited, async t => {
    const { code, stdout, stderr } = await start(t, 'blocked').ended;
    assert.deepEqual([code, stderr, stdout], [0, '', 'tick\ncompleted 6 fulfilled\n']);
  });

  it('stands still for two seconds at terminate counts answers that came meanwhile', limited, async t => {
    const program = start(t, 'blocked-at-terminate');
    await program.says(/^started/m, 2);
    process.kill(program.pid, 'SIGURG');
    const { stdout, stderr } = await program.ended;
    assert.equal(stderr, '');
    assert.match(stdout, /^(torn down\n){2}terminated, workers left with 0 0, lost 2$/m);
  });

  for (const whom of ['alone', 'with its whole group'] as const) {
    const stop = (program: Program): void => { process.kill(whom === 'alone' ? program.pid : -program.pid, 'SIGSTOP'); };

    it(`is stopped for a second and continued, ${whom}, goes on as if nothing had been`, limited, async t => {
      const program = start(t, 'ticking');
      await program.says(/^tick/m, 4);
      stop(program);
      await setTimeout(1000);
      program.kill('SIGCONT');
      const { code, stdout, stderr } = await program.ended;
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^completed 200 fulfilled$/m);
    });

    it(`is stopped, ${whom}, and interrupted while it is, ends when it is continued`, limited, async t => {
      const program = start(t, 'ticking');
      await program.says(/^tick/m, 4);
      stop(program);
      await program.press();
      program.kill('SIGCONT');
      const { code, stdout, stderr } = await program.ended;
      assert.deepEqual([code, stderr], [130, '']);
      assert.match(stdout, /^interrupted \d+ fulfilled$/m);
    });
  }
});

/** A program of fixtures/faults-parent.ts. When it has ended, nobody holds its streams. */
function start(t: TestContext, scene: string): Program {
  const program = new Program(new URL('../fixtures/faults-parent.js', import.meta.url), [scene]);
  t.after(() => program.kill('SIGKILL'));
  return program;
}
