// The records of jobs by themselves: the calls that wait, and the accounts of a pool. No pool, no process.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JobLostError } from 'drainpool';
import { node } from '../../lib/node.ts';
import { Calls } from '../../lib/parent/calls.ts';
import { isolated } from '../../lib/parent/job-record.ts';
import type { JobRecord } from '../../lib/parent/job-record.ts';
import { COMPLETED, Ledger } from '../../lib/parent/ledger.ts';
import type { End } from '../../lib/parent/ledger.ts';

const recordOf = (id: number, more: Partial<JobRecord<string>> = {}): JobRecord<string> =>
  ({ id, job: `job ${id}`, caller: null, state: 'waiting', pid: null, isolated: null, ...more });

const INTERRUPTED: End = { outcome: 'interrupted', signal: 'SIGINT', error: null };

describe('Calls', () => {
  it('give those that wait in their order, and those that were put back first', () => {
    const calls = new Calls<string>();
    for (const id of [1, 2]) calls.push(recordOf(id));
    calls.putBack(recordOf(0));
    assert.deepEqual([calls.size, calls.peek()?.id], [3, 0]);
    assert.deepEqual([calls.shift()?.id, calls.shift()?.id, calls.shift()?.id, calls.shift()], [0, 1, 2, undefined]);
  });

  it('pass over those that were cancelled, which count no more', () => {
    const calls = new Calls<string>();
    const records = [0, 1, 2, 3].map(id => recordOf(id));
    for (const record of records) calls.push(record);
    records[0]!.state = 'over';
    calls.cancelled();
    assert.deepEqual([calls.size, calls.peek()?.id], [3, 1]);
    for (const record of records.slice(1, 3)) {
      record.state = 'over';
      calls.cancelled();
    }
    assert.equal(calls.size, 1);
    assert.deepEqual(calls.drain().map(({ id }) => id), [3]);
    assert.equal(calls.size, 0);
  });
});

describe('Ledger', () => {
  it('counts as unsettled what was submitted and has no result', () => {
    const ledger = new Ledger<string>(node);
    Object.assign(ledger, { submitted: 5, fulfilled: 2, rejected: 1 });
    assert.equal(ledger.unsettled, 2);
  });

  it('lists lost and pending jobs in the order in which they were submitted, and tells their callers which they are', () => {
    const ledger = new Ledger<string>(node);
    const told: unknown[] = [];
    const caller = { settle: () => assert.fail(), unfinished: (error: Error) => { told.push(error instanceof JobLostError && error.fate); } };
    ledger.unfinished([recordOf(3, { caller }), recordOf(1)], 'pending', INTERRUPTED);
    ledger.unfinished([recordOf(2, { caller })], 'lost', INTERRUPTED);
    const { lost, pending, exitCode } = ledger.report(INTERRUPTED);
    assert.deepEqual([lost, pending, exitCode, told], [['job 2'], ['job 1', 'job 3'], 130, ['pending', 'lost']]);
  });

  it('has a suspect as lost, also where it waits: it may have started before', () => {
    const ledger = new Ledger<string>(node);
    ledger.unfinished([recordOf(0, { isolated: { ...isolated(), isSuspect: true } }), recordOf(1, { isolated: isolated() })], 'pending', INTERRUPTED);
    const { lost, pending } = ledger.report(INTERRUPTED);
    assert.deepEqual([lost, pending], [['job 0'], ['job 1']]);
  });

  it('leaves it to the error of a failed pool to tell the callers, and hands them out once', () => {
    const ledger = new Ledger<string>(node);
    const caller = { settle: () => assert.fail(), unfinished: () => assert.fail() };
    ledger.unfinished([recordOf(0, { caller }), recordOf(1)], 'pending', { outcome: 'failed', signal: null, error: Object.assign(new Error('failed')) });
    assert.deepEqual(ledger.takeCallers(), [caller]);
    assert.deepEqual(ledger.takeCallers(), []);
  });

  it('lists the last thousand workers, and none that could not be started', () => {
    const ledger = new Ledger<string>(node);
    for (let pid = 0; pid <= 1001; pid++) ledger.workerGone({ pid, exitCode: 0, signal: null, jobs: 0 });
    const { workers, outcome, exitCode } = ledger.report(COMPLETED);
    assert.deepEqual([workers.length, workers[0]?.pid, workers.at(-1)?.pid, outcome, exitCode], [1000, 2, 1001, 'completed', 0]);
  });
});
