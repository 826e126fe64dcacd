// The errors that a caller may catch: class, name, code, message and fields of each. When they come is in
// the specs of what throws them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { JobLostError, PoolClosedError, PoolInterruptedError, ProtocolError, WorkerExitError, WorkerStartError } from 'drainpool';
import { poolOf } from '../support/pool.ts';

describe('WorkerExitError', () => {
  it('names the worker and its exit code', () => {
    const error = new WorkerExitError(7, { pid: 4711, exitCode: 3, signal: null });
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'WorkerExitError');
    assert.equal(error.code, 'ERR_WORKER_EXIT');
    assert.equal(error.message, 'Cannot finish job 7 as its worker (pid 4711) ended with exit code 3');
    assert.deepEqual([error.pid, error.exitCode, error.signal], [4711, 3, null]);
  });

  it('names the signal where one ended the worker', () => {
    const error = new WorkerExitError(7, { pid: 4711, exitCode: null, signal: 'SIGSEGV' });
    assert.equal(error.message, 'Cannot finish job 7 as its worker (pid 4711) ended by SIGSEGV');
    assert.deepEqual([error.pid, error.exitCode, error.signal], [4711, null, 'SIGSEGV']);
  });

  it('says what SIGABRT and exit code 134 usually mean: too little memory for the heap', () => {
    for (const [worker, how] of [[{ pid: 4711, exitCode: null, signal: 'SIGABRT' }, 'by SIGABRT'], [{ pid: 4711, exitCode: 134, signal: null }, 'with exit code 134']] as const) {
      const error = new WorkerExitError(7, worker);
      assert.equal(error.message, `Cannot finish job 7 as its worker (pid 4711) ended ${how}, which usually means that it was out of memory: smaller jobs need less, and \`execArgv: ['--max-old-space-size=4096']\` allows more`);
    }
  });

  it('says what SIGKILL often means, unless the pool sent it', () => {
    const worker = { pid: 4711, exitCode: null, signal: 'SIGKILL' } as const;
    assert.equal(new WorkerExitError(7, worker).message, 'Cannot finish job 7 as its worker (pid 4711) ended by SIGKILL, which often means that the machine was out of memory: fewer `workers` and smaller jobs need less');
    assert.equal(new WorkerExitError(7, worker, { cause: new ProtocolError('nonsense') }).message, 'Cannot finish job 7 as its worker (pid 4711) ended by SIGKILL');
  });

  it('has the error that brought the worker down as its cause, and none where nobody could say', () => {
    const cause = new RangeError('too late');
    assert.equal(new WorkerExitError(7, { pid: 1, exitCode: 7, signal: null }, { cause }).cause, cause);
    assert.equal('cause' in new WorkerExitError(7, { pid: 1, exitCode: 7, signal: null }), false);
  });
});

describe('WorkerStartError', () => {
  it('has the real error as its cause', () => {
    const cause = new SyntaxError('Unexpected token');
    const error = new WorkerStartError('Cannot start a worker as its module cannot be imported', { cause });
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'WorkerStartError');
    assert.equal(error.code, 'ERR_WORKER_START');
    assert.equal(error.message, 'Cannot start a worker as its module cannot be imported');
    assert.equal(error.cause, cause);
  });

  it('has no report until the pool gives it one', () => {
    assert.equal(new WorkerStartError('Cannot start a worker').report, null);
  });

  it('shows its cause, and not the report with all its jobs, when it is printed', async t => {
    const pool = poolOf<(job: string) => string>(t, 'throws');
    for (let n = 0; n < 100; n++) void pool.jobs.put(`job ${n}`);
    const error = await pool.join().catch((reason: unknown) => reason);
    assert.ok(error instanceof WorkerStartError);
    assert.equal(error.report?.pending.length, 100);
    const text = inspect(error, { depth: 5, maxArrayLength: 200 });
    assert.match(text, /\[cause\]: Error: thrown at import|\[cause\]: RangeError: thrown at import/);
    assert.doesNotMatch(text, /job 7|pending/);
    assert.ok(!Object.keys(error).includes('report'));
  });
});

describe('PoolInterruptedError', () => {
  it('has the report, and does not print it', async t => {
    const pool = poolOf<(job: number) => number>(t, 'echo');
    const map = pool.map((function* () { yield 1; void pool.terminate(); })());
    const error = await map.next().catch((reason: unknown) => reason);
    assert.ok(error instanceof PoolInterruptedError);
    assert.deepEqual([error.report.outcome, error.report.pending], ['terminated', [1]]);
    assert.doesNotMatch(inspect(error), /pending/);
  });
});

describe('JobLostError', () => {
  it('says of a lost job that it may have started', () => {
    const error = new JobLostError('lost', 'interrupted');
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'JobLostError');
    assert.equal(error.code, 'ERR_JOB_LOST');
    assert.equal(error.fate, 'lost');
    assert.equal(error.message, 'Cannot finish the job as the pool was interrupted: it may have started');
  });

  it('says of a pending job that it had not started', () => {
    const error = new JobLostError('pending', 'terminated');
    assert.equal(error.fate, 'pending');
    assert.equal(error.message, 'Cannot finish the job as the pool was terminated: it had not started');
  });
});

describe('PoolClosedError', () => {
  it('says what to do about it', () => {
    const error = new PoolClosedError();
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'PoolClosedError');
    assert.equal(error.code, 'ERR_POOL_CLOSED');
    assert.equal(error.message, 'Cannot take a job as the pool is closed: put jobs before `close()`');
  });
});

describe('ProtocolError', () => {
  it('says what it was told', () => {
    const error = new ProtocolError('Cannot go on with the worker (pid 4711) as it sent nonsense');
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'ProtocolError');
    assert.equal(error.code, 'ERR_PROTOCOL');
    assert.equal(error.message, 'Cannot go on with the worker (pid 4711) as it sent nonsense');
  });
});
