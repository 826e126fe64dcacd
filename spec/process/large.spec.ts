// G2: what was done is not lost, whatever its size. Large results under way, a job that never returns behind
// them, and Ctrl-C at any moment: no hang, and every result that arrives is whole.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { WorkerExitError } from 'drainpool';
import { workPool } from '../support/pool.ts';
import { Program } from '../support/program.ts';

const program = (args: string[]): Program => new Program(new URL('../fixtures/large.js', import.meta.url), args);

describe('a large result', () => {
  it('of 20 MB, followed by a job in a busy loop and then Ctrl-C, arrives', async () => {
    for (const reading of ['for-await', 'drain']) {
      const run = program(['one-then-busy', '20000000', reading]);
      await run.says(/^busy/m);
      await run.press();
      const { code, stdout, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [130, '']);
      assert.match(stdout, /^fulfilled 1 rejected 0 lost 1 pending 1 of 3, whole 1$/m);
    }
  });

  it('that is under way at Ctrl-C, put without waiting by a manual loop, arrives before the next job starts', async () => {
    const run = program(['loop-then-busy', '20000000', 'drain']);
    await run.says(/^busy/m);
    await run.press();
    const { code, stdout } = await run.ended;
    assert.equal(code, 130);
    assert.match(stdout, /^fulfilled 1 rejected 0 lost 1 pending 1 of 3, whole 1$/m);
  });

  for (const [size, bytes, jobs] of [['1 MB', 1_000_000, 16], ['30 MB', 30_000_000, 6]] as const) {
    it(`of ${size} is whole or not there, at Ctrl-C at ten random moments`, async () => {
      for (let round = 0; round < 10; round++) {
        const before = Math.floor(Math.random() * (jobs - 1));
        const run = program(['many', String(bytes), round % 2 === 0 ? 'for-await' : 'drain', String(jobs), String(before)]);
        await run.says(/^now/m);
        await run.press({ times: 2, gapMs: Math.random() * 100 });
        const { code, signal, stdout, stderr } = await run.ended;
        assert.equal(stderr, '', stdout);
        assert.ok(code === 130 || signal === 'SIGINT', `round ${round}: ${code} ${signal} ${stdout}`);
        const [, fulfilled, rejected, lost, pending, submitted, whole] = (/^fulfilled (\d+) rejected (\d+) lost (\d+) pending (\d+) of (\d+), whole (\d+)$/m.exec(stdout) ?? []).map(Number);
        assert.ok(fulfilled !== undefined && lost !== undefined && pending !== undefined, stdout);
        assert.deepEqual([rejected, whole, fulfilled + lost + pending], [0, fulfilled, submitted]);
        assert.ok(lost <= 2, stdout);
      }
    });
  }
});

describe('a large job', { timeout: 240_000 }, () => {
  const LARGE = 150_000_000;

  /** Shoots so many workers while the job is sent to them. */
  async function shooting(t: TestContext, times: number): Promise<ReturnType<typeof workPool>> {
    const pool = workPool(t, { workers: 1 });
    let shots = 0;
    const shoot = (event: unknown): void => {
      const { pool: whose, id, pid } = Object(event);
      if (whose === pool && id === 1 && shots++ < times) process.kill(pid, 'SIGKILL');
    };
    subscribe('drainpool:job:given', shoot);
    t.after(() => unsubscribe('drainpool:job:given', shoot));
    assert.equal(await pool.run({ do: 'echo', value: 'ready' }), 'ready');
    return pool;
  }

  it('goes to another worker when the one that it is sent to is shot, twice if need be', async t => {
    const pool = await shooting(t, 2);
    const value = await pool.run({ do: 'echo', value: Buffer.alloc(LARGE, 7) });
    assert.ok(value instanceof Uint8Array && value.length === LARGE && value.every(byte => byte === 7));
    assert.equal(pool.stats().workers.replaced, 2);
  });

  it('is rejected when three workers were shot while it was sent to them, and the pool goes on', async t => {
    const pool = await shooting(t, 3);
    await assert.rejects(pool.run({ do: 'echo', value: Buffer.alloc(LARGE) }), WorkerExitError);
    assert.equal(await pool.run({ do: 'echo', value: 'next' }), 'next');
  });
});
