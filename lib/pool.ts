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
// - or has a single job run by `run()`: the same workers, and its result goes to the promise.
// This process
// - starts a worker when more jobs wait than workers are idle or starting, up to `workers`;
// - gives a job to a worker that said `ready`, a second one behind it while jobs are short;
// - sends each worker one sentinel when the queue is closed and nothing waits;
// - on an interrupt or `terminate()` takes the three steps, all workers together: `stop` by message, SIGTERM
//   to those that do not answer, SIGKILL to those that are not gone in time; it reads results all the while;
// - is done when no worker is left: then, and only then, `join()` resolves.
// A worker
// - runs its jobs in order, and leaves when it has read its sentinel or heard `stop` (see worker.ts).

import { constants } from 'node:os';
import { deadline } from './deadline.ts';
import { JobLostError, PoolClosedError, WorkerExitError, WorkerStartError } from './errors.ts';
import { Guard } from './guard.ts';
import { onInterrupt } from './interrupt.ts';
import { pack } from './ipc.ts';
import type { Packed } from './ipc.ts';
import { checkMs, moduleHref, settings } from './options.ts';
import type { PoolOptions, Settings } from './options.ts';
import { promised, WORKER_MARK } from './protocol.ts';
import type { FailedMessage } from './protocol.ts';
import { deferred, Fifo, JobQueue, ResultQueue } from './queue.ts';
import type { Deferred } from './queue.ts';
import type { JobOf, Outcome, PoolReport, PoolStats, ValueOf, WorkerReport } from './types.ts';
import { WorkerProcess } from './worker-process.ts';
import type { Entry, Fate, Remains } from './worker-process.ts';

/** Step 2 of terminate comes when nothing was heard for this long: a loaded machine answers late, one worker after another. */
const SILENCE_MS = 50;
/** Step 2 of terminate comes at the latest this long after step 1. */
const ANSWER_MS = 500;
/** How long to wait before a worker is started again that died before it was ready: by its own doing, then the pool fails; by a signal. */
const START_AGAIN_MS = [100, 200, 400];
const START_AFTER_SIGNAL_MS = 100;
/** Workers in a row that left early without having finished a job: then the pool fails. */
const FRUITLESS_LOOPS = 3;
/** How many workers the report lists. */
const REPORTED_WORKERS = 1000;
/** The longest that a timer can wait: what holds the event loop while work is pending. */
const FOR_EVER_MS = 2 ** 31 - 1;

/** What a worker module is when nothing is said about it. */
type AnyModule = (job: unknown) => unknown;

interface PoolJob<Job, Value> extends Entry<Job> {
  /** Whom `run()` promised its value; null for a job that was put. */
  readonly caller: Deferred<Value> | null;
}

type PoolJobOf<Module> = PoolJob<JobOf<Module>, ValueOf<Module>>;

/** Why the pool ended. */
interface End {
  outcome: Outcome;
  signal: NodeJS.Signals | null;
  error: WorkerStartError | null;
}

const COMPLETED: End = { outcome: 'completed', signal: null, error: null };

/**
 * A pool of worker processes with a job queue and a result queue, that a Ctrl-C ends at once.
 *
 * **Every job has one fate**: fulfilled, rejected, lost or pending, told by the report of `join()`.
 * **What was done is not lost**: results that were finished are in `results`, Ctrl-C or not.
 * **A dead worker is an answer**: its job is rejected with `WorkerExitError`, and it is replaced.
 * **Pending work holds the event loop; an idle pool never does.**
 *
 * `Module` is `typeof import('./work.js')`, or the type of a work function: the types of jobs and values come from it.
 */
export class ProcessPool<Module = AnyModule> implements AsyncDisposable {
  /** The jobs that wait for a worker: `put`, `putAll`, `close`. */
  readonly jobs: JobQueue<JobOf<Module>>;
  /** What became of jobs that were put: read it with `for await`, or `drain()` it after `join()`. */
  readonly results: ResultQueue<JobOf<Module>, ValueOf<Module>>;

  readonly #settings: Settings;
  readonly #module: { href: string; workerData: Packed };
  readonly #queue: JobQueue<JobOf<Module>, PoolJobOf<Module>>;
  /** Jobs of `run()` that wait. Apart, as they never wait for a reader of results. */
  readonly #calls = new Fifo<PoolJobOf<Module>>();
  /** The workers that are not gone. */
  readonly #workers = new Set<WorkerProcess<PoolJobOf<Module>>>();
  readonly #guard = new Guard();

