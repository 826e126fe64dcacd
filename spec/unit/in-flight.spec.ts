// What a worker that is gone leaves behind: which of its jobs had started, which may have, and which have not.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InFlight } from '../../lib/parent/in-flight.ts';
import type { Leftovers } from '../../lib/parent/in-flight.ts';
import type { JobRecord } from '../../lib/parent/job-record.ts';

const entry = (id: number): JobRecord<number> => ({ id, job: id, caller: null, state: 'in flight', pid: 1, isolated: null });

/** Two messages of three jobs each, of which the first job is answered. */
function given(): InFlight<number> {
  const all = new InFlight<number>();
  for (const ids of [[0, 1, 2], [3, 4, 5]]) all.sent(ids.map(entry));
  all.answer(false);
  return all;
}

const ids = ({ started, suspects, unstarted }: Leftovers<number>): number[][] => [started, suspects, unstarted].map(entries => entries.map(({ id }) => id));

describe('the jobs that a worker leaves behind', () => {
  it('may have started if they are of its first message, and it did not say so', () => {
    assert.deepEqual(ids(given().leftovers(true, false)), [[], [1, 2], [3, 4, 5]]);
  });

  it('had started as far as it said, and no others', () => {
    const all = given();
    all.started = 2;
    assert.deepEqual(ids(all.leftovers(true, false)), [[1, 2], [], [3, 4, 5]]);
  });

  it('had started if it is the only one left of the first message', () => {
    const all = given();
    all.answer(false);
    assert.deepEqual(ids(all.leftovers(true, false)), [[2], [], [3, 4, 5]]);
  });

  it('may all have started if it broke the protocol', () => {
    assert.deepEqual(ids(given().leftovers(true, true)), [[], [1, 2, 3, 4, 5], []]);
  });

  it('have not started if it was never ready, or their message never left', () => {
    assert.deepEqual(ids(given().leftovers(false, false)), [[], [], [1, 2, 3, 4, 5]]);
    const all = new InFlight<number>();
    const message = [entry(0), entry(1)];
    all.sent(message);
    all.notSent(message);
    assert.deepEqual(ids(all.leftovers(true, false)), [[], [], [0, 1]]);
  });
});
