// G6: a dead worker is an answer, not a hang. Each fault costs the job that had started; all others get their result.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { WorkerExitError } from 'drainpool';
import type { Result } from 'drainpool';
import type { Job } from '../fixtures/work.ts';
import { finish, poolOf, workPool } from '../support/pool.ts';
import { until } from '../support/until.ts';

interface Fault {
  name: string;
  job: Job;
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  cause?: RegExp;
}

const brandless = { drainpool: true };
const faults: Fault[] = [
  { name: 'exits with 0', job: { do: 'exit', code: 0 }, exitCode: 0, signal: null },
  { name: 'exits with 7', job: { do: 'exit', code: 7 }, exitCode: 7, signal: null },
  { name: 'is killed', job: { do: 'signal', signal: 'SIGKILL' }, exitCode: null, signal: 'SIGKILL' },
  { name: 'is terminated', job: { do: 'signal', signal: 'SIGTERM' }, exitCode: null, signal: 'SIGTERM' },
  { name: 'aborts', job: { do: 'signal', signal: 'SIGABRT' }, exitCode: null, signal: 'SIGABRT' },
  { name: 'closes the descriptor of its channel', job: { do: 'close-descriptor' }, exitCode: null, signal: 'SIGKILL' },
  { name: 'throws late', job: { do: 'late-throw' }, exitCode: 1, signal: null, cause: /RangeError: too late/ },
  { name: 'sends a message that is not of the protocol', job: { do: 'forge', message: { type: 'results' } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError.*not of the protocol/ },
  { name: 'sends a message that is nothing at all', job: { do: 'forge', message: null }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'sends two of them', job: { do: 'forge', message: 'two', then: 'two' }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'hands back more jobs than it has', job: { do: 'forge', message: { type: 'reclaimed', jobs: 99 } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError.*more jobs back/ },
  { name: 'sends a message of no known type', job: { do: 'forge', message: { type: 'toString' } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'sends more of a value than there is', job: { do: 'forge', message: { type: 'piece', bytes: Uint8Array.of(1, 2), total: 1 } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'sends a piece of nothing', job: { do: 'forge', message: { type: 'piece', bytes: 'none' } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'sends an outcome of no known shape', job: { do: 'forge', message: { type: 'results', outcomes: [brandless], segments: [], elapsedMs: 0, memoryBytes: 0 } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'sends an outcome that is a function\'s shadow', job: { do: 'forge', message: { type: 'results', outcomes: [{ value: { next: 'month' }, id: 0 }], segments: [], elapsedMs: 0, memoryBytes: 0 } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError/ },
  { name: 'puts a value for a job that it does not have', job: { do: 'forge', message: { type: 'results', outcomes: [{ value: 1, id: 99 }], segments: [], elapsedMs: 0, memoryBytes: 0 } }, exitCode: null, signal: 'SIGKILL', cause: /ProtocolError.*a value for job 99/ },
];

describe('a worker that', { concurrency: 2 }, () => {
  for (const { name, job, exitCode, signal, cause } of faults) {
    it(`${name} costs the one job that had started`, async t => {
      const pool = workPool(t, { stdio: ['ignore', 'inherit', 'ignore'] });
      for (const value of [1, 2]) void pool.jobs.put({ do: 'echo', value });
      void pool.jobs.put(job);
      for (const value of [3, 4, 5, 6]) void pool.jobs.put({ do: 'echo', value });
      const { report, results } = await finish(pool);

      assert.equal(report.outcome, 'completed');
      assert.deepEqual(results.map(result => 'value' in result ? result.value : 'rejected'), [1, 2, 'rejected', 3, 4, 5, 6]);
      const reason = reasonOf(results[2]);
      assert.ok(reason instanceof WorkerExitError);
      assert.deepEqual([reason.exitCode, reason.signal], [exitCode, signal]);
      const dead = report.workers.find(({ pid }) => pid === reason.pid);
      assert.deepEqual([dead?.exitCode, dead?.signal], [exitCode, signal]);
      if (cause === undefined) assert.equal('cause' in reason && reason.cause !== undefined, false);
      else assert.match(String(reason.cause), cause);
    });
  }

  it('sends one result too many is ended, and costs nothing', async t => {
    const pool = workPool(t, { workers: 1 });
    assert.equal(await pool.run({ do: 'echo', value: 1 }), 1);
    await assert.rejects(pool.run({ do: 'forge', message: { type: 'results', outcomes: ['forged', 'too many'], segments: [], elapsedMs: 0, memoryBytes: 0 } }).then(value => { throw value; }), value => value === 'forged');
    assert.equal(await pool.run({ do: 'echo', value: 2 }), 2);
    const { report } = await finish(pool);
    assert.equal(report.fulfilled, 3);
    assert.equal(report.workers.length, 2);
  });

  it('sends bytes that are no value has that job rejected', async t => {
    const pool = workPool(t, { workers: 1 });
    await assert.rejects(pool.run({ do: 'forge', message: { type: 'results', outcomes: [Uint8Array.of(255, 15, 99)], segments: [], elapsedMs: 0, memoryBytes: 0 } }), /deserialize/);
    await pool.terminate(); // it is still in the job that it has disowned
  });

  for (const next of ['plain', 'packed', 'view']) {
    it(`sends word of a ${next} value that is not there has that job rejected`, async t => {
      const pool = workPool(t, { workers: 1 });
      await assert.rejects(pool.run({ do: 'forge', message: { type: 'results', outcomes: [{ next }], segments: [], elapsedMs: 0, memoryBytes: 0 } }), /RangeError: Cannot read the value as /);
      await pool.terminate();
    });
  }

  it('sends a value for which there is no room has that job rejected', async t => {
    const pool = workPool(t, { workers: 1 });
    const run = pool.run({ do: 'forge', message: { type: 'piece', bytes: Uint8Array.of(1), total: 2 ** 52 }, then: { type: 'results', outcomes: [{ next: 'packed' }], segments: [], elapsedMs: 0, memoryBytes: 0 } });
    await assert.rejects(run, /RangeError: Cannot take a value of 4503599627370496 bytes as there is no room for it/);
    await pool.terminate();
  });

  it('disconnects is ended, by itself or by the pool', async t => {
    const pool = workPool(t, { workers: 1 });
    await assert.rejects(pool.run({ do: 'disconnect' }), WorkerExitError);
    assert.equal(await pool.run({ do: 'echo', value: 2 }), 2);
  });

  it('stops listening to its channel is replaced, and no job is lost', async t => {
    const pool = workPool(t, { workers: 1 });
    assert.equal(await pool.run({ do: 'close-channel' }), 'closed');
    assert.equal(await pool.run({ do: 'echo', value: 2 }), 2);
    const { report } = await finish(pool);
    assert.equal(report.rejected, 0);
  });

  it('left its channel to a program that lives on is gone all the same', async t => {
    const pool = workPool(t, { workers: 1, graceMs: 200 });
    const reason = await pool.run({ do: 'leak-channel' }).catch((error: unknown) => error);
    assert.ok(reason instanceof WorkerExitError);
    assert.equal(reason.exitCode, 0);
    await pool.terminate();
  });

  it('left its channel to a program that lives on, in the middle of a message, is gone all the same', async t => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const pool = workPool(t, { workers: 1, graceMs: 200 });
    await assert.rejects(pool.run({ do: 'leak-half-a-frame' }), { code: 'ERR_WORKER_EXIT', exitCode: 0 });
    assert.equal(await pool.run({ do: 'echo', value: 1 }), 1);
    await finish(pool);
    await until(() => open() === before); // nor is the channel left open
  });

  for (const ownGroup of [false, true]) it(`has exited gets no signal any more, though its channel is still open: its number may be another's${ownGroup ? ', or that of its group' : ''}`, async t => {
    const pool = workPool(t, { workers: 1, graceMs: 1000, ownGroup });
    const signals: unknown[] = [];
    const hear = (event: unknown): void => { if (Object(event).pool === pool) signals.push(Object(event).step); };
    subscribe('drainpool:pool:terminating', hear);
    t.after(() => unsubscribe('drainpool:pool:terminating', hear));
    const pid = Number(await pool.run({ do: 'pid' }));
    const leaking = pool.run({ do: 'leak-channel' });
    await until(() => !existsSync(`/proc/${pid}`));
    const ended = pool.terminate({ graceMs: 0 });
    await assert.rejects(leaking, { code: 'ERR_JOB_LOST' });
    await ended;
    assert.deepEqual(signals, ['stop']);
  });

  it('has exited, and left its channel to a program that lives on, is gone at a press, not only after `graceMs`', async t => {
    const pool = workPool(t, { workers: 1, graceMs: 600_000, interruptSignals: ['SIGUSR2'] });
    const pid = Number(await pool.run({ do: 'pid' }));
    const leaking = pool.run({ do: 'leak-channel' });
    await until(() => !existsSync(`/proc/${pid}`));
    void pool.interrupt();
    process.kill(process.pid, 'SIGUSR2');
    await assert.rejects(leaking, { code: 'ERR_JOB_LOST' });
    assert.equal((await pool.join()).workers[0]?.exitCode, 0);
  });

  it('dies is replaced, and counted', async t => {
    const pool = workPool(t, { workers: 1 });
    const first = await pool.run({ do: 'pid' });
    await assert.rejects(pool.run({ do: 'exit', code: 3 }), WorkerExitError);
    const second = await pool.run({ do: 'pid' });
    assert.notEqual(first, second);
    assert.equal(pool.stats().workers.replaced, 1);
    const { report } = await finish(pool);
    assert.deepEqual(report.workers.map(({ pid, exitCode }) => [pid, exitCode]), [[first, 3], [second, 0]]);
  });

  it('is idle hears no SIGINT', async t => assertUnmoved(workPool(t, { workers: 1 })));

  it('is idle and killed costs nothing', async t => {
    const pool = workPool(t, { workers: 1 });
    const pid = Number(await pool.run({ do: 'pid' }));
    process.kill(pid, 'SIGKILL');
    const values = await Promise.all([1, 2, 3].map(value => pool.run({ do: 'echo', value })).map(run => run.catch((error: unknown) => error)));
    const { report } = await finish(pool);
    // The first job may have been given before the news of the death came: then it may have started.
    assert.deepEqual(values.slice(1), [2, 3]);
    assert.ok(values[0] === 1 || values[0] instanceof WorkerExitError);
    assert.equal(report.workers[0]?.signal, 'SIGKILL');
  });

  it('is busy hears no SIGINT', async t => {
    const pool = workPool(t, { workers: 1 });
    const pid = Number(await pool.run({ do: 'pid' }));
    const spinning = pool.run({ do: 'spin', ms: 300 });
    process.kill(pid, 'SIGINT');
    assert.equal(await spinning, 300);
    assert.equal(await pool.run({ do: 'pid' }), pid);
  });

  it('sends messages of its own is not mistaken', async t => {
    const pool = workPool(t, { workers: 1 });
    void pool.jobs.put({ do: 'foreign' });
    void pool.jobs.put({ do: 'echo', value: 2 });
    const { results } = await finish(pool);
    assert.deepEqual(results.map(result => 'value' in result && result.value), ['sent', 2]);
  });
});

describe('a worker module', { concurrency: 2 }, () => {
  it('may be in CommonJS', async t => {
    const pool = poolOf<(job: number) => number>(t, 'common.cjs', {});
    assert.equal(await pool.run(20), 41);
  });

  it('is told id, attempt and signal of its job', async t => {
    const pool = workPool(t);
    await pool.run({ do: 'echo', value: 0 });
    assert.deepEqual(await pool.run({ do: 'context' }), { jobId: 1, attempt: 1, aborted: false });
  });

  it('sees none of the arguments that its process was started with', async t => {
    const pool = poolOf<(job: null) => { argv: string[]; execArgv: string[] }>(t, 'surroundings', { execArgv: ['--no-warnings'] });
    const { argv, execArgv } = await pool.run(null);
    assert.deepEqual([argv.length, execArgv], [2, ['--no-warnings']]);
  });

  it('gets the environment and the working directory that the options say', async t => {
    const pool = poolOf<(job: null) => { env: NodeJS.ProcessEnv; cwd: string }>(t, 'surroundings', { env: { DRAINPOOL: 'yes' }, cwd: '/' });
    const { env, cwd } = await pool.run(null);
    assert.deepEqual([env['DRAINPOOL'], env['HOME'], cwd], ['yes', undefined, '/']);
  });

  it('cannot create a pool of itself', async t => {
    const pool = poolOf<(job: null) => Promise<string>>(t, 'nested', {});
    assert.match(await pool.run(null), /Cannot create a pool in a worker of the same module/);
  });
});

async function assertUnmoved(pool: ReturnType<typeof workPool>): Promise<void> {
  const pid = Number(await pool.run({ do: 'pid' }));
  process.kill(pid, 'SIGINT');
  assert.equal(await pool.run({ do: 'pid' }), pid);
}

function reasonOf(result: Result<unknown, unknown> | undefined): unknown {
  return result !== undefined && 'reason' in result ? result.reason : undefined;
}
