// A pool in a test whose timers are faked: it took what it needs when the library was loaded.

import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { limited } from '../support/limits.ts';
import { assertSum, finish, poolOf, workPool } from '../support/pool.ts';
import { words } from '../support/words.ts';

type Limits = typeof import('../fixtures/limits.ts');

describe('a pool under fake timers', () => {
  before(() => mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] }));
  after(() => mock.timers.reset());

  it('starts all its workers', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 3, stdio });
    for (const word of ['a', 'b', 'c']) void pool.jobs.put({ do: 'say-and-never', word: `running ${word}` });
    await said('running', 3);
    const report = await pool.terminate();
    assertSum(report);
    assert.deepEqual([report.outcome, report.lost.length], ['terminated', 3]);
  });

  it('ends a worker that is busy, and one that never leaves', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 2, stdio, graceMs: 1000 });
    void pool.jobs.put({ do: 'busy' });
    void pool.jobs.put({ do: 'deaf', word: 'busy, too' });
    await said('busy', 2);
    const { workers } = await pool.terminate();
    assert.deepEqual(workers.map(({ signal }) => signal).sort(), ['SIGKILL', 'SIGTERM']);
  });

  it('rejects a job at its timeout, and tries a worker again that cannot be started', limited, async t => {
    const pool = poolOf<Limits>(t, 'limits', { workers: 1, stdio: 'ignore' });
    await assert.rejects(pool.run({ do: 'busy' }, { timeoutMs: 20 }), { code: 'ERR_JOB_TIMEOUT' });
    assert.equal(await pool.run({ do: 'value', value: 7 }), 7);
    await finish(pool);
    const broken = poolOf<Limits>(t, 'exits', { workers: 1 });
    await assert.rejects(broken.run({ do: 'pid' }), { code: 'ERR_WORKER_START' });
  });
});
