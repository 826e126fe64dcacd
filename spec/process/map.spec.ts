// `map()`: values in the order of their jobs, over an input that is taken lazily. What becomes of the input and of every job
// when it fails, is left, or the pool ends; and what it works with: streams of Node, web streams, other maps, the queue.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { ReadableStream } from 'node:stream/web';
import { PoolClosedError, PoolInterruptedError, WorkerStartError } from 'drainpool';
import type { PoolOptions, ProcessPool } from 'drainpool';
import { assertSum, finish, poolOf } from '../support/pool.ts';
import { limited } from '../support/limits.ts';
import { turns } from '../support/turns.ts';
import { until } from '../support/until.ts';
import { words } from '../support/words.ts';

type Calls = typeof import('../fixtures/calls.ts');
type Job = Parameters<Calls['default']>[0];

/** Jobs with a timeout travel alone: none is under way behind one that waits. */
const alone = { timeoutMs: 1_000_000 };
/** Each test takes a second or two: after this long something hangs. */
const callPool = (t: TestContext, options: PoolOptions = {}): ProcessPool<Calls> => poolOf<Calls>(t, 'calls', options);
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const squares = (count: number): number[] => range(count).map(n => n * n);

/** An input that notes how much was taken, and whether it was closed. */
class Input implements AsyncIterable<Job> {
  taken = 0;
  closed = 0;
  readonly #jobs: Iterator<Job>;

  constructor(jobs: Iterable<Job>) {
    this.#jobs = jobs[Symbol.iterator]();
  }

  [Symbol.asyncIterator](): AsyncIterator<Job> {
    return {
      next: async () => {
        const step = this.#jobs.next();
        if (step.done !== true) this.taken++;
        return step;
      },
      return: async () => {
        this.closed++;
        return { done: true, value: undefined };
      },
    };
  }
}

function* endless(): Generator<number> {
  for (let n = 0; ; n++) yield n;
}

