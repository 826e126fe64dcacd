// The two queues and the ring that both are made of, each by itself: no pool, no process. What a queue asks
// of its owner is played here by a few lines that count.

import assert from 'node:assert/strict';
import { Session } from 'node:inspector/promises';
import { describe, it } from 'node:test';
import { node } from '../../lib/node.ts';
import { deferred, Fifo } from '../../lib/parent/fifo.ts';
import { JobQueue } from '../../lib/parent/job-queue.ts';
import { ResultQueue } from '../../lib/parent/result-queue.ts';
import type { Result } from '../../lib/types.ts';
import { turns } from '../support/turns.ts';


/** Whether a promise is unsettled when all that can happen by itself has happened. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(() => false, () => false);
  return Promise.race([settled, turns(2).then(() => true)]);
}

// ---- Fifo

interface Item { n: number }

function fifoOf(from: number, to: number): Fifo<Item> {
  const fifo = new Fifo<Item>();
  for (let n = from; n < to; n++) fifo.push({ n });
  return fifo;
}

const numbers = (items: readonly (Item | undefined)[]): (number | undefined)[] => items.map(item => item?.n);
const count = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** How large a private array or set is: the inspector tells. */
async function sizeInside(object: object, field: string): Promise<number> {
  const session = new Session();
  session.connect();
  Reflect.set(globalThis, 'inspected', object);
  const { result } = await session.post('Runtime.evaluate', { expression: 'globalThis.inspected' });
  const answer = JSON.stringify(await session.post('Runtime.getProperties', { objectId: result.objectId ?? '' }));
  Reflect.deleteProperty(globalThis, 'inspected');
  session.disconnect();
  return Number(new RegExp(`"name":"${field}","value":\\{[^}]*"description":"\\w+\\((\\d+)\\)"`).exec(answer)?.[1]);
}

const ringLength = (fifo: Fifo<Item>): Promise<number> => sizeInside(fifo, '#ring');

describe('Fifo', () => {
  it('is empty at first', () => {
    const fifo = new Fifo<Item>();
    assert.equal(fifo.size, 0);
    assert.equal(fifo.peek(), undefined);
    assert.equal(fifo.shift(), undefined);
    assert.deepEqual(fifo.drain(), []);
    assert.equal(fifo.size, 0);
  });

  it('gives out in the order in which it was given, however many', () => {
    const fifo = fifoOf(0, 1000);
    assert.equal(fifo.size, 1000);
    assert.deepEqual(numbers(Array.from({ length: 1000 }, () => fifo.shift())), count(0, 1000));
    assert.equal(fifo.shift(), undefined);
    assert.equal(fifo.size, 0);
  });

  it('keeps the order where its ring wraps around', () => {
    const fifo = fifoOf(0, 10);
    for (let n = 0; n < 100; n++) {
      fifo.push({ n: n + 10 });
      assert.equal(fifo.shift()?.n, n);
    }
    assert.equal(fifo.size, 10);
    assert.deepEqual(numbers(fifo.drain()), count(100, 110));
  });

  it('keeps the order when it grows while it is wrapped around', () => {
    const fifo = fifoOf(0, 12);
    for (let n = 0; n < 6; n++) fifo.shift();
    for (let n = 12; n < 100; n++) fifo.push({ n });
    assert.deepEqual(numbers(fifo.drain()), count(6, 100));
  });

  it('shows the first item without taking it, and nothing once all are taken', () => {
    const fifo = fifoOf(0, 2);
    assert.equal(fifo.peek()?.n, 0);
    assert.equal(fifo.size, 2);
    fifo.shift();
    assert.equal(fifo.peek()?.n, 1);
    fifo.shift();
    assert.equal(fifo.peek(), undefined);
    const full = fifoOf(0, 16);
    for (let n = 0; n < 16; n++) full.shift();
    assert.equal(full.peek(), undefined);
  });

  it('takes an item back in front of all others, from the first place of its ring too', () => {
    const fifo = fifoOf(1, 3);
    fifo.unshift({ n: 0 });
    assert.equal(fifo.size, 3);
    assert.equal(fifo.peek()?.n, 0);
    assert.deepEqual(numbers(fifo.drain()), [0, 1, 2]);
  });

  it('takes items back when its ring is full', () => {
    const fifo = fifoOf(16, 32);
    for (let n = 15; n >= 0; n--) fifo.unshift({ n });
    fifo.unshift({ n: -1 });
    assert.equal(fifo.size, 33);
    assert.deepEqual(numbers(fifo.drain()), count(-1, 32));
  });

  it('drains in order, and is empty then and as good as new', () => {
    const fifo = fifoOf(0, 100);
    for (let n = 0; n < 50; n++) fifo.shift();
    assert.deepEqual(numbers(fifo.drain()), count(50, 100));
    assert.equal(fifo.size, 0);
    fifo.push({ n: 1 });
    assert.deepEqual(numbers(fifo.drain()), [1]);
  });

  it('does in any order of calls what an array does', () => {
    const fifo = new Fifo<Item>();
    const model: Item[] = [];
    let seed = 1;
    for (let n = 0; n < 20_000; n++) {
      seed = (seed * 48_271) % 2_147_483_647;
      const [pushes, unshifts] = Math.floor(n / 500) % 2 === 0 ? [4, 2] : [1, 1];
      const die = seed % 10;
      if (die < pushes) {
        model.push({ n });
        fifo.push({ n });
      } else if (die < pushes + unshifts) {
        model.unshift({ n });
        fifo.unshift({ n });
      } else assert.deepEqual(fifo.shift(), model.shift());
      assert.equal(fifo.size, model.length);
      assert.deepEqual(fifo.peek(), model[0]);
    }
    assert.deepEqual(fifo.drain(), model);
  });

  it('gives its memory back: 100,000 in and out, and its ring is as small as at first', async () => {
    const atFirst = await ringLength(new Fifo<Item>());
    const fifo = fifoOf(0, 100_000);
    const full = await ringLength(fifo);
    assert.ok(full >= 100_000 && full <= 200_000);
    for (let n = 0; n < 99_000; n++) fifo.shift();
    assert.ok(await ringLength(fifo) <= 4096);
    assert.deepEqual(numbers(fifo.drain()), count(99_000, 100_000));
    assert.equal(await ringLength(fifo), atFirst);
    assert.ok(atFirst > 0);
  });

  it('does not grow when it is never full', async () => {
    const fifo = fifoOf(0, 16);
    const length = await ringLength(fifo);
    for (let n = 0; n < 1000; n++) {
      fifo.shift();
      fifo.push({ n });
    }
    assert.equal(await ringLength(fifo), length);
  });
});

