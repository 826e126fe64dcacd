// Every job of a pool, from the moment it is accepted to its one outcome: what waits, what is tried again, who is told, and what is
// counted. It knows neither workers nor why the pool ends.
//
//  state      event                                          → state     what is done
//  waiting    dispatched                                     in flight   (dispatcher.ts)
//             cannot be cloned; a call on a module with a loop  over     rejected
//             its `signal` aborted, its map was left         over        rejected
//             the pool ends                                  over        pending; lost if it is a suspect: it may have started before
//  in flight  its value, or what it threw                    over        its caller is told, or it is pushed to the results
//             its worker died, and it had started            waiting     the next attempt, isolated; without one left over: rejected
//             its worker died, and it may have started       waiting     the same attempt, isolated: it is a suspect
//             its worker died, and it had not started        waiting     in front; over: rejected, if three were killed while it was sent
//             handed back by its worker                      waiting     in front; over: rejected, if its map was left
//             its time is up                                 cancelled   where it has attempts left; else over: rejected
//             its `signal` aborted                           over        rejected; its worker is told
//             its worker is gone, and the pool is ending     over        lost if it may have started, else pending. But where the pool only
//                                                                        finishes, one that had started is rejected
//  cancelled  its worker has let go of it, or is gone        waiting     the next attempt, isolated; when the pool is ending over: rejected

import { JobTimeoutError, WorkerExitError } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Settings } from '../options.ts';
import { promised } from '../wire/protocol.ts';
import type { WorkerReport } from '../types.ts';
import { Calls } from './calls.ts';
import { events } from './events.ts';
import type { Leftovers } from './in-flight.ts';
import { JobQueue } from './job-queue.ts';
import { isolated } from './job-record.ts';
import type { Caller, Isolated, JobRecord, Outcome } from './job-record.ts';
import { Ledger } from './ledger.ts';
import type { End } from './ledger.ts';
import { ResultQueue } from './result-queue.ts';

/** So many workers killed while they were sent the same job, and it is rejected. */
const MOST_KILLED = 3;

export interface JobsOwner {
  /** What the events call the pool. */
  readonly pool: object;
  /** Something waits, or nothing more will come. */
  changed(): void;
  /** Somebody has read a result, or has begun or stopped to read. */
  resultsRead(): void;
  /** A worker has had a job to the end. */
  progressed(): void;
}

export class Jobs<Job, Value> {
  readonly queue: JobQueue<Job, JobRecord<Job>>;
  readonly calls = new Calls<Job>();
  readonly results: ResultQueue<Job, Value>;
  readonly ledger: Ledger<Job>;
  readonly #host: Host;
  readonly #settings: Settings;
  readonly #owner: JobsOwner;
  /** Why the pool ended: from then on nothing waits. */
  #end: End | undefined;

  constructor(host: Host, settings: Settings, owner: JobsOwner) {
    this.#host = host;
    this.#settings = settings;
    this.#owner = owner;
    this.ledger = new Ledger(host);
    this.queue = new JobQueue(host, settings.jobCapacity, {
      admit: job => this.admit(job, null),
      changed: () => owner.changed(),
      awaited: () => this.results.inHand(),
    });
    this.results = new ResultQueue(() => owner.resultsRead());
  }

  /** How many wait for a worker. */
  get waiting(): number {
    return this.queue.size + this.calls.size;
  }

  // ---- In

  admit(job: Job, caller: Caller | null, timeoutMs = this.#settings.timeoutMs, isCancellable = false): JobRecord<Job> {
    const isIsolated = timeoutMs !== undefined || isCancellable;
    return { id: this.ledger.submitted++, job, caller, state: 'waiting', pid: null, isolated: isIsolated ? isolated(timeoutMs) : null };
  }

  call(record: JobRecord<Job>): void {
    this.calls.push(record);
    this.#owner.changed();
  }

  // ---- Out

  /** A worker is done with a job, or with one that it was told to give up. */
  answered(record: JobRecord<Job>, outcome: Outcome, value: unknown): void {
    if (record.state === 'cancelled') this.#attemptFailed(record, record.isolated?.failure);
    else this.settle(record, outcome, value);
  }

  /** A manual loop put a value while this job was current. */
  valuePut({ id, job }: JobRecord<Job>, value: unknown): void {
    this.ledger.values++;
    this.results.push({ id, job, status: 'fulfilled', value: promised(value) });
  }

