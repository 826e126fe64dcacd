// Who waits for the end of a pool: `join()`, readers of results, maps, calls; and when Ctrl-C works as usual again. It knows neither
// workers nor how the pool came to its end.

import type { Host } from '../host.ts';
import type { PoolReport } from '../types.ts';
import { deferred } from './fifo.ts';
import type { End, Ledger } from './ledger.ts';
import type { OrderedMap } from './map.ts';
import type { ResultQueue } from './result-queue.ts';

export class Barrier<Job, Value> {
  readonly #host: Host;
  readonly #results: ResultQueue<Job, Value>;
  readonly #joined = deferred<PoolReport<Job>>();
  readonly #over = deferred<void>();
  readonly ignoreSignals: () => void;
  /** Those that are being read. */
  readonly maps = new Set<OrderedMap<Job, Value>>();
  #wasPressed = false;

  /** @param ignoreSignals Stops listening to signals. */
  constructor(host: Host, results: ResultQueue<Job, Value>, ignoreSignals: () => void) {
    this.#host = host;
    this.#results = results;
    this.ignoreSignals = ignoreSignals;
  }

  /** What `join()` returns. */
  get joined(): Promise<PoolReport<Job>> {
    return this.#joined.promise;
  }

  /** The same, where nobody asks how it ended. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** No worker is left: everybody who waits is told. */
  open(end: End, ledger: Ledger<Job>): PoolReport<Job> {
    const report = ledger.report(end);
    const wasBeingRead = this.#results.beingRead;
    const wasMapped = this.maps.size > 0;
    for (const map of this.maps) for (const result of map.end()) this.#results.push(result);
    this.maps.clear();
    this.#results.end(end.error);
    const callers = ledger.takeCallers();
    if (end.error === null) this.#joined.resolve(report);
    else {
      for (const caller of callers) caller.unfinished(end.error);
      end.error.report = report;
      // Where nobody reads, runs, maps or joins, it is an unhandled rejection: never silence.
      if (wasBeingRead || wasMapped || callers.length > 0) this.#joined.promise.catch(() => {});
      this.#joined.reject(end.error);
    }
    this.#over.resolve();
    this.resultsRead();
    return report;
  }

  /** It is open, and results were read: gives Ctrl-C back to the program when none is left, a whole turn of the event loop later. */
  resultsRead(): void {
    if (this.#results.size === 0) this.#host.setImmediate(() => this.#host.setImmediate(this.ignoreSignals));
  }

  /** It is open, and its results wait. Where nobody is reading them, the second press gives Ctrl-C back, unread or not. */
  pressed(): void {
    if (this.#results.beingRead) return;
    if (this.#wasPressed) this.ignoreSignals();
    this.#wasPressed = true;
  }
}