/** These, and then numbers without end. */
function* before(...jobs: Job[]): Generator<Job> {
  yield* jobs;
  yield* endless();
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Reads to the end, which is an error. */
async function collectUntilError<T>(values: AsyncIterable<T>): Promise<{ values: T[]; error: unknown }> {
  const all: T[] = [];
  try {
    for await (const value of values) all.push(value);
  } catch (error) {
    return { values: all, error };
  }
  return assert.fail('it did not throw');
}

/** A job that waits for a file, and what makes that. */
function gate(t: TestContext): { job: Job; open: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'drainpool-map-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'open');
  return { job: { do: 'wait for', file }, open: () => writeFileSync(file, '') };
}

describe('map()', () => {
  it('gives values in the order of the jobs, from any iterable or async iterable', limited, async t => {
    const pool = callPool(t);
    for (const input of [range(100), new Set(range(100)), range(100).values(), new Input(range(100)), (async function* () { yield* range(100); })()]) {
      assert.deepEqual(await collect(pool.map(input)), squares(100));
    }
    assert.deepEqual(await collect(pool.map([])), []);
    const { report, results } = await finish(pool);
    assert.deepEqual([report.submitted, report.fulfilled, results], [500, 500, []]);
  });

  it('does not close an input that is at its end', limited, async t => {
    const input = new Input([1, 2]);
    await collect(callPool(t).map(input));
    assert.deepEqual([input.taken, input.closed], [2, 0]);
  });

  it('takes nothing before the first next(), and is never more than `jobCapacity` ahead of the reader', limited, async t => {
    const pool = callPool(t, { jobCapacity: 4 });
    const input = new Input(endless());
    const map = pool.map(input);
    await turns();
    assert.deepEqual([input.taken, pool.stats().jobs.submitted], [0, 0]);
    for (let read = 0; read < 10_000; read++) {
      assert.deepEqual(await map.next(), { done: false, value: read * read });
      assert.ok(input.taken <= read + 1 + 4, `${input.taken} taken when ${read + 1} were read`);
    }
    await until(() => input.taken === 10_004);
    await map.return?.();
    assert.equal(input.closed, 1);
    await finish(pool);
  });

  it('answers as many next() as there are at once, in order, whatever the capacity', limited, async t => {
    for (const jobCapacity of [1, 3, 100]) {
      const map = callPool(t, { jobCapacity }).map(range(20));
      const steps = await Promise.all(range(25).map(() => map.next()));
      assert.deepEqual(steps.map(({ done, value }) => done === true ? 'done' : value), [...squares(20), ...range(5).map(() => 'done')]);
    }
  });

  it('works on behind one slow job, and gives all of it when that is done', limited, async t => {
    const { job, open } = gate(t);
    const { stdio } = words(t);
    const pool = callPool(t, { stdio, ...alone });
    const map = pool.map([job, ...range(1000)]);
    const first = map.next();
    await until(() => pool.stats().jobs.fulfilled === 1000);
    open();
    assert.deepEqual(await first, { done: false, value: -1 });
    assert.deepEqual(await collect(map), squares(1000));
  });

  it('shares the workers: two maps, runs and the queue at once', limited, async t => {
    const pool = callPool(t, { jobCapacity: 16 });
    const putting = pool.jobs.putAll(range(500));
    const [one, other, runs] = await Promise.all([
      collect(pool.map(range(500))),
      collect(pool.map(new Input(range(500)))),
      Promise.all(range(500).map(n => pool.run(n))),
    ]);
    await putting;
    assert.deepEqual([one, other, runs], [squares(500), squares(500), squares(500)]);
    const { results } = await finish(pool);
    assert.deepEqual(results.map(result => 'value' in result && result.value), squares(500));
  });

  it('refuses at once what is no iterable, and a value that is no iterator step', limited, async t => {
    const pool = callPool(t);
    for (const found of [5, null, undefined, {}]) assert.throws(() => Reflect.apply(pool.map, pool, [found]), { name: 'TypeError', message: /^Cannot map the jobs as `map` takes an iterable or async iterable: received/ });
    // @ts-expect-error It does not compile either.
    await assert.rejects(collect(pool.map({ [Symbol.asyncIterator]: () => ({ next: async () => 5 }) })), { name: 'TypeError', message: 'Cannot map the jobs as `next()` of the iterator must give an object: received 5' });
  });
});

describe('a map() that fails or is left', () => {
  it('throws the first failure in order, closes its input, drops what waits, and leaves the pool usable', limited, async t => {
    const { job, open } = gate(t);
    const { stdio, said } = words(t);
    const pool = callPool(t, { stdio, ...alone, jobCapacity: 50 });
    const input = new Input(before(job, -1, 2, -3));
    const map = pool.map(input);
    const first = map.next();
    await said('waits');
    await until(() => pool.stats().jobs.rejected === 2);
    open(); // the failures were there before the value that is to come first
    assert.deepEqual(await first, { done: false, value: -1 });
    await assert.rejects(map.next(), { name: 'RangeError', message: '-1 is negative' });
    assert.deepEqual([await map.next(), input.closed], [{ done: true, value: undefined }, 1]);
    assert.equal(await pool.run(7), 49);
    const { report, results } = await finish(pool);
    assert.deepEqual([report.submitted, report.outcome, results], [input.taken + 1, 'completed', []]);
  });

  it('drops what waits when the loop is left: it counts as rejected; what runs may end, and is dropped too', limited, async t => {
    const { job, open } = gate(t);
    const { stdio, said } = words(t);
    const pool = callPool(t, { stdio, workers: 1, ...alone, jobCapacity: 10 });
    const input = new Input(before(1, job));
    for await (const value of pool.map(input)) {
      assert.equal(value, 1);
      await said('waits');
      await until(() => input.taken === 11);
      break;
    }
    assert.deepEqual([input.closed, pool.stats().jobs], [1, { submitted: 11, waiting: 0, given: pool.stats().jobs.given, fulfilled: 1, rejected: 10 - pool.stats().jobs.given }]);
    open();
    const { report, results } = await finish(pool);
    assert.deepEqual([report.outcome, report.lost, report.pending, results], ['completed', [], [], []]);
  });

  it('ends a next() that is pending when it is left, though its input never answers', limited, async t => {
    const pool = callPool(t);
    let closed = 0;
    const map = pool.map({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}), return: () => { closed++; return new Promise<never>(() => {}); } }) });
    const steps = [map.next(), map.next()];
    assert.deepEqual(await map.return?.(), { done: true, value: undefined });
    assert.deepEqual(await Promise.all(steps), range(2).map(() => ({ done: true, value: undefined })));
    assert.deepEqual([closed, await map.next()], [1, { done: true, value: undefined }]);
    await finish(pool);
  });

  it('does nothing when it is never read; read when the pool has ended it leaves its input', limited, async t => {
    const pool = callPool(t);
    const input = new Input(range(10));
    const map = pool.map(input);
    assert.equal(await pool.run(2), 4);
    const { report } = await finish(pool);
    assert.deepEqual([report.submitted, input.taken, input.closed], [1, 0, 0]);
    await assert.rejects(map.next(), PoolClosedError);
    assert.deepEqual([input.taken, input.closed], [0, 1]);
  });

  it('that nobody reads, or that the pool has ended over, is not kept by the pool', limited, async t => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const pool = callPool(t);
    const made = (async (): Promise<WeakRef<object>[]> => {
      const running = pool.map([1, { do: 'never' }]);
      assert.equal((await running.next()).value, 1);
      return [pool.map([1]), running].map(map => new WeakRef(map));
    })();
    const [unread, running] = await made;
    assert.ok(unread !== undefined && running !== undefined);
    await turn(); // a WeakRef keeps its target for the turn in which it was made
    collect();
    assert.equal(unread.deref(), undefined);
    await pool.terminate();
    await turn();
    collect();
    assert.equal(running.deref(), undefined);
  });

  it('throws what its input throws, once, behind the values before; even as it is left it gives no more', limited, async t => {
    const pool = callPool(t);
    const broken = new Error('broken input');
    const breaks = function* (): Generator<number> {
      yield* range(3);
      throw broken;
    };
    for (const input of [breaks(), (async function* () { yield* breaks(); })()]) {
      const map = pool.map(input);
      assert.deepEqual(await collectUntilError({ [Symbol.asyncIterator]: () => map }), { values: [0, 1, 4], error: broken });
      assert.deepEqual(await map.next(), { done: true, value: undefined });
    }
    const left = pool.map(breaks());
    await left.next();
    await left.return?.();
    assert.deepEqual(await left.next(), { done: true, value: undefined });
    await finish(pool);
  });

  it('is not disturbed by an input that throws when it is closed', limited, async t => {
    const pool = callPool(t);
    for await (const value of pool.map((function* () { try { yield* endless(); } finally { throw new Error('at its end'); } })())) {
      assert.equal(value, 0);
      break;
    }
    await finish(pool);
  });
});

