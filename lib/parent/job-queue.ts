// The job queue, as the user sees it: it counts what waits, and holds its producers back. It knows no workers: it tells its owner that
// something changed, and the owner looks.

import { PoolClosedError } from '../errors.ts';
import type { Clock } from '../host.ts';
import { deferred, Fifo } from './fifo.ts';
import type { Deferred } from './fifo.ts';
import { Source } from './source.ts';

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

  /** How many jobs wait: put, and not yet sent to a worker. */
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
   * cloned when it is sent to a worker, not now: leave it unchanged until then.
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
   * @internal Whether a reader of the results may be blocked here: in a `put()`, or in a `putAll()` that was called in its own loop. It
   * must not be held back, as it would wait for itself.
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
