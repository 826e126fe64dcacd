// The two queues, as the user sees them, and the ring that both are made of. The job queue counts
// what waits and holds its producers back; the result queue hands each result to one reader. Neither
// knows of workers: a queue tells its owner that something changed, and the owner looks.

import { PoolClosedError } from './errors.ts';
import type { Clock } from './host.ts';
import { Source } from './source.ts';
import type { Result } from './types.ts';

/** First in, first out, of objects, in one array used as a ring: it doubles when it is full and halves when three quarters are empty. */
export class Fifo<T extends object> {
  #ring: (T | undefined)[] = new Array<T | undefined>(16);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#size * 2);
    this.#ring[(this.#head + this.#size++) & (this.#ring.length - 1)] = item;
  }

  /** Puts an item back in front of all others. */
  unshift(item: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#size * 2);
    this.#head = (this.#head - 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = item;
    this.#size++;
  }

  peek(): T | undefined {
    return this.#ring[this.#head];
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    if (this.#ring.length > 16 && this.#size < this.#ring.length / 4) this.#resize(this.#ring.length / 2);
    return item;
  }

  /** Takes everything out, in order. */
  drain(): T[] {
    const items: T[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item);
    return items;
  }

  #resize(length: number): void {
    const ring = new Array<T | undefined>(length);
    for (let i = 0; i < this.#size; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
    this.#ring = ring;
    this.#head = 0;
  }
}

/** What the job queue asks of the pool. */
export interface JobSink<Job, Entry> {
  /** Makes the entry under which a job is known from now on. */
  admit(job: Job): Entry;
  /** Something waits, or nothing more will come. */
  changed(): void;
  /** A `putAll()` begins: what tells, from now on, whether a reader of results may be waiting for it. */
  awaited(): () => boolean;
}

const TAKEN = Promise.resolve(true);
const NOT_TAKEN = Promise.resolve(false);

/**
 * The jobs that wait for a worker, in the order in which they were put.
 *
 * **A job is taken at once**: the promise of `put()` only holds a producer back.
 * **The end is a word, not an observation**: after `close()` one sentinel for each worker follows the last job.
 */
export class JobQueue<Job, Entry extends object = object> {
  readonly #clock: Clock;
  readonly #waiting = new Fifo<Entry>();
  readonly #capacity: number;
  readonly #sink: JobSink<Job, Entry>;
  /** What is being put by `putAll()`; each with what tells whether a reader of results may be waiting for it. */
  readonly #sources = new Map<Source<Job>, () => boolean>();
  #closed = false;
  #ended = false;
  #isPutHeld = false;
  /** What producers wait for while more than the capacity wait: one promise for all of them. */
  #room: Deferred<boolean> | undefined;

  /** @internal */
  constructor(clock: Clock, capacity: number, sink: JobSink<Job, Entry>) {
    this.#clock = clock;
    this.#capacity = capacity;
    this.#sink = sink;
  }

