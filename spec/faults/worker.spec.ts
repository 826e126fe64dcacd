// G6, "a dead worker is an answer, not a hang": a table of what a worker can do to itself, and what becomes of the one job
// that did it. Signals, ends, late errors, listeners and globals that it destroys; then what several workers do at once.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { WorkerExitError, WorkerStartError } from 'drainpool';
import { dies, exits, isReplaced, stays, table } from '../support/faults.ts';
import { limited } from '../support/limits.ts';
import type { Faults, Row } from '../support/faults.ts';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

const fatal: NodeJS.Signals[] = ['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGHUP', 'SIGQUIT'];
/** The worker ignores the first, Node the others. */
const harmless: NodeJS.Signals[] = ['SIGINT', 'SIGPIPE', 'SIGXFSZ'];

const signals: Row[] = [
  ...fatal.map((signal): Row => ({ fault: `gets ${signal}`, job: { signal }, expected: dies(signal) })),
  ...harmless.map((signal): Row => ({ fault: `gets ${signal}`, job: { signal }, expected: stays })),
  { fault: 'gets SIGUSR1, which opens Node\'s inspector', job: { signal: 'SIGUSR1' }, expected: stays, options: { execArgv: ['--inspect-port=0'] } },
];

const tooLate = /RangeError: too late/;
const between = 'is done when its worker';

const ends: Row[] = [
  { fault: 'aborts', job: { fault: 'abort' }, expected: dies('SIGABRT') },
  { fault: 'exits behind the back of Node', job: { fault: 'reallyExit' }, expected: exits(5) },
  { fault: 'takes more memory than there is', job: { fault: 'out of memory' }, expected: dies('SIGABRT'), options: { execArgv: ['--max-old-space-size=24'] } },
  { fault: 'overflows the stack', job: { fault: 'stack overflow' }, expected: { fate: 'rejected', reason: /RangeError: Maximum call stack/ } },
  { fault: 'throws late', job: { fault: 'late throw' }, expected: exits(1, tooLate) },
  { fault: 'throws undefined late', job: { fault: 'late throw of nothing' }, expected: exits(1) },
  { fault: 'throws late what cannot be cloned', job: { fault: 'late throw of a function' }, expected: exits(1, /DataCloneError.*`reason` cannot be cloned: it is a function/) },
  { fault: 'leaves a rejection unhandled', job: { fault: 'late rejection' }, expected: exits(1, tooLate) },
  { fault: `${between} throws`, job: { fault: 'throw between two jobs' }, expected: isReplaced },
  { fault: `${between} finds a rejection unhandled`, job: { fault: 'rejection between two jobs' }, expected: isReplaced },
  { fault: `${between} exits`, job: { fault: 'exit between two jobs' }, expected: isReplaced },
  { fault: 'swallows its late error', job: { fault: 'swallowed late throw' }, expected: stays },
  { fault: 'sets an exit code', job: { fault: 'exit code' }, expected: stays },
];

const surroundings: Row[] = [
  ...['all', 'message', 'exit', 'SIGINT', 'disconnect'].map((which): Row => ({ fault: `removes ${which} listeners of its process`, job: { fault: `${which} listeners` }, expected: isReplaced })),
  { fault: 'removes listeners, and first who would tell', job: { fault: 'listeners without a trace' }, expected: isReplaced },
  ...['process', 'process.send', 'process.exit', 'process.on', 'process.nextTick', 'timers', 'Promise', 'clock', 'performance'].map((name): Row => ({ fault: `overwrites ${name}`, job: { fault: name }, expected: stays })),
  { fault: 'adds to Object.prototype what looks like a message', job: { fault: 'Object.prototype' }, expected: stays },
  { fault: 'closes its stdout and stderr', job: { fault: 'closed output' }, expected: stays },
  { fault: 'changes its working directory', job: { fault: 'chdir' }, expected: stays },
  { fault: 'empties its environment', job: { fault: 'empty environment' }, expected: stays },
];

describe('a job that', { concurrency: 2 }, () => table([...signals, ...ends, ...surroundings]));