  /** A job has its result: its value, or the reason why there is none. A call that `isQueued` leaves the queue before anybody is told. */
  settle(record: JobRecord<Job>, outcome: Outcome, value: unknown, isQueued = false): void {
    if (record.state === 'over') return; // cancelled, or too late
    record.state = 'over';
    if (isQueued) this.calls.cancelled();
    const { id, job, caller, pid } = record;
    if (pid !== null) this.#owner.progressed();
    if (outcome !== 'rejected') this.ledger.fulfilled++;
    else this.ledger.rejected++;
    if (outcome === 'rejected' && caller === null) this.ledger.rejectedPut++;
    if (events.jobSettled.hasSubscribers) events.jobSettled.publish({ pool: this.#owner.pool, id, status: outcome === 'rejected' ? outcome : 'fulfilled', pid });
    if (outcome === 'done') return;
    if (outcome === 'fulfilled') this.ledger.values++;
    if (caller !== null) caller.settle(outcome === 'fulfilled' ? { status: outcome, value } : { status: outcome, reason: value });
    else if (outcome === 'fulfilled') this.results.push({ id, job, status: outcome, value: promised(value) });
    else this.results.push({ id, job, status: outcome, reason: value });
  }

  /** A job took too long: the reason that its worker is to tell it. Tried again it is only when its worker has let go of it. */
  timedOut(record: JobRecord<Job>, { attempt, timeoutMs, failure }: Isolated): JobTimeoutError {
    const error = new JobTimeoutError(record.id, timeoutMs, failure === undefined ? {} : { cause: failure });
    if (record.isolated !== null && attempt <= this.#settings.retries && this.#end === undefined) {
      record.isolated.failure = error;
      record.state = 'cancelled';
    } else this.settle(record, 'rejected', error);
    return error;
  }

  /** The `signal` of a call aborted. Whether a worker has its job, and must hear of it. */
  cancel(record: JobRecord<Job>, reason: unknown): boolean {
    if (record.state === 'waiting') {
      this.#drop(record, reason, true);
      return false;
    }
    this.settle(record, 'rejected', reason);
    if (record.isolated !== null) record.isolated.failure = reason;
    return true;
  }

  /** A map was left: what waits is rejected, what is in flight may end. Whether it waited. */
  drop(record: JobRecord<Job>): boolean {
    if (record.state !== 'waiting') return false;
    this.#drop(record, undefined, true);
    return true;
  }

  /** No worker has it: that is no progress of theirs. */
  #drop(record: JobRecord<Job>, reason: unknown, isQueued: boolean): void {
    record.pid = null;
    this.settle(record, 'rejected', reason, isQueued);
  }

  // ---- Back

  /** In front of all that waits. Once the pool has ended nothing waits any more: then it is pending, or lost if it may have started. */
  putBack(record: JobRecord<Job>): void {
    this.#host.assert(record.state !== 'over', 'what has its outcome does not wait again');
    if (this.#end !== undefined) return this.ledger.unfinished([record], 'pending', this.#end);
    record.state = 'waiting';
    if (record.caller?.isGone === true) return this.#drop(record, undefined, false);
    (record.caller === null ? this.queue : this.calls).putBack(record);
  }

  /** Isolated: it may have started before. */
  #putBackIsolated(record: JobRecord<Job>): void {
    record.isolated ??= isolated();
    record.isolated.isSuspect = true;
    this.putBack(record);
  }

  /** Its worker died, or it took too long: while the pool works it may have another attempt. */
  #attemptFailed(record: JobRecord<Job>, failure: unknown): void {
    record.isolated ??= isolated();
    if (record.isolated.attempt > this.#settings.retries || this.#end !== undefined) return this.settle(record, 'rejected', failure);
    record.isolated.attempt++;
    record.isolated.failure = failure;
    this.#putBackIsolated(record);
  }

  /**
   * A worker is gone: decides about the jobs that it had.
   * 1. The pool is terminating: what may have started is lost, everything else is pending.
   * 2. The worker died of itself. The one job that had started is rejected, or tried again. Where nobody knows which of several tiny
   *    ones had started, as it was killed in the middle of a message or broke the protocol, each of them is tried isolated, so that only the one
   *    that kills is charged. Everything else goes to another worker, or is pending if nothing may be dispatched any more.
   */
  workerGone(leftovers: Leftovers<Job>, { cause, report, isTerminating }: { cause: unknown; report: WorkerReport; isTerminating: () => boolean }): void {
    const started = leftovers.started.filter(isNotOver);
    const suspects = leftovers.suspects.filter(isNotOver);
    const unstarted = leftovers.unstarted.filter(isNotOver);
    const mayHaveStarted = leftovers.started.length + leftovers.suspects.length > 0;
    this.ledger.workerGone(report);

    if (this.#end !== undefined) this.ledger.unfinished(unstarted, 'pending', this.#end);
    else {
      const sent = report.signal !== null && !mayHaveStarted ? unstarted[0] : undefined;
      for (const record of unstarted.reverse()) {
        if (record === sent && isKilledAgain(record)) this.settle(record, 'rejected', new WorkerExitError(record.id, report));
        else this.putBack(record);
      }
    }

    if (this.#end !== undefined) this.ledger.unfinished(suspects, 'lost', this.#end);
    else for (const record of suspects.reverse()) this.#putBackIsolated(record);

    for (const record of started) { // a subscriber may end the pool between two of them
      const before = record.isolated?.failure ?? cause;
      if (this.#end !== undefined && isTerminating()) this.ledger.unfinished([record], 'lost', this.#end);
      else this.#attemptFailed(record, record.state === 'cancelled' ? before : new WorkerExitError(record.id, report, before === undefined ? {} : { cause: before }));
    }
  }

  // ---- The end

  /** From here on nothing is accepted, and what waits is pending. */
  end(end: End): void {
    this.#end = end;
    this.ledger.unfinished(this.queue.end(), 'pending', end);
    this.ledger.unfinished(this.calls.drain(), 'pending', end);
  }
}

const isNotOver = ({ state }: JobRecord<unknown>): boolean => state !== 'over';

/** A worker was killed while a job was being sent to it, a large one: after some of them, it may be its size that kills them. */
function isKilledAgain(record: JobRecord<unknown>): boolean {
  record.isolated ??= isolated();
  return ++record.isolated.killed === MOST_KILLED;
}
