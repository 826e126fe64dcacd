// The pool: it owns the two queues, starts the workers, gives out what waits, and decides what becomes of
// every job. Everything goes through `#advance`, which is called after every event and does what can be
// done then; every job ends in `#settle`, `#fate` or `#finish`, and nowhere else.
//
//                       |  process boundary
//      this process     |        worker 1..n  (each ignores the interrupt signals)
//                       |
//  put ─► job queue ─► give ── jobs ────────────►  jobs ─► work(job) ─┐
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
// - gives a message of jobs to a worker that said `ready`, as many as chunks.ts says, a second one behind it while jobs are short;
// - sends each worker one sentinel when the queue is closed and nothing waits;
// - on an interrupt or `terminate()` takes the three steps, all workers together: `stop` by message, SIGTERM
//   to those that do not answer, SIGKILL to those that are not gone in time; it reads results all the while;
// - is done when no worker is left: then, and only then, `join()` resolves.
// A worker
// - runs its jobs in order, and leaves when it has read its sentinel or heard `stop` (see program.ts).

import { onAbort } from './aborts.ts';
import { Calls } from './calls.ts';
import { Chunks } from './chunks.ts';
import { deadline } from './deadline.ts';
import { JobLostError, JobTimeoutError, PoolClosedError, PoolInterruptedError, WorkerExitError, WorkerStartError } from './errors.ts';
import { events } from './events.ts';
import { Guard } from './guard.ts';
import type { Host, Timer } from './host.ts';
import { onInterrupt } from './interrupt.ts';
import { pack } from './ipc.ts';
import type { Packed } from './ipc.ts';
import { alone } from './job.ts';
import type { Alone, Caller, Entry, Fate } from './job.ts';
import { COMPLETED, Ledger } from './ledger.ts';
import type { End } from './ledger.ts';
import { OrderedMap } from './map.ts';
import type { MapHost } from './map.ts';
import { node } from './node.ts';
import { checkMs, checkName, moduleHref, settings, wrong } from './options.ts';
import type { PoolOptions, Settings } from './options.ts';
import { promised } from './protocol.ts';
import type { FailedMessage } from './protocol.ts';
import { deferred, JobQueue, ResultQueue } from './queue.ts';
import { Starts } from './starts.ts';
import type { DataOf, JobOf, PoolReport, PoolStats, ValueOf } from './types.ts';
import { SLOW_MS, WorkerProcess } from './worker-process.ts';
import type { Remains } from './worker-process.ts';

/** Step 2 of terminate comes when nothing was heard for this long: a loaded machine answers late, one worker after another. */
const SILENCE_MS = 50;
/** Step 2 of terminate comes at the latest this long after step 1. */
const ANSWER_MS = 500;
/** So many workers killed while they were sent the same job, and it is rejected. */
const MOST_SHOTS = 3;
/** The longest that a timer can wait: what holds the event loop while work is pending. */
const FOR_EVER_MS = 2 ** 31 - 1;

const NO_OPTIONS: CheckedOptions = { signal: undefined, timeoutMs: undefined };

interface CheckedOptions {
  signal: AbortSignal | undefined;
  timeoutMs: number | undefined;
}

/** What a worker module is when nothing is said about it. */
type AnyModule = (job: unknown) => unknown;

export interface RunOptions {
  /** Cancels the job: one that waits never starts, one that runs has its own signal aborted. The promise rejects with its reason. */
  signal?: AbortSignal;
  /** Instead of the pool's: milliseconds from the start of the job. */
  timeoutMs?: number;
}

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
 * `Module` is `typeof import('./work.js')`, or the type of a work function: the types of jobs and values come from it.
 */
export class ProcessPool<Module = AnyModule> implements AsyncDisposable {
  /** The jobs that wait for a worker: `put`, `putAll`, `close`. */
  readonly jobs: JobQueue<JobOf<Module>>;
  /** What became of jobs that were put: read it with `for await`, or `drain()` it after `join()`. */
  readonly results: ResultQueue<JobOf<Module>, ValueOf<Module>>;

