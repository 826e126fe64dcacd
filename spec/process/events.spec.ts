// What a subscriber hears of a pool: each channel with its payload, in order; and that a subscriber can neither hurt the pool
// nor stand between it and its workers.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { ProcessPool } from 'drainpool';
import { events } from '../../lib/parent/events.ts';
import { finish, fixture, poolOf, workPool } from '../support/pool.ts';
import { Program } from '../support/program.ts';
import { temporary } from '../support/folder.ts';
import { limited } from '../support/limits.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

/** Each test takes a second or two: after this long something hangs. */
type Payload = Record<string, unknown>;
type Heard = [name: string, payload: Payload];

/** All that is heard of a pool, from now on, in order. Workers have letters instead of pids: `A` is the first. */
function listen<Module>(t: TestContext, pool: ProcessPool<Module>): Heard[] {
  const heard: Heard[] = [];
  const pids: unknown[] = [];
  for (const { name } of Object.values(events)) {
    const hear = (message: unknown): void => {
      const { pool: of, ...payload }: Payload = Object(message);
      if (of !== pool) return;
      if (typeof payload['pid'] === 'number') {
        if (!pids.includes(payload['pid'])) pids.push(payload['pid']);
        payload['pid'] = 'ABCDEFGH'[pids.indexOf(payload['pid'])];
      }
      heard.push([String(name).replace('drainpool:', ''), payload]);
    };
    subscribe(name, hear);
    t.after(() => unsubscribe(name, hear));
  }
  return heard;
}

/** Of some channels only. */
function only(heard: Heard[], ...names: string[]): Heard[] {
  return heard.filter(([name]) => names.includes(name));
}

const left = (pid: string, rest: Payload = {}): Heard => ['worker:left', { error: undefined, pid, exitCode: 0, signal: null, jobs: 0, ...rest }];