describe('a worker that', { concurrency: 2 }, () => {
  it('is out of memory leaves an error that says so', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: 'ignore', execArgv: ['--max-old-space-size=24'] });
    await assert.rejects(pool.run({ fault: 'out of memory' }), /ended by SIGABRT, which usually means that it was out of memory: .*--max-old-space-size/);
  });

  it('floods a pipe that nobody reads blocks, and terminate ends it', limited, async t => {
    const unread = unreadPipe(t);
    const { stdio: [, stdout], said, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: ['ignore', unread, stdout] });
    const before = pool.run({ good: 1 });
    void pool.jobs.put({ fault: 'flood' });
    void pool.jobs.put({ good: 2 });
    assert.equal(await before, 1);
    await said('flooding');
    const report = await pool.terminate();
    assertSum(report);
    assert.deepEqual([report.lost, report.pending, report.workers[0]?.signal], [[{ fault: 'flood' }], [{ good: 2 }], 'SIGTERM']);
    await nobodyIsLeft();
  });

  it('has much to say says it before it leaves, however slow its reader', limited, async t => {
    const { stdio, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio });
    void pool.jobs.put({ fault: 'write much' });
    const { report } = await finish(pool);
    assert.equal(report.workers[0]?.exitCode, 0);
    assert.ok((await nobodyIsLeft()).endsWith('xthe end'));
  });

  it('says much to a pipe that nobody reads has graceMs for it', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: ['ignore', unreadPipe(t), 'inherit'], graceMs: 200 });
    void pool.jobs.put({ fault: 'write much' });
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.fulfilled, report.workers[0]?.signal], ['completed', 1, 'SIGKILL']);
  });

  it('says much to a pipe that nobody reads leaves at once on terminate', limited, async t => {
    const { stdio: [, stderr], said } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: ['ignore', unreadPipe(t), stderr], env: { ...process.env, SAYS_LAST: '1' } });
    void pool.jobs.put({ fault: 'write much' });
    pool.jobs.close();
    await said('tearing down');
    const { outcome, workers } = await pool.terminate();
    assert.deepEqual([outcome, workers[0]?.exitCode], ['terminated', 0]);
  });

  it('is dead when it is sent its first jobs costs nothing: no message of them has left', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', { workers: 1 });
    let shots = 0;
    const shoot = (event: unknown): void => {
      const { pool: whose, pid } = Object(event);
      if (whose !== pool || shots++ > 0) return;
      process.kill(pid, 'SIGKILL');
      while (readdirSync(`/proc/${pid}/task`).length > 1 || !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')); // its parent is here
    };
    subscribe('drainpool:worker:ready', shoot);
    t.after(() => unsubscribe('drainpool:worker:ready', shoot));
    assert.deepEqual(await Promise.all([1, 2, 3].map(good => pool.run({ good }))), [1, 2, 3]);
    const { report } = await finish(pool);
    assert.deepEqual(report.workers.map(({ signal, jobs }) => [signal, jobs]), [['SIGKILL', 0], [null, 3]]);
  });

  it('is stopped waits, and goes on where it was continued', limited, async t => {
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio });
    const spinning = pool.run({ fault: 'say and spin' });
    const pid = pidIn(await said('started'));
    process.kill(pid, 'SIGSTOP');
    const after = pool.run({ good: 1 });
    process.kill(pid, 'SIGCONT');
    assert.deepEqual([await spinning, await after], [undefined, 1]);
    assert.equal((await finish(pool)).report.workers.length, 1);
    await nobodyIsLeft();
  });

  it('is stopped for good is ended by terminate, its job lost and those behind it pending', limited, async t => {
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio });
    void pool.jobs.put({ fault: 'say and never' });
    void pool.jobs.put({ good: 1 });
    process.kill(pidIn(await said('started')), 'SIGSTOP');
    const report = await pool.terminate();
    assertSum(report);
    assert.deepEqual([report.lost, report.pending, report.workers.length], [[{ fault: 'say and never' }], [{ good: 1 }], 1]);
    await nobodyIsLeft();
  });
});

describe('an error that is thrown late', { concurrency: 2 }, () => {
  for (const [what, error] of [['an error', /RangeError: between/], ['undefined', /^undefined$/]] as const) it(`in an idle worker is in the report and in \`drainpool:worker:left\`: ${what}`, limited, async t => {
    const { stdio: [, stdout], said } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: ['ignore', stdout, 'ignore'] });
    const left: unknown[] = [];
    const hear = (event: unknown): void => { if (Object(event).pool === pool) left.push(event); };
    subscribe('drainpool:worker:left', hear);
    t.after(() => unsubscribe('drainpool:worker:left', hear));
    assert.equal(await pool.run({ fault: `throw ${what} when idle` }), 'idle soon');
    await said('throwing');
    await until(() => left.length > 0);
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.fulfilled, report.workers.length, report.workers[0]?.exitCode], ['completed', 1, 1, 1]);
    for (const of of [report.workers[0], left[0]]) {
      assert.ok('error' in Object(of));
      assert.match(String(Object(of).error), error);
    }
  });
});

