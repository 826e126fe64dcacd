// Joins what does the work of a pool: five parts that do not know each other. Everything goes through `advance`, which is called after every
// event and does what can be done then.
//
//  jobs.ts        every job's record and its one outcome       dispatcher.ts   which worker gets which jobs
//  workforce.ts   starting and replacing workers               shutdown.ts     how it ends, step by step
//  barrier.ts     who waits for the end

import { JobLostError, PoolClosedError } from '../errors.ts';
import type { Host, Timer } from '../host.ts';
import type { Settings } from '../options.ts';
import type { PoolStats } from '../types.ts';
import type { Packed } from '../wire/values.ts';
import { onAbort } from './aborts.ts';
import { Barrier } from './barrier.ts';
import { BatchSize } from './batch-size.ts';
import { Dispatcher } from './dispatcher.ts';
import { events } from './events.ts';
import type { Caller, JobRecord } from './job-record.ts';
import { Jobs } from './jobs.ts';
import { COMPLETED } from './ledger.ts';
import type { End } from './ledger.ts';
import type { MapHost } from './map.ts';
import { Shutdown } from './shutdown.ts';
import { onInterrupt } from './signals.ts';
import type { WorkerHandle } from './worker-handle.ts';
import type { Departure } from './worker-owner.ts';
import { Workforce } from './workforce.ts';
import type { WorkforceOwner } from './workforce.ts';

/** The longest that a timer can wait: what holds the event loop while work is pending. */
const FOR_EVER_MS = 2 ** 31 - 1;

export class Coordinator<Job, Value> {
  readonly jobs: Jobs<Job, Value>;
  readonly barrier: Barrier<Job, Value>;
  readonly shutdown: Shutdown;
  readonly #host: Host;
  readonly #settings: Settings;
  /** What the events call the pool. */
  readonly #pool: object;
  readonly #batchSize: BatchSize;
  readonly #workforce: Workforce<Job>;
  readonly #dispatcher: Dispatcher<Job, Value>;
  #isAdvancing = false;
  /** Holds the event loop. */
  #hold: Timer | undefined;
  readonly #ignoreAbort: () => void;

