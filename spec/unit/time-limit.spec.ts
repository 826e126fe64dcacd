// The time limit of a job, by itself: what it does while a large value is on its way.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { node } from '../../lib/node.ts';
import { isolated } from '../../lib/parent/job-record.ts';
import type { JobRecord } from '../../lib/parent/job-record.ts';
import { TimeLimit } from '../../lib/parent/time-limit.ts';
import { limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';

const SHORT_MS = 5;

/** A limit whose owner says what is wanted, and notes what it is told. */
function limitOf({ receivesLarge }: { receivesLarge: () => boolean }): { limit: TimeLimit<string>; told: string[]; record: JobRecord<string> } {
  const told: string[] = [];
  const limit = new TimeLimit<string>(node, { receivesLarge, lastMessageAt: () => node.now(), timedOut: () => told.push('timed out'), stuck: () => told.push('stuck') });
  return { limit, told, record: { id: 0, job: 'job', caller: null, state: 'in flight', pid: 1, isolated: isolated(SHORT_MS) } };
}

/** One whose time is up while a large value is on its way. */
async function overdue(): Promise<{ limit: TimeLimit<string>; told: string[] }> {
  let asked = 0;
  const { limit, told, record } = limitOf({ receivesLarge: () => ++asked > 0 });
  limit.start(record, SHORT_MS);
  await until(() => asked > 0);
  return { limit, told };
}

describe('the time limit of a job', limited, () => {
  it('is up after its time', async () => {
    const { limit, told, record } = limitOf({ receivesLarge: () => false });
    limit.start(record, SHORT_MS);
    await until(() => told.length > 0);
    assert.deepEqual(told, ['timed out']);
  });

  it('waits for a large value that is on its way, and is judged a turn after it has come', async () => {
    const { limit, told } = await overdue();
    limit.judge();
    assert.deepEqual(told, []);
    await turns(2);
    assert.deepEqual(told, ['timed out']);
    limit.end();
  });

  it('is not judged where the next message, in that turn, says that the job is done', async () => {
    const { limit, told } = await overdue();
    limit.judge();
    limit.end();
    await turns(3);
    assert.deepEqual(told, []);
  });

  it('tells of a job that is not let go of after it was cancelled', async () => {
    const { limit, told, record } = limitOf({ receivesLarge: () => false });
    limit.awaitLettingGo(record);
    await until(() => told.length > 0);
    assert.deepEqual(told, ['stuck']);
  });
});
