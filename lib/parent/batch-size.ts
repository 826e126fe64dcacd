// How many jobs go into one message. A message costs some 20 µs whatever is in it, which is what a tiny job takes a
// hundred times over: so tiny jobs travel by the thousand, and long ones one by one. It knows neither jobs nor workers.
//
//  jobs in a message
//   1024 |            ____________             as measured: some 5 ms' worth, and at most 1024
//        |          _|            |
//     64 |        _|              |
//        |      _|                |_           a surprise, one long job, shrinks it gently
//      8 |    _|                    |_________
//      1 | __|                                |__   at the end: what waits, divided by twice the workers
//        +---------------------------------------- messages
//         at first one, sixty-four times, then at most twice the last

/** What a message should be worth. */
const MESSAGE_MS = 5;
/** Jobs that take longer travel one by one. */
const SINGLE_ABOVE_MS = 2;
/** A second message is under way to a worker while jobs take less than this: it never waits for the parent then. */
const SECOND_MESSAGE_BELOW_MS = 4;
/** Measured: twice as many gain nothing, and cost memory and time at the end. */
const MOST_JOBS = 1024;
/** What waits is enough for so many messages at least, where many workers would else get small ones. */
const MORE_SHARES = 8;
/** So many jobs go one by one first: where there are few, which of them was lost or killed its worker is known exactly. */
const FIRST_JOBS = 64;
/** A message counts as no more than so many times the mean, and this much: one long job must not make a thousand tiny ones travel one by one. */
const SURPRISE_FACTOR = 8;
const SURPRISE_MS = 0.1;

export class BatchSize {
  readonly #fixed: number | undefined;
  #meanMs = Infinity;
  #observed = 0;
  #learned = 1;

  /** @param size A fixed number of jobs in each message, or `'auto'`. */
  constructor(size: number | 'auto') {
    this.#fixed = size === 'auto' ? undefined : size;
  }

  /** So many jobs of one message took so long, together. */
  observe(jobs: number, elapsedMs: number): void {
    const meanMs = elapsedMs / jobs;
    if (this.#meanMs === Infinity) this.#meanMs = meanMs;
    else this.#meanMs += (Math.min(meanMs, this.#meanMs * SURPRISE_FACTOR + SURPRISE_MS) - this.#meanMs) / 4;
    this.#observed += jobs;
    if (this.#observed < FIRST_JOBS) return;
    const wanted = this.#meanMs > SINGLE_ABOVE_MS ? 1 : Math.round(MESSAGE_MS / this.#meanMs);
    this.#learned = Math.min(wanted, this.#learned * 2, MOST_JOBS);
  }

  /** How many jobs the next message may hold, while so many wait for so many workers. Where there are more than may wait, the end is not near. */
  size(waiting: number, workers: number, hasMore: boolean): number {
    const shares = hasMore ? Math.min(2 * workers, MORE_SHARES) : 2 * workers;
    return this.#fixed ?? Math.max(1, Math.min(this.#learned, Math.floor(waiting / shares)));
  }

  /** How many messages should be under way to a worker: with a fixed size of 1 strictly one. */
  get window(): number {
    return this.#fixed !== 1 && this.#meanMs < SECOND_MESSAGE_BELOW_MS ? 2 : 1;
  }
}