/** The rows of a table, as the README and the comment at the top of events.ts have it. */
function rows(text: string): string[][] {
  return [...text.matchAll(/^(?:\/\/ )?\| (`drainpool:.*) \|$/gm)].map(([, row = '']) => row.split('|').map(cell => cell.trim()));
}

describe('events', { concurrency: 2 }, () => {
  const root = new URL('../../../', import.meta.url);
  const table = rows(readFileSync(new URL('lib/parent/events.ts', root), 'utf8'));

  it('are on the channels of the README, which has the table of events.ts', () => {
    assert.deepEqual(table.map(([name]) => name), Object.values(events).map(({ name }) => `\`${String(name)}\``));
    assert.deepEqual(rows(readFileSync(new URL('README.md', root), 'utf8')), table);
  });

  it('have the payload that the table says', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    const heard = listen(t, pool);
    await pool.run({ do: 'echo', value: 1 });
    await pool.interrupt();
    const payloads = new Map(heard.map(([name, payload]) => [`\`drainpool:${name}\``, Object.keys(payload).sort()]));
    for (const [name = '', , payload = ''] of table) {
      assert.deepEqual(payloads.get(name), Array.from(payload.matchAll(/`(\w+)`/g), ([, key]) => key).sort(), name);
    }
  });

  it('tell the life of a worker and its job in order', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'echo', value: 1 });
    const { report } = await finish(pool);
    assert.deepEqual(heard, [
      ['worker:started', { pid: 'A', isReplacement: false }],
      ['worker:ready', { pid: 'A' }],
      ['job:given', { id: 0, attempt: 1, pid: 'A' }],
      ['job:settled', { id: 0, status: 'fulfilled', pid: 'A' }],
      left('A', { jobs: 1 }),
      ['pool:gone', { report }],
    ]);
  });

  it('name no worker for a job that cannot be sent: it had none, and is no progress of the pool', limited, async t => {
    const pool = workPool(t, { workers: 1 });
    const heard = listen(t, pool);
    await Promise.allSettled([Reflect.apply(pool.run, pool, [() => {}]), pool.run({ do: 'echo', value: 1 })]);
    assert.deepEqual(only(heard, 'job:settled'), [
      ['job:settled', { id: 0, status: 'rejected', pid: null }],
      ['job:settled', { id: 1, status: 'fulfilled', pid: 'A' }],
    ]);
  });

  it('tell of every attempt, and once that the job is settled', limited, async t => {
    const pool = workPool(t, { workers: 1, retries: 1 });
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'signal', signal: 'SIGKILL' });
    const { report } = await finish(pool);
    const shot = { exitCode: null, signal: 'SIGKILL' };
    assert.deepEqual(heard, [
      ['worker:started', { pid: 'A', isReplacement: false }],
      ['worker:ready', { pid: 'A' }],
      ['job:given', { id: 0, attempt: 1, pid: 'A' }],
      left('A', shot),
      ['worker:started', { pid: 'B', isReplacement: true }],
      ['worker:ready', { pid: 'B' }],
      ['job:given', { id: 0, attempt: 2, pid: 'B' }],
      left('B', shot),
      ['job:settled', { id: 0, status: 'rejected', pid: 'B' }],
      ['pool:gone', { report }],
    ]);
  });

  it('tell of each of thousands of jobs once that it was given, and then once that it is settled, by the same worker', limited, async t => {
    const pool = workPool(t);
    const heard = listen(t, pool);
    for (let value = 0; value < 5000; value++) pool.jobs.put(value % 7 === 0 ? { do: 'throw', what: 'error' } : { do: 'echo', value });
    await finish(pool);
    const jobs = only(heard, 'job:given', 'job:settled');
    const given = new Map<unknown, unknown>();
    const settled = new Set<unknown>();
    for (const [name, { id, pid, attempt, status }] of jobs) {
      if (name === 'job:given') {
        assert.deepEqual([given.has(id), attempt], [false, 1]);
        given.set(id, pid);
      } else {
        assert.deepEqual([settled.has(id), given.get(id), status], [false, pid, Number(id) % 7 === 0 ? 'rejected' : 'fulfilled']);
        settled.add(id);
      }
    }
    assert.deepEqual([given.size, settled.size], [5000, 5000]);
  });

  it('tell that a job which its worker had not started is given again, and that this is no new attempt', limited, async t => {
    const pool = workPool(t, { workers: 1, chunkSize: 2 });
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'exit', code: 1 });
    for (let value = 1; value < 4; value++) pool.jobs.put({ do: 'echo', value }); // 'waiting' divided by twice the workers: two in the first message
    await finish(pool);
    assert.deepEqual(only(heard, 'job:given').filter(([, { id }]) => id === 1), [
      ['job:given', { id: 1, attempt: 1, pid: 'A' }],
      ['job:given', { id: 1, attempt: 1, pid: 'B' }],
    ]);
    assert.deepEqual(only(heard, 'job:settled').map(([, { id, pid }]) => [id, pid]), [[0, 'A'], [1, 'B'], [2, 'B'], [3, 'B']]);
  });

  it('tell of a job that was called off while it waited that no worker had it', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const heard = listen(t, pool);
    const caller = new AbortController();
    const runs = pool.run({ do: 'say-and-never', word: 'runs' });
    const waits = pool.run({ do: 'echo', value: 1 }, { signal: caller.signal });
    await said('runs');
    caller.abort();
    await assert.rejects(waits, { name: 'AbortError' });
    assert.deepEqual(only(heard, 'job:settled'), [['job:settled', { id: 1, status: 'rejected', pid: null }]]);
    await pool.interrupt();
    await assert.rejects(runs, { fate: 'lost' });
  });

  it('tell of a job that was called off while it ran, and which worker had it', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const heard = listen(t, pool);
    const caller = new AbortController();
    const run = pool.run({ do: 'abort-aware' }, { signal: caller.signal });
    await said('waits for its signal');
    caller.abort();
    await assert.rejects(run, { name: 'AbortError' });
    await finish(pool);
    assert.deepEqual(only(heard, 'job:settled'), [['job:settled', { id: 0, status: 'rejected', pid: 'A' }]]);
  });

  it('tell of no step that the pool did not take: a worker that dies of SIGTERM is not said to be killed', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio });
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'busy' });
    await said('busy');
    await pool.interrupt();
    assert.deepEqual(only(heard, 'pool:terminating').map(([, { step }]) => step), ['stop', 'SIGTERM']);
  });

  it('tell of an interrupt when `stop` was sent, of each step, and of lost and pending jobs by the report alone', limited, async t => {
    const { stdio, said } = words(t);
    const pool = workPool(t, { workers: 1, stdio, graceMs: 1000 }); // longer than the pool waits with SIGTERM
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'deaf', word: 'busy' });
    pool.jobs.put({ do: 'echo', value: 1 });
    await said('busy');
    const report = await pool.interrupt();
    assert.deepEqual(heard.slice(3), [
      ['pool:interrupted', { signal: null }],
      ['pool:terminating', { step: 'stop', pid: 'A' }],
      ['pool:terminating', { step: 'SIGTERM', pid: 'A' }],
      ['pool:terminating', { step: 'SIGKILL', pid: 'A' }],
      left('A', { exitCode: null, signal: 'SIGKILL' }),
      ['pool:gone', { report }],
    ]);
    assert.deepEqual([report.lost.length, report.pending.length], [1, 1]);
  });

  it('tell of an interrupt that ends nobody, with the policy that finishes what runs', limited, async t => {
    const pool = workPool(t, { workers: 1, interruptPolicy: 'finish' });
    const heard = listen(t, pool);
    await pool.run({ do: 'echo', value: 1 });
    const report = await pool.interrupt();
    assert.deepEqual(heard.slice(4), [['pool:interrupted', { signal: null }], left('A', { jobs: 1 }), ['pool:gone', { report }]]);
  });

  it('tell which signal it was', limited, async t => {
    const tell = ['--import', fixture('tell-events').href];
    const program = new Program(new URL('../../samples/six-jobs.js', import.meta.url), ['--job-ms', '1000000'], { execArgv: tell });
    t.after(() => program.kill('SIGKILL'));
    await program.says(/starts job/, 3);
    await program.press();
    const { stdout } = await program.ended;
    assert.deepEqual(stdout.match(/(?<=^pool:interrupted ).*$/gm), ['{"signal":"SIGINT"}']);
  });

  it('tell of workers that cannot be started', limited, async t => {
    const pool = poolOf<(job: number) => void>(t, 'setup-throws', { workers: 1 });
    const heard = listen(t, pool);
    pool.jobs.put(1);
    await assert.rejects(pool.join(), { code: 'ERR_WORKER_START' });
    assert.deepEqual(heard.map(([name]) => name), ['worker:started', 'pool:terminating', 'worker:left', 'pool:gone']);
  });

  it('tell nothing of a worker that could not even be started', limited, async t => {
    const pool = workPool(t, { workers: 1, cwd: '/nowhere' });
    const heard = listen(t, pool);
    pool.jobs.put({ do: 'pid' });
    await assert.rejects(pool.join(), { code: 'ERR_WORKER_START' });
    assert.deepEqual(heard.map(([name]) => name), ['pool:gone']);
  });

  for (const channel of ['drainpool:pool:interrupted', 'drainpool:pool:terminating']) {
    it(`reach a subscriber to ${channel} when every worker has been sent \`stop\`, so that a slow one holds nothing up`, limited, async t => {
      const program = new Program(fixture('slow-subscriber'), [channel]);
      t.after(() => program.kill('SIGKILL'));
      const { code, stdout, stderr } = await program.ended;
      assert.deepEqual([code, stdout, stderr], [0, 'interrupted\n', '']);
    });
  }

  it('do not hurt the pool when their subscribers throw', limited, async t => {
    const program = new Program(fixture('throwing-subscribers'));
    t.after(() => program.kill('SIGKILL'));
    const { code, stdout, stderr } = await program.ended;
    assert.deepEqual([code, stdout, stderr], [0, 'interrupted 100 1 [] [] true\n', '']);
  });

  it('may call the pool from the first event on, also one that comes in its constructor', limited, async t => {
    const seen: unknown[] = [];
    const hear = (message: unknown): void => {
      const { pool } = Object(message);
      seen.push([pool.stats().jobs.submitted, pool.jobs.size, pool.results.size]);
    };
    for (const { name } of [events.workerStarted, events.interrupted]) {
      subscribe(name, hear);
      t.after(() => unsubscribe(name, hear));
    }
    const pool = workPool(t, { workers: 1, minWorkers: 1 });
    const aborted = workPool(t, { signal: AbortSignal.abort() });
    assert.deepEqual(seen, [[0, 0, 0], [0, 0, 0]]);
    await aborted.join();
    pool.jobs.close();
    await pool.join();
  });

  it('may terminate the pool while it settles what a dead worker had: what had started is lost then', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/exits-when.ts')>(t, 'exits-when', { workers: 1, chunkSize: 4, stdio: 'ignore' });
    await pool.run(0);
    const file = join(temporary(t), 'exit');
    const started = pool.run(file);
    const map = pool.map([1, 2, 3]);
    void map.next().catch(() => {});
    await until(() => pool.stats().jobs.given === 4);
    void map.return?.(); // its jobs settle when they come back
    const hear = (message: unknown): void => { if (Object(message).pool === pool) void pool.terminate(); };
    subscribe(events.jobSettled.name, hear);
    t.after(() => unsubscribe(events.jobSettled.name, hear));
    writeFileSync(file, '');
    await assert.rejects(started, { name: 'JobLostError', fate: 'lost' });
    const { lost, outcome } = await pool.join();
    assert.deepEqual([lost, outcome], [[file], 'terminated']);
  });

  it('find each job counted once, also in the moment in which a call that waits is cancelled', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/exits-when.ts')>(t, 'exits-when', { workers: 1, chunkSize: 1, stdio: 'ignore' });
    await pool.run(0);
    const running = pool.run(join(temporary(t), 'never')).catch(() => {});
    await until(() => pool.stats().jobs.given === 1);
    const controller = new AbortController();
    const waiting = [1, 2, 3].map(n => pool.run(n, { signal: controller.signal }).catch(() => {}));
    const sums: number[] = [];
    const hear = (message: unknown): void => {
      if (Object(message).pool !== pool) return;
      const { submitted, waiting, given, fulfilled, rejected } = pool.stats().jobs;
      sums.push(submitted - waiting - given - fulfilled - rejected);
    };
    subscribe(events.jobSettled.name, hear);
    t.after(() => unsubscribe(events.jobSettled.name, hear));
    controller.abort();
    await Promise.all(waiting);
    assert.deepEqual(sums, [0, 0, 0]);
    await pool.terminate();
    await running;
  });
});