// ---- JobQueue

interface Waiting { job: number }

/** A queue, and how often it told its owner that something changed. */
function jobQueue(capacity: number): { queue: JobQueue<number, Waiting>; changes: () => number } {
  let changes = 0;
  const queue = new JobQueue<number, Waiting>(node, capacity, { admit: job => ({ job }), changed: () => { changes++; }, awaited: () => () => false });
  return { queue, changes: () => changes };
}

/** As the pool ends a queue: what waits is handed out before any source is told. */
function ended<Job, Entry extends object>(queue: JobQueue<Job, Entry>): Entry[] {
  const entries = queue.end();
  queue.closeSources();
  return entries;
}

const jobs = (entries: readonly (Waiting | undefined)[]): (number | undefined)[] => entries.map(entry => entry?.job);

/** An async iterator of the plainest kind: one that is asked, and told that nobody will ask again. */
function source(next: () => Promise<IteratorResult<number>>): AsyncIterable<number> & { closed: number } {
  const iterable = {
    closed: 0,
    [Symbol.asyncIterator]: () => ({
      next,
      return: (): Promise<IteratorResult<number>> => {
        iterable.closed++;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  return iterable;
}

const never = (): Promise<never> => new Promise(() => {});

describe('JobQueue.put()', () => {
  it('resolves to true at once while no more jobs wait than the capacity', async () => {
    const { queue } = jobQueue(3);
    const puts = [queue.put(0), queue.put(1), queue.put(2)];
    assert.equal(await isPending(Promise.all(puts)), false);
    assert.deepEqual(await Promise.all(puts), [true, true, true]);
  });

  it('stays pending while more jobs wait than the capacity, and the job is taken at once', async () => {
    const { queue } = jobQueue(2);
    const puts = [queue.put(0), queue.put(1), queue.put(2), queue.put(3)];
    assert.equal(queue.size, 4);
    assert.deepEqual(await Promise.all(puts.map(isPending)), [false, false, true, true]);
    assert.deepEqual(queue.shift(), { job: 0 });
    assert.deepEqual(await Promise.all(puts.map(isPending)), [false, false, true, true]);
    assert.deepEqual(queue.shift(), { job: 1 });
    assert.deepEqual(await Promise.all(puts), [true, true, true, true]);
    assert.deepEqual(jobs([queue.shift(), queue.shift(), queue.shift()]), [2, 3, undefined]);
  });

  it('holds producers back again after it has let them in', async () => {
    const { queue } = jobQueue(1);
    void queue.put(0);
    const second = queue.put(1);
    queue.shift();
    assert.equal(await second, true);
    const third = queue.put(2);
    assert.equal(await isPending(third), true);
    queue.shift();
    assert.equal(await third, true);
  });

  it('takes undefined and null for jobs, as any value', () => {
    const queue = new JobQueue<unknown, { job: unknown }>(node, 2, { admit: job => ({ job }), changed: () => {}, awaited: () => () => false });
    void queue.put(undefined);
    void queue.put(null);
    assert.deepEqual([queue.shift(), queue.shift()], [{ job: undefined }, { job: null }]);
  });

  it('tells the owner when the job is in the queue', () => {
    const sizes: number[] = [];
    const queue: JobQueue<number, Waiting> = new JobQueue(node, 1, { admit: job => ({ job }), changed: () => { sizes.push(queue.size); }, awaited: () => () => false });
    void queue.put(0);
    void queue.put(1);
    assert.deepEqual(sizes, [1, 2]);
  });

  it('resolves to false, without taking the job, once the queue has ended', async () => {
    const { queue, changes } = jobQueue(1);
    ended(queue);
    assert.equal(await queue.put(0), false);
    assert.equal(queue.size, 0);
    assert.equal(changes(), 0);
  });

  it('rejects after close()', async () => {
    const { queue } = jobQueue(1);
    queue.close();
    await assert.rejects(queue.put(0), { name: 'PoolClosedError', code: 'ERR_POOL_CLOSED' });
    assert.equal(queue.size, 0);
    ended(queue);
    await assert.rejects(queue.put(0), { name: 'PoolClosedError' });
  });
});

describe('JobQueue.holdsReader', () => {
  it('is true while a promise of put() stays pending', () => {
    const { queue } = jobQueue(1);
    void queue.put(0);
    assert.equal(queue.holdsReader, false);
    void queue.put(1);
    assert.equal(queue.holdsReader, true);
    queue.shift();
    assert.equal(queue.holdsReader, false);
    void queue.put(2);
    assert.equal(queue.holdsReader, true);
    ended(queue);
    assert.equal(queue.holdsReader, false);
  });

  it('is not for those who use putAll()', async () => {
    const { queue } = jobQueue(1);
    const putting = queue.putAll([0, 1, 2]);
    assert.equal(queue.size, 2);
    assert.equal(queue.holdsReader, false);
    ended(queue);
    assert.equal(await putting, 2);
  });
});

describe('JobQueue.close()', () => {
  it('leaves what waits, and those who wait for room', async () => {
    const { queue } = jobQueue(1);
    const puts = [queue.put(0), queue.put(1)];
    assert.equal(queue.closed, false);
    queue.close();
    assert.equal(queue.closed, true);
    assert.equal(queue.size, 2);
    queue.shift();
    assert.deepEqual(await Promise.all(puts), [true, true]);
  });

  it('tells the owner once, however often it is called', () => {
    const { queue, changes } = jobQueue(1);
    queue.close();
    queue.close();
    assert.equal(changes(), 1);
    assert.equal(queue.closed, true);
  });
});

describe('JobQueue.putBack()', () => {
  it('puts an entry in front of all that wait', () => {
    const { queue } = jobQueue(1);
    void queue.put(0);
    void queue.put(1);
    const first = queue.shift();
    assert.ok(first);
    queue.putBack(first);
    assert.equal(queue.size, 2);
    assert.equal(queue.peek(), first);
    assert.deepEqual(jobs([queue.shift(), queue.shift()]), [0, 1]);
    assert.equal(queue.peek(), undefined);
  });
});

describe('JobQueue.end()', () => {
  it('hands out what waits, in order', () => {
    const { queue } = jobQueue(2);
    for (const n of [0, 1, 2]) void queue.put(n);
    assert.deepEqual(jobs(ended(queue)), [0, 1, 2]);
    assert.equal(queue.size, 0);
    assert.deepEqual(ended(queue), []);
  });

  it('resolves to true for those who wait for room: their jobs were taken', async () => {
    const { queue } = jobQueue(1);
    const puts = [queue.put(0), queue.put(1), queue.put(2)];
    ended(queue);
    assert.deepEqual(await Promise.all(puts), [true, true, true]);
  });

  it('is not close()', () => {
    const { queue } = jobQueue(1);
    ended(queue);
    assert.equal(queue.closed, false);
  });
});

describe('JobQueue.putAll()', () => {
  function* three(): Generator<number> {
    yield* [0, 1, 2];
  }

  async function* threeLater(): AsyncGenerator<number> {
    for (const n of three()) {
      await turns();
      yield n;
    }
  }

  it('puts all that an iterable gives, in order, and resolves to how many', async () => {
    for (const iterable of [[0, 1, 2], new Set([0, 1, 2]), three(), threeLater()]) {
      const { queue } = jobQueue(10);
      assert.equal(await queue.putAll(iterable), 3);
      assert.deepEqual(jobs(ended(queue)), [0, 1, 2]);
    }
  });

  it('resolves to 0 for an empty iterable', async () => {
    const { queue, changes } = jobQueue(10);
    assert.equal(await queue.putAll([]), 0);
    assert.equal(changes(), 0);
  });

  it('prefers what is both to be async', async () => {
    const { queue } = jobQueue(10);
    assert.equal(await queue.putAll({ [Symbol.iterator]: () => [9][Symbol.iterator](), [Symbol.asyncIterator]: threeLater }), 3);
    assert.deepEqual(jobs(ended(queue)), [0, 1, 2]);
  });

  it('takes no more ahead than the capacity allows, and goes on where there is room', async () => {
    const { queue } = jobQueue(2);
    let pulled = 0;
    function* endless(): Generator<number> {
      for (;;) yield pulled++;
    }
    const putting = queue.putAll(endless());
    await turns();
    assert.deepEqual([pulled, queue.size], [3, 3]);
    queue.shift();
    await turns();
    assert.deepEqual([pulled, queue.size], [4, 3]);
    ended(queue);
    assert.equal(await putting, 4);
  });

  it('puts from several iterables at once', async () => {
    const { queue } = jobQueue(10);
    assert.deepEqual(await Promise.all([queue.putAll(threeLater()), queue.putAll(threeLater())]), [3, 3]);
    assert.deepEqual(jobs(ended(queue)).sort(), [0, 0, 1, 1, 2, 2]);
  });

  it('lets all producers go at the end, whatever each of them waits for', async () => {
    const { queue } = jobQueue(1);
    const sources = [source(never), source(never)];
    const puttings = [...sources.map(iterable => queue.putAll(iterable)), queue.putAll(three())];
    ended(queue);
    assert.deepEqual(await Promise.all(puttings), [0, 0, 2]);
    assert.deepEqual(sources.map(({ closed }) => closed), [1, 1]);
  });

  it('does not take a value that comes in the same moment as close()', async () => {
    const { queue } = jobQueue(1);
    let give = (_: IteratorResult<number>): void => {};
    const step = new Promise<IteratorResult<number>>(resolve => { give = resolve; });
    const putting = queue.putAll({ [Symbol.asyncIterator]: () => ({ next: () => step }) });
    void step.then(() => queue.close()); // behind the queue's own callback, and before what follows from that
    give({ done: false, value: 7 });
    await assert.rejects(putting, { code: 'ERR_POOL_CLOSED' });
    assert.equal(queue.size, 0);
  });

  it('resolves to its count when the iterable itself closes the queue at its end', async () => {
    const queue = new JobQueue<number, { job: number }>(node, 1, { admit: job => ({ job }), changed: () => {}, awaited: () => () => false });
    assert.equal(await queue.putAll((function* () { yield 1; queue.close(); })()), 1);
  });

  it('rejects with a TypeError when a step of the iterator is none', async () => {
    for (const step of [undefined, 5]) {
      const queue = new JobQueue<number, { job: number }>(node, 1, { admit: job => ({ job }), changed: () => {}, awaited: () => () => false });
      const broken = { [Symbol.asyncIterator]: () => ({ next: async () => step }) };
      // @ts-expect-error It does not compile either.
      await assert.rejects(queue.putAll(broken), /TypeError: Cannot put all jobs as `next\(\)` of the iterator must give an object: received (undefined|5)/);
    }
  });

  it('resolves to its count though the iterable throws while it is closed, as the queue ends', async () => {
    const queue = new JobQueue<number, { job: number }>(node, 1, { admit: job => ({ job }), changed: () => {}, awaited: () => () => false });
    const putting = queue.putAll((function* () { try { for (;;) yield 1; } finally { throw new RangeError('at its end'); } })());
    ended(queue);
    assert.equal(await putting, 2);
  });

  it('rejects with what an iterable throws, and what it gave before stays', async () => {
    const broken = new Error('broken source');
    function* breaks(): Generator<number> {
      yield 0;
      yield 1;
      throw broken;
    }
    async function* breaksLater(): AsyncGenerator<number> {
      yield* breaks();
    }
    for (const iterable of [breaks(), breaksLater()]) {
      const { queue } = jobQueue(10);
      await assert.rejects(queue.putAll(iterable), broken);
      assert.equal(await queue.put(2), true);
      assert.deepEqual(jobs(ended(queue)), [0, 1, 2]);
    }
  });

  it('refuses what is no iterable', async () => {
    const { queue } = jobQueue(10);
    for (const [found, shown] of [[null, 'null'], [undefined, 'undefined'], [3, 'number'], [{ length: 2 }, 'object'], [three, 'function']] as const) {
      const putting: Promise<unknown> = Reflect.apply(queue.putAll, queue, [found]);
      await assert.rejects(putting, { name: 'TypeError', message: `Cannot put all jobs as \`putAll\` takes an iterable or async iterable: received ${shown}` });
    }
    assert.equal(queue.size, 0);
  });

  it('closes a generator that waits for room when the queue ends', async () => {
    const { queue } = jobQueue(1);
    let isClosed = false;
    function* closing(): Generator<number> {
      try {
        for (let n = 0; ; n++) yield n;
      } finally {
        isClosed = true;
      }
    }
    const putting = queue.putAll(closing());
    await turns();
    assert.equal(isClosed, false);
    assert.deepEqual(jobs(ended(queue)), [0, 1]);
    assert.equal(await putting, 2);
    assert.equal(isClosed, true);
  });

  it('closes an async iterator when the queue ends, without waiting for a value that never comes', async () => {
    const { queue } = jobQueue(10);
    let asked = 0;
    const iterable = source(() => asked++ === 0 ? Promise.resolve({ done: false, value: 7 }) : never());
    const putting = queue.putAll(iterable);
    assert.equal(await isPending(putting), true);
    assert.deepEqual([asked, iterable.closed], [2, 0]);
    assert.deepEqual(jobs(ended(queue)), [7]);
    assert.equal(await putting, 1);
    assert.equal(iterable.closed, 1);
  });

  it('lets an async generator go that has never yielded', async () => {
    const { queue } = jobQueue(10);
    async function* silent(): AsyncGenerator<number> {
      yield await never();
    }
    const putting = queue.putAll(silent());
    assert.equal(await isPending(putting), true);
    ended(queue);
    assert.equal(await putting, 0);
  });

  it('lets an iterator go that cannot be closed', async () => {
    const { queue } = jobQueue(10);
    const putting = queue.putAll({ [Symbol.asyncIterator]: () => ({ next: never }) });
    ended(queue);
    assert.equal(await putting, 0);
  });

  it('does not take a value that comes after the end, nor mind a rejection', async () => {
    const { queue, changes } = jobQueue(10);
    const late = [deferred<IteratorResult<number>>(), deferred<IteratorResult<number>>()] as const;
    const puttings = late.map(({ promise }) => queue.putAll(source(() => promise)));
    ended(queue);
    assert.deepEqual(await Promise.all(puttings), [0, 0]);
    late[0].resolve({ done: false, value: 7 });
    late[1].reject(new Error('nobody asks any more'));
    await turns();
    assert.deepEqual([queue.size, changes()], [0, 0]);
  });

  it('does not take a value with which the end, or close(), comes', async () => {
    const [ended, closed] = [jobQueue(10).queue, jobQueue(10).queue];
    function* ending(act: () => void): Generator<number> {
      yield 0;
      act();
      yield 1;
    }
    assert.equal(await ended.putAll(ending(() => ended.end())), 1);
    await assert.rejects(closed.putAll(ending(() => closed.close())), { name: 'PoolClosedError' });
    assert.deepEqual([ended.size, jobs(closed.end())], [0, [0]]);
  });

  it('forgets a producer that is done', async () => {
    const { queue } = jobQueue(10);
    void queue.putAll(source(never));
    await queue.putAll(three());
    assert.equal(await sizeInside(queue, '#sources'), 1);
  });

  it('does not mind what an async iterator says to being closed', async () => {
    const { queue } = jobQueue(10);
    const putting = queue.putAll({ [Symbol.asyncIterator]: () => ({ next: never, return: () => Promise.reject(new Error('cannot close')) }) });
    ended(queue);
    assert.equal(await putting, 0);
    await turns();
  });

  it('resolves to 0 and closes the iterator, unasked, once the queue has ended', async () => {
    const { queue } = jobQueue(10);
    let asked = 0;
    const iterable = source(() => { asked++; return never(); });
    ended(queue);
    assert.equal(await queue.putAll(iterable), 0);
    assert.deepEqual([asked, iterable.closed], [0, 1]);
  });

  it('rejects and closes the iterator, unasked, after close()', async () => {
    const { queue } = jobQueue(10);
    let asked = 0;
    const iterable = source(() => { asked++; return never(); });
    queue.close();
    await assert.rejects(queue.putAll(iterable), { name: 'PoolClosedError' });
    assert.deepEqual([asked, iterable.closed], [0, 1]);
  });

  it('rejects and closes the iterator at close(), without waiting for a value that never comes', async () => {
    const { queue } = jobQueue(10);
    let asked = 0;
    const iterable = source(() => asked++ === 0 ? Promise.resolve({ done: false, value: 7 }) : never());
    const putting = queue.putAll(iterable);
    assert.equal(await isPending(putting), true);
    queue.close();
    await assert.rejects(putting, { name: 'PoolClosedError' });
    assert.equal(iterable.closed, 1);
    assert.deepEqual(jobs(ended(queue)), [7]);
  });

  it('takes steps from an async iterator that are no promises', async () => {
    const { queue } = jobQueue(10);
    const steps = three();
    const iterable = { [Symbol.asyncIterator]: () => ({ next: () => steps.next() }) };
    const putting: Promise<unknown> = Reflect.apply(queue.putAll, queue, [iterable]);
    assert.equal(await putting, 3);
    assert.deepEqual(jobs(ended(queue)), [0, 1, 2]);
  });
});

// ---- ResultQueue

const result = (id: number): Result<string, number> => ({ id, job: `job ${id}`, status: 'fulfilled', value: id * id });

/** A queue, and how often it told its owner that somebody has read, or has begun or stopped to. */
function resultQueue(...ids: number[]): { results: ResultQueue<string, number>; changes: () => number } {
  let changes = 0;
  const results = new ResultQueue<string, number>(() => { changes++; });
  for (const id of ids) results.push(result(id));
  return { results, changes: () => changes };
}

const done = { done: true, value: undefined };
const step = (id: number): IteratorResult<Result<string, number>, void> => ({ done: false, value: result(id) });

/** Reads to the end, and then what the loop threw, if anything. */
async function readAll(results: AsyncIterable<Result<string, number>>): Promise<unknown[]> {
  const read: unknown[] = [];
  try {
    for await (const { id } of results) read.push(id);
  } catch (error) {
    read.push(error);
  }
  return read;
}

describe('ResultQueue', () => {
  it('keeps what came before somebody reads, in order', async () => {
    const { results } = resultQueue(0, 1, 2);
    assert.equal(results.size, 3);
    results.end(null);
    assert.deepEqual(await readAll(results), [0, 1, 2]);
    assert.equal(results.size, 0);
  });

  it('gives a reader results as they come', async () => {
    const { results } = resultQueue();
    const reading = readAll(results);
    await turns();
    for (const id of [0, 1]) results.push(result(id));
    assert.equal(results.size, 1, 'the first went to the reader, which has not asked again');
    await turns();
    results.push(result(2));
    results.end(null);
    assert.deepEqual(await reading, [0, 1, 2]);
  });

  it('gives each result to one reader, to the one that asked first', async () => {
    const { results } = resultQueue();
    const [a, b] = [results[Symbol.asyncIterator](), results[Symbol.asyncIterator]()];
    const steps = [a.next(), b.next(), b.next(), a.next()];
    for (const id of [0, 1, 2, 3, 4]) results.push(result(id));
    assert.deepEqual(await Promise.all(steps), [step(0), step(1), step(2), step(3)]);
    assert.deepEqual(results.drain(), [result(4)]);
  });

  it('gives each result to one of two loops', async () => {
    const { results } = resultQueue();
    const readings = [readAll(results), readAll(results)];
    for (let id = 0; id < 100; id++) {
      results.push(result(id));
      if (id % 7 === 0) await turns();
    }
    results.end(null);
    const [a = [], b = []] = await Promise.all(readings);
    assert.ok(a.length > 0 && b.length > 0);
    assert.deepEqual([...a, ...b].map(Number).sort((x, y) => x - y), count(0, 100));
  });

  it('gives the results to whoever reads on when a loop was left', async () => {
    const { results } = resultQueue(0, 1, 2);
    for await (const { id } of results) if (id === 1) break;
    assert.equal(results.size, 1);
    results.push(result(3));
    results.end(null);
    assert.deepEqual(await readAll(results), [2, 3]);
  });

  it('gives nothing to a reader that has left while it waited', async () => {
    const { results } = resultQueue();
    const [a, b] = [results[Symbol.asyncIterator](), results[Symbol.asyncIterator]()];
    const steps = [a.next(), b.next()];
    await a.return?.();
    results.push(result(0));
    results.push(result(1));
    assert.deepEqual(await Promise.all(steps), [done, step(0)]);
    assert.deepEqual(results.drain(), [result(1)]);
  });

  it('says done to every next() of a reader that leaves, and from then on', async () => {
    const { results } = resultQueue();
    const reader = results[Symbol.asyncIterator]();
    const steps = [reader.next(), reader.next()];
    assert.deepEqual(await reader.return?.(), done);
    assert.deepEqual(await Promise.all(steps), [done, done]);
    results.push(result(0));
    assert.deepEqual(await reader.next(), done);
    assert.deepEqual(await reader.return?.(), done);
    assert.equal(results.size, 1);
  });

  it('may be left before it was read', async () => {
    const { results } = resultQueue(0);
    const reader = results[Symbol.asyncIterator]();
    assert.deepEqual(await reader.return?.(), done);
    assert.deepEqual(await reader.next(), done);
    assert.equal(results.beingRead, false);
    assert.equal(results.size, 1);
  });

  it('has readers that can be looped over themselves', async () => {
    const { results } = resultQueue(0, 1, 2);
    results.end(null);
    const reader = results[Symbol.asyncIterator]();
    assert.deepEqual(await reader.next(), step(0));
    assert.equal(reader[Symbol.asyncIterator](), reader);
    assert.deepEqual(await readAll(reader), [1, 2]);
  });
});

describe('ResultQueue.end()', () => {
  it('finishes all readers that wait', async () => {
    const { results } = resultQueue();
    const readings = [readAll(results), readAll(results)];
    await turns();
    results.end(null);
    assert.deepEqual(await Promise.all(readings), [[], []]);
    assert.equal(results.beingRead, false);
  });

  it('lets readers read what is there, and finishes those that come later', async () => {
    const { results } = resultQueue(0, 1);
    results.end(null);
    assert.equal(results.size, 2);
    assert.deepEqual(await readAll(results), [0, 1]);
    assert.deepEqual(await readAll(results), []);
  });

  it('with an error gives what was there, and throws it then', async () => {
    const { results } = resultQueue(0, 1);
    const error = new Error('failed');
    results.end(error);
    assert.deepEqual(await readAll(results), [0, 1, error]);
    assert.equal(results.beingRead, false);
  });

  it('with an error throws it for each reader: those that wait, that come back, and that come later', async () => {
    const { results } = resultQueue();
    const error = new Error('failed');
    const busy = results[Symbol.asyncIterator]();
    const first = busy.next();
    results.push(result(0));
    assert.deepEqual(await first, step(0));
    const waiting = [readAll(results), readAll(results)];
    await turns();
    results.end(error);
    assert.deepEqual(await Promise.all(waiting), [[error], [error]]);
    await assert.rejects(busy.next(), error);
    assert.deepEqual(await readAll(results), [error]);
    assert.equal(results.beingRead, false);
  });

  it('throws once for a reader: what it asks after that is done', async () => {
    const { results } = resultQueue();
    const reader = results[Symbol.asyncIterator]();
    const error = new Error('failed');
    results.end(error);
    await assert.rejects(reader.next(), error);
    assert.deepEqual(await reader.next(), done);
    assert.deepEqual(await reader.next(), done);
  });

  it('settles every next() of a reader that asked for several', async () => {
    const { results } = resultQueue();
    const reader = results[Symbol.asyncIterator]();
    const steps = [reader.next(), reader.next()];
    results.end(null);
    assert.deepEqual(await Promise.all(steps), [done, done]);
    assert.deepEqual(await reader.next(), done);
    assert.equal(results.beingRead, false);
  });
});

describe('ResultQueue.drain()', () => {
  it('takes what is there now, and never waits', () => {
    const { results } = resultQueue(0, 1);
    assert.deepEqual(results.drain(), [result(0), result(1)]);
    assert.deepEqual(results.drain(), []);
    assert.equal(results.size, 0);
  });

  it('takes what is there of a queue that has ended, with an error too, and throws nothing', () => {
    const { results } = resultQueue(0);
    results.end(new Error('failed'));
    assert.deepEqual(results.drain(), [result(0)]);
    assert.deepEqual(results.drain(), []);
  });

  it('leaves nothing to a loop, and takes nothing from one that waits', async () => {
    const { results } = resultQueue(0);
    results.drain();
    const reading = readAll(results);
    await turns();
    results.push(result(1));
    assert.deepEqual(results.drain(), []);
    results.end(null);
    assert.deepEqual(await reading, [1]);
  });
});

describe('ResultQueue.beingRead', () => {
  it('is true from the first next() until the reader leaves, whether it waits or not', async () => {
    const { results } = resultQueue(0);
    const reader = results[Symbol.asyncIterator]();
    assert.equal(results.beingRead, false);
    await reader.next();
    assert.equal(results.beingRead, true);
    void reader.next();
    assert.equal(results.beingRead, true);
    await reader.return?.();
    assert.equal(results.beingRead, false);
  });

  it('is true while one of several readers reads', async () => {
    const { results } = resultQueue(0, 1);
    const [a, b] = [results[Symbol.asyncIterator](), results[Symbol.asyncIterator]()];
    await Promise.all([a.next(), b.next()]);
    await a.return?.();
    await a.return?.();
    assert.equal(results.beingRead, true);
    await b.return?.();
    assert.equal(results.beingRead, false);
  });

  it('is false when a loop was left, by break or by an error in it', async () => {
    const { results } = resultQueue(0, 1);
    for await (const { id } of results) {
      assert.equal(id, 0);
      assert.equal(results.beingRead, true);
      break;
    }
    assert.equal(results.beingRead, false);
    await assert.rejects(async () => {
      for await (const { id } of results) throw new Error(`cannot use ${id}`);
    }, { message: 'cannot use 1' });
    assert.equal(results.beingRead, false);
  });

  it('is not changed by drain()', () => {
    const { results } = resultQueue(0);
    results.drain();
    assert.equal(results.beingRead, false);
  });
});

describe('new ResultQueue(changed)', () => {
  it('calls it when a result was read', async () => {
    const { results, changes } = resultQueue(0, 1);
    assert.equal(changes(), 0);
    const reader = results[Symbol.asyncIterator]();
    assert.equal(changes(), 0);
    await reader.next();
    assert.equal(changes(), 1);
    await reader.next();
    assert.equal(changes(), 2);
  });

  it('calls it when a reader begins to wait, and when it stops reading', async () => {
    const { results, changes } = resultQueue();
    const reader = results[Symbol.asyncIterator]();
    void reader.next();
    assert.equal(changes(), 1);
    await reader.return?.();
    assert.equal(changes(), 2);
  });

  it('calls it when the queue was drained, and the results are gone by then', () => {
    const sizes: number[] = [];
    const results: ResultQueue<string, number> = new ResultQueue(() => { sizes.push(results.size); });
    results.push(result(0));
    results.drain();
    assert.deepEqual(sizes, [0]);
  });

  it('does not call it for what comes in: that is the owner\'s own doing', () => {
    const { results, changes } = resultQueue(0, 1);
    results.end(null);
    assert.equal(changes(), 0);
  });
});