describe('a map() and the end of the pool', () => {
  it('gives what was done up to the first gap, then throws PoolInterruptedError; values behind the gap are in `results`', limited, async t => {
    const { stdio, said } = words(t);
    const pool = callPool(t, { stdio, ...alone, jobCapacity: 8 });
    const input = new Input(before(3, 4, { do: 'never' }, -5, 6, 7));
    const map = pool.map(input);
    assert.deepEqual(await map.next(), { done: false, value: 9 });
    await said('started');
    await until(() => pool.stats().jobs.fulfilled + pool.stats().jobs.rejected === 8); // all but the gap, and no more are taken
    const report = await pool.interrupt();
    assert.equal(input.closed, 1);
    const { values, error } = await collectUntilError({ [Symbol.asyncIterator]: () => map });
    assert.deepEqual(values, [16]);
    assert.ok(error instanceof PoolInterruptedError);
    assert.deepEqual([error.code, error.report, error.message], ['ERR_POOL_INTERRUPTED', report, 'Cannot give all values as the pool was interrupted']);
    assert.deepEqual(await map.next(), { done: true, value: undefined });
    const behind = pool.results.drain();
    assert.deepEqual(behind.map(({ id, job, status }) => [id, job, status]), [[3, -5, 'rejected'], [4, 6, 'fulfilled'], [5, 7, 'fulfilled'], [6, 0, 'fulfilled'], [7, 1, 'fulfilled'], [8, 2, 'fulfilled']]);
    assert.deepEqual(behind.flatMap(result => result.status === 'fulfilled' ? [result.value] : []), [36, 49, 0, 1, 4]);
    assertSum(report);
    assert.deepEqual([report.submitted, report.fulfilled, report.rejected, report.lost, report.pending], [input.taken, 7, 1, [{ do: 'never' }], []]);
  });

  it('tells a next() that is pending, also one whose input never answers, and one that comes later', limited, async t => {
    for (const input of [[{ do: 'never' } as const], { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }]) {
      const pool = callPool(t, { stdio: 'ignore' });
      const map = pool.map(input);
      const step = map.next();
      const ending = pool.terminate();
      await assert.rejects(step, { name: 'PoolInterruptedError', message: 'Cannot give all values as the pool was terminated' });
      assertSum(await ending);
      await assert.rejects(pool.map([1]).next(), PoolInterruptedError);
    }
  });

  it('is whole where nothing was missing when the pool ended', limited, async t => {
    for (const end of ['interrupt', 'close'] as const) {
      const pool = callPool(t);
      const map = pool.map(range(5));
      await map.next();
      await until(() => pool.stats().jobs.fulfilled === 5);
      if (end === 'close') pool.jobs.close();
      await (end === 'close' ? pool.join() : pool.interrupt());
      assert.deepEqual(await collect(map), squares(5).slice(1));
      assert.deepEqual(pool.results.drain(), []);
    }
  });

  it('throws PoolClosedError behind what was done, once the pool is closed before all jobs were taken', limited, async t => {
    const pool = callPool(t, { jobCapacity: 2 });
    const input = new Input(endless());
    const map = pool.map(input);
    await map.next();
    await until(() => input.taken === 3);
    pool.jobs.close();
    const { values, error } = await collectUntilError({ [Symbol.asyncIterator]: () => map });
    assert.deepEqual([values, error instanceof PoolClosedError, input.closed], [[1, 4], true, 1]);
    await assert.rejects(collect(pool.map(range(3))), PoolClosedError);
    assertSum(await pool.join());
    await assert.rejects(collect(pool.map(range(3))), PoolClosedError);
  });

  it('throws PoolClosedError where its input waits when a closed pool has done everything', limited, async t => {
    const pool = callPool(t);
    const map = pool.map((async function* () { yield 3; await new Promise(() => {}); })());
    assert.deepEqual(await map.next(), { done: false, value: 9 });
    const step = map.next();
    pool.jobs.close();
    await assert.rejects(step, PoolClosedError);
    assertSum(await pool.join());
  });

  it('does not hold a pool back that is closed: what it had taken is worked off, read or not', limited, async t => {
    const pool = callPool(t);
    const map = pool.map(range(100));
    await map.next();
    const { report } = await finish(pool);
    assert.deepEqual([report.outcome, report.fulfilled], ['completed', 100]);
  });

  it('throws WorkerStartError on a pool that failed, which is then no unhandled rejection', limited, async t => {
    const pool = poolOf<Calls>(t, 'exports-nothing');
    await assert.rejects(collect(pool.map(range(3))), WorkerStartError);
    await assert.rejects(collect(pool.map(range(3))), WorkerStartError);
  });

  it('throws a TypeError on a module with a manual loop', limited, async t => {
    const pool = poolOf<typeof import('../fixtures/manual.ts')>(t, 'manual');
    const input = new Input(endless());
    await assert.rejects(collect(pool.map((async function* () { for await (const job of input) if (typeof job === 'number') yield job; })())), { name: 'TypeError', message: /on a module with a manual loop/ });
    await finish(pool);
  });
});