  /** How many jobs wait: put, and not yet given to a worker. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Puts a job in. Resolves to `true`, at once while at most `jobCapacity` jobs wait, else when no more than
   * that do; to `false`, without taking the job, once the pool was interrupted or terminated or has failed. The job is
   * cloned when it is given to a worker, not now: leave it unchanged until then.
   *
   * @throws PoolClosedError (as a rejection) after `close()`.
   */
  put(job: Job): Promise<boolean> {
    if (this.#closed) return Promise.reject(new PoolClosedError());
    if (this.#ended) return NOT_TAKEN;
    this.#take(job);
    this.#isPutHeld = this.#room !== undefined;
    return this.#room?.promise ?? TAKEN;
  }

  /**
   * Puts in all that an iterable or async iterable gives, never more ahead than `jobCapacity` allows.
   * Resolves to how many it put. When the pool ends it stops taking and closes the iterator, without
   * waiting for a value that is still under way. What was put before an iterable threw is worked off.
   *
   * @throws PoolClosedError (as a rejection) after `close()`; what the iterable throws; TypeError if it is none.
   */
  async putAll(jobs: Iterable<Job> | AsyncIterable<Job>): Promise<number> {
    const source = new Source(this.#clock, jobs, 'put all jobs', 'putAll');
    let count = 0;
    this.#sources.set(source, this.#sink.awaited());
    try {
      while (!this.#closed && !this.#ended) {
        const next = source.next();
        const step = next instanceof Promise ? await next : next;
        if (step === 'closed') break;
        if (step.done === true) return count;
        if (this.#closed || this.#ended) break;
        this.#take(step.value);
        count++;
        if (this.#room !== undefined) await this.#room.promise;
      }
    } finally {
      this.#sources.delete(source);
    }
    source.close();
    if (this.#closed) throw new PoolClosedError();
    return count;
  }

  /** Accepts no more jobs: one sentinel for each worker follows the last one. Calling it again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const source of [...this.#sources.keys()]) source.closeSoon();
    this.#sink.changed();
  }

  /**
   * @internal Whether a reader of the results may be waiting for room here, and so for itself: in a `put()`, for all that one knows; in
   * a `putAll()` that was called in its loop, if it has not asked for a result since.
   */
  get holdsReader(): boolean {
    if (this.#isPutHeld) return true;
    for (const isAwaited of this.#sources.values()) if (isAwaited()) return true;
    return false;
  }

  /** @internal Whether a `putAll()` has more jobs than there is room for. */
  get hasMore(): boolean {
    return this.#sources.size > 0 && this.#room !== undefined;
  }

  /** @internal The entry that has waited longest. */
  shift(): Entry | undefined {
    const entry = this.#waiting.shift();
    if (this.#room !== undefined && this.#waiting.size <= this.#capacity) this.#letIn();
    return entry;
  }

  /** @internal */
  peek(): Entry | undefined {
    return this.#waiting.peek();
  }

  /** @internal Puts an entry that no worker started back in front. */
  putBack(entry: Entry): void {
    this.#waiting.unshift(entry);
  }

  /** @internal The pool ended: takes no more jobs, lets every producer go, and hands out what waits. */
  end(): Entry[] {
    this.#ended = true;
    this.#letIn();
    return this.#waiting.drain();
  }

  /** @internal Nothing more is taken from them. */
  closeSources(): void {
    for (const source of [...this.#sources.keys()]) source.close();
  }

  #take(job: Job): void {
    this.#waiting.push(this.#sink.admit(job));
    if (this.#waiting.size > this.#capacity) this.#room ??= deferred();
    this.#sink.changed();
  }

  #letIn(): void {
    this.#room?.resolve(true);
    this.#room = undefined;
    this.#isPutHeld = false;
  }
}

/**
 * The results that wait for a reader, in the order in which workers finished.
 *
 * **Every result goes to one reader**, whoever asks first; leaving a `for await` only stops reading.
 * **It ends when every worker has said its last word**; on a failed pool it gives what was done and then throws the error.
 */
export class ResultQueue<Job, Value> implements AsyncIterable<Result<Job, Value>, void, undefined> {
  readonly #waiting = new Fifo<Result<Job, Value>>();
  readonly #readers = new Fifo<Reader<Result<Job, Value>>>();
  readonly #changed: () => void;
  readonly #open = new Set<Reader<Result<Job, Value>>>();
  #end: { error: Error | null } | undefined;

  /** @internal `changed` is called when somebody has read, or has begun or stopped to read. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** How many results wait to be read. */
  get size(): number {
    return this.#waiting.size;
  }

  /** @internal Whether somebody is in the middle of a `for await`. */
  get beingRead(): boolean {
    return this.#open.size > 0;
  }

  /** @internal What tells whether a reader that has a result in hand now still has not asked for the next one. */
  inHand(): () => boolean {
    const inHand = [...this.#open].filter(({ isWaiting }) => !isWaiting).map(reader => ({ reader, asked: reader.asked }));
    return () => inHand.some(({ reader, asked }) => reader.state === 'open' && reader.asked === asked);
  }

  /** Takes everything that is there now. Never waits. */
  drain(): Result<Job, Value>[] {
    const results = this.#waiting.drain();
    this.#changed();
    return results;
  }

  /** Reads results as they come, until the pool has ended. On a failed pool the loop throws `WorkerStartError` at its end. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Result<Job, Value>, void, undefined> {
    const reader = new Reader<Result<Job, Value>>();
    const iterator: AsyncIterableIterator<Result<Job, Value>, void, undefined> = {
      next: () => {
        if (reader.state === 'left') return Promise.resolve({ done: true, value: undefined });
        this.#open.add(reader);
        reader.state = 'open';
        reader.asked++;
        const value = this.#waiting.shift();
        if (value !== undefined) {
          this.#changed();
          return Promise.resolve({ done: false, value });
        }
        const step = reader.wait();
        if (this.#end !== undefined) this.#leave(reader, this.#end.error);
        else {
          this.#readers.push(reader);
          this.#changed();
        }
        return step;
      },
      return: () => {
        this.#leave(reader, null);
        for (const other of this.#readers.drain()) if (other !== reader) this.#readers.push(other);
        this.#changed();
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /** @internal */
  push(result: Result<Job, Value>): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#waiting.push(result);
    else reader.give(result);
  }

  /** @internal Nothing more will come. */
  end(error: Error | null): void {
    this.#end = { error };
    for (const reader of this.#readers.drain()) this.#leave(reader, error);
  }

  #leave(reader: Reader<Result<Job, Value>>, error: Error | null): void {
    this.#open.delete(reader);
    reader.leave(error);
  }
}

/** One `for await` over the results, and the calls of its `next()` that no result has come for. */
class Reader<Item extends object> {
  state: 'new' | 'open' | 'left' = 'new';
  /** How often it has asked for a result. */
  asked = 0;
  readonly #waiting = new Fifo<Deferred<IteratorResult<Item, void>>>();

  /** Whether it waits for a result. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  wait(): Promise<IteratorResult<Item, void>> {
    const step = deferred<IteratorResult<Item, void>>();
    this.#waiting.push(step);
    return step.promise;
  }

  give(item: Item): void {
    this.#waiting.shift()?.resolve({ done: false, value: item });
  }

  leave(error: Error | null): void {
    this.state = 'left';
    for (const step of this.#waiting.drain()) {
      if (error === null) step.resolve({ done: true, value: undefined });
      else step.reject(error);
    }
  }
}

export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

/** `Promise.withResolvers`, which Node 20 does not have. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
