// What `pool.map()` returns: values in the order of their jobs, over an input that is taken lazily. It has each job run by a host, keeps
// what came of it until its turn, and knows neither queues nor workers.
//
//  input ─► take ─► slots, in the order of the jobs ─► next()
//                   each filled when its job is settled, by whichever worker

import { PoolClosedError } from '../errors.ts';
import type { Clock } from '../host.ts';
import type { Caller, Settled } from './job-record.ts';
import { deferred, Fifo } from './fifo.ts';
import type { Deferred } from './fifo.ts';
import { Source } from './source.ts';
import type { Result } from '../types.ts';

/** What a map asks of the pool. */
export interface MapHost<Job, Value> {
  readonly clock: Clock;
  /** How many jobs may be ahead of the reader. */
  readonly capacity: number;
  /** The map is read from now on: it wants to be told of the pool's end, until it has left. */
  entered(map: OrderedMap<Job, Value>): void;
  /** Takes a job, and returns its id and what drops it while it waits; undefined if it was closed. */
  call(job: Job, caller: Caller): { id: number; drop: () => void } | undefined;
  /** The map is at its end: it is no longer told of the pool's. */
  left(map: OrderedMap<Job, Value>): void;
  /** What the end of the pool is to a reader. Rejects if it failed, or was only closed. */
  whyEnded(): Promise<Error>;
  /** The value as its type promises it. */
  value(value: unknown): Value;
}

interface Slot<Job> extends Caller {
  isGone: boolean;
  id: number;
  readonly job: Job;
  outcome: Settled | undefined;
  drop: () => void;
}

export class OrderedMap<Job, Value> implements AsyncIterableIterator<Value, void, undefined> {
  readonly #host: MapHost<Job, Value>;
  readonly #source: Source<Job>;
  readonly #slots = new Fifo<Slot<Job>>();
  readonly #steps = new Fifo<Deferred<IteratorResult<Value, void>>>();
  #state: 'new' | 'open' | 'all taken' | 'ended' | 'left' = 'new';
  #failure: { reason: unknown } | undefined;
  #makeRoom = (): void => {};

  constructor(jobs: Iterable<Job> | AsyncIterable<Job>, host: MapHost<Job, Value>) {
    this.#source = new Source(host.clock, jobs, 'map the jobs', 'map');
    this.#host = host;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Value, void>> {
    const step = deferred<IteratorResult<Value, void>>();
    this.#steps.push(step);
    if (this.#state === 'new') {
      this.#state = 'open';
      this.#host.entered(this);
      void this.#takeAll();
    }
    this.#serve();
    return step.promise;
  }

  /** Closes the input, and drops what has not started. */
  return(): Promise<IteratorResult<Value, void>> {
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The pool takes no more jobs. */
  stop(): void {
    this.#source.close();
    this.#makeRoom();
  }

  /** The pool has ended: values behind the first gap are handed back, as results. */
  end(): Result<Job, Value>[] {
    const slots = this.#slots.drain();
    const gap = slots.findIndex(({ outcome }) => outcome === undefined);
    if (gap !== -1 || this.#state !== 'all taken') this.#state = 'ended';
    this.stop();
    const whole = gap === -1 ? slots.length : gap;
    for (const slot of slots.slice(0, whole)) this.#slots.push(slot);
    const behind: Result<Job, Value>[] = [];
    for (const { id, job, outcome } of slots.slice(whole)) {
      if (outcome?.status === 'fulfilled') behind.push({ id, job, status: 'fulfilled', value: this.#host.value(outcome.value) });
      else if (outcome?.status === 'rejected') behind.push({ id, job, status: 'rejected', reason: outcome.reason });
    }
    this.#serve();
    return behind;
  }

  async #takeAll(): Promise<void> {
    try {
      while (this.#state === 'open') {
        const step = this.#source.next();
        const taken = step instanceof Promise ? await step : step;
        if (this.#state !== 'open' || taken === 'closed') return;
        if (taken.done === true) {
          this.#state = 'all taken';
          break;
        }
        this.#take(taken.value);
        if (this.#slots.size >= this.#host.capacity) await new Promise<void>(resolve => { this.#makeRoom = resolve; });
      }
    } catch (reason) {
      this.#state = 'all taken';
      this.#failure = { reason };
    }
    this.#serve();
  }

  #take(job: Job): void {
    const slot: Slot<Job> = {
      isGone: false,
      id: -1,
      job,
      outcome: undefined,
      drop: () => {},
      settle: outcome => {
        slot.outcome = outcome;
        if (this.#slots.peek() === slot) this.#serve();
      },
      unfinished: () => {},
    };
    const call = this.#host.call(job, slot);
    if (call === undefined) throw new PoolClosedError();
    Object.assign(slot, call);
    if (this.#state === 'open') this.#slots.push(slot);
    else discard(slot); // it was left, or ended, by somebody who was told of the call
  }

  /** Gives what can be given, in order. */
  #serve(): void {
    while (this.#steps.size > 0) {
      const outcome = this.#slots.peek()?.outcome;
      if (outcome === undefined) {
        if (this.#slots.size === 0) this.#serveEnd();
        break;
      }
      this.#slots.shift();
      if (outcome.status === 'rejected') this.#fail(outcome.reason);
      else this.#steps.shift()?.resolve({ done: false, value: this.#host.value(outcome.value) });
    }
    if (this.#slots.size < this.#host.capacity) this.#makeRoom();
  }

  /** No slot is left. */
  #serveEnd(): void {
    if (this.#state === 'open' || this.#state === 'new') return;
    if (this.#state === 'ended') {
      const step = this.#steps.shift();
      this.#leave();
      this.#host.whyEnded().then(step?.reject, step?.reject);
    } else if (this.#failure !== undefined && this.#state !== 'left') this.#fail(this.#failure.reason);
    else this.#leave();
  }

  #fail(reason: unknown): void {
    this.#steps.shift()?.reject(reason);
    this.#leave();
  }

  #leave(): void {
    for (const slot of this.#slots.drain()) discard(slot);
    for (const step of this.#steps.drain()) step.resolve({ done: true, value: undefined });
    if (this.#state === 'left') return;
    this.#state = 'left';
    this.stop();
    this.#host.left(this);
  }
}

/** Nobody wants it any more. */
function discard(slot: Slot<unknown>): void {
  slot.isGone = true;
  slot.drop();
}
