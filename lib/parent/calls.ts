// The jobs of `run()` and `map()` that wait, apart from those that were put, as they never wait for a reader of results. Any of them may
// be cancelled, in constant time: it stays in its place until half of them are such.

import type { JobRecord } from './job-record.ts';
import { Fifo } from './fifo.ts';

export class Calls<Job> {
  readonly #ring = new Fifo<JobRecord<Job>>();
  #cancelled = 0;

  /** How many wait. */
  get size(): number {
    return this.#ring.size - this.#cancelled;
  }

  push(record: JobRecord<Job>): void {
    this.#ring.push(record);
  }

  /** Puts a record that no worker started back in front. */
  putBack(record: JobRecord<Job>): void {
    this.#ring.unshift(record);
  }

  /** The one that has waited longest. */
  peek(): JobRecord<Job> | undefined {
    for (; this.#ring.peek()?.state === 'over'; this.#cancelled--) this.#ring.shift();
    return this.#ring.peek();
  }

  /** Takes what `peek` shows. */
  shift(): JobRecord<Job> | undefined {
    this.peek();
    return this.#ring.shift();
  }

  /** One that waited is over. */
  cancelled(): void {
    this.#cancelled++;
    if (this.#cancelled > this.#ring.size / 2) for (const record of this.drain()) this.#ring.push(record);
  }

  drain(): JobRecord<Job>[] {
    this.#cancelled = 0;
    return this.#ring.drain().filter(({ state }) => state !== 'over');
  }
}
