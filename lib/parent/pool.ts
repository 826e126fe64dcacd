// The pool: what a user sees. It hands on: coordinator.ts joins what does the work.
//
//                       |  process boundary
//      this process     |        worker 1..n  (each ignores the interrupt signals)
//                       |
//  put ─► job queue ─► send ── jobs ────────────►  jobs ─► work(job) ─┐
//         close()   ─► one sentinel each ───────►  loop ends          │
//  read ◄─ result queue ◄────────────── results ◄─────────────────────┘
//          ends when every worker is gone ◄─ end-of-results ◄ flushed, teardown done, leaves
//                       |
//
// The caller
// - puts jobs, closes, and reads results as they come, or joins and then drains;
// - or has a single job run by `run()`, or many in order by `map()`: the same workers, and the results go to the caller.
// This process
// - starts a worker when more jobs wait than workers are idle or starting, up to `workers`;
// - sends a message of jobs to a worker that said `ready`, as many as batch-size.ts says, a second one behind it while jobs are short;
// - sends each worker one sentinel when the queue is closed and nothing waits;
// - on an interrupt or `terminate()` takes the three steps, all workers together: `stop` by message, SIGTERM
//   to those that do not answer, SIGKILL to those that are not gone in time; it reads results all the while;
// - is done when no worker is left: then, and only then, `join()` resolves.
// A worker
// - runs its jobs in order, and leaves when it has read its sentinel or `stop` (see worker/program.ts).

import { JobLostError, PoolClosedError, PoolInterruptedError } from '../errors.ts';
import type { Host } from '../host.ts';
import { node } from '../node.ts';
import { checkMs, moduleHref, runSettings, settings } from '../options.ts';
import type { PoolOptions, RunOptions } from '../options.ts';
import type { DataOf, JobOf, PoolReport, PoolStats, ValueOf } from '../types.ts';
import { promised } from '../wire/protocol.ts';
import { pack } from '../wire/values.ts';
import { onAbort } from './aborts.ts';
import { Coordinator } from './coordinator.ts';
import { deferred } from './fifo.ts';
import type { JobQueue } from './job-queue.ts';
import type { Caller } from './job-record.ts';
import { OrderedMap } from './map.ts';
import type { ResultQueue } from './result-queue.ts';

/** What a worker module is when nothing is said about it. */
type AnyModule = (job: unknown) => unknown;

/**
 * A pool of worker processes with a job queue and a result queue, that a Ctrl-C ends at once.
 *
 * **Every job has one fate**: fulfilled, rejected, lost or pending, told by the report of `join()`.
 * **What was done is not lost**: results that were finished are in `results`, Ctrl-C or not.
 * **A dead worker is an answer**: its job is rejected with `WorkerExitError`, and it is replaced.
 * **Pending work holds the event loop; an idle pool never does.**
 *
 * After two posts on Python's multiprocessing, of 2010 and 2011: two queues, one sentinel for each worker, and on Ctrl-C terminate,
 * join, drain. samples/README.md retells them.
 *
 * `Module` is `typeof import('../work.js')`, or the type of a work function: the types of jobs and values come from it.
 */
export class ProcessPool<Module = AnyModule> implements AsyncDisposable {
  /** The jobs that wait for a worker: `put`, `putAll`, `close`. */
  readonly jobs: JobQueue<JobOf<Module>>;
  /** What became of jobs that were put: read it with `for await`, or `drain()` it after `join()`. */
  readonly results: ResultQueue<JobOf<Module>, ValueOf<Module>>;

  readonly #graceMs: number;
  readonly #coordinator: Coordinator<JobOf<Module>, ValueOf<Module>>;

  /**
   * Starts no process yet: the first job does.
   *
   * @param module The worker module: a file: URL, or an absolute path. It exports a work function as its default, or a `worker` loop.
   * @throws TypeError for a relative path, an unknown option or a wrong shape; RangeError for a number out of range; a
   * DataCloneError if `workerData` cannot be cloned; Error in a worker of the same module, which would start workers without end.
   */
  constructor(module: URL | string, options?: PoolOptions<DataOf<Module>>);
  /** @internal On a host that is not Node. */
  constructor(module: URL | string, options: PoolOptions<DataOf<Module>>, host: Host);
  constructor(module: URL | string, options: PoolOptions<DataOf<Module>> = {}, host: Host = node) {
    const href = moduleHref(module);
    if (host.workerModule === href) throw new Error('Cannot create a pool in a worker of the same module, as it would start workers without end: create it under `if (!isWorker)`');
    const all = settings(options);
    this.#graceMs = all.graceMs;
    this.#coordinator = new Coordinator(host, all, { href, workerData: pack(all.workerData, 'workerData') }, this);
    this.jobs = this.#coordinator.jobs.queue;
    this.results = this.#coordinator.jobs.results;
    this.#coordinator.begin();
  }

