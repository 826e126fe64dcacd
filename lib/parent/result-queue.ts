// The result queue, as the user sees it: it hands each result to one reader. It knows neither jobs nor workers.

import type { Result } from '../types.ts';
import { deferred, Fifo } from './fifo.ts';
import type { Deferred } from './fifo.ts';

/**
 * The results that wait for a reader, in the order in which workers finished.
 *
 * **Every result goes to one reader**, whoever asks first; leaving a `for await` only stops reading.
 * **It ends when every worker is gone**; on a failed pool it gives what was done and then throws the error.
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
