// The accounts of a pool: how many jobs came in, what became of each, and which workers went. It decides nothing.

import { constants } from 'node:os';
import { JobLostError } from '../errors.ts';
import type { WorkerStartError } from '../errors.ts';
import type { Clock } from '../host.ts';
import type { Caller, JobRecord } from './job-record.ts';
import type { Outcome, PoolReport, WorkerReport } from '../types.ts';

/** How many workers the report lists. */
const REPORTED_WORKERS = 1000;

/** Why the pool ended. */
export interface End {
  outcome: Outcome;
  signal: NodeJS.Signals | null;
  error: WorkerStartError | null;
}

export const COMPLETED: End = { outcome: 'completed', signal: null, error: null };

export class Ledger<Job> {
  submitted = 0;
  fulfilled = 0;
  rejected = 0;
  /** Those of them that no caller was told of: jobs that were put. */
  rejectedPut = 0;
  values = 0;
  #lost: JobRecord<Job>[] = [];
  #pending: JobRecord<Job>[] = [];
  readonly #workers: WorkerReport[] = [];
  readonly #clock: Clock;
  readonly #createdMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#createdMs = clock.now();
  }

  /** How many jobs have no result yet. */
  get unsettled(): number {
    return this.submitted - this.fulfilled - this.rejected;
  }

  /** The pool ended over these jobs: lost are those that may have started. Their callers hear of it now, or of its `error` when it is gone. */
  unfinished(records: Iterable<JobRecord<Job>>, wanted: 'lost' | 'pending', { outcome: how, error }: End): void {
    const lists = { lost: this.#lost, pending: this.#pending };
    for (const record of records) {
      const outcome = record.isolated?.isSuspect === true ? 'lost' : wanted;
      record.state = 'over';
      lists[outcome].push(record); // not `push(...)`: a call takes some 100,000 arguments
      if (error === null) record.caller?.unfinished(new JobLostError(outcome, how));
    }
  }

  workerGone(report: WorkerReport): void {
    if (report.pid !== 0) this.#workers.push(report);
    this.#workers.splice(0, this.#workers.length - REPORTED_WORKERS);
  }

  /** The callers of all lost and pending jobs, once the report is made: nothing of them is kept. */
  takeCallers(): Caller[] {
    const callers = [...this.#lost, ...this.#pending].flatMap(({ caller }) => caller ?? []);
    this.#lost = [];
    this.#pending = [];
    return callers;
  }

  report({ outcome, signal, error }: End): PoolReport<Job> {
    const inOrder = (records: JobRecord<Job>[]): Job[] => records.sort((a, b) => a.id - b.id).map(({ job }) => job);
    return {
      outcome,
      signal,
      error,
      exitCode: signal !== null ? 128 + constants.signals[signal] : outcome === 'completed' && this.rejectedPut === 0 ? 0 : 1,
      submitted: this.submitted,
      fulfilled: this.fulfilled,
      rejected: this.rejected,
      lost: inOrder(this.#lost),
      pending: inOrder(this.#pending),
      values: this.values,
      workers: this.#workers,
      durationMs: this.#clock.now() - this.#createdMs,
    };
  }
}