  /**
   * Has one job done: resolves to its value, rejects with what the work function threw. First come, first
   * served among all jobs; its result does not go to `results`.
   *
   * @throws (as rejections) the reason of `signal`; JobTimeoutError after `timeoutMs`; WorkerExitError if its worker died;
   * WorkerStartError if the pool failed; JobLostError if the pool was interrupted or terminated, marked as handled;
   * PoolClosedError after `close()`; a DataCloneError if the job cannot be cloned; TypeError or RangeError for wrong options, and
   * on a module with a manual loop, whose values belong to no call.
   */
  run(job: JobOf<Module>, options: RunOptions = {}): Promise<ValueOf<Module>> {
    const { promise, resolve, reject } = deferred<ValueOf<Module>>();
    let ignoreAbort = (): void => {};
    const caller: Caller = {
      settle: outcome => {
        ignoreAbort();
        if (outcome.status === 'rejected') reject(outcome.reason);
        else resolve(promised(outcome.value));
      },
      unfinished: error => {
        ignoreAbort();
        if (error instanceof JobLostError) promise.catch(() => {}); // a Ctrl-C is no unhandled rejection
        reject(error);
      },
    };
    try {
      const { signal, timeoutMs } = runSettings(options); // its getters have run by then: they may end the pool
      signal?.throwIfAborted();
      const record = this.#coordinator.admit(job, caller, { timeoutMs, isCancellable: signal !== undefined });
      if (record === undefined) return promise;
      if (signal !== undefined) ignoreAbort = onAbort(signal, () => this.#coordinator.cancel(record, signal.reason));
      this.#coordinator.jobs.call(record);
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /**
   * Has each job done, and gives the values in the order of the jobs. The input, an iterable or async iterable, is taken lazily,
   * from the first `next()` on and never more than `jobCapacity` ahead of the reader.
   *
   * The first failure, in order, is thrown; then, as when the loop is left, the input is closed, what has not started is
   * dropped (it counts as rejected), and the pool stays usable. When the pool is interrupted or terminated it gives what was
   * done up to the first gap, and then throws; values behind the gap go to `results`.
   *
   * @throws TypeError if `jobs` is no iterable. From the iterator: what a work function or the input throws; PoolInterruptedError,
   * whose `report` is the report; WorkerStartError if the pool failed; PoolClosedError after `close()`; TypeError on a manual loop.
   */
  map(jobs: Iterable<JobOf<Module>> | AsyncIterable<JobOf<Module>>): AsyncIterableIterator<ValueOf<Module>> {
    const { shutdown, barrier, mapHost } = this.#coordinator;
    const whyEnded = async (): Promise<Error> => shutdown.end === undefined ? Promise.reject(new PoolClosedError()) : new PoolInterruptedError(await barrier.joined);
    return new OrderedMap<JobOf<Module>, ValueOf<Module>>(jobs, { ...mapHost, whyEnded, value: promised });
  }

  /** Does what the first Ctrl-C does, by `interruptPolicy`. Calling it again does nothing more. Resolves like `join()`. */
  interrupt(): Promise<PoolReport<JobOf<Module>>> {
    this.#coordinator.shutdown.interrupt(null);
    return this.join();
  }

  /**
   * Ends the pool now: `stop` by message to every worker, SIGTERM to those that do not answer, SIGKILL to
   * those that are not gone after `graceMs` milliseconds (default: the option); 0 is SIGKILL now. It may be called while the pool is
   * ending in any way: then the shorter grace counts. Resolves like `join()`.
   *
   * @throws TypeError or RangeError if `graceMs` is no number of milliseconds.
   */
  terminate(options: { graceMs?: number } = {}): Promise<PoolReport<JobOf<Module>>> {
    const { graceMs = this.#graceMs } = options;
    checkMs('graceMs', graceMs, 'terminate the pool');
    this.#coordinator.shutdown.terminate(graceMs);
    return this.join();
  }

  /**
   * A barrier: resolves when every worker is gone, after `close()` and the last job or after an interrupt, and signals
   * nobody. A join that waits for somebody else's `close()` does not hold the event loop: Node ends with code 13.
   *
   * @throws WorkerStartError (as a rejection) if the pool failed; its `report` is the report.
   */
  join(): Promise<PoolReport<JobOf<Module>>> {
    this.#coordinator.join();
    return this.#coordinator.barrier.joined;
  }

  /**
   * `jobs.close()` and `join()` in one: no more jobs, and the report when every worker is gone.
   *
   * @throws (as a rejection) what `join()` throws.
   */
  close(): Promise<PoolReport<JobOf<Module>>> {
    this.jobs.close();
    return this.join();
  }

  /** A snapshot of now, cheap enough to call ten times a second. */
  stats(): PoolStats {
    return this.#coordinator.stats();
  }

  /** For `await using`: closes and joins an idle pool, terminates one whose work nobody waited for. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { shutdown, barrier, jobs } = this.#coordinator;
    if (jobs.ledger.unsettled === 0) this.jobs.close();
    else if (shutdown.state !== 'terminating') shutdown.terminate(this.#graceMs);
    await barrier.over;
    barrier.ignoreSignals();
  }
}

/** Whether this process is a worker of a pool: `if (!isWorker) await main()` makes one file play both roles. */
export const isWorker: boolean = node.workerModule !== undefined;