  constructor(host: Host, settings: Settings, module: { href: string; workerData: Packed }, pool: object) {
    this.#host = host;
    this.#settings = settings;
    this.#pool = pool;
    const owner = { pool, advance: () => this.#advance() };
    this.#batchSize = new BatchSize(settings.timeoutMs === undefined ? settings.chunkSize : 1);
    this.jobs = new Jobs(host, settings, {
      pool,
      changed: () => this.#changed(),
      resultsRead: () => this.#resultsRead(),
      progressed: () => this.#workforce.starts.progressed(),
    });
    this.#workforce = new Workforce(host, settings, module, { ...owner, ...this.#workerOwner(), fail: error => this.shutdown.fail(error) });
    const { workers } = this.#workforce;
    this.#dispatcher = new Dispatcher(host, settings, { jobs: this.jobs, workers, batchSize: this.#batchSize, pool });
    this.shutdown = new Shutdown(host, settings, workers, { ...owner, ended: end => this.#ended(end), pressedLate: () => this.barrier.pressed() });
    this.barrier = new Barrier(host, this.jobs.results, onInterrupt(host, settings.interruptSignals, signal => this.shutdown.press(signal)));
    const { signal } = settings;
    this.#ignoreAbort = signal === undefined ? () => {} : onAbort(signal, () => this.shutdown.interrupt(null));
  }

  /** The pool is made: from here on its subscribers may call it. */
  begin(): void {
    const { signal, minWorkers } = this.#settings;
    if (signal?.aborted === true) this.shutdown.interrupt(null);
    else if (minWorkers > 0) this.#changed();
  }

  // ---- What is asked

  /** The record of a job that is called; undefined if the pool has ended, which its caller is told. @throws PoolClosedError if the queue is closed. */
  admit(job: Job, caller: Caller, { timeoutMs, isCancellable }: { timeoutMs: number | undefined; isCancellable: boolean }): JobRecord<Job> | undefined {
    const { end } = this.shutdown;
    if (end !== undefined) {
      caller.unfinished(end.error ?? new JobLostError('pending', end.outcome));
      return undefined;
    }
    if (this.jobs.queue.closed) throw new PoolClosedError();
    return this.jobs.admit(job, caller, timeoutMs, isCancellable);
  }

  /** What a map asks of the pool. */
  get mapHost(): Omit<MapHost<Job, Value>, 'whyEnded' | 'value'> {
    return {
      clock: this.#host,
      capacity: this.#settings.jobCapacity,
      call: (job, caller) => {
        if (this.jobs.queue.closed) return undefined;
        const record = this.jobs.admit(job, caller);
        this.jobs.call(record);
        return { id: record.id, drop: () => { if (this.jobs.drop(record)) this.#advanceSoon(); } };
      },
      entered: map => {
        this.barrier.maps.add(map);
        if (this.shutdown.end !== undefined) map.stop();
        if (this.shutdown.state === 'gone') map.end();
      },
      left: map => this.barrier.maps.delete(map),
    };
  }

  /** Somebody waits for the end: from here on jobs are sent also where nobody reads results. */
  join(): void {
    this.#dispatcher.isJoining = true;
    this.#changed();
  }

  stats(): PoolStats {
    const workers = { starting: 0, idle: 0, busy: 0, replaced: this.#workforce.replaced };
    let given = 0;
    for (const worker of this.#workforce.workers) {
      workers[worker.activity]++;
      given += worker.assignment.count;
    }
    const { submitted, fulfilled, rejected } = this.jobs.ledger;
    return { workers, jobs: { submitted, waiting: this.jobs.waiting, given, fulfilled, rejected } };
  }

  // ---- What happens

  /** Something waits, or nothing more will come. A worker is started at once; jobs are dispatched when the caller's turn is over: it may have more of them. */
  #changed(): void {
    if (this.shutdown.state === 'gone' || this.#isAdvancing) return;
    this.#startWorkers();
    this.#advanceSoon();
  }

  #resultsRead(): void {
    if (this.shutdown.state === 'gone') this.barrier.resultsRead();
    else if (this.#dispatcher.isHeldBack) this.#advanceSoon();
  }

  /** What each worker tells, and who hears of it. */
  #workerOwner(): Pick<WorkforceOwner<Job>, 'jobs' | 'timedOut' | 'gone'> {
    return {
      jobs: {
        settled: (record, outcome, value) => this.jobs.answered(record, outcome, value),
        valuePut: (record, value) => this.jobs.valuePut(record, value),
        measured: (jobs, elapsedMs) => this.#batchSize.observe(jobs, elapsedMs),
        handedBack: records => { for (const record of records.reverse()) this.jobs.putBack(record); },
        ended: (step, pid) => {
          // When all workers have been told: a subscriber that takes its time must not stand between two of them.
          if (events.terminating.hasSubscribers && this.shutdown.state === 'terminating') this.#host.queueMicrotask(() => events.terminating.publish({ pool: this.#pool, step, pid }));
        },
        received: () => {
          this.shutdown.received();
          this.#advance();
        },
      },
      timedOut: (worker, record, isolated) => worker.assignment.cancel(record, this.jobs.timedOut(record, isolated)),
      gone: (worker, departure) => this.#workerGone(worker, departure),
    };
  }

  #workerGone(worker: WorkerHandle<Job>, { cause, report, ...leftovers }: Departure<Job>): void {
    const mayHaveStarted = leftovers.started.length + leftovers.suspects.length > 0;
    this.#workforce.forget(worker, report);
    this.jobs.workerGone(leftovers, { cause, report, isTerminating: () => this.shutdown.state === 'terminating' });
    if (this.shutdown.state === 'running') this.#workforce.countDeath(worker, report, cause, mayHaveStarted);
    this.#advance();
  }

  /** The `signal` of a `run()` aborted. */
  cancel(record: JobRecord<Job>, reason: unknown): void {
    if (this.jobs.cancel(record, reason)) for (const worker of this.#workforce.workers) worker.assignment.cancel(record, reason);
    this.#advanceSoon();
  }

  // ---- What can be done now

  #advanceSoon(): void {
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    this.#host.queueMicrotask(() => {
      this.#isAdvancing = false;
      this.#advance();
    });
  }

  /** After every event. */
  #advance(): void {
    if (this.shutdown.state === 'gone') return;
    if (this.shutdown.state === 'running') this.#dispatcher.dispatch();
    if (this.shutdown.state === 'running') this.#dispatcher.rebalance(); // a getter of a job may have ended the pool
    this.#startWorkers();
    const { state, end, isNew } = this.shutdown;
    const { workers } = this.#workforce;
    const { closed } = this.jobs.queue;
    const { unsettled } = this.jobs.ledger;
    const isFinishing = state === 'finishing';
    const isWorkOver = isFinishing || (closed && this.jobs.waiting === 0 && !this.#dispatcher.mayReclaim);
    if (isWorkOver) for (const worker of workers) worker.endOfJobs(isFinishing || unsettled === 0);
    const isOver = end !== undefined || (closed && unsettled === 0);
    if (isOver && isNew) this.#advanceSoon(); // the press that ended it may still arrive here, too
    else if (isOver && workers.size === 0) {
      this.#holdEventLoop(true);
      this.#workforce.guard.end(() => this.#gone());
    } else this.#holdEventLoop(unsettled > 0 || end !== undefined || (closed && workers.size > 0));
  }

  #startWorkers(): void {
    if (this.shutdown.state !== 'running') return;
    this.#workforce.start(() => {
      const wanted = this.#dispatcher.wantedWorkers();
      return this.jobs.queue.closed ? wanted : Math.max(wanted, this.#settings.minWorkers - this.#workforce.workers.size);
    });
  }

  /** All children and channels are unreferenced; this one timer holds the event loop, while work is pending. */
  #holdEventLoop(isPending: boolean): void {
    if (isPending) this.#hold ??= this.#host.setInterval(() => {}, FOR_EVER_MS);
    else {
      this.#host.clearInterval(this.#hold);
      this.#hold = undefined;
    }
  }

  // ---- The end

  /** From here on nothing is accepted and nothing is dispatched; what waits is pending. */
  #ended(end: End): void {
    this.#workforce.starts.end();
    this.#dispatcher.end();
    this.jobs.end(end);
    // Last, as this runs code of the sources, which may end the pool, too.
    for (const map of this.barrier.maps) map.stop();
    this.jobs.queue.closeSources();
  }

  /** No worker is left. */
  #gone(): void {
    this.#holdEventLoop(false);
    if (this.shutdown.state === 'gone') return;
    this.shutdown.gone();
    this.#host.assert(this.#workforce.workers.size === 0 && this.jobs.waiting === 0, 'nothing waits, and nobody is there, when the pool is gone');
    this.#workforce.starts.end();
    this.#dispatcher.end();
    this.#ignoreAbort();
    const report = this.barrier.open(this.shutdown.end ?? COMPLETED, this.jobs.ledger);
    if (events.gone.hasSubscribers) events.gone.publish({ pool: this.#pool, report });
  }
}