  #phase: 'running' | 'finishing' | 'terminating' | 'gone' = 'running';
  #end: End | undefined;
  readonly #joined = deferred<PoolReport<JobOf<Module>>>();
  readonly #over = deferred<void>();
  #isJoining = false;

  #submitted = 0;
  #fulfilled = 0;
  #rejected = 0;
  #values = 0;
  readonly #lost: PoolJobOf<Module>[] = [];
  #pending: PoolJobOf<Module>[] = [];
  readonly #reports: WorkerReport[] = [];
  readonly #createdMs = performance.now();

  #died = 0;
  #replaced = 0;
  #startRound = 0;
  #failedRounds = 0;
  #startPause: NodeJS.Timeout | undefined;
  #fruitlessLoops = 0;

  #isAdvancing = false;
  #isStarting = false;
  #isHeldBack = false;
  #heardMs = 0;
  #presses = 0;
  #latePresses = 0;
  #hold: NodeJS.Timeout | undefined;
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
  constructor(module: URL | string, options: PoolOptions = {}) {
    const href = moduleHref(module);
    if (Reflect.get(globalThis, WORKER_MARK) === href) throw new Error('Cannot create a pool in a worker of the same module, as it would start workers without end: create it under `if (!isWorker)`');
    this.#settings = settings(options);
    this.#module = { href, workerData: pack(this.#settings.workerData, 'workerData') };
    this.#queue = new JobQueue(this.#settings.jobCapacity, {
      admit: job => this.#admit(job, null),
      changed: () => this.#queueChanged(),
    });
    this.jobs = this.#queue;
    this.results = new ResultQueue(() => this.#resultsRead());
    this.#ignoreSignals = onInterrupt(this.#settings.interruptSignals, signal => this.#press(signal));
    const { signal } = this.#settings;
    const abort = (): void => this.#interrupt(null);
    signal?.addEventListener('abort', abort, { once: true });
    this.#ignoreAbort = () => signal?.removeEventListener('abort', abort);
    if (signal?.aborted === true) abort();
  }

  /**
   * Has one job done: resolves to its value, rejects with what the work function threw. First come, first
   * served among all jobs; its result does not go to `results`.
   *
   * @throws (as rejections) WorkerExitError if its worker died; WorkerStartError if the pool failed; JobLostError if the
   * pool was interrupted or terminated, marked as handled; PoolClosedError after `close()`; a DataCloneError if the job
   * cannot be cloned; TypeError on a module with a manual loop, whose values belong to no call.
   */
  run(job: JobOf<Module>, options?: never): Promise<ValueOf<Module>> {
    if (options !== undefined) return Promise.reject(new TypeError('Cannot run the job as the options of `run` are not built yet'));
    const caller = deferred<ValueOf<Module>>();
    if (this.#end !== undefined) overtake(caller, 'pending', this.#end);
    else if (this.#queue.closed) caller.reject(new PoolClosedError());
    else {
      this.#calls.push(this.#admit(job, caller));
      this.#queueChanged();
    }
    return caller.promise;
  }

  /** Does what the first Ctrl-C does, by `interruptPolicy`. Calling it again does nothing more. Resolves like `join()`. */
  interrupt(): Promise<PoolReport<JobOf<Module>>> {
    this.#interrupt(null);
    return this.join();
  }

  /**
   * Ends the pool now: `stop` by message to every worker, SIGTERM to those that do not answer, SIGKILL to
   * those that are not gone after `graceMs` milliseconds (default: the option). Resolves like `join()`.
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
    const jobs = { submitted: this.#submitted, waiting: this.#waitingCount, given, fulfilled: this.#fulfilled, rejected: this.#rejected };
    return { workers, jobs };
  }

  /** For `await using`: closes and joins an idle pool, terminates one whose work nobody waited for. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#unsettledCount === 0) this.jobs.close();
    else {
      this.#endAs({ outcome: 'terminated', signal: null, error: null });
      this.#terminate(this.#settings.graceMs);
    }
    await this.#over.promise;
    this.#ignoreSignals();
  }

  // ---- What comes in

  #admit(job: JobOf<Module>, caller: Deferred<ValueOf<Module>> | null): PoolJobOf<Module> {
    return { id: this.#submitted++, job, attempt: 1, caller };
  }

  /** A worker is started at once, jobs are given when the caller's turn is over: it may have more of them. */
  #queueChanged(): void {
    if (this.#phase === 'gone') return;
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
    queueMicrotask(() => {
      this.#isAdvancing = false;
      this.#advance();
    });
  }

  // ---- Giving work

  get #waitingCount(): number {
    return this.#queue.size + this.#calls.size;
  }

  get #unsettledCount(): number {
    return this.#submitted - this.#fulfilled - this.#rejected;
  }

  /** After every event: does what can be done now. */
  #advance(): void {
    if (this.#phase === 'gone') return;
    this.#give();
    this.#startWorkers();
    const isWorkOver = this.#phase === 'finishing' || (this.#queue.closed && this.#waitingCount === 0);
    if (isWorkOver) for (const worker of this.#workers) worker.endOfJobs();
    const isOver = this.#end !== undefined || (this.#queue.closed && this.#unsettledCount === 0);
    if (isOver && this.#workers.size === 0) {
      this.#holdEventLoop(true);
      this.#guard.end(() => this.#finish());
    } else this.#holdEventLoop(this.#unsettledCount > 0 || this.#end !== undefined || (this.#queue.closed && this.#workers.size > 0));
  }

  /** One job to each idle worker first, then a second one to those that want it. */
  #give(): void {
    if (this.#phase !== 'running') return;
    for (const behindAnother of [false, true]) {
      for (const worker of this.#workers) {
        while (worker.room > 0 && worker.hasJob === behindAnother) {
          const entry = this.#takeNext();
          if (entry === undefined) return;
          if (entry.caller === null || !worker.isLoop) worker.give([entry]);
          else this.#settle(entry, { status: 'rejected', reason: new TypeError('Cannot run a job on a module with a manual loop, whose values belong to no call: use `jobs` and `results`') });
        }
      }
    }
  }

  /**
   * First come, first served; jobs whose results nobody fetches in time are held back: not before the first read, not from a
   * join, and not while a `put()` waits for room, as whoever awaits that inside the loop over the results waits for himself.
   */
  #takeNext(): PoolJobOf<Module> | undefined {
    const isReadSlowly = this.results.size >= this.#settings.resultCapacity && this.results.beingRead;
    const isFull = isReadSlowly && !this.#isJoining && !this.#queue.isPutHeld;
    this.#isHeldBack = isFull && this.#queue.size > 0;
    const job = isFull ? undefined : this.#queue.peek();
    const call = this.#calls.peek();
    return call !== undefined && (job === undefined || call.id < job.id) ? this.#calls.shift() : job && this.#queue.take();
  }

  /** One worker a turn of the event loop, as a fork takes milliseconds: a Ctrl-C is heard between two of them. */
  #startWorkers(): void {
    if (this.#isStarting || this.#startPause !== undefined || this.#phase !== 'running') return;
    let wanted = this.#calls.size + (this.#isHeldBack ? 0 : this.#queue.size);
    for (const worker of this.#workers) if (worker.state !== 'busy') wanted--;
    if (wanted <= 0 || this.#workers.size >= this.#settings.workers) return;
    this.#startWorker();
    this.#isStarting = true;
    setImmediate(() => {
      this.#isStarting = false;
      this.#advance();
    });
  }

  #startWorker(): void {
    const round = this.#startRound;
    try {
      const worker = new WorkerProcess<PoolJobOf<Module>>(this.#module, this.#settings, {
        ready: () => { this.#failedRounds = 0; },
        failed: (during, cause) => this.#failed(during, cause),
        settled: (entry, fate) => this.#settle(entry, fate),
        valuePut: (entry, value) => {
          this.#values++;
          this.results.push({ id: entry.id, job: entry.job, status: 'fulfilled', value: promised(value) });
        },
        heard: () => {
          this.#heardMs = performance.now();
          this.#advance();
        },
        gone: (gone, remains) => this.#gone(gone, remains, round),
      });
      this.#workers.add(worker);
      if (worker.pid !== 0) this.#guard.watch(worker.target);
    } catch (cause) {
      // What Node refuses by its shape, a stream without a descriptor say, it refuses every time.
      if (cause instanceof TypeError) this.#fail(`Cannot start a worker with these options: ${cause.message}`, cause);
      else this.#diedStarting(round, { exitCode: null, signal: null }, cause);
      return;
    }
    if (this.#died > this.#replaced) this.#replaced++;
  }

  // ---- What becomes of a job

  /** A job has its result. */
  #settle(entry: PoolJobOf<Module>, fate: Fate): void {
    const { id, job, caller } = entry;
    if (fate.status === 'rejected') {
      this.#rejected++;
      if (caller === null) this.results.push({ id, job, status: 'rejected', reason: fate.reason });
      else caller.reject(fate.reason);
      return;
    }
    this.#fulfilled++;
    if (fate.status === 'done') return;
    this.#values++;
    const value: ValueOf<Module> = promised(fate.value);
    if (caller === null) this.results.push({ id, job, status: 'fulfilled', value });
    else caller.resolve(value);
  }

  /**
   * A worker is gone: decides about the jobs that it had.
   * 1. The pool is terminating: what may have started is lost, everything else is pending.
   * 2. The worker died of itself: what may have started is rejected, everything else goes to another worker,
   *    or is pending if nothing may be given any more.
   */
  #gone(worker: WorkerProcess<PoolJobOf<Module>>, remains: Remains<PoolJobOf<Module>>, round: number): void {
    const { started, unstarted, cause, report } = remains;
    this.#workers.delete(worker);
    if (worker.pid !== 0) this.#guard.forget(worker.target);
    if (report.pid !== 0) this.#reports.push(report);
    this.#reports.splice(0, this.#reports.length - REPORTED_WORKERS);

    if (this.#phase === 'terminating') this.#lost.push(...started);
    else for (const entry of started) this.#settle(entry, { status: 'rejected', reason: new WorkerExitError(report, cause === undefined ? {} : { cause }) });

    if (this.#phase !== 'running') this.#pending.push(...unstarted);
    else for (const entry of unstarted.reverse()) {
      if (entry.caller === null) this.#queue.putBack(entry);
      else this.#calls.unshift(entry);
    };

    if (this.#phase === 'running' && !worker.hasLeftInOrder) {
      this.#died++;
      if (!worker.wasReady) this.#diedStarting(round, report, cause);
      else if (worker.leftEarly) this.#loopLeftEarly(report);
    }
    this.#advance();
  }

  // ---- Workers that cannot start, or do not stay

  #failed(during: FailedMessage['during'], cause: unknown): void {
    const why = { import: 'its module cannot be imported', exports: 'its module exports nothing usable', setup: 'its `setup` threw' }[during];
    this.#fail(`Cannot start a worker as ${why} (${this.#module.href}): ${String(cause)}`, cause);
  }

  /** A worker died before it was ready. Those of one round of starts count once: they died of the same thing. */
  #diedStarting(round: number, { exitCode, signal }: { exitCode: number | null; signal: NodeJS.Signals | null }, cause: unknown): void {
    if (signal !== null) return this.#pauseStarts(START_AFTER_SIGNAL_MS);
    if (round !== this.#startRound) return;
    this.#startRound++;
    const pauseMs = START_AGAIN_MS[this.#failedRounds++];
    if (pauseMs === undefined) this.#fail(`Cannot start a worker as it ends before it is ready, ${this.#failedRounds} times in a row, ${exitCode === null ? `with ${String(cause)}` : `with exit code ${exitCode}`} (${this.#module.href})`, cause);
    else this.#pauseStarts(pauseMs);
  }

  #pauseStarts(ms: number): void {
    clearTimeout(this.#startPause);
    this.#startPause = setTimeout(() => {
      this.#startPause = undefined;
      this.#advance();
    }, ms);
  }

  #loopLeftEarly(report: WorkerReport): void {
    this.#fruitlessLoops = report.jobs === 0 ? this.#fruitlessLoops + 1 : 0;
    if (this.#fruitlessLoops >= FRUITLESS_LOOPS) this.#fail(`Cannot go on as ${FRUITLESS_LOOPS} workers in a row left without having finished a job (${this.#module.href})`, report.error);
  }

  #fail(message: string, cause: unknown): void {
    this.#endAs({ outcome: 'failed', signal: null, error: new WorkerStartError(message, { cause }) });
    this.#terminate(this.#settings.graceMs);
  }

  // ---- Ending

  /** Policy `terminate`: the three steps, then SIGKILL. Policy `finish`: finish, the three steps, SIGKILL. */
  #press(signal: NodeJS.Signals): void {
    this.#presses++;
    if (this.#phase === 'gone') this.#pressedLate();
    else if (this.#presses === 1) this.#interrupt(signal);
    else if (this.#presses === 2 && this.#settings.interruptPolicy === 'finish') this.#terminate(this.#settings.graceMs);
    else for (const worker of this.#workers) worker.kill('SIGKILL');
  }

  /** The pool is gone and its results wait. Where nobody is reading them, the second press gives Ctrl-C back, unread or not. */
  #pressedLate(): void {
    if (!this.results.beingRead && ++this.#latePresses === 2) this.#ignoreSignals();
  }

  #interrupt(signal: NodeJS.Signals | null): void {
    if (!this.#endAs({ outcome: 'interrupted', signal, error: null })) return;
    if (this.#settings.interruptPolicy === 'terminate') this.#terminate(this.#settings.graceMs);
    else this.#advance();
  }

  /** The first word stays. From here on nothing is accepted and nothing is given; what waits is pending. */
  #endAs(end: End): boolean {
    if (this.#end !== undefined || this.#phase === 'gone') return false;
    this.#end = end;
    this.#phase = 'finishing';
    clearTimeout(this.#startPause);
    this.#pending = [...this.#queue.end(), ...this.#calls.drain()]; // not `push(...)`: a call takes some 100,000 arguments
    return true;
  }

  /** Step 1 of terminate, for all workers together. */
  #terminate(graceMs: number): void {
    if (this.#phase !== 'finishing') return;
    this.#phase = 'terminating';
    for (const worker of this.#workers) worker.stop(graceMs);
    this.#heardMs = performance.now();
    this.#awaitAnswers(this.#heardMs + ANSWER_MS);
    this.#advance();
  }

  /** Step 2 of terminate: SIGTERM to those that do not answer, once all are silent. Step 3 is a deadline of each worker. */
  #awaitAnswers(latestMs: number): void {
    this.#callOffJudgement = deadline(SILENCE_MS, () => {
      const nowMs = performance.now();
      if (nowMs - this.#heardMs < SILENCE_MS && nowMs < latestMs) return this.#awaitAnswers(latestMs);
      const isIgnored = this.#settings.interruptSignals.includes('SIGTERM');
      for (const worker of this.#workers) if (worker.isDeaf) worker.kill(isIgnored ? 'SIGKILL' : 'SIGTERM');
    });
  }

  /** No worker is left: whatever has no fate yet gets one, and everybody who waits is told. */
  #finish(): void {
    this.#holdEventLoop(false);
    if (this.#phase === 'gone') return;
    this.#phase = 'gone';
    this.#callOffJudgement();
    this.#ignoreAbort();
    const end = this.#end ?? COMPLETED;
    const report = this.#report(end);
    const wasBeingRead = this.results.beingRead;
    this.results.end(end.error);
    for (const { caller } of this.#lost) if (caller !== null) overtake(caller, 'lost', end);
    for (const { caller } of this.#pending) if (caller !== null) overtake(caller, 'pending', end);
    if (end.error === null) this.#joined.resolve(report);
    else {
      end.error.report = report;
      // Where nobody reads, runs or joins, it is an unhandled rejection: never silence.
      if (wasBeingRead || [...this.#lost, ...this.#pending].some(({ caller }) => caller !== null)) this.#joined.promise.catch(() => {});
      this.#joined.reject(end.error);
    }
    this.#over.resolve();
    this.#releaseSignals();
  }

  #report({ outcome, signal, error }: End): PoolReport<JobOf<Module>> {
    const inOrder = (entries: PoolJobOf<Module>[]): JobOf<Module>[] => entries.sort((a, b) => a.id - b.id).map(({ job }) => job);
    return {
      outcome,
      signal,
      error,
      exitCode: outcome === 'completed' ? 0 : signal === null ? 1 : 128 + constants.signals[signal],
      submitted: this.#submitted,
      fulfilled: this.#fulfilled,
      rejected: this.#rejected,
      lost: inOrder(this.#lost),
      pending: inOrder(this.#pending),
      values: this.#values,
      workers: this.#reports,
      durationMs: performance.now() - this.#createdMs,
    };
  }

  /** Gives Ctrl-C back to the program when all results have been read, a whole turn of the event loop later. */
  #releaseSignals(): void {
    if (this.results.size === 0) setImmediate(() => setImmediate(this.#ignoreSignals));
  }

  /** All children and channels are unreferenced; this one timer holds the event loop, while work is pending. */
  #holdEventLoop(isPending: boolean): void {
    if (isPending) this.#hold ??= setInterval(() => {}, FOR_EVER_MS);
    else {
      clearInterval(this.#hold);
      this.#hold = undefined;
    }
  }
}

/** Whether this process is a worker of a pool: `if (!isWorker) await main()` makes one file play both roles. */
export const isWorker: boolean = WORKER_MARK in globalThis;

/** The pool is over for somebody who waits for a job. A Ctrl-C is no unhandled rejection. */
function overtake(caller: { promise: Promise<unknown>; reject: (reason: unknown) => void }, fate: 'lost' | 'pending', { outcome, error }: End): void {
  if (error === null) caller.promise.catch(() => {});
  caller.reject(error ?? new JobLostError(fate, outcome));
}
