// An iterable or async iterable that jobs come from, read by somebody who may have to stop in the middle: also in the
// middle of a wait for a value that never comes. It knows nothing of jobs.

import type { Clock } from '../host.ts';

type AnyIterator<Item> = Iterator<Item, unknown, undefined> | AsyncIterator<Item, unknown, undefined>;
type Step<Item> = IteratorResult<Item, unknown> | 'closed';

export class Source<Item> {
  readonly #clock: Clock;
  readonly #iterator: AnyIterator<Item>;
  readonly #action: string;
  /** `asked`: in the middle of a call of its `next()`. `waiting`: for the value of one. `closing`, `ending`: it was closed in there. */
  #state: 'open' | 'asked' | 'closing' | 'waiting' | 'ending' | 'closed' | 'over' = 'open';
  #wake = (): void => {};

  /** @throws TypeError if it is none; `action` and `method` say in whose words. */
  constructor(clock: Clock, items: Iterable<Item> | AsyncIterable<Item>, action: string, method: string) {
    const iterable: Partial<Iterable<Item> & AsyncIterable<Item>> = items ?? {};
    const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]?.();
    if (iterator === undefined) throw new TypeError(`Cannot ${action} as \`${method}\` takes an iterable or async iterable: received ${items === null ? 'null' : typeof items}`);
    this.#clock = clock;
    this.#iterator = iterator;
    this.#action = action;
  }

  /** The next step, at once where the iterator is a plain one. @throws what it throws; TypeError for a step that is no object. */
  next(): Step<Item> | Promise<Step<Item>> {
    if (this.#state === 'closed') return 'closed';
    const next = this.#ask();
    return isPromiseLike(next) ? this.#later(next) : this.#checked(next);
  }

  /** Tells the iterator that nobody will ask again, if it is not at its end. Nobody waits for it, nor hears what it throws then. */
  close(): void {
    if (this.#state === 'asked') this.#state = 'closing'; // a generator cannot be closed while it runs
    else if (this.#state === 'waiting' || this.#state === 'open') this.#closeNow();
  }

  /** The same, where it may be the source itself that says so, as its last act: a value that is waited for has a moment to be the end. */
  closeSoon(): void {
    if (this.#state !== 'waiting') return this.close();
    this.#state = 'ending';
    this.#closeInAMoment();
  }

  #ask(): ReturnType<AnyIterator<Item>['next']> {
    this.#state = 'asked';
    try {
      return this.#iterator.next();
    } catch (reason) {
      this.#state = 'over';
      throw reason;
    }
  }

  #later(next: PromiseLike<IteratorResult<Item, unknown>>): Promise<Step<Item>> {
    if (this.#state === 'asked') this.#state = 'waiting';
    else this.#closeInAMoment();
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve('closed');
      next.then(step => resolve(this.#checked(step)), reason => {
        if (this.#state === 'ending') resolve('closed'); // nobody hears what it throws at the end of a pool
        this.#state = 'over';
        reject(reason);
      }).then(undefined, reject);
    });
  }

  /** One that closed the queue as its last act is at its end by then. */
  #closeInAMoment(): void {
    this.#clock.setImmediate(() => {
      if (this.#state === 'closing' || this.#state === 'ending') this.#closeNow();
    });
  }

  #closeNow(): void {
    this.#state = 'closed';
    this.#wake();
    void closeIterator(this.#iterator);
  }

  #checked(step: IteratorResult<Item, unknown>): Step<Item> {
    const state = this.#state;
    if (state === 'closed') return 'closed';
    this.#state = 'over'; // unless it gives one more
    if (Object(step) !== step) throw new TypeError(`Cannot ${this.#action} as \`next()\` of the iterator must give an object: received ${String(step)}`);
    if (step.done === true) return step;
    this.#state = 'open';
    if (state !== 'closing' && state !== 'ending') return step;
    this.#closeNow();
    return 'closed';
  }
}

function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

async function closeIterator(iterator: AnyIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // it concerns nobody any more
  }
}
