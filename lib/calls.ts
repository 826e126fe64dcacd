// The jobs of `run()` and `map()` that wait, apart from those that were put, as they never wait for a reader of results. Any of them may
// be called off, in constant time: it stays in its place until half of them are such.

import type { Entry } from './job.ts';
import { Fifo } from './queue.ts';

export class Calls<Job> {
  readonly #ring = new Fifo<Entry<Job>>();
  #calledOff = 0;

  /** How many wait. */
  get size(): number {
    return this.#ring.size - this.#calledOff;
  }

  push(entry: Entry<Job>): void {
    this.#ring.push(entry);
  }

  /** Puts an entry that no worker started back in front. */
  putBack(entry: Entry<Job>): void {
    this.#ring.unshift(entry);
  }

  /** The one that has waited longest. */
  peek(): Entry<Job> | undefined {
    for (; this.#ring.peek()?.state === 'over'; this.#calledOff--) this.#ring.shift();
    return this.#ring.peek();
  }

  /** Takes what `peek` shows. */
  shift(): Entry<Job> | undefined {
    this.peek();
    return this.#ring.shift();
  }

  /** One that waited is over. */
  calledOff(): void {
    this.#calledOff++;
    if (this.#calledOff > this.#ring.size / 2) for (const entry of this.drain()) this.#ring.push(entry);
  }

  drain(): Entry<Job>[] {
    this.#calledOff = 0;
    return this.#ring.drain().filter(({ state }) => state !== 'over');
  }
}