  readonly #host: Host;
  readonly #settings: Settings;
  readonly #module: { href: string; workerData: Packed };
  readonly #queue: JobQueue<JobOf<Module>, Entry<JobOf<Module>>>;
  readonly #calls = new Calls<JobOf<Module>>();
  readonly #maps = new Set<OrderedMap<JobOf<Module>, ValueOf<Module>>>();
  /** The workers that are not gone. */
  readonly #workers = new Set<WorkerProcess<JobOf<Module>>>();
  readonly #guard: Guard;
  readonly #chunks: Chunks;
  readonly #starts: Starts;
  readonly #ledger: Ledger<JobOf<Module>>;

  #phase: 'running' | 'finishing' | 'terminating' | 'gone' = 'running';
  #end: End | undefined;
  readonly #joined = deferred<PoolReport<JobOf<Module>>>();
  readonly #over = deferred<void>();
  #isJoining = false;

  #died = 0;
  #replaced = 0;

  #isAdvancing = false;
  #isStarting = false;
  #evenOutTimer: Timer | undefined;
  #isHeldBack = false;
  #heardMs = 0;
  /** Ended in this very turn. */
  #isEndNew = false;
  #latePresses = 0;
  #hold: Timer | undefined;
  #callOffJudgement = (): void => {};
  readonly #ignoreSignals: () => void;
  readonly #ignoreAbort: () => void;

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
    this.#host = host;
    this.#guard = new Guard(host);
    this.#ledger = new Ledger(host);
    const href = moduleHref(module);
    if (host.workerModule === href) throw new Error('Cannot create a pool in a worker of the same module, as it would start workers without end: create it under `if (!isWorker)`');
    this.#settings = settings(options);
    this.#module = { href, workerData: pack(this.#settings.workerData, 'workerData') };
    this.#starts = new Starts(host, this.#settings.interruptSignals, () => this.#advance());
    this.#chunks = new Chunks(this.#settings.timeoutMs === undefined ? this.#settings.chunkSize : 1);
    this.#queue = new JobQueue(host, this.#settings.jobCapacity, {
      admit: job => this.#admit(job, null),
      changed: () => this.#queueChanged(),
      awaited: () => this.results.inHand(),
    });
    this.jobs = this.#queue;
    this.results = new ResultQueue(() => this.#resultsRead());
    this.#ignoreSignals = onInterrupt(host, this.#settings.interruptSignals, signal => this.#press(signal));
    const { signal } = this.#settings;
    const abort = (): void => this.#interrupt(null);
    this.#ignoreAbort = signal === undefined ? () => {} : onAbort(signal, abort);
    if (signal?.aborted === true) abort();
    else if (this.#settings.minWorkers > 0) this.#queueChanged();
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
      settle: fate => {
        ignoreAbort();
        if (fate.status === 'rejected') reject(fate.reason);
        else resolve(promised(fate.value));
      },
      overtake: error => {
        ignoreAbort();
        if (error instanceof JobLostError) promise.catch(() => {}); // a Ctrl-C is no unhandled rejection
        reject(error);
      },
    };
    try {
      const checked = runOptions(options); // its getters have run by then: they may end the pool
      const { signal } = checked;
      signal?.throwIfAborted();
      if (this.#end !== undefined) caller.overtake(this.#end.error ?? new JobLostError('pending', this.#end.outcome));
      else if (this.#queue.closed) throw new PoolClosedError();
      else {
        const entry = this.#admit(job, caller, checked);
        if (signal !== undefined) ignoreAbort = onAbort(signal, () => this.#cancel(entry, signal.reason));
        this.#call(entry);
      }
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
    const host: MapHost<JobOf<Module>, ValueOf<Module>> = {
      clock: this.#host,
      capacity: this.#settings.jobCapacity,
      call: (job, caller) => {
        if (this.#queue.closed) return undefined;
        const entry = this.#admit(job, caller);
        this.#call(entry);
        return { id: entry.id, callOff: () => this.#callOff(entry) };
      },
      entered: map => {
        this.#maps.add(map);
        if (this.#end !== undefined) map.stop();
        if (this.#phase === 'gone') map.end();
      },
      left: map => this.#maps.delete(map),
      whyEnded: async () => this.#end === undefined ? Promise.reject(new PoolClosedError()) : new PoolInterruptedError(await this.#joined.promise),
      value: promised,
    };
    return new OrderedMap(jobs, host);
  }

  /** Does what the first Ctrl-C does, by `interruptPolicy`. Calling it again does nothing more. Resolves like `join()`. */
  interrupt(): Promise<PoolReport<JobOf<Module>>> {
    this.#interrupt(null);
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
    const { graceMs = this.#settings.graceMs } = options;
    checkMs('graceMs', graceMs, 'terminate the pool');
    this.#endAs({ outcome: 'terminated', signal: null, error: null });
    this.#terminate(graceMs);
    return this.join();
  }

  /**
   * A barrier: resolves when every worker is gone, after `close()` and the last job or after an interrupt, and signals
   * nobody. A join that waits for somebody else's `close()` does not hold the event loop: Node ends with code 13.
   *
   * @throws WorkerStartError (as a rejection) if the pool failed; its `report` is the report.
   */
  join(): Promise<PoolReport<JobOf<Module>>> {
    this.#isJoining = true;
    this.#queueChanged();
    return this.#joined.promise;
  }

  /** A snapshot of now, cheap enough to call ten times a second. */
  stats(): PoolStats {
    const workers = { starting: 0, idle: 0, busy: 0, replaced: this.#replaced };
    let given = 0;
    for (const worker of this.#workers) {
      workers[worker.state]++;
      given += worker.givenCount;
    }
    const { submitted, fulfilled, rejected } = this.#ledger;
    return { workers, jobs: { submitted, waiting: this.#waitingCount, given, fulfilled, rejected } };
  }

  /** For `await using`: closes and joins an idle pool, terminates one whose work nobody waited for. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ledger.unsettled === 0) this.jobs.close();
    else if (this.#phase !== 'terminating') {
      this.#endAs({ outcome: 'terminated', signal: null, error: null });
      this.#terminate(this.#settings.graceMs);
    }
    await this.#over.promise;
    this.#ignoreSignals();
  }

  // ---- What comes in

  #admit(job: JobOf<Module>, caller: Caller | null, { timeoutMs = this.#settings.timeoutMs, signal } = NO_OPTIONS): Entry<JobOf<Module>> {
    const isAlone = timeoutMs !== undefined || signal !== undefined;
    return { id: this.#ledger.submitted++, job, caller, state: 'waiting', pid: null, alone: isAlone ? alone(timeoutMs) : null };
  }

  #call(entry: Entry<JobOf<Module>>): void {
    this.#calls.push(entry);
    this.#queueChanged();
  }

  /** A worker is started at once, jobs are given when the caller's turn is over: it may have more of them. */
  #queueChanged(): void {
    if (this.#phase === 'gone' || this.#isAdvancing) return;
    this.#startWorkers();
    this.#advanceSoon();
  }

  #resultsRead(): void {
    if (this.#phase === 'gone') this.#releaseSignals();
    else if (this.#isHeldBack) this.#advanceSoon();
  }

  #advanceSoon(): void {
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    this.#host.queueMicrotask(() => {
      this.#isAdvancing = false;
      this.#advance();
    });
  }

  // ---- Giving work

  get #waitingCount(): number {
    return this.#queue.size + this.#calls.size;
  }

  /** After every event: does what can be done now. */
  #advance(): void {
    if (this.#phase === 'gone') return;
    this.#give();
    this.#evenOut();
    this.#startWorkers();
    const isFinishing = this.#phase === 'finishing';
    const isWorkOver = isFinishing || (this.#queue.closed && this.#waitingCount === 0 && !this.#mayGetBack());
    if (isWorkOver) for (const worker of this.#workers) worker.endOfJobs(isFinishing || this.#ledger.unsettled === 0);
    const isOver = this.#end !== undefined || (this.#queue.closed && this.#ledger.unsettled === 0);
    if (isOver && this.#isEndNew) this.#advanceSoon(); // a press that ended it may still be heard here, too
    else if (isOver && this.#workers.size === 0) {
      this.#holdEventLoop(true);
      this.#guard.end(() => this.#finish());
    } else this.#holdEventLoop(this.#ledger.unsettled > 0 || this.#end !== undefined || (this.#queue.closed && this.#workers.size > 0));
  }

  /** One message to each idle worker first, then a second one to those that want it. */
  #give(): void {
    if (this.#phase !== 'running') return;
    const { hasMore } = this.#queue;
    for (const behindAnother of [false, true]) {
      // Nothing goes behind another job that a worker which is still starting, or may yet be started, could have at once.
      if (behindAnother && this.#waitingCount <= this.#notReadyCount) return;
      for (const worker of this.#workers) {
        while (worker.hasJob === behindAnother && worker.hasRoom(this.#chunks.window)) {
          const first = this.#peekNext();
          if (first === undefined || (first.alone !== null && behindAnother)) return;
          this.#giveTo(worker, first, hasMore);
        }
      }
    }
  }

  /** Where a worker is idle, or may be started, and nothing waits, others may sit on jobs behind one that takes long: a look at them, some time after they were last heard. */
  #evenOut(): void {
    if (this.#evenOutTimer !== undefined || this.#waitingCount > 0 || this.#phase !== 'running') return;
    const workers = [...this.#workers];
    const isRoom = workers.length < this.#settings.workers || workers.some(({ state }) => state === 'idle');
    if (!isRoom || !workers.some(({ hasToSpare }) => hasToSpare)) return;
    this.#evenOutTimer = this.#host.setTimeout(() => {
      this.#evenOutTimer = undefined;
      const nowMs = this.#host.now();
      for (const worker of this.#workers) if (worker.isSlow(nowMs)) worker.askBack();
      this.#evenOut();
    }, SLOW_MS).unref();
  }

  /** Whether a worker has jobs behind the one that runs: it may be asked for them, and others must be there to do them. */
  #mayGetBack(): boolean {
    for (const worker of this.#workers) if (worker.givenCount > 1) return true;
    return false;
  }

  /** How many workers are starting, or may yet be started. */
  get #notReadyCount(): number {
    let count = this.#settings.workers - this.#workers.size;
    for (const worker of this.#workers) if (worker.state === 'starting' && !worker.isLeaving) count++;
    return count;
  }

  /** The jobs of one message have ids without a gap, are all put or all called, and are all at their first attempt; or it is one alone. */
  #giveTo(worker: WorkerProcess<JobOf<Module>>, first: Entry<JobOf<Module>>, hasMore: boolean): void {
    const queue = first.caller === null ? this.#queue : this.#calls;
    const most = first.alone !== null ? 1 : Math.min(this.#chunks.size(this.#waitingCount, this.#settings.workers, hasMore), worker.jobsLeft);
    let count = 0;
    const take = (): Entry<JobOf<Module>> | undefined => {
      const entry = queue.peek(); // not before: a getter of the job before it may have changed what waits
      if (count === most || entry?.id !== first.id + count || (count > 0 && entry.alone !== null)) return undefined;
      queue.shift();
      entry.state = 'given';
      count++;
      return entry;
    };
    if (first.caller !== null && worker.isLoop) {
      take();
      this.#settle(first, 'rejected', new TypeError('Cannot run a job on a module with a manual loop, whose values belong to no call: use `jobs` and `results`'));
      return;
    }
    const given = worker.give(take);
    if (events.jobGiven.hasSubscribers) for (const { id, alone } of given) events.jobGiven.publish({ pool: this, id, attempt: alone?.attempt ?? 1, pid: worker.pid });
  }

  /**
   * Whether jobs that were put are held back, as nobody fetches results in time: not before the first read, not from a join, and not
   * while a reader may be waiting for room in the job queue: awaited inside the loop over the results, that would be a deadlock.
   */
  #holdsBack(): boolean {
    const isReadSlowly = this.results.size >= this.#settings.resultCapacity && this.results.beingRead;
    this.#isHeldBack = isReadSlowly && !this.#isJoining && !this.#queue.holdsReader && this.#queue.size > 0;
    return this.#isHeldBack;
  }

  /** First come, first served. */
  #peekNext(): Entry<JobOf<Module>> | undefined {
    const job = this.#holdsBack() ? undefined : this.#queue.peek();
    const call = this.#calls.peek();
    return call !== undefined && (job === undefined || call.id < job.id) ? call : job;
  }

  /** One worker a turn of the event loop, as a fork takes milliseconds: a Ctrl-C is heard between two of them. */
  #startWorkers(): void {
    if (this.#isStarting || this.#workers.size >= this.#settings.workers || this.#starts.arePaused || this.#phase !== 'running') return;
    let wanted = this.#waitingCount - (this.#holdsBack() ? this.#queue.size : 0);
    for (const worker of this.#workers) if (worker.state !== 'busy' && !worker.isLeaving) wanted--;
    if (!this.#queue.closed) wanted = Math.max(wanted, this.#settings.minWorkers - this.#workers.size);
    if (wanted <= 0) return;
    this.#startWorker();
    this.#isStarting = true;
    this.#host.setImmediate(() => {
      this.#isStarting = false;
      this.#advance();
    });
  }

  #startWorker(): void {
    const { round } = this.#starts;
    try {
      const worker = new WorkerProcess<JobOf<Module>>(this.#host, this.#module, this.#settings, {
        ready: ({ pid }) => {
          this.#starts.ready();
          if (events.workerReady.hasSubscribers) events.workerReady.publish({ pool: this, pid });
        },
        failed: (during, cause) => this.#failed(during, cause),
        settled: (entry, fate, value) => this.#answered(entry, fate, value),
        valuePut: (entry, value) => {
          this.#ledger.values++;
          this.results.push({ id: entry.id, job: entry.job, status: 'fulfilled', value: promised(value) });
        },
        measured: (jobs, elapsedMs) => this.#chunks.observe(jobs, elapsedMs),
        timedOut: (worker, entry, alone) => this.#timedOut(worker, entry, alone),
        idled: worker => {
          const staying = [...this.#workers].filter(({ isLeaving }) => !isLeaving).length;
          if (worker.state === 'idle' && staying > this.#settings.minWorkers) worker.endOfJobs();
        },
        givenBack: entries => {
          for (const entry of entries.reverse()) this.#putBack(entry);
        },
        ended: step => {
          // When all workers have been told: a subscriber that takes its time must not stand between two of them.
          if (events.terminating.hasSubscribers && this.#phase === 'terminating') this.#host.queueMicrotask(() => events.terminating.publish({ pool: this, step, pid: worker.pid }));
        },
        heard: () => {
          this.#heardMs = this.#host.now();
          this.#advance();
        },
        gone: (gone, remains) => this.#gone(gone, remains),
      }, round);
      this.#workers.add(worker);
      if (worker.pid === 0) return; // it will say why
      this.#starts.began();
      this.#guard.watch(worker.target);
      const isReplacement = this.#died > this.#replaced;
      if (isReplacement) this.#replaced++;
      if (events.workerStarted.hasSubscribers) events.workerStarted.publish({ pool: this, pid: worker.pid, isReplacement });
    } catch (cause) {
      // What Node refuses by its shape, a stream without a descriptor say, it refuses every time.
      if (cause instanceof TypeError || isDenied(cause)) this.#fail(`Cannot start a worker: ${String(cause)}`, cause);
      else this.#refused(cause);
    }
  }

  // ---- What becomes of a job

  /** A worker is done with a job, or with one that it was told to give up. */
  #answered(entry: Entry<JobOf<Module>>, fate: Fate, value: unknown): void {
    if (entry.state === 'cancelled') this.#attemptFailed(entry, entry.alone?.failure);
    else this.#settle(entry, fate, value);
  }

  /** A job has its result: its value, or the reason why there is none. */
  #settle(entry: Entry<JobOf<Module>>, fate: Fate, value: unknown): void {
    if (entry.state === 'over') return; // called off, or too late
    entry.state = 'over';
    const { id, job, caller, pid } = entry;
    if (pid !== null) this.#starts.progressed();
    if (fate === 'rejected') this.#ledger.rejected++;
    else this.#ledger.fulfilled++;
    if (events.jobSettled.hasSubscribers) events.jobSettled.publish({ pool: this, id, status: fate === 'rejected' ? fate : 'fulfilled', pid });
    if (fate === 'done') return;
    if (fate === 'fulfilled') this.#ledger.values++;
    if (caller !== null) caller.settle(fate === 'fulfilled' ? { status: fate, value } : { status: fate, reason: value });
    else if (fate === 'fulfilled') this.results.push({ id, job, status: fate, value: promised(value) });
    else this.results.push({ id, job, status: fate, reason: value });
  }

  /** Its worker died, or it took too long: while the pool works it may have another attempt. */
  #attemptFailed(entry: Entry<JobOf<Module>>, failure: unknown): void {
    entry.alone ??= alone();
    if (entry.alone.attempt > this.#settings.retries || this.#phase !== 'running') return this.#settle(entry, 'rejected', failure);
    entry.alone.attempt++;
    entry.alone.failure = failure;
    this.#putBackAlone(entry);
  }

  /** In front of all that waits, and to travel alone: whether it has started before nobody can say, but it may have. */
  #putBackAlone(entry: Entry<JobOf<Module>>): void {
    entry.alone ??= alone();
    entry.alone.isSuspect = true;
    this.#putBack(entry);
  }

  /** In front of all that waits. Once the pool has ended nothing waits any more: then it is pending, or lost if it may have started. */
  #putBack(entry: Entry<JobOf<Module>>): void {
    this.#host.assert(entry.state !== 'over', 'what has its fate does not wait again');
    if (this.#end !== undefined) return this.#ledger.overtaken([entry], 'pending', this.#end);
    if (entry.caller?.isGone === true) return this.#settle(entry, 'rejected', undefined);
    entry.state = 'waiting';
    (entry.caller === null ? this.#queue : this.#calls).putBack(entry);
  }

  /** A job took too long. Its worker may keep it for a moment: tried again it is only when that has let go of it. */
  #timedOut(worker: WorkerProcess<JobOf<Module>>, entry: Entry<JobOf<Module>>, alone: Alone): void {
    const error = new JobTimeoutError(alone.timeoutMs, alone.failure === undefined ? {} : { cause: alone.failure });
    if (alone.attempt <= this.#settings.retries && this.#phase === 'running') {
      alone.failure = error;
      entry.state = 'cancelled';
    } else this.#settle(entry, 'rejected', error);
    worker.cancel(entry, error);
  }

  /** The signal of a `run()` aborted. */
  #cancel(entry: Entry<JobOf<Module>>, reason: unknown): void {
    const wasWaiting = entry.state === 'waiting';
    this.#settle(entry, 'rejected', reason);
    if (wasWaiting) this.#calls.calledOff();
    else {
      if (entry.alone !== null) entry.alone.failure = reason;
      for (const worker of this.#workers) worker.cancel(entry, reason);
    }
    this.#advanceSoon();
  }

  /** A map was left: what waits is dropped, what runs may end. */
  #callOff(entry: Entry<JobOf<Module>>): void {
    if (entry.state !== 'waiting') return;
    this.#settle(entry, 'rejected', undefined);
    this.#calls.calledOff();
    this.#advanceSoon();
  }

  /**
   * A worker is gone: decides about the jobs that it had.
   * 1. The pool is terminating: what may have started is lost, everything else is pending.
   * 2. The worker died of itself. The one job that had started is rejected, or tried again. Where nobody knows which of several
   *    tiny ones it was, shot in the middle of a message or after it broke the protocol, each of them is tried alone, so that only the one that kills is charged.
   *    Everything else goes to another worker, or is pending if nothing may be given any more.
   */
  #gone(worker: WorkerProcess<JobOf<Module>>, remains: Remains<JobOf<Module>>): void {
    const { cause, report } = remains;
    const started = remains.started.filter(isNotOver);
    const suspects = remains.suspects.filter(isNotOver);
    const unstarted = remains.unstarted.filter(isNotOver);
    const mayHaveStarted = remains.started.length + remains.suspects.length > 0;
    this.#workers.delete(worker);
    if (worker.pid !== 0) {
      this.#guard.forget(worker.target);
      this.#starts.hasRoom();
    }
    this.#ledger.workerGone(report);
    if (events.workerLeft.hasSubscribers && worker.pid !== 0) events.workerLeft.publish({ pool: this, error: undefined, ...report });

    if (this.#end !== undefined) this.#ledger.overtaken(unstarted, 'pending', this.#end);
    else {
      const sent = report.signal !== null && !mayHaveStarted ? unstarted[0] : undefined;
      for (const entry of unstarted.reverse()) {
        if (entry === sent && this.#isShotAgain(entry)) this.#settle(entry, 'rejected', new WorkerExitError(report));
        else this.#putBack(entry);
      }
    }

    if (this.#end !== undefined) this.#ledger.overtaken(suspects, 'lost', this.#end);
    else for (const entry of suspects.reverse()) this.#putBackAlone(entry);

    if (this.#end !== undefined && this.#phase === 'terminating') this.#ledger.overtaken(started, 'lost', this.#end);
    else for (const entry of started) {
      const before = entry.alone?.failure ?? cause;
      this.#attemptFailed(entry, entry.state === 'cancelled' ? before : new WorkerExitError(report, before === undefined ? {} : { cause: before }));
    }

    if (this.#phase === 'running' && worker.pid === 0) this.#refused(cause);
    else if (this.#phase === 'running' && worker.isToBeReplaced) {
      this.#died++;
      const hadNone = report.jobs === 0 && (worker.leftEarly || !mayHaveStarted);
      if (hadNone) this.#diedInVain(worker, report, report.error ?? cause);
    }
    this.#advance();
  }

  /** A worker was shot while a job was being sent to it, a large one: after some of them, it may be its size that kills them. */
  #isShotAgain(entry: Entry<JobOf<Module>>): boolean {
    entry.alone ??= alone();
    return ++entry.alone.shots === MOST_SHOTS;
  }

  // ---- Workers that cannot start, or do not stay

  #failed(during: FailedMessage['during'], cause: unknown): void {
    const why = { import: 'its module cannot be imported', exports: 'its module exports nothing usable', setup: 'its `setup` threw' }[during];
    this.#fail(`Cannot start a worker as ${why} (${this.#module.href}): ${String(cause)}`, cause);
  }

  /** The machine has no room for another process: the pool goes on with those that it has. Without any it fails, after some tries. */
  #refused(cause: unknown): void {
    if (this.#starts.refused(this.#workers.size > 0)) return;
    this.#fail(`Cannot start a worker as the machine refused it ${this.#starts.refusals} times in a row (${this.#module.href}): ${String(cause)}`, cause);
  }

  /**
   * A worker died before it was ready, or had no job to the end: after a pause it is tried again. After some rounds of that the pool
   * fails, unless a worker that has outlived them does the work.
   */
  #diedInVain(worker: WorkerProcess<JobOf<Module>>, { exitCode, signal }: { exitCode: number | null; signal: NodeJS.Signals | null }, cause: unknown): void {
    if (!this.#starts.died(worker, signal)) return;
    const { round, wasReady } = worker;
    const nowMs = this.#host.now();
    if ([...this.#workers].some(other => other.isAtWork(nowMs) || (other.wasReady && !other.isLeaving && other.round < round))) return;
    const { streak } = this.#starts;
    const how = signal === null ? `with exit code ${exitCode}` : `by ${signal}`;
    if (wasReady) this.#fail(`Cannot go on as ${streak} workers in a row left without having finished a job, the last one ${how} (${this.#module.href})`, cause);
    else this.#fail(`Cannot start a worker as it ends before it is ready, ${streak} times in a row, ${how} (${this.#module.href})`, cause);
  }

  #fail(message: string, cause: unknown): void {
    if (this.#endAs({ outcome: 'failed', signal: null, error: new WorkerStartError(message, { cause }) })) this.#terminate(this.#settings.graceMs);
  }

  // ---- Ending

  /** Takes the next step from where the pool is, however it came there: interrupt (which may be to finish), the three steps, SIGKILL. */
  #press(signal: NodeJS.Signals): void {
    if (this.#isEndNew) this.#end = this.#end?.outcome === 'interrupted' ? { ...this.#end, signal } : this.#end; // a listener of the program heard the same press first
    else if (this.#phase === 'gone') this.#pressedLate();
    else if (this.#phase === 'running') this.#interrupt(signal);
    else if (this.#phase === 'finishing') this.#terminate(this.#settings.graceMs);
    else this.#killAll();
  }

  #killAll(): void {
    for (const worker of this.#workers) worker.kill('SIGKILL');
  }

  /** The pool is gone and its results wait. Where nobody is reading them, the second press gives Ctrl-C back, unread or not. */
  #pressedLate(): void {
    if (!this.results.beingRead && ++this.#latePresses === 2) this.#ignoreSignals();
  }

  #interrupt(signal: NodeJS.Signals | null): void {
    if (!this.#endAs({ outcome: 'interrupted', signal, error: null })) return;
    if (this.#settings.interruptPolicy === 'terminate') this.#terminate(this.#settings.graceMs);
    else this.#advance();
    if (events.interrupted.hasSubscribers) events.interrupted.publish({ pool: this, signal });
  }

  /** The first word stays. From here on nothing is accepted and nothing is given; what waits is pending. */
  #endAs(end: End): boolean {
    if (this.#end !== undefined || this.#phase === 'gone') return false;
    this.#end = end;
    this.#phase = 'finishing';
    this.#isEndNew = true;
    this.#host.queueMicrotask(() => { this.#isEndNew = false; });
    this.#starts.end();
    this.#host.clearTimeout(this.#evenOutTimer);
    this.#ledger.overtaken(this.#queue.end(), 'pending', end);
    this.#ledger.overtaken(this.#calls.drain(), 'pending', end);
    // Last, as this runs code of the sources, which may end the pool, too.
    for (const map of this.#maps) map.stop();
    this.#queue.closeSources();
    return true;
  }

  /** Step 1 of terminate, for all workers together. Where that is done already, the shorter grace counts; 0 is SIGKILL now. */
  #terminate(graceMs: number): void {
    if (this.#phase === 'terminating') for (const worker of this.#workers) worker.hasten(graceMs);
    else if (this.#phase === 'finishing') {
      this.#phase = 'terminating';
      for (const worker of this.#workers) worker.stop(graceMs);
      this.#heardMs = this.#host.now();
      this.#awaitAnswers(this.#heardMs + ANSWER_MS);
    }
    if (graceMs === 0) this.#killAll();
    this.#advance();
  }

  /** Step 2 of terminate: SIGTERM to those that do not answer, once all are silent. Step 3 is a deadline of each worker. */
  #awaitAnswers(latestMs: number): void {
    this.#callOffJudgement = deadline(this.#host, SILENCE_MS, () => {
      const nowMs = this.#host.now();
      if (nowMs - this.#heardMs < SILENCE_MS && nowMs < latestMs) return this.#awaitAnswers(latestMs);
      for (const worker of this.#workers) if (worker.isDeaf) worker.kill('SIGTERM');
    });
  }

  /** No worker is left: whatever has no fate yet gets one, and everybody who waits is told. */
  #finish(): void {
    this.#holdEventLoop(false);
    if (this.#phase === 'gone') return;
    this.#phase = 'gone';
    this.#host.assert(this.#workers.size === 0 && this.#waitingCount === 0, 'nothing waits, and nobody is there, when the pool is gone');
    this.#starts.end();
    this.#host.clearTimeout(this.#evenOutTimer);
    this.#callOffJudgement();
    this.#ignoreAbort();
    const end = this.#end ?? COMPLETED;
    const report = this.#ledger.report(end);
    const wasBeingRead = this.results.beingRead;
    const wasMapped = this.#maps.size > 0;
    for (const map of this.#maps) for (const result of map.end()) this.results.push(result);
    this.#maps.clear();
    this.results.end(end.error);
    const callers = this.#ledger.takeCallers();
    if (end.error === null) this.#joined.resolve(report);
    else {
      for (const caller of callers) caller.overtake(end.error);
      end.error.report = report;
      // Where nobody reads, runs, maps or joins, it is an unhandled rejection: never silence.
      if (wasBeingRead || wasMapped || callers.length > 0) this.#joined.promise.catch(() => {});
      this.#joined.reject(end.error);
    }
    this.#over.resolve();
    this.#releaseSignals();
    if (events.gone.hasSubscribers) events.gone.publish({ pool: this, report });
  }

  /** Gives Ctrl-C back to the program when all results have been read, a whole turn of the event loop later. */
  #releaseSignals(): void {
    if (this.results.size === 0) this.#host.setImmediate(() => this.#host.setImmediate(this.#ignoreSignals));
  }

  /** All children and channels are unreferenced; this one timer holds the event loop, while work is pending. */
  #holdEventLoop(isPending: boolean): void {
    if (isPending) this.#hold ??= this.#host.setInterval(() => {}, FOR_EVER_MS);
    else {
      this.#host.clearInterval(this.#hold);
      this.#hold = undefined;
    }
  }
}

/** Whether this process is a worker of a pool: `if (!isWorker) await main()` makes one file play both roles. */
export const isWorker: boolean = node.workerModule !== undefined;

/** @throws TypeError for an unknown option or a wrong shape, RangeError for a number out of range. */
function runOptions(options: RunOptions): CheckedOptions {
  const action = 'run the job';
  if (typeof options !== 'object' || options === null) throw wrong(TypeError, 'the options', 'an object', options, action);
  for (const name of Object.keys(options)) checkName(name, ['signal', 'timeoutMs'], action);
  const { signal, timeoutMs } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong(TypeError, '`signal`', 'an AbortSignal', signal, action);
  if (timeoutMs !== undefined) checkMs('timeoutMs', timeoutMs, action);
  return { signal, timeoutMs };
}

const isNotOver = ({ state }: Entry<unknown>): boolean => state !== 'over';

/** By Node's permission model: it will not pass. */
function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_ACCESS_DENIED';
}