describe('an error that the module itself swallows', () => {
  it('is not told of a worker that ends later, for another reason', limited, async t => {
    const pool = poolOf<Faults>(t, 'faults', { workers: 1, stdio: 'ignore' });
    await pool.run({ fault: 'swallowed late throw' });
    await assert.rejects(pool.run({ exit: 5 }), (reason: unknown) => reason instanceof WorkerExitError && reason.exitCode === 5 && reason.cause === undefined);
    const { report } = await finish(pool);
    assert.ok(report.workers[0] !== undefined && !('error' in report.workers[0]));
  });
});

describe('workers that', { concurrency: 2 }, () => {
  it('are all killed at once cost the jobs that they had, and the waiting ones go to others', limited, async t => {
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<Faults>(t, 'faults', { workers: 4, stdio });
    for (let i = 0; i < 4; i++) void pool.jobs.put({ fault: 'say and never' });
    for (let i = 0; i < 40; i++) void pool.jobs.put({ good: i });
    for (const [, pid] of (await said(';', 4)).matchAll(/started in (\d+);/g)) process.kill(Number(pid), 'SIGKILL');
    const { report, results } = await finish(pool);
    assert.deepEqual([report.outcome, report.rejected, report.fulfilled], ['completed', 4, 40]);
    for (const result of results.slice(0, 4)) assert.ok('reason' in result && result.reason instanceof WorkerExitError && result.reason.signal === 'SIGKILL');
    await nobodyIsLeft();
  });

  it('are killed as soon as they start, round after round, cost nothing: left alone, they do all jobs', limited, async t => {
    const { stdio, said, nobodyIsLeft } = words(t);
    const pool = poolOf<typeof import('../fixtures/slow-start.ts')>(t, 'slow-start', { workers: 2, stdio, graceMs: 500 });
    for (let n = 0; n < 20; n++) void pool.jobs.put(n);
    const rounds = 6;
    for (let nth = 1; nth <= rounds; nth++) process.kill(pidIn(await said(';', nth), nth), 'SIGKILL');
    process.kill(pidIn(await said(';', rounds + 1), rounds + 1), 'SIGWINCH'); // one at a time by now
    const { report, results } = await finish(pool);
    assert.deepEqual([report.outcome, report.fulfilled], ['completed', 20]);
    assert.equal(report.workers.filter(({ jobs }) => jobs === 20).length, 1);
    assert.deepEqual(results.map(result => 'value' in result && result.value), Array.from({ length: 20 }, (_, n) => n));
    await nobodyIsLeft();
  });

  it('die ready, each before its first job, fail the pool after the third: no worker is started without end', limited, async t => {
    const { stdio: [, stdout], nobodyIsLeft } = words(t);
    const pool = poolOf<(job: number) => number>(t, 'late-setup', { workers: 1, stdio: ['ignore', stdout, 'ignore'] });
    for (let n = 0; n < 5; n++) void pool.jobs.put(n);
    pool.jobs.close();
    const error = await pool.join().catch((reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError && error.report !== null);
    assert.match(String(error.cause), /Error: no connection/);
    assertSum(error.report);
    assert.deepEqual([error.report.pending, error.report.workers.length], [[0, 1, 2, 3, 4], 3]);
    await nobodyIsLeft();
  });
});

/** The pid that was said as the nth. */
function pidIn(text: string, nth = 1): number {
  return Number([...text.matchAll(/in (\d+);/g)][nth - 1]?.[1]);
}

/** A pipe that nobody reads, open to be written to. */
function unreadPipe(t: TestContext): number {
  const folder = mkdtempSync(join(tmpdir(), 'drainpool-'));
  const path = join(folder, 'unread');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, 'r+'); // to read and to write: neither waits for somebody else
  t.after(() => closeSync(pipe));
  rmSync(folder, { recursive: true });
  return pipe;
}
