// The workers of a pool: starts them as they are wanted, replaces those that died, and knows when it must not go on. It knows neither
// queues nor what becomes of a job. When the next start may be: starts.ts.

import { WorkerStartError } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Settings } from '../options.ts';
import type { FailedMessage } from '../wire/protocol.ts';
import type { Packed } from '../wire/values.ts';
import type { WorkerReport } from '../types.ts';
import { events } from './events.ts';
import type { Isolated, JobRecord } from './job-record.ts';
import { OrphanGuard } from './orphan-guard.ts';
import { Starts } from './starts.ts';
import { WorkerHandle } from './worker-handle.ts';
import type { Departure, WorkerOwner } from './worker-owner.ts';

/** A worker that has a job and has said nothing for so long is at work. */
const AT_WORK_MS = 20;

export interface WorkforceOwner<Job> {
  /** What the events call the pool. */
  readonly pool: object;
  /** What each worker tells of its jobs. */
  readonly jobs: Omit<WorkerOwner<Job>, 'ready' | 'failed' | 'idled' | 'timedOut' | 'gone'>;
  /** A job took longer than it may. */
  timedOut(worker: WorkerHandle<Job>, record: JobRecord<Job>, isolated: Isolated): void;
  gone(worker: WorkerHandle<Job>, departure: Departure<Job>): void;
  /** Another start may be possible. */
  advance(): void;
  /** The pool cannot go on. */
  fail(error: WorkerStartError): void;
}

export class Workforce<Job> {
  /** Those that are not gone. */
  readonly workers = new Set<WorkerHandle<Job>>();
  readonly starts: Starts;
  readonly guard: OrphanGuard;
  /** How many were started in the place of one that died. */
  replaced = 0;
  #died = 0;
  #isStarting = false;
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #module: { href: string; workerData: Packed };
  readonly #owner: WorkforceOwner<Job>;

  constructor(host: Host, settings: Settings, module: { href: string; workerData: Packed }, owner: WorkforceOwner<Job>) {
    this.#host = host;
    this.#settings = settings;
    this.#module = module;
    this.#owner = owner;
    this.guard = new OrphanGuard(host);
    this.starts = new Starts(host, settings.interruptSignals, () => owner.advance());
  }

  /** One worker a turn of the event loop, as a fork takes milliseconds: a Ctrl-C is received between two of them. */
  start(wanted: () => number): void {
    if (this.#isStarting || this.workers.size >= this.#settings.workers || this.starts.arePaused || wanted() <= 0) return;
    this.#start();
    this.#isStarting = true;
    this.#host.setImmediate(() => {
      this.#isStarting = false;
      this.#owner.advance();
    });
  }

  #start(): void {
    const { round } = this.starts;
    const { pool, jobs } = this.#owner;
    try {
      const worker: WorkerHandle<Job> = new WorkerHandle<Job>(this.#host, this.#module, this.#settings, {
        round,
        owner: {
          ...jobs,
          ready: () => {
            this.starts.ready();
            if (events.workerReady.hasSubscribers) events.workerReady.publish({ pool, pid: worker.pid });
          },
          failed: (during, cause) => this.#failed(during, cause),
          idled: () => {
            const staying = [...this.workers].filter(({ isLeaving }) => !isLeaving).length;
            if (worker.activity === 'idle' && staying > this.#settings.minWorkers) worker.endOfJobs();
          },
          timedOut: (record, isolated) => this.#owner.timedOut(worker, record, isolated),
          gone: departure => this.#owner.gone(worker, departure),
        },
      });
      this.workers.add(worker);
      if (worker.pid === 0) return; // it will say why
      this.starts.began();
      this.guard.watch(worker.target);
      const isReplacement = this.#died > this.replaced;
      if (isReplacement) this.replaced++;
      if (events.workerStarted.hasSubscribers) events.workerStarted.publish({ pool, pid: worker.pid, isReplacement });
    } catch (cause) {
      // What Node refuses by its shape, a stream without a descriptor say, it refuses every time.
      if (cause instanceof TypeError || isDenied(cause)) this.#fail(`Cannot start a worker: ${String(cause)}`, cause);
      else this.#refused(cause);
    }
  }

  /** A worker is gone. */
  forget(worker: WorkerHandle<Job>, report: WorkerReport): void {
    this.workers.delete(worker);
    if (worker.pid === 0) return;
    this.guard.forget(worker.target);
    this.starts.resetRefusals();
    if (events.workerLeft.hasSubscribers) events.workerLeft.publish({ pool: this.#owner.pool, error: undefined, ...report });
  }

  /** The pool is running: another one may have to take its place. */
  countDeath(worker: WorkerHandle<Job>, report: WorkerReport, cause: unknown, mayHaveStarted: boolean): void {
    if (worker.pid === 0) return this.#refused(cause);
    if (worker.reason === undefined) return;
    this.#died++;
    if (report.jobs === 0 && (worker.reason === 'left early' || !mayHaveStarted)) this.#diedInVain(worker, report, report.error ?? cause);
  }

  // ---- Workers that cannot start, or do not stay

  #failed(during: FailedMessage['during'], cause: unknown): void {
    const why = { import: 'its module cannot be imported', exports: 'its module exports nothing usable', setup: 'its `setup` threw' }[during];
    this.#fail(`Cannot start a worker as ${why} (${this.#module.href}): ${String(cause)}`, cause);
  }

  /** The machine has no room for another process: the pool goes on with those that it has. Without any it fails, after some tries. */
  #refused(cause: unknown): void {
    if (this.starts.refused(this.workers.size > 0)) return;
    this.#fail(`Cannot start a worker as the machine refused it ${this.starts.refusals} times in a row (${this.#module.href}): ${String(cause)}`, cause);
  }

  /**
   * A worker died before it was ready, or had no job to the end: after a pause it is tried again. After some rounds of that the pool
   * fails, unless a worker that has outlived them does the work.
   */
  #diedInVain(worker: WorkerHandle<Job>, { exitCode, signal }: { exitCode: number | null; signal: NodeJS.Signals | null }, cause: unknown): void {
    if (!this.starts.died(worker, signal)) return;
    const { round, wasReady } = worker;
    const nowMs = this.#host.now();
    if ([...this.workers].some(other => (other.mayAnswer && other.assignment.hasJob && nowMs - other.lastMessageAt > AT_WORK_MS) || (other.wasReady && !other.isLeaving && other.round < round))) return;
    const { crashStreak } = this.starts;
    const how = signal === null ? `with exit code ${exitCode}` : `by ${signal}`;
    if (wasReady) this.#fail(`Cannot go on as ${crashStreak} workers in a row left without having finished a job, the last one ${how} (${this.#module.href})`, cause);
    else this.#fail(`Cannot start a worker as it ends before it is ready, ${crashStreak} times in a row, ${how} (${this.#module.href})`, cause);
  }

  #fail(message: string, cause: unknown): void {
    this.#owner.fail(new WorkerStartError(message, { cause }));
  }
}

/** By Node's permission model: it will not pass. */
function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_ACCESS_DENIED';
}