describe('map() and streams', () => {
  it('reads a stream, and is read as one', limited, async t => {
    const pool = callPool(t);
    const output = Readable.from(pool.map(Readable.from(range(1000))));
    assert.deepEqual(await collect<number>(output), squares(1000));
    const stream = Readable.from(endless());
    for await (const value of pool.map(stream)) if (value === 100) break;
    assert.equal(stream.destroyed, true);
  });

  it('is a step of a pipeline, whose error closes the input', limited, async t => {
    const pool = callPool(t, { jobCapacity: 16 });
    const seen: number[] = [];
    await pipeline(Readable.from(range(1000)), source => pool.map(source), async values => { for await (const value of values) seen.push(value); });
    assert.deepEqual(seen, squares(1000));

    const input = Readable.from(endless());
    await assert.rejects(pipeline(input, source => pool.map(source), async values => { for await (const value of values) if (value === 9) throw new Error('full'); }), /full/);
    assert.equal(input.destroyed, true);
    await finish(pool);
  });

  it('is a part of a composed stream', limited, async t => {
    const pool = callPool(t);
    assert.deepEqual(await collect<unknown>(Readable.from(range(100)).compose((source: AsyncIterable<number>) => pool.map(source))), squares(100));
  });

  it('reads a web stream, and is read as one', limited, async t => {
    const pool = callPool(t);
    const source = new ReadableStream<number>({
      start(controller) {
        for (const n of range(100)) controller.enqueue(n);
        controller.close();
      },
    });
    assert.deepEqual(await collect(pool.map(source)), squares(100));
    assert.deepEqual(await collect(ReadableStream.from(pool.map(range(100)))), squares(100));
    let isCancelled = false;
    const cancelled = new ReadableStream<number>({ pull: controller => { controller.enqueue(2); }, cancel: () => { isCancelled = true; } });
    const reader = ReadableStream.from(pool.map(cancelled)).getReader();
    assert.deepEqual(await reader.read(), { done: false, value: 4 });
    await reader.cancel();
    await until(() => isCancelled);
    await finish(pool);
  });
});
